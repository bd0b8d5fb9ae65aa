"""Whether the turns of a job get its cells on. A turn ends when the job puts itself back into the queue."""

from pathlib import Path

from harness.store import RunDir, read_json, write_json


def reached(run_dir: RunDir) -> int:
    """The iteration of a cell's newest complete checkpoint, 0 without one."""
    complete = run_dir.complete_checkpoints()
    return int(complete[-1].name) if complete else 0


def fruitless_turns(folder: Path, index: int) -> int:
    """How many of a job's last turns in a row got none of its cells on."""
    path = note(folder, index)
    return int(read_json(path)["fruitless"]) if path.exists() else 0


def note_fruitless(folder: Path, index: int, fruitless: int) -> None:
    """Note how many there were, for the job's next turn and for who counts attempts."""
    write_json(note(folder, index), {"fruitless": fruitless})


def note(folder: Path, index: int) -> Path:
    """Where it is noted; `folder`: the array's."""
    return folder / f"{index}.turns.json"
