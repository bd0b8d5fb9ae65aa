"""How often the report's statistics are wrong, by simulation: the tables of docs/statistics.md.

    OMP_NUM_THREADS=1 python -m benchmarks.calibration [intervals] [levels] [powers] [models]

`benchmarks/shapes.py` has the arms and the rules.

Shape suffixes: F families, S seeds, A arms, E environments, R resamples, C curve points.
"""

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import combinations, product

import numpy as np
import pandas as pd
from scipy import stats as scipy_stats

from benchmarks import shapes
from benchmarks.shapes import COLLAPSING, POOLED, POWERED, RULES, SHAPES, SKEWED, SOME, Rule, Truth
from reports import stats
from reports.stats import Floats, Interval, Word

ARMS = 6
ALL_PAIRS = tuple(combinations(range(ARMS), 2))
STEP_AGAINST_OTHERS = tuple(product(range(3), range(3, 6)))
"""Three arms with step credit against three others."""
DISJOINT = tuple((arm, arm + 1) for arm in range(0, 2 * ARMS, 2))
"""Six comparisons of twelve arms: independent of one another."""
MIXED_SHIFT, MIXED_SD = (0.0,) * ARMS + (0.0, stats.SESOI) * (ARMS // 2), (0.1,) * ARMS + (0.01,) * ARMS
"""Of those, three do not differ and are noisy, three differ by exactly a SESOI and are quiet."""
MIXED_TRUTHS = (Truth(0.0, 0.0, alike=True),) * 3 + (Truth(-stats.SESOI, -1.0, alike=False),) * 3
FAMILIES = {"all pairs": ALL_PAIRS, "step against others": STEP_AGAINST_OTHERS}
SEED_SD, RUN_SD = 0.15, 0.05
"""Of success: shared by the arms of a seed, and of a run on its own."""
COLLAPSES = 0.15
"""Share of runs that end at a tenth of their score."""
SIZES = (6, 7, 10, 14)
"""Paired seeds."""
LEVELS = 1000
"""Families a cell of the tables on false words: a share of 5 % has a standard error of 0.7 points."""
SWEEPS = 2000
RESAMPLES = 1000
ENVIRONMENTS = 8

Pair = tuple[int, int]
Method = Callable[[Floats, np.random.Generator], tuple[float, float]]


def sweeps(
    count: int,
    seeds: int,
    shift_A: Sequence[float] = (0.0,) * ARMS,
    run_sd: float | Sequence[float] = RUN_SD,
    collapses: float = COLLAPSES,
) -> Floats:
    """Final scores of simulated sweeps (F x S x A): a seed's level, the arm's shift, noise, collapses."""
    draw = np.random.default_rng([1, seeds])
    shape = (count, seeds, len(shift_A))
    level = 0.6 + SEED_SD * draw.standard_normal((count, seeds, 1))
    scores = level + np.asarray(shift_A) + np.asarray(run_sd) * draw.standard_normal(shape)
    return np.where(draw.random(shape) < collapses, 0.1 * scores, scores)


def words_of(scores_FSA: Floats, pairs: Sequence[Pair], rule: Rule) -> np.ndarray:
    """A rule's word on each pair of arms (F x K)."""
    return rule([(scores_FSA[..., [left]], scores_FSA[..., [right]]) for left, right in pairs])


def family_wise_errors(
    scores_FSA: Floats, pairs: Sequence[Pair], rule: Rule, truths: Sequence[Truth] | None = None
) -> float:
    """Share of sweeps with one or more false words; by default all arms are equal."""
    return shapes.errors(
        words_of(scores_FSA, pairs, rule), truths or [Truth(0.0, 0.0, alike=True)] * len(pairs)
    )


def found(scores_FSA: Floats, pairs: Sequence[Pair], rule: Rule) -> float:
    """Share of pairs whose left arm, which is truly ahead, is called better or usually better."""
    return float(np.isin(words_of(scores_FSA, pairs, rule), ("better", "usually better")).mean())


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
    """Share of normal samples of paired differences (SD 1) that are usually better at Holm's first level."""
    gaps_FS = effect + np.random.default_rng([4, seeds]).standard_normal((count, seeds))
    wins, losses = stats.won_and_lost(np.sign(gaps_FS))
    enough = comparisons * stats.sign_test_p(wins, losses) <= stats.ALPHA
    return float(np.mean(enough & (wins > losses)))


def planned_power(pilot: int, comparisons: int, effect: float, cautious: bool, count: int) -> float:
    """Power of new sweeps planned from pilots of so many seeds, on average over pilots.

    `effect`: in true SDs; `cautious`: by the SD's upper limit, as the report does, or by the SD as it is.
    """
    draw = np.random.default_rng([12, pilot])
    sds = np.sqrt(draw.chisquare(pilot - 1, count) / (pilot - 1)) * (stats.sd_bound(pilot) if cautious else 1)
    planned = [min(stats.seeds_for(sd, effect, comparisons), stats.MOST_SEEDS) for sd in sds.tolist()]
    return float(np.mean([stats.power_at(effect, int(seeds), comparisons) for seeds in planned]))


def planned_power_with_collapses(pilot: int, cautious: bool, count: int) -> float:
    """The same for a true difference of .2 of two arms of which each collapses in a tenth of its runs."""
    name = "difference .2, both collapse 10 %"
    left, right = POWERED[name].draw(np.random.default_rng([13, pilot]), count, pilot)
    sds = (left - right)[..., 0].std(axis=-1, ddof=1) * (stats.sd_bound(pilot) if cautious else 1)
    chance = (1 + shapes.known(name).usual) / 2
    planned = [min(stats.seeds_for(sd, 0.2), stats.MOST_SEEDS) for sd in sds.tolist()]
    needed = [stats.wins_needed(int(seeds), stats.ALPHA) for seeds in planned]
    return float(np.mean(scipy_stats.binom.sf(np.array(needed) - 1, planned, chance)))


def second_look(first: int, second: int, count: int) -> float:
    """Share of fair coins that a sign test calls unfair at a first look, or at a second with more seeds."""
    heads = np.random.default_rng(14).random((count, second)) < 0.5
    wins_F2 = np.stack([heads[:, :first].sum(axis=1), heads.sum(axis=1)], axis=1)
    return float(np.mean((stats.sign_test_p(wins_F2, [first, second] - wins_F2) <= stats.ALPHA).any(axis=1)))


def bound_errors(seeds: int, laws: int, count: int) -> Floats:
    """By random law of three values with mean 0: how often the bound on the mean denies the 0 at 5 %."""
    draw, shares = np.random.default_rng([15, seeds]), []
    for _ in range(laws):
        rate, low = draw.choice([0.03, 0.05, 0.08, 0.1, 0.15, 0.2, 0.3, 0.4]), draw.choice([-1.0, -0.8, -0.5])
        typical = -low * rate / (1 - rate)
        apart, part = typical * draw.random(), 0.1 + 0.8 * draw.random()
        high, middle = typical + apart * (1 - part), typical - apart * part
        upper = np.where(draw.random((count, seeds)) < part, high, middle)
        values = np.where(draw.random((count, seeds)) < rate, low, upper)
        shares.append(float(np.mean(stats.not_above_p(values) <= stats.ALPHA)))
    return np.array(shares)


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


CURVES: dict[str, tuple[Callable[[Floats], Floats], float]] = {
    "of the fitted form, saturated": (lambda b: 1 / (1 + (0.2 / b) ** 2), 0.2),
    "of the fitted form, half at 0.7": (lambda b: 1 / (1 + (0.7 / b) ** 2), 0.7),
    "exponential": (lambda b: 1 - 0.5 ** (b / 0.2), 0.2),
    "linear, then flat": (lambda b: np.minimum(1.0, b / 0.4), 0.2),
}
"""By name: the share of the gain at each share of the budget, and where half of it is made."""


def scaling_coverage(curve: str, seeds: int, count: int) -> Mapping[str, float]:
    """Share of fits whose 95 % intervals hold the asymptote, .8, and the half, of those that give one."""
    draw, spent_C = np.random.default_rng([7, seeds]), np.linspace(0, 1, 21)
    gain, half = CURVES[curve]
    rise_C = gain(np.maximum(spent_C, 1e-9))
    held = []
    for _ in range(count):
        curves_SC = 0.1 + (0.7 + 0.05 * draw.standard_normal((seeds, 1))) * rise_C
        fitted = stats.scaling_fit(spent_C, curves_SC + 0.03 * draw.standard_normal(curves_SC.shape))
        if not fitted.reason:
            held.append(
                {
                    "asymptote": fitted.asymptote.low <= 0.8 <= fitted.asymptote.high,
                    "half": fitted.half.low <= half <= fitted.half.high,
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


def both(share: Callable[[Rule], float]) -> str:
    """A share under the sign-flip rule and under the report's."""
    return " → ".join(percent(share(rule)).removesuffix(" %") for rule in RULES.values())


def intervals() -> None:
    """Coverage of intervals."""
    sizes = (3, 5, 6, 10, 20)
    for collapses in (0.0, COLLAPSES):
        methods = INTERVALS if collapses == 0 else MEANS
        rows = [[m, *(percent(coverage(m, n, SWEEPS, collapses)) for n in sizes)] for m in methods]
        table(f"Coverage of 95 % intervals, {percent(collapses)} collapses", ["", *map(str, sizes)], rows)


def levels() -> None:
    """False words."""
    head = ["%, sign-flip → the report", *map(str, SIZES)]
    rows = [
        [name, *(both(lambda rule, n=n, name=name: shapes.level(name, rule, n, LEVELS)) for n in SIZES)]
        for name in SHAPES
    ]
    table("Families with a false word, one comparison", head, rows)
    rows = [
        [
            name,
            *(both(lambda rule, n=n, name=name: shapes.level(name, rule, n, LEVELS // 4, 9)) for n in SIZES),
        ]
        for name in SOME
    ]
    table("Families with a false word, nine comparisons", head, rows)
    rows = [
        [name, *(both(lambda rule, n=n, name=name: shapes.level(name, rule, n, LEVELS)) for n in SIZES)]
        for name in POOLED
    ]
    for kind, arm in (("15 % collapses", COLLAPSING), ("exponential tails", SKEWED)):
        shares = [both(lambda rule, n=n, arm=arm: shapes.equal_cards(arm, rule, n, LEVELS)) for n in SIZES]
        rows.append([f"3 against 1 and 3 against 2, {kind}", *shares])
    table("Families with a false word, sides of several arms, all exchangeable", head, rows)
    sizes, rows = (6, 10, 14, 20), []
    for (name, pairs), collapses in product(FAMILIES.items(), (0.0, COLLAPSES)):
        made = [sweeps(LEVELS, n, collapses=collapses) for n in sizes]
        errors = [percent(family_wise_errors(each, pairs, shapes.two_grades)) for each in made]
        rows.append([f"{name}, {collapses:.0%} collapses", *errors])
    for way, rule in (("levels shared (the report)", shapes.two_grades), ("a Holm each", shapes.separate)):
        made = [sweeps(LEVELS, n, MIXED_SHIFT, MIXED_SD, collapses=0.0) for n in sizes]
        errors = [percent(family_wise_errors(each, DISJOINT, rule, MIXED_TRUTHS)) for each in made]
        rows.append([f"three differences 0, three a SESOI: {way}", *errors])
    table("Family-wise error of larger families", ["", *map(str, sizes)], rows)
    sizes = (6, 10, 14, 24)
    rows = [
        [f"{n} seeds", *map(percent, np.quantile(bound_errors(n, 200, LEVELS), [0.5, 0.9, 1]))] for n in sizes
    ]
    table(
        "The bound on the mean, 200 laws of three values: errors at 5 %",
        ["", "median", "90 %", "worst"],
        rows,
    )


def powers() -> None:
    """Words that are said, and plans."""
    rows = []
    for name, n in product(POWERED, (6, 9, 12, 17, 24)):
        before, now = (shapes.said(name, rule, n, LEVELS) for rule in RULES.values())
        words = (Word.usually_better, Word.better, Word.usually_alike, Word.equivalent)
        old = [before.get(word.value, 0.0) for word in (Word.better, Word.equivalent)]
        rows.append(
            [f"{name}, {n} seeds", *map(percent, old), *(percent(now.get(w.value, 0.0)) for w in words)]
        )
    head = [
        "",
        "sign-flip: better",
        "equivalent",
        "report: usually better",
        "better",
        "usually alike",
        "equivalent",
    ]
    table("Said of one comparison", head, rows)
    rows = []
    for n in (4, 5, 6, 7):
        before, now = (shapes.said("difference 0, SD .03", rule, n, LEVELS) for rule in RULES.values())
        seen = stats.outlook(n)
        able = [word for word, least in (("better", seen.usually), ("alike", seen.alike)) if n >= least]
        claim = ", ".join(able) or "nothing"
        rows.append(
            [f"{n} seeds", percent(before.get("equivalent", 0)), percent(now.get("usually alike", 0)), claim]
        )
    table(
        "Few seeds, no difference, SD .03", ["", "sign-flip: equivalent", "usually alike", "can decide"], rows
    )
    sizes, rows = (7, 10, 14, 20), []
    for comparisons in (1, 9, 15):
        predicted = [stats.power_at(1.0, n, comparisons) for n in sizes]
        simulated = [power(1.0, n, comparisons, LEVELS) for n in sizes]
        pairs = [f"{percent(s)} ({percent(c)})" for s, c in zip(simulated, predicted, strict=True)]
        rows.append([f"family of {comparisons}", *pairs])
    table("Power for one SD of the differences, simulated (predicted)", ["", *map(str, sizes)], rows)
    pilots, rows = (3, 5, 6, 10), []
    for cautious, by in ((False, "the SD"), (True, "its upper limit (the report)")):
        for comparisons, effect in product((1, 9), (0.7, 1.4)):
            shares = [percent(planned_power(n, comparisons, effect, cautious, LEVELS)) for n in pilots]
            rows.append([f"family of {comparisons}, {effect:g} SD, by {by}", *shares])
        shares = [percent(planned_power_with_collapses(n, cautious, LEVELS)) for n in pilots]
        rows.append([f"family of 1, .2 with 10 % collapses, by {by}", *shares])
    table(
        "Power of new sweeps that were planned for 80 %, by the pilot's seeds", ["", *map(str, pilots)], rows
    )
    looks = ((6, 9), (6, 12), (9, 17))
    print(
        "\nFair coins called unfair at one of two looks:",
        *(f"{a}, {b}: {percent(second_look(a, b, 200_000))};" for a, b in looks),
    )


def models() -> None:
    """Factor models and scaling fits."""
    rows = []
    for seeds, interaction_sd in product((6, 10), (0.0, 0.05)):
        shares = false_effects(seeds, interaction_sd, SWEEPS // 4)
        rows.append([f"{seeds} seeds, credit x seed SD {interaction_sd:g}", *map(percent, shares.values())])
    table("False effects of credit at 5 %, 2 x 2 x 2 runs a seed", ["", *shares], rows)
    rows = [
        [f"{curve}, {n} seeds", *map(percent, scaling_coverage(curve, n, SWEEPS // 40).values())]
        for curve, n in product(CURVES, (3, 6, 10))
    ]
    table("Coverage of the scaling fit", ["", "asymptote", "half", "fitted"], rows)


PARTS = {"intervals": intervals, "levels": levels, "powers": powers, "models": models}


def main(parts: Sequence[str]) -> int:
    """Print the tables of these parts; all by default."""
    for part in parts or PARTS:
        PARTS[part]()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
