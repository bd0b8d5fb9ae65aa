"""Arms whose truth is known, in the shapes that success rates take, and the rules that are judged on them.

Shape suffixes: F simulated families, S seeds, A arms of a side, K comparisons.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache, partial

import numpy as np
from numpy.typing import NDArray

from reports import stats
from reports.stats import Floats, Word
from reports.stats.sign_flip import above_ps

EPISODES = 96
"""Scores are shares of so many episodes."""
SEED_SD = 0.05
"""Of success, shared by the arms of a seed."""
ZERO = {"mean": 0.0015, "usual": 0.012}
"""Below this a simulated truth counts as 0."""

Arm = Callable[[np.random.Generator, Floats], Floats]
"""Scores of an arm from the seeds' common levels (0 on average), before they are cut to shares."""
Side = Sequence[Arm]
Sides = tuple[Floats, Floats]
"""Left and right scores of one comparison: F x S x A each."""


def normal(mean: float, sd: float = 0.04, collapses: float = 0.0, to: float = 0.15) -> Arm:
    """Normal around the level; a share `collapses` of the runs ends near `to` instead."""

    def draw(rng: np.random.Generator, level: Floats) -> Floats:
        typical = mean + level + sd * rng.standard_normal(level.shape)
        collapsed = to + 0.05 * rng.standard_normal(level.shape)
        return np.where(rng.random(level.shape) < collapses, collapsed, typical)

    return draw


def on_hard_seeds(mean: float, hard: float, collapses: float, to: float = 0.15) -> Arm:
    """Collapses with chance `collapses` on seeds whose level is among the lowest share `hard`, else never."""

    def draw(rng: np.random.Generator, level: Floats) -> Floats:
        low = level <= np.quantile(level, hard)
        typical = mean + level + 0.04 * rng.standard_normal(level.shape)
        return np.where(low & (rng.random(level.shape) < collapses), to, typical)

    return draw


def beta(mean: float, precision: float) -> Arm:
    """Skewed near the ends: the lower the precision, the wider."""
    return lambda rng, level: level + rng.beta(mean * precision, (1 - mean) * precision, level.shape)


def tailed(mean: float, scale: float) -> Arm:
    """An exponential tail to the left: most runs are above the mean, a few far below."""
    return lambda rng, level: mean + level + scale * (1 - rng.exponential(size=level.shape))


def two_modes(low: float, high: float) -> Arm:
    """Each run ends near one of two levels, as likely near either."""

    def draw(rng: np.random.Generator, level: Floats) -> Floats:
        end = np.where(rng.random(level.shape) < 0.5, low, high)
        return end + level + 0.02 * rng.standard_normal(level.shape)

    return draw


def at_the_ceiling(rng: np.random.Generator, level: Floats) -> Floats:
    """0.95 to 1, many runs at exactly 1."""
    chance = np.clip(0.98 + 0.02 * rng.standard_normal(level.shape), 0, 1)
    return rng.binomial(EPISODES, chance) / EPISODES


def coarse(rng: np.random.Generator, level: Floats) -> Floats:
    """Twelfths: a quarter of the seeds are ties."""
    return np.round(12 * (0.7 + level + 0.05 * rng.standard_normal(level.shape))) / 12


@dataclass(frozen=True)
class Shape:
    """A comparison."""

    left: Side
    right: Side
    seed_sd: float = SEED_SD

    def draw(self, rng: np.random.Generator, families: int, seeds: int) -> Sides:
        """Scores of both sides."""
        level = self.seed_sd * rng.standard_normal((families, seeds))
        left, right = (
            np.stack([shares(arm(rng, level)) for arm in side], axis=-1) for side in (self.left, self.right)
        )
        return left, right


def shares(scores: Floats) -> Floats:
    """Cut to shares of the episodes."""
    return np.clip(np.round(scores * EPISODES) / EPISODES, 0.0, 1.0)


def equal_means(rate: float, to: float = 0.15, typical: float = 0.75, lead: float = 0.0) -> Shape:
    """The left arm collapses at `rate`; the right one never, and its mean is higher by `lead`."""
    mean = typical * (1 - rate) + to * rate + lead
    return Shape([normal(typical, collapses=rate, to=to)], [normal(mean)], seed_sd=0.0)


def alike_but_collapsing(rate: float) -> Shape:
    """Typical runs are equal, the right arm collapses at `rate`: means differ by 0.6 times it."""
    return Shape([normal(0.75, 0.02)], [normal(0.75, 0.02, collapses=rate)], seed_sd=0.0)


