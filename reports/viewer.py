"""`python -m reports.viewer DIR|FILE`: recorded episodes as conversations, with every algorithm's credit.

DIR is a sweep's directory, or one run's inside it; FILE is any trajectory file (docs/trajectory-format.md).
Writes one page that works offline. `reports.compare` writes it beside its report too.
"""

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from harness.credit import read
from harness.errors import UserError
from harness.store import write_atomically
from harness.terminal import Parser, command, full, named_path
from reports import parts
from reports.episodes import checkpoint
from reports.parts import what_happened
from reports.recorded import Found, Recording, find, in_store
from reports.store import Store

PAGE = "trajectories.html"
ROOM = 4_500_000
"""Most bytes of data on a page."""


@dataclass(frozen=True)
class Contents:
    """What a page holds."""

    runs: list[dict[str, Any]]
    """Each run's checkpoints, each with its columns and episodes."""
    shown: int
    """Number of recordings that are on the page."""
    left_out: list[Recording]
    """Those for which there was no room."""
    cut: str
    """Which episodes of a file were left out; empty when none."""
    problems: list[str]
    """What could not be used, and why."""


def sweep_page(store: Store) -> bytes | None:
    """The page of a sweep, linked with its report; None if nothing is recorded."""
    found = in_store(store)
    if not found.recordings:
        return None
    return page(collect(found), store.manifest["name"], store.path, report="report.html")


def page(contents: Contents, title: str, path: Path, report: str = "") -> bytes:
    """The page of what was found in `path`; `report` is a page to link back to."""
    environment = Environment(
        loader=PackageLoader("reports", "."), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    # "<" would end the script element early.
    data = json.dumps({"runs": contents.runs}, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c")
    text = environment.get_template("viewer.html.j2").render(
        title=title,
        path=path,
        report=report,
        contents=contents,
        whole=whole(contents, path),
        evaluations=path.is_dir(),
        data=data,
    )
    return text.encode()


def collect(found: Found) -> Contents:
    """Credit the recordings by rank until the page is full; of one too large alone, the first episodes."""
    problems = list(found.problems)
    kept: dict[Path, dict[str, Any]] = {}
    waiting = sorted(found.recordings, key=lambda recording: recording.rank)
    room, cut = ROOM, ""
    while waiting:
        recording = waiting[0]
        try:
            made = checkpoint(read(str(recording.path)), recording.entrants)
        except UserError as error:
            problems.append(str(error).replace(str(recording.path), recording.name))
            waiting.pop(0)
            continue
        except parts.CAUGHT as error:
            problems.append(f"{recording.name} can't be shown: {what_happened(error)}")
            waiting.pop(0)
            continue
        size = len(json.dumps(made))
        if size > room:
            if kept:
                break
            every = made["episodes"]
            made["episodes"] = fitting(every, room)
            cut = f"the first {len(made['episodes'])} of {len(every)} episodes of {recording.name}"
        room -= size
        kept[recording.path] = made
        waiting.pop(0)
    runs: dict[str, list[dict[str, Any]]] = {}
    for recording in found.recordings:
        if recording.path in kept:
            runs.setdefault(recording.run, []).append({"name": recording.checkpoint, **kept[recording.path]})
    listed = [{"name": name, "checkpoints": checkpoints} for name, checkpoints in runs.items()]
    return Contents(listed, len(kept), waiting, cut, problems)


def whole(contents: Contents, path: Path) -> Path | None:
    """What to name instead of `path` to see the first recording that was left out: its run, or its file."""
    if not contents.left_out:
        return None
    file = contents.left_out[0].path
    run = file.parents[1]
    return file if run == path.resolve() else run


def fitting(episodes: Sequence[dict[str, Any]], room: int) -> list[dict[str, Any]]:
    """The first episodes, at least one, of at most `room` bytes."""
    kept: list[dict[str, Any]] = []
    for episode in episodes:
        room -= len(json.dumps(episode))
        if kept and room < 0:
            break
        kept.append(episode)
    return kept


@command("reports.viewer")
def main(arguments: Sequence[str]) -> int:
    """The command line; returns the exit code."""
    parser = Parser(prog="python -m reports.viewer", description="Write a page that shows recorded episodes.")
    parser.add_argument(
        "path",
        type=named_path,
        metavar="DIR|FILE",
        help="a sweep's or a run's directory, or a trajectory file",
    )
    parser.add_argument(
        "--algorithms",
        metavar="NAMES",
        help="names with commas between them; default: a sweep's arms, or for a file all but the controls",
    )
    parser.add_argument(
        "--out", type=named_path, metavar="FILE", help=f"default: {PAGE} in DIR, or in the working directory"
    )
    options = parser.parse_args(arguments)
    print(f"page: {write_page(options.path, options.algorithms, options.out)}")
    return 0


def write_page(path: Path, algorithms: str | None, to: Path | None) -> Path:
    """Write the page of what is recorded in `path`; returns where it is."""
    contents = collect(find(path, algorithms))
    if not contents.runs:
        raise UserError(contents.problems[-1])
    out = to or (path / PAGE if path.is_dir() else Path(PAGE))
    try:
        write_atomically(out, page(contents, path.resolve().name, path))
    except OSError as error:
        if full(error):
            raise
        raise UserError(f"{out} can't be written ({error.strerror}): choose --out") from error
    return out


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
