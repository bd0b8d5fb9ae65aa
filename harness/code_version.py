"""Which code made a number: a hash of the sources as this process loaded them, and of the libraries."""

import hashlib
import inspect
from functools import cache
from importlib.metadata import version
from pathlib import Path

from algorithms.base import Algorithm

ROOT = Path(__file__).resolve().parents[1]
LIBRARIES = {name: version(name) for name in ("torch", "transformers", "numpy")}
"""Versions of the libraries whose arithmetic is in every number."""


def digest(path: Path) -> str:
    """SHA-256 of a file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


SOURCES = {
    path: f"{path.relative_to(ROOT)} {digest(path)}"
    for folder in ("harness", "envs", "algorithms")
    for path in sorted((ROOT / folder).rglob("*.py"))
}
"""Taken when this module is imported: what a file says later is not what runs."""

ALGORITHMS = {
    path
    for path in SOURCES
    if path.parent == ROOT / "algorithms" and path.stem not in ("__init__", "base", "factors")
}
"""The files that hold one algorithm's own code."""


def code_version(algorithm: Algorithm) -> str:
    """12 digits that change with the code that makes a run of `algorithm`; other algorithms don't count."""
    return version_for(type(algorithm))


@cache
def version_for(algorithm: type[Algorithm]) -> str:
    """The same by class."""
    mine = {Path(inspect.getfile(cls)) for cls in algorithm.__mro__ if cls is not object}
    sources = [line for path, line in SOURCES.items() if path in mine or path not in ALGORITHMS]
    libraries = [f"{name} {number}" for name, number in LIBRARIES.items()]
    return hashlib.sha256("\n".join([*sources, *libraries]).encode()).hexdigest()[:12]
