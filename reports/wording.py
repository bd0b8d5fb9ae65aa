"""Numbers as text, and the sentences that the data decides."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from harness.ledger import Phase
from reports import stats
from reports.comparisons import Family

PHASE_NAMES = {
    Phase.prefill_new.value: "prefill",
    Phase.prefill_cached.value: "prefill, cached",
    Phase.decode.value: "decode",
    Phase.decode_branch.value: "decode branches",
    Phase.score_sampled.value: "score samples",
    Phase.branch_scoring.value: "score branch points",
    Phase.score_reference.value: "score reference",
    Phase.column_scoring.value: "score for credit",
    Phase.ratio_centre.value: "centre the ratio",
    Phase.critic_forward.value: "critic forward",
    Phase.critic_train.value: "critic train",
    Phase.actor_train.value: "actor train",
    Phase.environment.value: "environment",
    Phase.credit.value: "credit",
    Phase.evaluation.value: "evaluation",
    Phase.warm_start.value: "warm start",
    Phase.true_values.value: "true values",
    Phase.unused.value: "unused rollout",
}
COMPUTE_ROWS = [
    ("flops_nominal", "training FLOPs, nominal"),
    ("flops_computed", "training FLOPs, computed"),
    ("flops_cached", "of the nominal: prompts that were cached"),
    ("overshoot", "spent beyond the budget"),
    ("tokens_sampled", "tokens sampled"),
    ("tokens_trained", "tokens trained on (actor)"),
    ("tokens_reused", "tokens that branches took over"),
    ("flops_reused", "FLOPs that this saved"),
    ("trajectories", "trajectories"),
    ("env_steps", "environment steps"),
    ("tool_calls", "tool calls: steps that the environment carried out"),
    ("env_steps_replayed", "environment steps replayed to branch"),
    ("iterations", "iterations"),
    ("rollout_seconds", "device seconds in rollouts"),
    ("update_seconds", "device seconds in updates"),
    ("peak_memory", "most bytes of memory in use"),
    ("flops_evaluation", "outside the budget: evaluation FLOPs"),
    ("evaluation_seconds", "outside the budget: evaluation seconds"),
    ("flops_warm_start", "outside the budget: warm start FLOPs"),
    ("flops_redone", "outside the budget: FLOPs done again after interruptions"),
    ("seconds_redone", "outside the budget: seconds done again"),
]
"""Columns of `tables.compute_table` and their names on the page."""
AXES = {
    "flops": "training FLOPs",
    "tokens": "sampled tokens",
    "env_steps": "environment steps",
    "trajectories": "trajectories",
    "gpu_seconds": "device seconds",
    "seconds": "device seconds",
}
"""Axes of a budget and of a curve."""


def plain(value: object) -> str:
    """A success rate, or – if there is none."""
    number = float(value) if isinstance(value, int | float) else math.nan
    return "–" if math.isnan(number) else f"{number:.2f}"


def signed(value: float) -> str:
    """A difference, with a true minus."""
    if math.isnan(value):
        return "–"
    return f"{value:+.2f}".replace("-", "−") if round(value, 2) else "0.00"


def between(low: float, high: float, sign: bool = False) -> str:
    """An interval. One without width is none: nothing that was seen spreads."""
    if math.isnan(low):
        return "–"
    if math.isclose(low, high, rel_tol=1e-9, abs_tol=1e-12):
        return "no spread seen"
    form = signed if sign else plain
    return f"{form(low)} to {form(high)}"


def p_value(value: float) -> str:
    """A p value."""
    if math.isnan(value):
        return "–"
    return "<0.001" if value < 0.001 else f"{value:.3f}"


def amount(value: float) -> str:
    """A large number in three digits, e.g. 700 G."""
    if math.isnan(value):
        return "–"
    for size, unit in ((1e15, "P"), (1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= size:
            return f"{value / size:.3g} {unit}"
    return f"{value:.3g}"


def percent(value: float) -> str:
    """A share."""
    return "–" if math.isnan(value) else f"{value:.1%}".replace("%", " %")


def count(number: int, noun: str) -> str:
    """`1 seed`, `2 seeds`."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


MOST_LISTED = 6
"""Arms that a sentence names."""


def caution(families: Sequence[Family], unfinished: Mapping[str, tuple[int, int]]) -> str:
    """What the number of paired seeds allows to say at most about families of comparisons.

    `unfinished`: of the compared arms that lack scores, how many of how many seeds have one.
    """
    if not families:
        return "There are no two arms with a finished run to compare yet."
    lacking = ", ".join(f"{arm} ({has} of {of} seeds)" for arm, (has, of) in unfinished.items())
    waiting = f"Scores are missing: {lacking}; a seed counts if every arm of both sides has one. "
    return (waiting if lacking else "") + few_text(families)


