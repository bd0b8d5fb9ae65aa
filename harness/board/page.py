"""The board as one self-contained HTML page."""

from datetime import datetime
from pathlib import Path
from urllib.parse import quote

from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined

from harness.board import wording
from harness.board.summary import Summary
from harness.errors import UserError
from harness.reading.cell import State, percent
from harness.store.files import write_atomically

REFRESH_SECONDS = 10


def write_page(summary: Summary) -> Path:
    """Write `status.html` into the sweep's directory; returns its path."""
    path = summary.sweep.path / "status.html"
    try:
        write_atomically(path, render(summary).encode())
    except OSError as error:
        raise UserError(f"{path} can't be written ({error.strerror})") from error
    return path


def render(summary: Summary) -> str:
    """The page, in the report's style."""
    environment = Environment(
        loader=ChoiceLoader([PackageLoader("harness.board", "."), PackageLoader("reports", ".")]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    read_at = datetime.fromtimestamp(summary.sweep.read_at).astimezone()
    return environment.get_template("page.html.j2").render(
        summary=summary,
        sweep=summary.sweep,
        State=State,
        listed=wording.listed(summary),
        wording=wording,
        percent=percent,
        quote=quote,
        refresh=REFRESH_SECONDS,
        read_at=f"{read_at:%Y-%m-%d %H:%M:%S %z}",
    )
