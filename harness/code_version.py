"""Which code made a number: a hash of the sources as this process loaded them, and of the libraries."""

import hashlib
import inspect
from functools import cache
from importlib.metadata import version
from pathlib import Path

from algorithms.base import Algorithm
from envs.base import EnvironmentSpec

ROOT = Path(__file__).resolve().parents[1]
LIBRARIES = {name: version(name) for name in ("torch", "transformers", "numpy")}
"""Versions of the libraries whose arithmetic is in every number."""


def digest(path: Path) -> str:
    """SHA-256 of a file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


ROOMS = (
    *("algorithms", "envs"),
    *("harness/records", "harness/ledger", "harness/config", "harness/store", "harness/policy"),
    *("harness/rollout", "harness/parallel", "harness/update"),
    *("harness/rng.py", "harness/errors.py", "harness/cells.py", "harness/caches.py", "harness/lease.py"),
    "harness/ranks.py",
    *("harness/run.py", "harness/evaluate.py", "harness/record.py", "harness/summary.py"),
    *("harness/attempt.py", "harness/code_version.py"),
)
"""What a cell's numbers are made by. Commands, plans, launchers, boards, trackers and reports only start
cells and read what they wrote."""
COMMANDS = {ROOT / "envs" / "play.py", ROOT / "envs" / "panel.py"}
"""Commands that stand beside what they show."""


def files(room: str) -> list[Path]:
    """The source files of a room, which is a folder or a file."""
    if room.endswith(".py"):
        return [ROOT / room]
    return sorted(set((ROOT / room).rglob("*.py")) - COMMANDS)


SOURCES = {path: digest(path) for path in sorted(path for room in ROOMS for path in files(room))}
"""Taken when this module is imported: what a file says later is not what runs."""

ALGORITHMS = {
    path
    for path in SOURCES
    if path.parent == ROOT / "algorithms" and path.stem not in ("__init__", "base", "factors")
}
"""The files that hold one algorithm's own code."""

SHARED = ROOT / "envs" / "engines"
"""The one folder of `envs` that is no environment's own."""


def code_version(algorithm: Algorithm, env: EnvironmentSpec) -> str:
    """12 digits that change with the code that makes a run; other algorithms and environments don't count."""
    return version_for(type(algorithm), type(env))


@cache
def version_for(algorithm: type[Algorithm], env: type[EnvironmentSpec]) -> str:
    """The same by class."""
    lines = [f"{name} {content}" for name, content in parts_of(algorithm, env).items()]
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:12]


def sources(algorithm: Algorithm, env: EnvironmentSpec) -> dict[str, str]:
    """What a code version is made of: SHA-256 by file, and the version by library."""
    return parts_of(type(algorithm), type(env))


def parts_of(algorithm: type[Algorithm], env: type[EnvironmentSpec]) -> dict[str, str]:
    """The same by class."""
    mine = {Path(inspect.getfile(cls)) for cls in algorithm.__mro__ if cls is not object}
    folders = {Path(inspect.getfile(cls)).parent for cls in env.__mro__ if cls is not object}
    counted = {
        path: content
        for path, content in SOURCES.items()
        if (path not in ALGORITHMS or path in mine) and (not has_environment(path) or path.parent in folders)
    }
    return {str(path.relative_to(ROOT)): content for path, content in counted.items()} | LIBRARIES


def has_environment(path: Path) -> bool:
    """Whether a file is in the folder of one environment."""
    return path.parent.parent == ROOT / "envs" and path.parent != SHARED
