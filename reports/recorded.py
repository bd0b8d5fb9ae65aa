"""Which trajectory files there are, in a sweep or of any origin, and which algorithms are to credit them."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from algorithms.base import Algorithm
from harness.cells import Record
from harness.compose.composing import group_options
from harness.config.plain import run_config
from harness.credit import built, chosen
from harness.errors import UserError
from reports.parts import what_happened
from reports.store import Store, read_store

SUFFIX = ".jsonl.gz"


@dataclass(frozen=True)
class Entrant:
    """An algorithm with its options, as a sweep's arm has them."""

    name: str
    algorithm: Algorithm


@dataclass(frozen=True)
class Recording:
    """A trajectory file."""

    path: Path
    name: str
    """What messages call it."""
    run: str
    """The arm and seed that played; the file's name if that is unknown."""
    checkpoint: str
    """When it was played; empty if that is unknown."""
    entrants: tuple[Entrant, ...]
    """What is to credit it."""
    rank: tuple[int, int]
    """Lower ones go first onto a page that has no room for all."""


@dataclass(frozen=True)
class Found:
    """The recordings of a place, in the order of the page."""

    recordings: list[Recording]
    problems: list[str]
    """What could not be used, and why."""


def find(path: Path, names: str | None) -> Found:
    """The recordings in `path`: a sweep's directory, a run's, or a file.

    `names` replaces the algorithms, which are a sweep's arms, or for a file all but the controls. Raises
    `UserError` if nothing is recorded.
    """
    own = entrants_named(names) if names else None
    if not path.is_dir():
        entrants, problems = (own, []) if own else published()
        return Found([Recording(path, path.name, path.name, "", entrants, (0, 0))], problems)
    if (path / "sweep.json").exists() or not (path / "config.json").exists():
        found = in_store(read_store(path), own)
    else:
        found = in_store(read_store(path.resolve().parents[1]), own, path.resolve().name)
    if not found.recordings:
        raise UserError(
            f"{path} has no recorded episodes: run its sweep with evaluation.record=2, or name a file"
        )
    return found


def entrants_named(names: str) -> tuple[Entrant, ...]:
    """The algorithms that a command line names, at their published settings."""
    listed = [name.strip() for name in names.split(",")]
    return tuple(Entrant(*pair) for pair in zip(listed, chosen(names, ()), strict=True))


def published() -> tuple[tuple[Entrant, ...], list[str]]:
    """All algorithms but the controls, and what is wrong with those that can't be used."""
    every: list[Entrant] = []
    problems: list[str] = []
    for name in group_options("algorithm"):
        try:
            every.append(Entrant(name, built(name, {})))
        except Exception as error:  # an algorithm's file is anybody's code
            problems.append(f"algorithm {name}: {what_happened(error)}")
    return tuple(entrant for entrant in every if not entrant.algorithm.control), problems


def in_store(store: Store, own: tuple[Entrant, ...] | None = None, only: str | None = None) -> Found:
    """The recordings of a sweep's runs, or of one of them, credited by all arms of the same setting."""
    rows = [{str(name): value for name, value in row.items()} for row in store.runs.to_dict("records")]
    runs = [run for run in rows if run["cell"] in store.configs]
    places = [(run["env"], run["model"]) for run in runs]
    recordings: list[Recording] = []
    problems: list[str] = []
    for env, model in dict.fromkeys(places):
        here = [run for run in runs if (run["env"], run["model"]) == (env, model)]
        files = {run["cell"]: trajectory_files(store.path / "runs" / run["cell"]) for run in here}
        if not any(files.values()):
            continue
        entrants, wrong = (own, []) if own else arms(here, store)
        problems += wrong
        seeds = sorted({run["seed"] for run in here})
        labelled = len(set(places)) > 1 or "(" in env  # see `EnvironmentSpec.label`
        where = f", {env}, {model}" if labelled else ""
        for run in here:
            cell = run["cell"]
            for (point, path), place in zip(files[cell].items(), turns(len(files[cell])), strict=True):
                fraction = point / store.configs[cell]["evaluation"]["points"]
                recordings.append(
                    Recording(
                        path=path,
                        name=str(path.relative_to(store.path)),
                        run=f"{run['arm']}, seed {run['seed']}{where}",
                        checkpoint=f"{fraction:.0%}",
                        entrants=entrants,
                        rank=(seeds.index(run["seed"]), place),
                    )
                )
    if only:
        recordings = [each for each in recordings if each.name.startswith(f"runs/{only}/")]
    return Found(recordings, problems)


def trajectory_files(run: Path) -> dict[int, Path]:
    """A run's trajectory files by evaluation, in order."""
    found = {path.name.removesuffix(SUFFIX): path for path in (run / "trajectories").glob(f"[0-9]*{SUFFIX}")}
    return dict(sorted((int(point), path) for point, path in found.items() if point.isdigit()))


def turns(count: int) -> list[int]:
    """When each of `count` checkpoints has its turn: the last, the first, the middle, then the others."""
    order = list(dict.fromkeys([count - 1, 0, count // 2, *range(count)])) if count else []
    return [order.index(place) for place in range(count)]


def arms(runs: Sequence[Record], store: Store) -> tuple[tuple[Entrant, ...], list[str]]:
    """The arms of some runs, and what is wrong with those whose configuration is none any more."""
    entrants: dict[str, Entrant] = {}
    problems: list[str] = []
    for run in runs:
        if run["arm"] in entrants:
            continue
        try:
            algorithm = run_config(store.configs[run["cell"]]).algorithm
            entrants[run["arm"]] = Entrant(run["arm"], algorithm)
        except (UserError, KeyError) as error:
            problems.append(f"{run['cell']}/config.json: {error}")
        except Exception as error:  # an algorithm's file is anybody's code
            problems.append(f"{run['cell']}/config.json: {what_happened(error)}")
    return tuple(entrants.values()), problems
