"""`python -m reports.power DIR [--effect D] [--power P] [--alpha A] [--comparisons K] [--all]`: seeds needed.

Reads a pilot sweep and says how many paired seeds a new sweep needs for its comparisons to find a difference
in final success, and which difference a number of seeds can find. Found means the verdict *usually better*:
the sign test with Holm's correction (Holm 1979, Scand. J. Statist. 6, 65-70). Holm's first and strictest step
asks each of K comparisons for p <= alpha / K; taking that step for every comparison is conservative. Power
(Cohen, Statistical Power Analysis, 2nd ed. 1988) is the chance of a verdict in the right direction.

`reports/stats/power.py` computes all of it. An effect is a difference in final success here.
"""

import argparse
import math
import sys
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass

from scipy.stats import chi2

from harness.errors import UserError
from harness.terminal import Parser, command, named_path, show
from reports import stats
from reports.comparisons import Family, all_pairs_family, contrast_family, question_family
from reports.settings import settings
from reports.store import Store, read_store
from reports.wording import count, seeds_number

EFFECT = 0.1
"""Difference in final success that is worth finding, as a share of tasks."""
SHOWN_SEEDS = (3, 6, 7, 9, 12, 17, 20)
LISTED = 12
"""Larger families show their hardest comparisons only, unless `--all` is given."""
HARDEST = 5


@dataclass(frozen=True)
class Target:
    """What is asked for."""

    effect: float = EFFECT
    """Difference in final success, a share of tasks."""
    power: float = stats.POWER
    alpha: float = stats.ALPHA
    comparisons: int | None = None
    """Comparisons that Holm adjusts together; default: as many as the pilot's family has."""

    def __post_init__(self) -> None:
        if not 0 < self.effect <= 1:
            raise UserError(f"effect is {self.effect:g}: give a difference in success above 0 and up to 1")
        if not 0 < self.alpha < 1:
            raise UserError(f"alpha is {self.alpha:g}: give a level between 0 and 1")
        if not self.alpha < self.power < 1:
            raise UserError(
                f"power is {self.power:g}: give a chance above alpha ({self.alpha:g}) and below 1"
            )
        if self.comparisons is not None and self.comparisons < 1:
            raise UserError(f"comparisons is {self.comparisons}: give 1 or more")

    def size(self, family: Family) -> int:
        """Comparisons that share alpha; one without any data counts, as it does in `stats.holm`."""
        return self.comparisons or len(family.table)


@dataclass(frozen=True)
class Spread:
    """The SD of one comparison's paired differences in final success, a share of tasks."""

    name: str
    seeds: int
    sd: float
    low: float
    high: float
    """95 % chi-square interval of the SD, cut at 1: no SD of differences in -1 to 1 is larger."""
    planned: float
    """The SD that plans take: its upper limit at the confidence `stats.CAUTIOUS`, cut at 1."""


def spreads(family: Family) -> list[Spread]:
    """Comparisons with two paired seeds or more, the widest first."""
    found = []
    for row, verdict in zip(family.table.itertuples(), family.verdicts.values(), strict=True):
        seeds, sd = verdict.pair.seeds, verdict.pair.sd
        if seeds < 2:
            continue
        factors = (*stats.sd_factors(seeds), stats.sd_bound(seeds))
        low, high, planned = (min(stats.WIDEST, sd * factor) for factor in factors)
        found.append(Spread(f"{row.left} vs {row.right}", seeds, sd, low, high, planned))
    return sorted(found, key=lambda spread: -spread.planned)


