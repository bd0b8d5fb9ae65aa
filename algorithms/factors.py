"""The factor space: what an algorithm *is*, as typed data, and which combinations are legal."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from enum import Enum
from typing import ClassVar

from harness.errors import UserError


class CreditUnit(Enum):
    """What one advantage value belongs to."""

    token = "token"
    step = "step"
    trajectory = "trajectory"


class Baseline(Enum):
    """What a return is compared with."""

    token_critic = "token_critic"
    step_critic = "step_critic"
    group_mean = "group_mean"
    state_group_mean = "state_group_mean"
    graph_value = "graph_value"
    leave_one_out = "leave_one_out"
    true_value = "true_value"
    own = "own"
    """A comparison that one algorithm alone makes: its page says which."""
    none = "none"


class RatioUnit(Enum):
    """Over what the importance ratio, and so the clip, is taken."""

    token = "token"
    step = "step"
    step_sqrt = "step_sqrt"
    sequence = "sequence"


class Aggregation(Enum):
    """How token losses become one number."""

    token_mean = "token_mean"
    step_mean = "step_mean"
    seq_mean_step_mean = "seq_mean_step_mean"
    seq_mean_token_mean = "seq_mean_token_mean"
    seq_mean_token_sum = "seq_mean_token_sum"
    constant = "constant"


class NormaliseUnit(Enum):
    """Over what advantages are standardised."""

    none = "none"
    tokens_of_batch = "tokens_of_batch"
    steps_of_batch = "steps_of_batch"
    trajectories_of_group = "trajectories_of_group"
    steps_of_state_group = "steps_of_state_group"
    edges_of_graph = "edges_of_graph"
    own = "own"
    """The groups of a comparison of the algorithm's own."""


class DiscountUnit(Enum):
    """What gamma and lambda count in."""

    token = "token"
    step = "step"
    mean_step = "mean_step"


class KLEstimator(Enum):
    """Schulman's estimators of KL(policy || start policy).

    k1 is the log-ratio itself: right as a penalty on rewards, but in the loss its gradient is that of the
    log-probability alone, 0 in expectation.
    """

    none = "none"
    k1 = "k1"
    k2 = "k2"
    k3 = "k3"


class KLPlace(Enum):
    """Where the KL estimate goes."""

    loss = "loss"
    reward = "reward"


class Equations(Enum):
    """Which text is implemented if the paper and the released code differ."""

    paper = "paper"
    released = "released"


CREDIT_UNITS_OF = {
    Baseline.token_critic: (CreditUnit.token,),
    Baseline.step_critic: (CreditUnit.step,),
    Baseline.group_mean: (CreditUnit.trajectory, CreditUnit.step, CreditUnit.token),
    Baseline.leave_one_out: (CreditUnit.trajectory, CreditUnit.step, CreditUnit.token),
    Baseline.none: (CreditUnit.trajectory, CreditUnit.step, CreditUnit.token),
    Baseline.own: (CreditUnit.trajectory, CreditUnit.step, CreditUnit.token),
    Baseline.state_group_mean: (CreditUnit.step,),
    Baseline.graph_value: (CreditUnit.step,),
    Baseline.true_value: (CreditUnit.step,),
}
"""A baseline fixes what can be compared with it: a critic of steps says nothing about a token."""

NORMALISE_UNITS_OF = {
    CreditUnit.token: (NormaliseUnit.tokens_of_batch,),
    CreditUnit.step: (NormaliseUnit.steps_of_batch, NormaliseUnit.tokens_of_batch),
    CreditUnit.trajectory: (
        NormaliseUnit.trajectories_of_group,
        NormaliseUnit.steps_of_batch,
        NormaliseUnit.tokens_of_batch,
    ),
}
"""Credit is standardised over its own unit, or over a finer one to which it is spread first."""

OWN_NORMALISE_UNIT = {
    Baseline.state_group_mean: NormaliseUnit.steps_of_state_group,
    Baseline.graph_value: NormaliseUnit.edges_of_graph,
    Baseline.own: NormaliseUnit.own,
}
"""Baselines that come with groups of their own to standardise in."""