def apart_text(ranked: Sequence[str], pairs: Family) -> str:
    """Which arms the seeds tell from the best one; `ranked`: best first, `pairs`: all pairs, exploratory."""
    if len(ranked) < 2:
        return ""
    best, *others = ranked
    found = pairs.table.to_dict("records")
    apart = {frozenset((row["left"], row["right"])) for row in found if row["p_adjusted"] <= stats.ALPHA}
    behind = [arm for arm in others if frozenset((best, arm)) in apart]
    alike = [arm for arm in others if arm not in behind]
    told = f"these seeds tell {few(behind)} from {best}, the best on average" if behind else ""
    same = f"they cannot tell {few(alike)} from it" if alike else ""
    if not behind:
        same = f"these seeds cannot tell {few(alike)} from {best}, the best on average"
    said = "; ".join(filter(None, [told, same]))
    return f"{said[0].upper()}{said[1:]} (all pairs, exploratory, a false discovery rate of 5 %)."


def few_text(families: Sequence[Family]) -> str:
    """Which verdicts the paired seeds of some families cannot give; empty if they can give all."""
    most = {family.name: int(family.table["seeds"].max()) for family in families}
    seen = {family.name: next(iter(family.verdicts.values())).outlook for family in families}
    short = [family for family in families if most[family.name] < seen[family.name].usually]
    said = [f"{holm_over(family)} {least_text(seen[family.name])}" for family in short]
    seeds = max(most.values())
    if all(most[family.name] < seen[family.name].alike for family in families):
        single = least_text(stats.outlook(seeds))
        return f"Nothing can be proved with {count(seeds, 'paired seed')}: {'; '.join([single, *said])}."
    if not said:
        return ""
    some = "" if len(short) == len(families) else " for some comparisons"
    few = f"{seeds} paired seeds are too few{some} to tell which side is better"
    return f"{few}: {'; '.join(said)}. Read the intervals."


def least_text(seen: stats.Outlook) -> str:
    """How many seeds a verdict takes."""
    return f"usually better takes {seen.usually} seeds at least, usually alike {seen.alike}"


def verdict_text(row: Mapping[str, Any]) -> str:
    """What may be said about a comparison, and what would change it: one row of a family's table."""
    if not row["seeds"]:
        return "No seed has a score of every arm of both sides."
    said = (decided_text(row), average_text(row), undone_text(row), failed_text(row), short_text(row))
    return " ".join(filter(None, said))


def decided_text(row: Mapping[str, Any]) -> str:
    """The verdict and what it rests on."""
    word = stats.Word(row["verdict"])
    if word is stats.Word.equivalent:
        return (
            f"The sides differ by less than {row['settles']:g} on most seeds and on average "
            f"(adjusted p {equals(row['p_verdict'])}, {count(int(row['seeds']), 'paired seed')})."
        )
    if word is stats.Word.usually_alike:
        return (
            f"The sides differ by less than {row['settles']:g} on most of {int(row['seeds'])} paired seeds "
            f"(adjusted p {equals(row['p_verdict'])})."
        )
    won = f"The left side won {int(row['wins'])} of {count(int(row['seeds']), 'paired seed')}"
    found = f"{won}, lost {int(row['losses'])} (adjusted p {equals(row['p_verdict'])})."
    return found if word.direction else f"No verdict. {found}"


def average_text(row: Mapping[str, Any]) -> str:
    """What is known of the mean difference, collapses that were not seen included."""
    word = stats.Word(row["verdict"])
    if word is stats.Word.undecided:
        return ""
    bounds = {
        1: f"at least {signed(row['at_least'])}",
        -1: f"at most {signed(row['at_most'])}",
        0: f"{signed(row['at_least'])} to {signed(row['at_most'])}",
    }[word.direction]
    known = f"{signed(row['difference'])}, {bounds} (95 %, collapses that were not seen included)"
    if word.grade == "on average":
        return f"Average: {known}."
    return f"Average, not decided: {known}."


def undone_text(row: Mapping[str, Any]) -> str:
    """The collapse rate that would undo a lead, if these seeds do not exclude it."""
    word = stats.Word(row["verdict"])
    if word.grade != "usually" or not word.direction:
        return ""
    ahead = "left" if word.direction > 0 else "right"
    lead, mean = word.direction * row["difference"], row[f"{ahead}_mean"]
    seen, most = int(row[f"{ahead}_collapsed"]), row[f"{ahead}_collapses_at_most"]
    if seen or not 0 < lead / mean < most:
        return ""
    return (
        f"If the {ahead} side collapsed in more than {share(lead / mean)} of its runs, its lead on average "
        f"would be gone; {int(row['seeds'])} seeds without a collapse exclude only rates above {share(most)}."
    )