def median(ordered: Sequence[Spread]) -> Spread:
    """The comparison in the middle; of two the wider one."""
    return ordered[(len(ordered) - 1) // 2]


def families(store: Store) -> list[tuple[str, list[Family]]]:
    """By setting, the families whose pilot has a comparison with an SD, the more pointed one first."""
    found = []
    for setting in settings(store):
        every = (contrast_family(setting), question_family(setting), all_pairs_family(setting))
        found.append((setting.slug, [family for family in every if spreads(family)]))
    if not any(usable for _, usable in found):
        raise UserError(
            f"{store.path} has no two arms that finished 2 seeds in common: run the pilot with 2 or more"
        )
    return [(slug, usable) for slug, usable in found if usable]


def seeds_needed(
    pilot: Store | Family, effect: float = EFFECT, power: float = stats.POWER, alpha: float = stats.ALPHA
) -> int:
    """Paired seeds with which the widest comparison of a pilot finds `effect`, a difference in final success.

    Of a store, the first family of each setting counts: its declared contrasts, or else step arms against
    the others if it has any. Raises `UserError` above `stats.MOST_SEEDS`.
    """
    target = Target(effect, power, alpha)
    chosen = [pilot] if isinstance(pilot, Family) else [usable[0] for _, usable in families(pilot)]
    most = 0
    for family in chosen:
        ordered = spreads(family)
        if not ordered:
            raise UserError(f"no comparison of {family.name!r} has 2 paired seeds: its spread is unknown")
        seeds = outlook(ordered[0], target.size(family), target).planned
        if math.isinf(seeds):
            raise UserError(
                f"an effect of {effect:g} takes more than {stats.MOST_SEEDS} seeds: ask for a larger one"
            )
        most = max(most, int(seeds))
    return most


def outlook(spread: Spread, comparisons: int, target: Target) -> stats.Outlook:
    """What the pilot's seeds can decide, and the plan for the effect."""
    return stats.outlook(spread.seeds, spread.sd, comparisons, target.effect, target.power, target.alpha)


def found_text(seeds: int, spread: Spread, comparisons: int, target: Target) -> str:
    """The smallest difference that `seeds` find, as text."""
    effect = spread.planned * float(stats.smallest_effects(comparisons, target.power, target.alpha)[seeds])
    return f"{effect:.3f}" if effect <= 1 else "above 1"


def grid(rows: Sequence[Sequence[str]]) -> list[str]:
    """Left-aligned columns."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  " + "  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]


def shown(ordered: Sequence[Spread], everything: bool) -> list[Spread]:
    """The comparisons to list: all, or the hardest, the median and the easiest."""
    if everything or len(ordered) <= LISTED:
        return list(ordered)
    return [*ordered[:HARDEST], median(ordered), ordered[-1]]


def mark(spread: Spread, ordered: Sequence[Spread]) -> str:
    """`worst` and `median` if they apply."""
    names = {"worst": ordered[0], "median": median(ordered)}
    return ", ".join(name for name, each in names.items() if each is spread)


def needs(ordered: Sequence[Spread], comparisons: int, target: Target, everything: bool) -> list[str]:
    """The table of seeds needed, one line per comparison."""
    listed = shown(ordered, everything)
    rows = [("", "comparison", "pilot seeds", "paired SD (95 % range)", "seeds of a new sweep (range)")]
    for each in listed:
        plan = outlook(each, comparisons, target)
        low, mid, high = map(seeds_number, (plan.planned_low, plan.planned, plan.planned_high))
        spread = f"{each.sd:.3f} ({each.low:.3f} to {each.high:.3f})"
        rows.append((mark(each, ordered), each.name, str(each.seeds), spread, f"{mid} ({low} to {high})"))
    rest = len(ordered) - len(listed)
    return grid(rows) + ([f"  ({rest} more in between: --all lists them)"] if rest else [])


def finds(ordered: Sequence[Spread], comparisons: int, target: Target) -> list[str]:
    """The table of smallest differences found, one line a number of seeds."""
    rows, impossible = [("seeds", "median comparison", "worst comparison")], []
    least = stats.outlook(0, comparisons=comparisons, alpha=target.alpha).usually
    for seeds in SHOWN_SEEDS:
        if seeds < least:
            impossible.append(f"  {seeds:<5}  none: {least} seeds are needed to find anything")
        else:
            middle, worst = (
                found_text(seeds, each, comparisons, target) for each in (median(ordered), ordered[0])
            )
            rows.append((str(seeds), middle, worst))
    head, *possible = grid(rows)
    return [head, *impossible, *possible]


def section(slug: str, family: Family, target: Target, everything: bool) -> str:
    """What one family of comparisons needs."""
    ordered, comparisons = spreads(family), target.size(family)
    least = stats.outlook(0, comparisons=comparisons, alpha=target.alpha).usually
    power = f"{100 * target.power:g} %"
    possible = f"Nothing is usually better below {least} seeds."
    lines = [
        f"{slug}: {family.name}, Holm over {count(comparisons, 'comparison')}. {possible}",
        "",
        f"Seeds needed to find a difference of {target.effect:g} in final success with {power} power:",
        *needs(ordered, comparisons, target, everything),
        "",
        f"Smallest difference found with {power} power:",
        *finds(ordered, comparisons, target),
    ]
    unknown = len(family.table) - len(ordered)
    if unknown:
        lines.insert(1, f"Not listed: {count(unknown, 'comparison')} with fewer than 2 paired seeds.")
    return "\n".join(lines)


def caveats(fewest: int) -> str:
    """What the numbers rest on, in one paragraph; `fewest` paired seeds of a listed comparison."""
    low, high = stats.sd_factors(fewest)
    middle = math.sqrt(chi2.median(fewest - 1) / (fewest - 1))
    text = (
        "Read with care. These are seeds of a new sweep: adding seeds to the pilot and looking again errs "
        "more often than it says. The sign test is coarse, so that a few seeds more can find less: run "
        "the number as it is. The SD is the pilot's and uncertain itself: with "
        f"{count(fewest, 'paired seed')} the true SD lies between {low:.2f} and {high:.2f} times it (95 %, "
        f"cut at 1), and a typical SD of so few seeds is {middle:.2f} of the true one. Plans and smallest "
        f"differences take its upper limit at {100 * stats.CAUTIOUS:g} % confidence, "
        f"{stats.sd_bound(fewest):.2f} times it, so that the power is what it says on average over pilots; "
        "the ranges take the ends. The widest of many such SDs is wide by luck too, so the worst "
        "comparison overstates. Every comparison is held to Holm's first step (alpha / family size), "
        "which is conservative. Paired differences are taken as normal with one SD at every effect; "
        "success is bounded by 0 and 1, so near the ends both fail, and an SD of arms that all sit there "
        "is too small. The SD includes the evaluation's noise and holds for this model, budget and panel "
        "only. Found means usually better: on most seeds. Better on average over all runs, collapses "
        "included, takes more (see docs/statistics.md). The effect asked for should be the smallest worth "
        "knowing, not the one that the pilot showed."
    )
    return textwrap.fill(text, width=110)


def report(store: Store, target: Target, everything: bool = False) -> str:
    """Everything that the command prints."""
    blocks, fewest = [], []
    for slug, usable in families(store):
        for family in usable:
            blocks.append(section(slug, family, target, everything))
            fewest += [spread.seeds for spread in spreads(family)]
    return "\n\n\n".join(blocks) + "\n\n\n" + caveats(min(fewest))


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """The command line."""
    parser = Parser(
        prog="python -m reports.power",
        description="How many seeds a pilot sweep's comparisons need.",
        allow_abbrev=False,
    )
    parser.add_argument("dir", type=named_path, metavar="DIR", help="the pilot's directory (its sweep.out)")
    parser.add_argument(
        "--effect",
        type=float,
        default=EFFECT,
        help="difference in final success to find; default %(default)s",
    )
    parser.add_argument(
        "--power", type=float, default=stats.POWER, help="chance of finding it; default %(default)s"
    )
    parser.add_argument(
        "--alpha", type=float, default=stats.ALPHA, help="family-wise level; default %(default)s"
    )
    parser.add_argument(
        "--comparisons", type=int, metavar="K", help="family size to plan for; default: the pilot's"
    )
    parser.add_argument("--all", action="store_true", help="list every comparison of a large family")
    return parser.parse_args(arguments)


@command("reports.power")
def main(arguments: Sequence[str]) -> int:
    """The command line; returns the exit code."""
    options = parse(arguments)
    target = Target(options.effect, options.power, options.alpha, options.comparisons)
    show(report(read_store(options.dir), target, options.all))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
