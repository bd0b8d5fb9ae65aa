"""Why an attempt failed, written down for whoever reads the cell."""

from harness.reading.cell import Kind, kind_of
from harness.store import RunDir, write_json


def note_failure(run_dir: RunDir, reason: str, kind: Kind | None = None) -> None:
    """Write `failure.json`; without `kind`, the reason says what made the attempt fail."""
    write_json(run_dir.failure, {"reason": reason, "kind": (kind or kind_of({}, reason)).value})
