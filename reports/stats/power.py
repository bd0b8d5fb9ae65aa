"""What a number of paired seeds can decide: needed at least, found with a stated chance, planned.

All of it is about the sign test. Planning takes differences as normal: a side that is ahead by `effect` SDs
of the paired differences (Cohen's d_z) wins a seed with chance Phi(effect), and the number of won seeds is
binomial. The test is coarse: 10 seeds may find less than 9 do. A plan is the smallest number that suffices,
to be run as it is.

Shape suffixes: N numbers of seeds.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from scipy import special, stats

from reports.stats.intervals import CONFIDENCE, Floats
from reports.stats.looks import first_look
from reports.stats.multiplicity import ALPHA
from reports.stats.sign_test import fewest_seeds, wins_needed

SESOI = 0.05
"""Smallest effect size of interest: a difference in success. To be declared before the sweep runs."""
POWER = 0.8
"""Cohen's convention."""
MOST_SEEDS = 1000
"""Seeds beyond this are not counted."""
CAUTIOUS = 0.7
"""Plans take the SD's one-sided upper limit at this confidence: plans by the sample's own SD find 68 to 78 %
where 80 % are promised, from pilots of 3 to 6 seeds, as half of them are too small (docs/statistics.md)."""
WIDEST = 1.0
"""No SD of differences between -1 and 1 is larger."""


@dataclass(frozen=True)
class Outlook:
    """What some paired seeds can decide about one of K comparisons, and how many others would."""

    seeds: int
    usually: int
    """Fewest seeds, none tied, that can show one side usually better."""
    alike: int
    """Fewest seeds that can show the sides usually alike."""
    equivalent: int
    """Fewest seeds, all alike and none collapsed, that can show the sides equivalent on average."""
    least_mean: float
    """Smallest mean difference that these seeds can show to hold on average, however little they spread;
    infinite without seeds."""
    detectable: float
    """True difference that these seeds find usually better with the declared power; infinite if they can
    find none, NaN if the spread is unknown."""
    planned: float
    planned_low: float
    planned_high: float
    """Seeds of a new sweep that finds a difference of `effect` with the declared power, and the same with the
    ends of the SD's 95 % interval. Infinite above `MOST_SEEDS`, NaN if the spread is unknown."""
    effect: float
    """What was planned for: the smallest effect of interest."""
    last_look: int
    """Seeds of the last planned look; 0 if the number of seeds was declared."""

    @property
    def spread_known(self) -> bool:
        """Whether there are the two seeds that a spread takes."""
        return not math.isnan(self.planned)


def outlook(
    seeds: int,
    sd: float = math.nan,
    comparisons: int = 1,
    effect: float = SESOI,
    power: float = POWER,
    alpha: float = ALPHA,
    looks: Sequence[int] = (),
) -> Outlook:
    """What `seeds` paired seeds can decide in a family of `comparisons`, and the plan for `effect`.

    `sd`: of their differences; NaN if unknown. All at the first and strictest step, alpha / comparisons.
    `looks`: where seeds may end; plans are for a number that is fixed before.
    """
    level = alpha / comparisons
    detectable, plans = math.nan, [math.nan] * 3
    if not math.isnan(sd):
        found = float(smallest_effects(comparisons, power, alpha)[min(seeds, MOST_SEEDS)])
        detectable = found if math.isinf(found) else sd * found  # not infinity times an SD of 0
        spreads = [min(WIDEST, sd * factor) for factor in (sd_bound(seeds), *sd_factors(seeds))]
        plans = [seeds_for(each, effect, comparisons, power, alpha) for each in spreads]
    return Outlook(
        seeds=seeds,
        usually=first_look(level, looks) if looks else fewest_seeds(level / 2),
        alike=first_look(2 * level, looks) if looks else fewest_seeds(level),
        equivalent=math.ceil(math.log(level) / math.log1p(-min(effect, 0.999)) - 1e-9),
        least_mean=level ** (-1 / seeds) - 1 if seeds else math.inf,
        detectable=detectable,
        planned=plans[0],
        planned_low=plans[1],
        planned_high=plans[2],
        effect=effect,
        last_look=looks[-1] if looks else 0,
    )


def power_at(effect: float, seeds: int, comparisons: int = 1, alpha: float = ALPHA) -> float:
    """Chance that a side ahead by `effect` SDs is found usually better at alpha / comparisons."""
    return float(stats.binom.sf(wins_needed(seeds, alpha / comparisons) - 1, seeds, special.ndtr(effect)))


@lru_cache(maxsize=64)
def smallest_effects(comparisons: int, power: float, alpha: float) -> Floats:
    """The effect in SDs found with `power`, for 0 to `MOST_SEEDS` seeds; infinite if no verdict can be.

    P(wins >= w) is a regularised incomplete beta function of the chance of a win, which is inverted.
    """
    n_N = np.arange(MOST_SEEDS + 1)
    wins_N = np.array([wins_needed(n, alpha / comparisons) for n in n_N.tolist()])
    possible_N = wins_N <= n_N
    chance_N = special.betaincinv(np.maximum(wins_N, 1), np.maximum(n_N - wins_N, 0) + 1, power)
    return np.where(possible_N, special.ndtri(chance_N), np.inf)


def seeds_for(
    sd: float, effect: float, comparisons: int = 1, power: float = POWER, alpha: float = ALPHA
) -> float:
    """Fewest paired seeds that find `effect` at this SD of differences; infinite above `MOST_SEEDS`."""
    enough = smallest_effects(comparisons, power, alpha) <= effect / max(sd, 1e-9)
    return float(np.argmax(enough)) if enough.any() else math.inf


def sd_factors(seeds: int) -> tuple[float, float]:
    """True SD over the SD of a normal sample: 95 % interval, from the chi-square law of the variance."""
    low, high = (
        math.sqrt((seeds - 1) / float(stats.chi2.isf(tail, seeds - 1)))
        for tail in ((1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2)
    )
    return low, high


def sd_bound(seeds: int) -> float:
    """True SD over the SD of a normal sample: upper limit at the confidence `CAUTIOUS`."""
    return math.sqrt((seeds - 1) / float(stats.chi2.ppf(1 - CAUTIOUS, seeds - 1)))
