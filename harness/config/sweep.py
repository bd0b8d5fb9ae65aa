"""What a sweep is made of; what a tuning tries; where numbers are copied to."""

from dataclasses import dataclass, field
from enum import Enum

from harness.errors import check_folder, check_name, require


class Scale(Enum):
    """How a tuning knob's values are spread between its ends."""

    linear = "linear"
    log = "log"


@dataclass(frozen=True)
class Knob:
    """One option that tuning varies, the same values for every algorithm."""

    low: float
    """Smallest value."""
    high: float
    """Largest value."""
    scale: Scale = Scale.log
    """`log`: equal ratios are equally likely; `linear`: equal differences."""
    tied: dict[str, float] = field(default_factory=dict)
    """Options that move with this one, each with the multiple of its value that it is set to."""

    def __post_init__(self) -> None:
        least = "above 0" if self.scale is Scale.log else "a number"
        positive = self.low > 0 or self.scale is Scale.linear
        require(
            positive and self.low < self.high,
            f"sweep.space: low={self.low:g} must be {least} and below high={self.high:g}",
        )


class Tracker(Enum):
    """Experiment trackers."""

    none = "none"
    tensorboard = "tensorboard"
    wandb = "wandb"
    mlflow = "mlflow"
    trackio = "trackio"


@dataclass(frozen=True)
class TrackerConfig:
    """Where a sweep's metrics are copied to while it runs; not part of any cell."""

    name: Tracker = Tracker.none
    """The tracker, as in `tracker=NAME`: none, tensorboard, wandb (offline unless WANDB_MODE is set), mlflow
    (a file in the sweep's directory unless MLFLOW_TRACKING_URI is set), trackio (local)."""


LOOKS = (6, 9, 12, 18, 24, 36, 48, 72, 96)
"""Seeds after which a sweep with `seeds=until_decided` looks at its comparisons."""


