"""What looking at several numbers of seeds costs and saves (`sweep.seeds=until_decided`).

    OMP_NUM_THREADS=1 python -m benchmarks.looks

The tables of "Seeds until it is decided" in docs/statistics.md. Errors of families are simulated (their
comparisons share an arm, whoever reads looks each time); power and seeds of one comparison are exact. A fixed
number of seeds with at least the same power is what a user would declare instead.
"""

import numpy as np
from scipy.special import ndtr

from harness.config.sweep import LOOKS
from reports import stats
from reports.stats.looks import sign_test_p, stopped, wins_to_stop

PLANNED = tuple(look for look in LOOKS if look <= 24)
FAMILIES = (1, 2, 3, 9)
EFFECTS = (1.0, 1.4, 2.0, 2.8)
"""In SDs of the paired differences."""
SAMPLES = 20_000


def family_error(comparisons: int, collapse: float) -> float:
    """How often a family without differences gets a word at any look; `collapse`: every arm's rate."""
    draw = np.random.default_rng(comparisons)
    scores = draw.normal(0.8, 0.05, size=(SAMPLES, comparisons + 1, PLANNED[-1])).clip(0, 1)
    scores *= draw.random(scores.shape) >= collapse
    votes = np.sign(scores[:, :1] - scores[:, 1:])
    p = np.stack([sign_test_p(votes[..., :look], PLANNED) for look in PLANNED])
    return float((comparisons * p.min(axis=(0, 2)) <= stats.ALPHA).mean())


def fixed(effect: float, comparisons: int, power: float) -> int:
    """The fewest declared seeds that find the effect as often."""
    return next(n for n in range(1, 100) if stats.power_at(effect, n, comparisons) >= power)


def main() -> None:
    print("| comparisons | wins that end it at " + ", ".join(map(str, PLANNED)), end="")
    print(" | false words | the same, 10 % of runs collapse |\n|---:|---|---:|---:|")
    for comparisons in FAMILIES:
        wins = wins_to_stop(stats.ALPHA / comparisons, PLANNED)
        said = ", ".join(str(w) if w <= n else "none" for w, n in zip(wins, PLANNED, strict=True))
        errors = " | ".join(f"{family_error(comparisons, rate):.1%}" for rate in (0.0, 0.1))
        print(f"| {comparisons} | {said} | {errors} |")
    print("\n| comparisons | effect, SDs | found | mean seeds | as often by a declared number | saved |")
    print("|---:|---:|---:|---:|---:|---:|")
    for comparisons in FAMILIES:
        wins = wins_to_stop(stats.ALPHA / comparisons, PLANNED)
        for effect in EFFECTS:
            ends = stopped(wins, PLANNED, float(ndtr(effect)))
            found = sum(ends)
            seeds = float(np.dot(ends, PLANNED)) + (1 - found) * PLANNED[-1]
            declared = fixed(effect, comparisons, found)
            row = f"| {comparisons} | {effect} | {found:.0%} | {seeds:.1f} | {declared}"
            print(f"{row} | {1 - seeds / declared:.0%} |")


if __name__ == "__main__":
    main()