SHAPES = {
    "normal, equal": Shape([normal(0.7)], [normal(0.7)]),
    "both collapse, 15 %": Shape([normal(0.75, collapses=0.15)], [normal(0.75, collapses=0.15)]),
    "equal means, collapses 1/20": equal_means(1 / 20),
    "equal means, collapses 1/12": equal_means(1 / 12),
    "equal means, collapses 1/10": equal_means(1 / 10),
    "equal means, collapses 1/6": equal_means(1 / 6),
    "equal means, collapses 1/3": equal_means(1 / 3),
    "equal means, from .9 to .05, 1/7": equal_means(1 / 7, to=0.05, typical=0.9),
    "equal means, rare success 1/10": Shape(
        [normal(0.23, 0.03)], [normal(0.15, 0.03, collapses=0.1, to=0.95)], seed_sd=0.0
    ),
    "equal typical runs, collapses 1/12": alike_but_collapsing(1 / 12),
    "equal typical runs, collapses 1/6": alike_but_collapsing(1 / 6),
    "at the ceiling": Shape([at_the_ceiling], [at_the_ceiling], seed_sd=0.0),
    "ties of 1/12": Shape([coarse], [coarse]),
    "SD .02 against .12": Shape([normal(0.7, 0.02)], [normal(0.7, 0.12)]),
    "skew: beta of mean .9, narrow against wide": Shape([beta(0.9, 200)], [beta(0.9, 4)], seed_sd=0.0),
    "exponential tails, .02 against .12": Shape([tailed(0.7, 0.02)], [tailed(0.7, 0.12)]),
    "two modes against one": Shape([two_modes(0.4, 0.8)], [normal(0.6)]),
    "collapses on hard seeds alone": Shape(
        [on_hard_seeds(0.75, 0.2, 0.5)], [normal(0.75 - 0.1 * (0.75 - 0.05 * 1.4 - 0.15))]
    ),
}
"""Of one comparison. The last three are shapes that the rule was not made on."""
SOME = ("normal, equal", "both collapse, 15 %", "equal means, collapses 1/12", "equal means, collapses 1/6",
        "exponential tails, .02 against .12")  # fmt: skip
"""For families of nine: three arms of each side's kind."""


def unequal(left: int, right: int, arm: Arm) -> Shape:
    """Sides with so many arms, all of one kind."""
    return Shape([arm] * left, [arm] * right)


COLLAPSING, SKEWED = normal(0.75, collapses=0.15), tailed(0.7, 0.12)
POOLED = {
    f"{left} against {right}, {kind}": unequal(left, right, arm)
    for kind, arm in (("normal", normal(0.7)), ("15 % collapses", COLLAPSING), ("exponential tails", SKEWED))
    for left, right in ((3, 1), (5, 1), (3, 2))
}
"""Contrasts of exchangeable arms."""
POWERED = {
    "difference .07, one SD": Shape([normal(0.75, 0.05)], [normal(0.68, 0.05)]),
    "difference .2, SD .07": Shape([normal(0.75, 0.05)], [normal(0.55, 0.05)]),
    "difference .3, SD .07": Shape([normal(0.75, 0.05)], [normal(0.45, 0.05)]),
    "difference .2, both collapse 10 %": Shape(
        [normal(0.8, 0.05, collapses=0.1, to=0.1)], [normal(0.58, 0.05, collapses=0.1, to=0.1)]
    ),
    "difference 0, SD .03": Shape([normal(0.75, 0.02)], [normal(0.75, 0.02)]),
    "difference 0, SD .07": Shape([normal(0.75, 0.05)], [normal(0.75, 0.05)]),
}


@dataclass(frozen=True)
class Truth:
    """What is so of a comparison; 0 where it is nearly so."""

    mean: float
    """Difference of the means."""
    usual: float
    """Chance that the left side wins a seed less that it loses one."""
    alike: bool
    """Whether the difference is inside the SESOI on most seeds, from above and from below."""

    def holds(self, word: str) -> bool:
        """Whether a word is true."""
        return {
            "better": self.mean > 0,
            "worse": self.mean < 0,
            "equivalent": abs(self.mean) < stats.SESOI - ZERO["mean"],
            "usually better": self.usual > 0,
            "usually worse": self.usual < 0,
            "usually alike": self.alike,
            "undecided": True,
        }[word]


def truth(shape: Shape) -> Truth:
    """By a large sample: 400,000 seeds."""
    left, right = shape.draw(np.random.default_rng(8), 4000, 100)
    mean = float(left.mean() - right.mean())
    usual, below, above = (
        float(stats.votes(left, right, shift).mean()) for shift in (0.0, stats.SESOI, -stats.SESOI)
    )
    return Truth(
        mean if abs(mean) >= ZERO["mean"] else 0.0,
        usual if abs(usual) >= ZERO["usual"] else 0.0,
        below > 0 > above,
    )


Rule = Callable[[Sequence[Sides]], NDArray[np.str_]]
"""From the K comparisons of F families to their words (F x K)."""


