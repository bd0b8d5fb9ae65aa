"""How often the report's statistics are wrong, by simulation: the tables of docs/statistics.md.

    OMP_NUM_THREADS=1 python -m benchmarks.calibration

Shape suffixes: S seeds, A arms, E environments, R resamples, C curve points.
"""

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import combinations, product

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from reports import stats
from reports.stats import Floats, Interval

ARMS = 6
EQUAL = (0.0,) * ARMS
"""Nothing differs between the arms."""
ALL_PAIRS = tuple(combinations(range(ARMS), 2))
STEP_AGAINST_OTHERS = tuple(product(range(3), range(3, 6)))
"""Three arms with step credit against three others."""
DISJOINT = tuple((arm, arm + 1) for arm in range(0, 2 * ARMS, 2))
"""Six comparisons of twelve arms: independent of one another."""
MIXED_SHIFT, MIXED_SD = (0.0,) * ARMS + (0.0, stats.SESOI) * (ARMS // 2), (0.1,) * ARMS + (0.01,) * ARMS
"""Of those, three do not differ and are noisy, three differ by exactly a SESOI and are quiet."""
FAMILIES = {"all pairs": ALL_PAIRS, "step against others": STEP_AGAINST_OTHERS}
SEED_SD, RUN_SD = 0.15, 0.05
"""Of success: shared by the arms of a seed, and of a run on its own."""
COLLAPSES = 0.15
"""Share of runs that end at a tenth of their score."""
SWEEPS = 2000
RESAMPLES = 1000
ENVIRONMENTS = 8

Pair = tuple[int, int]
Method = Callable[[Floats, np.random.Generator], tuple[float, float]]


def sweeps(
    count: int,
    seeds: int,
    shift_A: Sequence[float] = EQUAL,
    run_sd: ArrayLike = RUN_SD,
    collapses: float = COLLAPSES,
) -> Iterator[Floats]:
    """Final scores of simulated sweeps (S x A): a seed's common level, the arm's shift, noise, collapses."""
    draw = np.random.default_rng([1, seeds])
    shape = (seeds, len(shift_A))
    for _ in range(count):
        level = 0.6 + SEED_SD * draw.standard_normal((seeds, 1))
        scores = level + np.asarray(shift_A) + np.asarray(run_sd) * draw.standard_normal(shape)
        yield np.where(draw.random(shape) < collapses, 0.1 * scores, scores)


def statements(
    scores_SA: Floats, pairs: Sequence[Pair], together: bool = True
) -> dict[Pair, stats.Statement]:
    """The report's statement on each pair; `together=False`: each question with a Holm of its own."""
    gaps = [scores_SA[:, left] - scores_SA[:, right] for left, right in pairs]
    p, q = [stats.sign_flip_p(gap) for gap in gaps], [stats.equivalence_p(gap) for gap in gaps]
    p_adjusted, q_adjusted = stats.holm_shared(p, q) if together else (stats.holm(p), stats.holm(q))
    return {
        pair: stats.statement(float(gap.mean()), each_p, each_q)
        for pair, gap, each_p, each_q in zip(pairs, gaps, p_adjusted, q_adjusted, strict=True)
    }


def true(statement: stats.Statement, difference: float) -> bool:
    """Whether a statement holds of a true difference."""
    return {
        "better": difference > 0,
        "worse": difference < 0,
        "equivalent": abs(difference) < stats.SESOI,
        "undecided": True,
    }[statement]


def family_wise_errors(
    made: Iterator[Floats],
    pairs: Sequence[Pair],
    shift_A: Sequence[float] = (0.0,) * ARMS,
    together: bool = True,
) -> float:
    """Share of sweeps with one or more false statements."""
    wrong = [
        any(
            not true(each, shift_A[left] - shift_A[right])
            for (left, right), each in statements(scores, pairs, together).items()
        )
        for scores in made
    ]
    return float(np.mean(wrong))


def found(made: Iterator[Floats], pairs: Sequence[Pair], shift_A: Sequence[float], together: bool) -> float:
    """Share of the true differences that are called in the right direction."""
    right = [
        each == ("better" if shift_A[left] > shift_A[right] else "worse")
        for scores in made
        for (left, right), each in statements(scores, pairs, together).items()
        if shift_A[left] != shift_A[right]
    ]
    return float(np.mean(right))


def runs(count: int, seeds: int, collapses: float = 0.0) -> Iterator[Floats]:
    """One arm's runs scored in several environments (S x E): seed SD .05, cell SD .02."""
    draw = np.random.default_rng([2, seeds])
    for _ in range(count):
        scores = (
            0.5 + 0.05 * draw.standard_normal((seeds, 1)) + 0.02 * draw.standard_normal((seeds, ENVIRONMENTS))
        )
        yield np.where(draw.random((seeds, 1)) < collapses, 0.1 * scores, scores)


def percentiles(resampled_R: Floats) -> tuple[float, float]:
    """Their 95 % range."""
    low, high = np.quantile(resampled_R, [0.025, 0.975])
    return float(low), float(high)


def percentile_bootstrap(scores_SE: Floats, draw: np.random.Generator) -> tuple[float, float]:
    """Whole runs resampled."""
    by_run = scores_SE.mean(axis=1)
    return percentiles(by_run[draw.integers(0, len(by_run), (RESAMPLES, len(by_run)))].mean(axis=1))


def stratified_bootstrap(scores_SE: Floats, draw: np.random.Generator) -> tuple[float, float]:
    """rliable 1.2's `StratifiedBootstrap`: in each environment runs are resampled on their own."""
    seeds, environments = scores_SE.shape
    rows = draw.integers(0, seeds, (RESAMPLES, seeds, environments))
    return percentiles(scores_SE[rows, np.arange(environments)].mean(axis=(1, 2)))


def bootstrap_t(scores_SE: Floats, draw: np.random.Generator) -> tuple[float, float]:
    """Whole runs resampled, each sample studentised."""
    by_run = scores_SE.mean(axis=1)
    n = len(by_run)
    samples = by_run[draw.integers(0, n, (RESAMPLES, n))]
    error = samples.std(axis=1, ddof=1) / np.sqrt(n)
    t_R = (samples.mean(axis=1) - by_run.mean())[error > 0] / error[error > 0]
    low, high = percentiles(t_R)
    scale = by_run.std(ddof=1) / np.sqrt(n)
    return float(by_run.mean() - high * scale), float(by_run.mean() - low * scale)


def bounds(
    interval: Callable[[Floats], Interval],
) -> Callable[[Floats, np.random.Generator], tuple[float, float]]:
    """An interval of the report on run means."""

    def of(scores_SE: Floats, _: np.random.Generator) -> tuple[float, float]:
        found = interval(stats.over_environments(scores_SE))
        return found.low, found.high

    return of


INTERVALS: dict[str, Method] = {
    "Student's t": bounds(stats.t_interval),
    "IQM, Yuen's t": bounds(stats.iqm_interval),
    "median, order statistics": bounds(stats.median_interval),
    "bootstrap-t": bootstrap_t,
    "percentile bootstrap": percentile_bootstrap,
    "rliable's stratified bootstrap": stratified_bootstrap,
}


MEANS = [name for name in INTERVALS if not name.startswith(("IQM", "median"))]


def coverage(method: str, seeds: int, count: int, collapses: float = 0.0) -> float:
    """Share of 95 % intervals that hold the true mean; NaN where there is no interval.

    Mean, IQM and median are the same without collapses; with them only means are asked for.
    """
    draw, truth = np.random.default_rng([3, seeds]), 0.5 * (1 - 0.9 * collapses)
    held = []
    for scores in runs(count, seeds, collapses):
        low, high = INTERVALS[method](scores, draw)
        held.append(np.nan if np.isnan(low) else float(low <= truth <= high))
    return float(np.mean(held))


def power(effect: float, seeds: int, comparisons: int, count: int) -> float:
    """Share of normal samples of paired differences (SD 1) that are `better` at Holm's first level."""
    draw = np.random.default_rng([4, seeds])
    found = [
        gap.mean() > 0 and comparisons * stats.sign_flip_p(gap) <= stats.ALPHA
        for gap in effect + draw.standard_normal((count, seeds))
    ]
    return float(np.mean(found))


def equivalent(difference: float, sd: float, seeds: int, count: int) -> float:
    """Share of normal samples of paired differences that one comparison calls equivalent."""
    draw = np.random.default_rng([5, seeds])
    gaps = difference + sd * draw.standard_normal((count, seeds))
    return float(np.mean([stats.equivalence_p(gap) <= stats.ALPHA for gap in gaps]))


def factorial(draw: np.random.Generator, seeds: int, interaction_sd: float) -> pd.DataFrame:
    """A 2 x 2 sweep over two environments without effects; credit may matter by seed with mean 0."""
    rows = []
    for seed in range(seeds):
        level, lean = 0.5 + 0.1 * draw.standard_normal(), interaction_sd * draw.standard_normal()
        for credit, ratio, environment in product(("step", "token"), ("sequence", "token"), ("a", "b")):
            score = level + lean * (credit == "step") + 0.05 * draw.standard_normal()
            successes = draw.binomial(512, np.clip(score, 0.01, 0.99))
            rows.append((seed, credit, ratio, environment, score, successes, 512))
    names = ["seed", "credit", "ratio", "environment", "score", "successes", "episodes"]
    return pd.DataFrame(rows, columns=names)


def false_effects(seeds: int, interaction_sd: float, count: int) -> Mapping[str, float]:
    """Share of sweeps in which a model, or the paired test of means by credit, finds an effect of credit."""
    draw = np.random.default_rng([6, seeds])
    found = []
    for _ in range(count):
        frame = factorial(draw, seeds, interaction_sd)
        crossed = ["credit", "ratio"]
        by_credit = frame.pivot_table(index="seed", columns="credit", values="score")
        found.append(
            {
                "mixed model": stats.mixed_model(frame, crossed).effects["p"][0] <= stats.ALPHA,
                "binomial GEE": stats.success_model(frame, crossed).effects["p"][0] <= stats.ALPHA,
                "sign-flip": stats.sign_flip_p(by_credit["step"] - by_credit["token"]) <= stats.ALPHA,
            }
        )
    return pd.DataFrame(found).mean().to_dict()


def scaling_coverage(seeds: int, count: int) -> Mapping[str, float]:
    """Share of fits whose 95 % intervals hold asymptote .8 and half .2, of those that give one."""
    draw, spent_C = np.random.default_rng([7, seeds]), np.linspace(0, 1, 21)
    with np.errstate(divide="ignore"):
        rise_C = 1 / (1 + (0.2 / spent_C) ** 2)
    held = []
    for _ in range(count):
        curves_SC = 0.1 + (0.7 + 0.05 * draw.standard_normal((seeds, 1))) * rise_C
        fitted = stats.scaling_fit(spent_C, curves_SC + 0.03 * draw.standard_normal(curves_SC.shape))
        if not fitted.reason:
            held.append(
                {
                    "asymptote": fitted.asymptote.low <= 0.8 <= fitted.asymptote.high,
                    "half": fitted.half.low <= 0.2 <= fitted.half.high,
                }
            )
    return {**pd.DataFrame(held).mean().to_dict(), "fitted": len(held) / count}


def table(title: str, head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print Markdown."""
    print(f"\n{title}\n\n| {' | '.join(head)} |\n|---|{'---:|' * (len(head) - 1)}")
    for row in rows:
        print(f"| {' | '.join(row)} |")
    sys.stdout.flush()


def percent(share: float) -> str:
    return "–" if np.isnan(share) else f"{100 * share:.1f} %"


def main() -> int:
    """Print every table."""
    sizes = (3, 5, 6, 10, 20)
    for collapses in (0.0, COLLAPSES):
        methods = INTERVALS if collapses == 0 else MEANS
        rows = [[m, *(percent(coverage(m, n, SWEEPS, collapses)) for n in sizes)] for m in methods]
        table(f"Coverage of 95 % intervals, {percent(collapses)} collapses", ["", *map(str, sizes)], rows)
    sizes, rows = (6, 10, 14, 20), []
    for (name, pairs), collapses in product(FAMILIES.items(), (0.0, COLLAPSES)):
        errors = [family_wise_errors(sweeps(SWEEPS, n, collapses=collapses), pairs) for n in sizes]
        rows.append([f"{name}, {percent(collapses)} collapses", *map(percent, errors)])
    table("Family-wise error of the verdicts, all arms equal", ["", *map(str, sizes)], rows)
    ways = {"levels shared (the report)": True, "a Holm for each question": False}
    rows = []
    for way, together in ways.items():
        made = [sweeps(SWEEPS, n, MIXED_SHIFT, MIXED_SD, collapses=0.0) for n in sizes]
        errors = [family_wise_errors(each, DISJOINT, MIXED_SHIFT, together) for each in made]
        rows.append([way, *map(percent, errors)])
    table("Family-wise error, three differences 0, three exactly a SESOI", ["", *map(str, sizes)], rows)
    rows, shift = [], (0.1,) * 3 + (0.0,) * 3
    for way, together in ways.items():
        made = [sweeps(SWEEPS // 4, n, shift, collapses=0.0) for n in sizes]
        rows.append([way, *(percent(found(each, STEP_AGAINST_OTHERS, shift, together)) for each in made)])
    table("Differences of .1 (1.4 SD) found among nine", ["", *map(str, sizes)], rows)
    rows = []
    for comparisons in (1, 9, 15):
        closed = [
            stats.power_at(1.0, n, comparisons, stats.ALPHA) if stats.seeds_needed(comparisons) <= n else 0.0
            for n in sizes
        ]
        simulated = [power(1.0, n, comparisons, SWEEPS) for n in sizes]
        both = [f"{percent(s)} ({percent(c)})" for s, c in zip(simulated, closed, strict=True)]
        rows.append([f"{comparisons} comparisons", *both])
    table("Power for one SD of the differences, simulated (predicted)", ["", *map(str, sizes)], rows)
    rows = [
        [f"difference {d:g}, SD {sd:g}", *(percent(equivalent(d, sd, n, SWEEPS)) for n in sizes)]
        for d, sd in ((stats.SESOI, 0.03), (stats.SESOI, 0.1), (0.0, 0.03), (0.0, 0.1))
    ]
    table("Called equivalent, one comparison, SESOI .05", ["", *map(str, sizes)], rows)
    rows = []
    for seeds, interaction_sd in product((6, 10), (0.0, 0.05)):
        shares = false_effects(seeds, interaction_sd, SWEEPS // 4)
        rows.append([f"{seeds} seeds, credit x seed SD {interaction_sd:g}", *map(percent, shares.values())])
    table("False effects of credit at 5 %, 2 x 2 x 2 runs a seed", ["", *shares], rows)
    rows = [[f"{n} seeds", *map(percent, scaling_coverage(n, SWEEPS // 40).values())] for n in (3, 5, 10)]
    table("Coverage of the scaling fit", ["", "asymptote", "half", "fitted"], rows)
    return 0


if __name__ == "__main__":
    sys.exit(main())