class Clash(UserError):
    """Factors that are each legal and mean nothing together."""


@dataclass(frozen=True)
class Range:
    """The legal values of a numeric option, ends included. NaN and infinities are in none.

    The default ends are far beyond any sensible setting, and near enough that no product or square of options
    and rewards overflows: a credit that overflows can come out as 0.
    """

    least: float = -1e6
    most: float = 1e6
    open: bool = False
    """Whether `least` itself is left out."""

    def __contains__(self, value: float) -> bool:
        return (self.least < value if self.open else self.least <= value) and value <= self.most

    def __str__(self) -> str:
        """As in a message: `0 to 1`."""
        return (
            f"above {self.least:g}, at most {self.most:g}"
            if self.open
            else f"{self.least:g} to {self.most:g}"
        )


Ranges = Mapping[str, Range]
NOT_NEGATIVE = Range(least=0)
POSITIVE = Range(least=0, open=True)
COUNT = Range(least=1)
SHARE = Range(least=0, most=1)


@dataclass(frozen=True, kw_only=True)
class Factors:
    """A point in the factor space. Every factor can be switched alone if the combination is legal."""

    ranges: ClassVar[Ranges] = {
        "gamma": SHARE,
        "lam": SHARE,
        "clip_low": SHARE,
        "clip_high": NOT_NEGATIVE,
        "dual_clip": NOT_NEGATIVE,
        "kl_coef": NOT_NEGATIVE,
        "entropy_coef": NOT_NEGATIVE,
        "value_clip": POSITIVE,
    }
    """By numeric option, its legal values; subclasses add theirs. One that is not named has `Range()`."""

    credit_unit: CreditUnit
    """What one advantage value belongs to: token, step or trajectory."""
    baseline: Baseline
    """What a return is compared with; the critics train a second model of the policy's size."""
    normalise_unit: NormaliseUnit
    """Over what advantages are standardised."""
    ratio_unit: RatioUnit
    """Importance ratio and clip: per token, the geometric mean over a step or a whole trajectory, or
    step_sqrt: a step's log-ratios centred on the mini-batch's mean, summed, and divided by sqrt(L)."""
    aggregation: Aggregation
    """How token losses become one number: a mean over tokens; over steps of token means; over trajectories
    of step means of token means, of token means, or of token sums; or those sums divided by the
    environment's longest possible trajectory (constant, Dr. GRPO)."""
    discount_unit: DiscountUnit = DiscountUnit.step
    """What gamma and lam count in: tokens, steps (charged at a step's last token), or steps spread evenly
    over the batch's mean tokens per step (mean_step: gamma_token = gamma^(1 / mean L))."""
    gamma: float = 1.0
    """Discount per discount unit."""
    lam: float = 1.0
    """GAE's lambda per discount unit; 1 without a critic."""
    clip_low: float = 0.2
    """The ratio is clipped below 1 - clip_low."""
    clip_high: float = 0.2
    """The ratio is clipped above 1 + clip_high."""
    dual_clip: float = 0.0
    """Bound on -ratio x advantage for negative advantages (dual-clip PPO's c); 0 turns it off."""
    kl_place: KLPlace = KLPlace.loss
    """Where the KL to the start policy goes: added to the loss, or taken from the reward of each token."""
    kl_estimator: KLEstimator = KLEstimator.none
    """Its estimator; none trains without a reference pass."""
    kl_coef: float = 0.0
    """Its coefficient."""
    entropy_coef: float = 0.0
    """Coefficient of the full-vocabulary entropy bonus."""
    value_clip: float = 0.5
    """Largest change of a value prediction that the value loss rewards; read with a critic."""

    def __post_init__(self) -> None:
        self._check_ranges()
        self._check_combination()

    def _check_combination(self) -> None:
        if self.credit_unit not in (units := CREDIT_UNITS_OF[self.baseline]):
            raise clash("credit_unit", self.credit_unit, "baseline", self.baseline, units)
        if self.normalise_unit not in (legal := self._normalise_units()):
            if self.normalise_unit in OWN_NORMALISE_UNIT.values() or self.baseline in OWN_NORMALISE_UNIT:
                raise clash("normalise_unit", self.normalise_unit, "baseline", self.baseline, legal)
            raise clash("normalise_unit", self.normalise_unit, "credit_unit", self.credit_unit, legal)
        in_group = self.normalise_unit is NormaliseUnit.trajectories_of_group
        if in_group and self.baseline is Baseline.none:
            legal_baselines = (Baseline.group_mean, Baseline.leave_one_out)
            raise clash("baseline", self.baseline, "normalise_unit", self.normalise_unit, legal_baselines)
        if self.credit_unit is CreditUnit.trajectory and self.gamma != 1:
            raise Clash(
                f"algorithm.gamma={self.gamma} clashes with algorithm.credit_unit=trajectory, where every "
                "reward counts fully: choose gamma=1, or credit_unit=step"
            )
        by_state = self.baseline in (Baseline.state_group_mean, Baseline.graph_value)
        if by_state and self.discount_unit is not DiscountUnit.step:
            legal_unit = (DiscountUnit.step,)
            raise clash("discount_unit", self.discount_unit, "baseline", self.baseline, legal_unit)
        if self.lam != 1 and not self.has_critic:
            raise Clash(
                f"algorithm.lam={self.lam} clashes with algorithm.baseline={self.baseline.value}: "
                "choose lam=1, or a critic as the baseline"
            )
        if (self.kl_coef > 0) != (self.kl_estimator is not KLEstimator.none):
            raise Clash(
                f"algorithm.kl_coef={self.kl_coef} clashes with "
                f"algorithm.kl_estimator={self.kl_estimator.value}: set both, or 0 and none"
            )
        if self.kl_place is KLPlace.reward and self.kl_estimator is KLEstimator.none:
            raise Clash(
                "algorithm.kl_place=reward clashes with algorithm.kl_estimator=none: "
                "choose an estimator (k1) and a kl_coef, or kl_place=loss"
            )
        if self.kl_place is KLPlace.loss and self.kl_estimator is KLEstimator.k1:
            raise Clash(
                "algorithm.kl_estimator=k1 clashes with algorithm.kl_place=loss, where its gradient does not "
                "depend on the start policy: choose kl_estimator=k2 or k3, or kl_place=reward"
            )

    def _normalise_units(self) -> tuple[NormaliseUnit, ...]:
        own, usual = OWN_NORMALISE_UNIT.get(self.baseline), NORMALISE_UNITS_OF[self.credit_unit]
        if self.baseline is Baseline.own:
            return (NormaliseUnit.none, NormaliseUnit.own, *usual)
        return (NormaliseUnit.none, own) if own else (NormaliseUnit.none, *usual)

    def _check_ranges(self) -> None:
        for field in fields(self):
            value, legal = getattr(self, field.name), self.ranges.get(field.name, Range())
            # A boolean is a number to Python.
            if type(value) in (int, float) and value not in legal:
                raise UserError(f"algorithm.{field.name}={value} must be {legal}")
        if 0 < self.dual_clip <= 1:
            raise UserError(f"algorithm.dual_clip={self.dual_clip} must be above 1, or 0 for none")

    @property
    def has_critic(self) -> bool:
        """Whether a critic is trained as well as the policy."""
        return self.baseline in (Baseline.token_critic, Baseline.step_critic)

    @property
    def factors(self) -> dict[str, str | float]:
        """The factors as plain data, for records and reports."""
        plain = {f.name: getattr(self, f.name) for f in fields(Factors)}
        return {name: value.value if isinstance(value, Enum) else value for name, value in plain.items()}


def clash(name: str, value: Enum, other: str, its: Enum, legal: tuple[Enum, ...]) -> Clash:
    """The one line that says which two factors clash and what to choose."""
    choices = ", ".join(str(each.value) for each in legal)
    return Clash(
        f"algorithm.{name}={value.value} clashes with algorithm.{other}={its.value}: "
        f"choose {name}={choices.replace(', ', ' or ')}, or another {other}"
    )
