"""A tuning's frozen result: what was tried, what it cost, and the setting that won, as a dated YAML file."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import yaml

from harness.errors import UserError

TUNED_DIR = Path(__file__).resolve().parents[2] / "sweeps" / "tuned"
NEWEST = "newest"
METRIC = (
    "final_success, mean over seeds, a failed run counting 0; ties go to the larger area under the learning "
    "curve, then to the lower model.lr, then to the earlier trial"
)
HEADER = "# The frozen result of a tuning, written by harness.tune. +sweep=all_algos_tuned reads it.\n"
HOW = "run python -m harness.sweep +sweep=tune with this sweep's overrides first"


@dataclass(frozen=True)
class Trial:
    """The runs of one algorithm at one setting."""

    score: float
    """Mean final success over the seeds."""
    area: float
    """Mean area under the learning curve over the seeds."""
    scores: dict[int, float]
    """Final success by seed."""
    failed: list[int]
    """Seeds whose run failed: both numbers count 0."""


@dataclass(frozen=True)
class Tuned:
    """One algorithm's trials."""

    winner: int
    """Number of the best trial; -1 while some have not ended."""
    overrides: dict[str, float]
    """What the winner sets; nothing if the default setting won."""
    flops: int
    """Nominal training FLOPs of all its trials."""
    options: dict[str, Any]
    """The algorithm's own options at the default setting."""
    trials: list[Trial]


@dataclass(frozen=True)
class Frozen:
    """A tuning's result."""

    date: str
    metric: str
    """What won."""
    commit: str
    """Of the code that ran the trials."""
    seeds: list[int]
    flops: int
    """Nominal training FLOPs of all trials."""
    panel_hash: str
    """Of the tuning tasks that scores were taken on."""
    setting: dict[str, Any]
    """What all trials shared: environment (the set of tasks aside), model, batch and budget."""
    knobs: list[str]
    """Every option that trials set."""
    points: list[dict[str, float]]
    """What each trial set, the same for all algorithms; trial 0 is the default setting."""
    algorithms: dict[str, Tuned]

    @property
    def ended(self) -> bool:
        """Whether there is a winner for every algorithm."""
        return all(tuned.winner >= 0 for tuned in self.algorithms.values())

    def value(self, algorithm: str, trial: int, knob: str) -> object:
        """What a trial had a knob set to."""
        section, _, name = knob.partition(".")
        default = self.algorithms[algorithm].options if section == "algorithm" else self.setting[section]
        return self.points[trial].get(knob, default.get(name))


def to_yaml(frozen: Frozen) -> bytes:
    """The file's content, the same for equal results."""
    return (HEADER + yaml.safe_dump(asdict(frozen), sort_keys=False, width=110)).encode()


def load(path: Path) -> Frozen:
    """Read a frozen result; raise `UserError` if there is none."""
    try:
        return from_plain(yaml.safe_load(path.read_bytes()))
    except FileNotFoundError as error:
        raise UserError(f"sweep.tuned: {path} does not exist: {HOW}") from error
    except (OSError, yaml.YAMLError, AttributeError, KeyError, TypeError, ValueError) as error:
        raise UserError(
            f"sweep.tuned: {path} is not a frozen tuning ({' '.join(str(error).split())})"
        ) from error


def from_plain(plain: Mapping[str, Any]) -> Frozen:
    """The result that `asdict` made plain, keys that JSON turned into text included."""
    algorithms = {}
    for name, tuned in plain["algorithms"].items():
        by_seed = [{int(seed): score for seed, score in trial["scores"].items()} for trial in tuned["trials"]]
        trials = [Trial(**{**t, "scores": s}) for t, s in zip(tuned["trials"], by_seed, strict=True)]
        algorithms[name] = Tuned(**{**tuned, "trials": trials})
    return Frozen(**{**plain, "algorithms": algorithms})


def tuned_path(name: str) -> Path:
    """The file that `sweep.tuned=NAME` means."""
    return Path(name) if name.endswith(".yaml") else TUNED_DIR / f"{name}.yaml"


def find(tuned: str, defaults: Mapping[str, dict[str, Any]], version: str, seeds: Sequence[int]) -> Path:
    """The frozen file that `sweep.tuned` means; raise `UserError` if it was not made for these arms.

    `defaults`: each algorithm's plain configuration at the default setting, in version `version` of its
    environment.
    """
    if tuned != NEWEST:
        path = tuned_path(tuned)
        if wrong := misfit(load(path), defaults, version, seeds):
            raise UserError(f"sweep.tuned={tuned} {wrong}")
        return path
    newest_first = sorted(
        TUNED_DIR.glob("*.yaml"), key=lambda path: (load(path).date, path.name), reverse=True
    )
    reasons = []
    for path in newest_first:
        wrong = misfit(load(path), defaults, version, seeds)
        if not wrong:
            return path
        reasons.append(f"{path.stem} {wrong}")
    raise UserError(f"sweep.tuned={NEWEST}: {reasons[0] if reasons else f'nothing is tuned yet: {HOW}'}")


def misfit(frozen: Frozen, defaults: Mapping[str, dict[str, Any]], version: str, seeds: Sequence[int]) -> str:
    """Why a frozen tuning says nothing about these arms and seeds, or nothing."""
    for algorithm, plain in defaults.items():
        if algorithm not in frozen.algorithms:
            return f"has no winner for {algorithm}: {HOW}"
        made = {**frozen.setting, "algorithm": frozen.algorithms[algorithm].options}
        here = {**setting_of(plain, version), "algorithm": plain["algorithm"]}
        for part, options in made.items():
            for name, value in options.items():
                if here[part].get(name) != value:
                    return f"was made for {part}.{name}={value}, not {here[part].get(name)}: {HOW}"
    if common := sorted(set(frozen.seeds) & set(seeds)):
        return f"was tuned on seed {common[0]}: choose other sweep.seeds"
    return ""


def setting_of(plain: Mapping[str, Any], version: str) -> dict[str, Any]:
    """What the trials of a tuning, and the comparison that uses its winners, must have in common."""
    env = {name: value for name, value in plain["env"].items() if name != "tasks"}
    return {
        "env": {**env, "version": version},
        **{part: plain[part] for part in ("model", "batch", "budget")},
    }