@dataclass(frozen=True)
class SweepConfig:
    """A comparison: algorithms x seeds, everything else held still."""

    name: str
    """The sweep's name, as in `+sweep=NAME`; part of the names of its directory and of its jobs."""
    algorithms: tuple[str, ...]
    """The arms, as in `algorithm=NAME`; options of an arm of its own follow its name: `grpo rollouts=4`."""
    seeds: tuple[int, ...]
    """The seeds of every arm; arms are paired by seed. `auto`: as many as `reports.power` finds in `pilot`
    for `effect` at 80 % power under Holm; they start after the pilot's highest: runs that chose the number of
    seeds, and often the arms, can't confirm what they suggested at the error rate that a test states.
    `until_decided`: see `max_seeds`."""
    out: str
    """The sweep's directory: the run store, and the report. It belongs to one sweep; the same one with more
    seeds, arms or environments goes on in it."""
    envs: tuple[str, ...] = ()
    """The environments that every arm runs on, as in `env=NAME`; options of its own follow its name: `vault
    slip=0.1`. Batch, budget and evaluation are the same in all, but for budgets that the entries declare:
    `vault thought=8 budget.limit=1.9e12`. Arms are compared inside each, and by their
    means over all. Empty: the one that `env=NAME` chooses."""
    crossed: dict[str, list[str]] = field(default_factory=dict)
    """Options of every arm by name, each with the values it takes: arms are made for all combinations, those
    whose factors clash left out."""
    contrasts: dict[str, dict[str, list[str]]] = field(default_factory=dict)
    """Comparisons declared before anything ran: by name, `left` and `right`, each a list of selectors of arms
    like `grpo` or `credit_unit=step ratio_unit=token`. The means over the arms of both sides are compared
    seed by seed, all contrasts as one family."""
    dial: str = ""
    """The option of the environment, a number, that `envs` turns: the page draws each contrast against it and
    tests whether it rises or falls with it. Empty: none."""
    factors: tuple[str, ...] = ()
    """Options of the algorithms whose effects the report's models estimate together, each with the others
    held still; the arms must hold every combination of their values."""
    factor_arms: tuple[str, ...] = ()
    """Selectors, as in contrasts, of the arms that the models are fitted to; empty: all."""
    sesoi: float = 0.05
    """Smallest effect of interest, a difference in final success: arms that are shown to differ by less are
    called alike or equivalent. Declared before anything runs."""
    trials: int = 0
    """Settings that a tuning tries for every algorithm besides the default one, the same points for all; 0:
    no tuning but a comparison."""
    space: dict[str, Knob] = field(default_factory=dict)
    """What a tuning varies, by option: `model.lr`, `algorithm.entropy_coef`."""
    tuned: str = ""
    """A tuning's frozen winners: a name in sweeps/tuned, or a YAML file. A comparison with it runs every arm
    at its tuned and at its default setting; `newest` takes the last file made for this environment, model,
    batch and budget. A tuning writes it, if empty as ENV-MODEL-DATE."""
    pilot: str = ""
    """With `seeds=auto`: the directory (its sweep.out) of a finished pilot of this sweep."""
    max_seeds: int = 0
    """With `seeds=until_decided`: the most seeds, 24 if not set. The sweep looks at its comparisons after 6,
    9, 12, 18, 24, ... seeds, and only the arms of those that are undecided get more; what is said at any
    look errs no more often than with a fixed number of seeds. 0: all seeds are run."""
    effect: float = 0.1
    """With `seeds=auto`: the smallest difference in final success worth finding, a share of tasks."""
    append: bool = False
    """Add these cells to those that `out` has of other settings, and report all of them."""

    @property
    def looks(self) -> tuple[int, ...]:
        """Numbers of seeds after which it is asked what is decided; empty: none, all seeds are run."""
        return (*(look for look in LOOKS if look < self.max_seeds), self.max_seeds) if self.max_seeds else ()

    def __post_init__(self) -> None:
        check_name(self.name, "sweep.name")
        require(
            self.max_seeds in (0, len(self.seeds)),
            f"sweep.max_seeds={self.max_seeds} is read with sweep.seeds=until_decided alone: set both",
        )
        require(
            not (self.max_seeds and (self.trials or self.tuned or self.append)),
            "sweep.seeds=until_decided clashes with sweep.trials, sweep.tuned, sweep.append: name the seeds",
        )
        check_folder(self.out, "sweep.out")
        self._check_tuning()
        require(0 < self.sesoi < 1, f"sweep.sesoi={self.sesoi:g} must be above 0 and below 1")
        for name, sides in self.contrasts.items():
            require(
                set(sides) == {"left", "right"},
                f"sweep.contrasts.{name} must have left and right, it has {', '.join(sides) or 'neither'}",
            )
        require(
            not self.dial or bool(self.contrasts),
            f"sweep.dial={self.dial} is read with sweep.contrasts: declare what is drawn against it",
        )
        require(
            not self.factor_arms or len(self.factors) > 0,
            f"sweep.factor_arms={list(self.factor_arms)} is read with sweep.factors alone: name the factors",
        )
        require(
            not (self.append and (self.trials or self.tuned)),
            "sweep.append clashes with sweep.trials and sweep.tuned: a tuning has a directory of its own",
        )
        require(len(self.algorithms) > 0, "sweep.algorithms is empty: name at least one, e.g. [grpo,steppo]")
        require(len(self.seeds) > 0, "sweep.seeds is empty: name at least one, e.g. sweep.seeds=[0,1,2]")
        for name in ("algorithms", "envs", "seeds"):
            values = getattr(self, name)
            require(len(set(values)) == len(values), f"sweep.{name}={list(values)} names one twice")

    def _check_tuning(self) -> None:
        require(self.trials >= 0, f"sweep.trials={self.trials} must not be negative")
        require(
            not (self.crossed and (self.trials or self.tuned)),
            "sweep.crossed clashes with sweep.trials and sweep.tuned: tune named arms",
        )
        require(
            not (self.envs and (self.trials or self.tuned)),
            "sweep.envs clashes with sweep.trials and sweep.tuned: a setting is tuned on one environment, "
            "choose it with env=NAME",
        )
        require(
            not (self.contrasts and self.trials),
            "sweep.contrasts clashes with sweep.trials: a tuning compares no arms",
        )