def two_grades(sides_K: Sequence[Sides], together: bool = True) -> NDArray[np.str_]:
    """The report's rule; `together=False`: each of a grade's questions with a Holm of its own."""
    p_4KF = np.array(
        [
            stats.p_values(left, right, np.zeros(left.shape[:-1], dtype=bool), stats.SESOI)
            for left, right in sides_K
        ]
    ).swapaxes(0, 1)
    ahead_FK = np.array([stats.votes(left, right).sum(axis=-1) for left, right in sides_K]).T
    found = []
    for p_4K, ahead_K in zip(p_4KF.transpose(2, 0, 1), ahead_FK, strict=True):
        usually, alike = stepped(p_4K[0], p_4K[1], together)
        better, equivalent = stepped(p_4K[2], p_4K[3], together)
        found.append(
            [
                stats.word(*map(float, p), int(ahead)).value
                for *p, ahead in zip(usually, alike, better, equivalent, ahead_K, strict=True)
            ]
        )
    return np.array(found)


def stepped(p_K: Floats, q_K: Floats, together: bool = True) -> tuple[Floats, Floats]:
    """Adjusted p values of two questions."""
    return stats.holm_shared(p_K, q_K) if together else (stats.holm(p_K), stats.holm(q_K))


def sign_flips(sides_K: Sequence[Sides], together: bool = True) -> NDArray[np.str_]:
    """What papers do: sign-flip tests of the mean difference, TOST by the same test; one grade of words.

    Its p of a difference is the report's column p_sign_flip.
    """
    gaps_KFS = [stats.rounded(left.mean(axis=-1) - right.mean(axis=-1)) for left, right in sides_K]
    p_KF = np.array([stats.sign_flip_ps(list(gaps)) for gaps in gaps_KFS])
    q_KF = np.array(
        [
            np.maximum(above_ps(list(gaps), -stats.SESOI), above_ps(list(-gaps), -stats.SESOI))
            for gaps in gaps_KFS
        ]
    )
    ahead_KF = np.array([np.sign(gaps.mean(axis=-1)) for gaps in gaps_KFS])
    found = []
    for p_K, q_K, ahead_K in zip(p_KF.T, q_KF.T, ahead_KF.T, strict=True):
        p, q = stepped(p_K, q_K, together)
        words = np.where(ahead_K > 0, Word.better.value, Word.worse.value)
        words = np.where((p <= stats.ALPHA) & (ahead_K != 0), words, Word.undecided.value)
        found.append(np.where(q <= stats.ALPHA, Word.equivalent.value, words))
    return np.array(found)


RULES: dict[str, Rule] = {"sign-flip": sign_flips, "the report": two_grades}


@cache
def known(shape: str) -> Truth:
    """The truth of a named shape."""
    return truth((SHAPES | POOLED | POWERED)[shape])


def nine(shape: Shape, rng: np.random.Generator, families: int, seeds: int) -> list[Sides]:
    """Three arms of the left kind against three of the right kind, each with each."""
    left, right = Shape(shape.left * 3, shape.right * 3, shape.seed_sd).draw(rng, families, seeds)
    return [(left[..., [a]], right[..., [b]]) for a in range(3) for b in range(3)]


def cards(arm: Arm, rng: np.random.Generator, families: int, seeds: int) -> list[Sides]:
    """The comparisons that all_algos leads with: three step arms against one token arm, and against two."""
    left, right = Shape([arm] * 3, [arm] * 3).draw(rng, families, seeds)
    return [(left, right[..., :1]), (left, right[..., 1:])]


def errors(words_FK: NDArray[np.str_], truths: Sequence[Truth]) -> float:
    """Share of families with a false word."""
    false = [[not truth.holds(word) for word, truth in zip(row, truths, strict=True)] for row in words_FK]
    return float(np.any(false, axis=1).mean())


def level(shape: str, rule: Rule, seeds: int, families: int, comparisons: int = 1) -> float:
    """Share of families of one named shape with a false word."""
    made, rng = (SHAPES | POOLED)[shape], np.random.default_rng([9, seeds])
    draw = nine if comparisons == 9 else lambda *each: [made.draw(*each[1:])]
    sides_K = draw(made, rng, families, seeds)
    return errors(rule(sides_K), [known(shape)] * len(sides_K))


def equal_cards(arm: Arm, rule: Rule, seeds: int, families: int) -> float:
    """Share of families of the two leading comparisons with a false word, all arms exchangeable."""
    sides_K = cards(arm, np.random.default_rng([10, seeds]), families, seeds)
    return errors(rule(sides_K), [Truth(0.0, 0.0, alike=True)] * 2)


def said(shape: str, rule: Rule, seeds: int, families: int) -> dict[str, float]:
    """Share of single comparisons that get each word."""
    made = (SHAPES | POWERED)[shape].draw(np.random.default_rng([11, seeds]), families, seeds)
    words, counts = np.unique(rule([made]), return_counts=True)
    return dict(zip(words.tolist(), (counts / families).tolist(), strict=True))


separate = partial(two_grades, together=False)
"""A Holm for each question, for comparison."""