def collapse_text(row: Mapping[str, Any]) -> str:
    """How often each side collapsed, what is not excluded, and whether the sides differ in it."""
    n = int(row["seeds"])
    if not n:
        return ""
    left, right = int(row["left_collapsed"]), int(row["right_collapsed"])
    found = (
        f"Collapsed: left on {left} of {n} seeds, right on {right}; not excluded are rates up to "
        f"{share(row['left_collapses_at_most'])} and {share(row['right_collapses_at_most'])}."
    )
    p = row["p_collapses"]
    if math.isnan(p) or p > stats.ALPHA:
        return found
    fewer = "left" if left < right else "right"
    return f"{found} The {fewer} side collapses less often (adjusted p {equals(p)})."


def failed_text(row: Mapping[str, Any]) -> str:
    """Which runs failed by what the algorithm did, and what would be said without them."""
    left, right = int(row["left_failed"]), int(row["right_failed"])
    if not left + right:
        return ""
    found = (
        f"Runs diverged on {left} seeds of the left side and {right} of the right: they score 0 and are no "
        "evidence of likeness."
    )
    if row["without_failed"] == row["verdict"]:
        return f"{found} Without those seeds the verdict would be the same."
    return f"{found} The verdict rests on them: without those seeds it would be {row['without_failed']}."


def short_text(row: Mapping[str, Any]) -> str:
    """What would decide what these seeds do not."""
    word = stats.Word(row["verdict"])
    if word is not stats.Word.undecided:
        return ""
    if row["last_look"]:
        return more_text(int(row["seeds"]), int(row["last_look"]))
    return f"{found_text(row['detectable'])} {planned_text(row)}".strip()


def more_text(seeds: int, most: int) -> str:
    """What becomes of an undecided comparison whose seeds end when it is decided."""
    if seeds < most:
        return f"The sweep goes on with more seeds, to {most} at most: the same command."
    return (
        f"{most} seeds were the most that was declared: only a new sweep, with fresh seeds, could decide it."
    )


def found_text(detectable: float) -> str:
    """What an undecided comparison would have found."""
    if math.isnan(detectable):
        return "The spread between seeds is unknown."
    if detectable > 1:
        return "So few seeds find no difference, however large."
    return f"Its seeds find a true difference of {detectable:.2f} with {stats.POWER:.0%} power."


def reach(detectable: float) -> str:
    """The true difference that seeds find, as a table's entry."""
    return "none" if detectable > 1 else plain(detectable)


def planned_text(row: Mapping[str, Any]) -> str:
    """The seeds of a new sweep that would find the smallest effect of interest; empty if unknown."""
    if not row["spread_known"]:
        return ""
    low, high = (seeds_number(row[f"planned_{end}"]) for end in ("low", "high"))
    return (
        f"A new sweep of {seeds_number(row['planned'])} seeds would find one of {row['settles']:g} "
        f"({low} to {high}, as the spread is known from {int(row['seeds'])} seeds). Seeds added to these "
        "would be a second look, which errs more often."
    )


def seeds_number(seeds: float) -> str:
    """A number of seeds."""
    return f"over {stats.MOST_SEEDS}" if math.isinf(seeds) else f"{seeds:.0f}"


def page_error(families: int) -> str:
    """How often a page with this many families of verdicts is wrong somewhere."""
    each = f"{stats.ALPHA:.0%}".replace("%", " %")
    return (
        f"{each} is the chance of a false verdict in one family (table). Families of verdicts on this page: "
        f"{families}, and as many of statements on collapses. Something false is said anywhere with a "
        f"chance of up to {share(1 - (1 - stats.ALPHA) ** (2 * families))}."
    )


def share(value: float) -> str:
    """A share in whole percent; below one percent in one digit."""
    return f"{100 * value:.1g} %" if 0 < value < 0.01 else f"{100 * value:.0f} %"


def equals(p: float) -> str:
    """`= 0.012` or `< 0.001`."""
    text = p_value(p)
    return text.replace("<", "< ") if text.startswith("<") else f"= {text}"


def thinned(seeds: int, most: int) -> str:
    """What a caption adds if not every seed is drawn."""
    if seeds <= most:
        return ""
    return (
        f" Of more than {most} seeds, {most} are drawn: evenly spaced in rank, the lowest and the highest "
        "among them. All numbers are over all seeds."
    )


def holm_over(family: Family) -> str:
    """`with Holm over 9 comparisons (all pairs)`."""
    return f"with Holm over {count(len(family.table), 'comparison')} ({family.name})"


def few(names: Sequence[str]) -> str:
    """A few names, and how many more there are."""
    more = len(names) - MOST_LISTED
    return listed([*names[:MOST_LISTED], *([f"{more} more"] if more > 0 else [])])


def listed(names: Sequence[str]) -> str:
    """`a, b and c`."""
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)


def run_seconds(runs: pd.DataFrame) -> pd.Series:
    """Seconds of each run, all kinds of work together."""
    return runs[["rollout_seconds", "update_seconds", "evaluation_seconds"]].sum(axis=1)
