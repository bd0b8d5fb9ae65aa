"""The line that a report begins with: what its leading comparisons say. Nothing is computed here."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pandas as pd

from reports import stats
from reports.comparisons import Family
from reports.stats import Word
from reports.wording import between, count, signed

SPOKEN = {
    Word.better: "is better than",
    Word.worse: "is worse than",
    Word.equivalent: "and",
    Word.usually_better: "is usually better than",
    Word.usually_worse: "is usually worse than",
    Word.usually_alike: "and",
}
"""What stands between the two sides."""
AFTER = {Word.equivalent: " are equivalent", Word.usually_alike: " are usually alike"}
"""What stands after them."""
MOST_NAMED = 3
"""Comparisons, decided or not, that the line names; of more it gives the number."""


@dataclass(frozen=True)
class Asked:
    """One leading comparison."""

    left: str
    right: str
    verdict: stats.Verdict
    stuck: str
    """Why it compares nothing: `hard` if no run of either side rises, `easy` if all end at the top; or
    empty."""


EXPLORING = (
    "No comparison was declared, and the arms have one credit unit: all pairs, below, are exploratory."
)


def answer(asked: Sequence[Asked], unfinished: Mapping[str, tuple[int, int]]) -> str:
    """What may be said, in a sentence for what is decided and one for what is not.

    `unfinished`: of the compared arms that lack scores, how many of how many seeds have one.
    """
    if not asked:
        return "Nothing to compare: no two arms have a score on the same seed."
    stuck = [each for each in asked if each.stuck]
    told = [each for each in asked if not each.stuck and each.verdict.word is not Word.undecided]
    open_ = [each for each in asked if not each.stuck and each.verdict.word is Word.undecided]
    said = [*stuck_texts(stuck), *limited([decided_text(each) for each in told])]
    if open_:
        said.append(undecided_text(open_, unfinished, alone=len(asked) == 1))
    return " ".join(said)


def limited(sentences: Sequence[str]) -> list[str]:
    """The first few, and how many more there are."""
    more = len(sentences) - MOST_NAMED
    return [*sentences[:MOST_NAMED], *([f"{more} more below."] if more > 0 else [])]


def stuck_texts(asked: Sequence[Asked]) -> list[str]:
    """Comparisons in which the task tells nothing."""
    found = []
    for how, seen in (("hard", "no run of either side ever rises"), ("easy", "every run ends at the top")):
        names = " and ".join(f"{each.left} against {each.right}" for each in asked if each.stuck == how)
        if names:
            found.append(f"Nothing is compared by {names}: {seen}, the task is too {how} for these arms.")
    return found


def decided_text(asked: Asked) -> str:
    """`Step is usually better than token: +0.23 (+0.21 to +0.26), 10 seeds.`"""
    verdict = asked.verdict
    sides = f"{asked.left} {SPOKEN[verdict.word]} {asked.right}{AFTER.get(verdict.word, '')}"
    rests = ""
    if verdict.rests_on_failures:
        rests = f"; without the seeds on which a run diverged: {verdict.without_failed.value}"
    return f"{sides[0].upper()}{sides[1:]}: {size(verdict)}, {count(verdict.pair.seeds, 'seed')}{rests}."


def undecided_text(asked: Sequence[Asked], unfinished: Mapping[str, tuple[int, int]], alone: bool) -> str:
    """`Not decided: 6 seeds, 7 needed. Leaning to step, +0.11 (−0.01 to +0.22).`"""
    seeds = min(each.verdict.pair.seeds for each in asked)
    needed = max(each.verdict.outlook.usually for each in asked)
    have = count(seeds, "seed") if seeds else "no seed has a score of every arm"
    least = f", {needed} needed" if seeds < needed else ""
    waiting = ", ".join(f"{arm} has {has} of {of} seeds" for arm, (has, of) in unfinished.items())
    because = f" ({waiting})" if waiting and seeds < needed else ""
    leans = limited([lean(each, alone) for each in asked if each.verdict.pair.seeds])
    return " ".join([f"Not decided: {have}{least}{because}.", *leans])


def lean(asked: Asked, alone: bool) -> str:
    """Which side an undecided comparison is on; its other side is named if there are several."""
    difference = asked.verdict.difference
    if signed(difference) == signed(0.0):
        return f"No lean between {asked.left} and {asked.right}, {size(asked.verdict)}."
    ahead, behind = (asked.left, asked.right) if difference > 0 else (asked.right, asked.left)
    against = "" if alone else f" against {behind}"
    return f"Leaning to {ahead}{against}, {size(asked.verdict, difference < 0)}."


def size(verdict: stats.Verdict, turned: bool = False) -> str:
    """The mean difference and its interval, left minus right or turned; one seed has no interval."""
    found, sign = verdict.pair.difference, -1 if turned else 1
    low, high = sorted((sign * found.low, sign * found.high))
    spread = "" if math.isnan(low) else f" ({between(low, high, sign=True)})"
    return f"{signed(sign * found.estimate)}{spread}"


def unfinished(finals: pd.DataFrame, family: Family) -> dict[str, tuple[int, int]]:
    """Of the arms of a family that lack scores (`finals`: seeds x arms), how many of how many they have."""
    arms = dict.fromkeys(arm for pair in family.pairs.values() for arm in (*pair.left, *pair.right))
    known = {arm: int(finals[arm].notna().sum()) for arm in arms}
    return {arm: (has, len(finals)) for arm, has in known.items() if has < len(finals)}


def leading(family: Family, floor: Sequence[str] = (), ceiling: Sequence[str] = ()) -> list[Asked]:
    """The comparisons of the family that a page leads with.

    `floor`, `ceiling`: arms whose runs never leave either end of the scale.
    """
    asked = []
    for label, pair in family.pairs.items():
        left, split, right = label.partition(" − ")
        arms = {*pair.left, *pair.right}
        stuck = "hard" if arms <= set(floor) else "easy" if arms <= set(ceiling) else ""
        names = (left, right) if split else (pair.left_name, pair.right_name)
        asked.append(Asked(*names, family.verdicts[label], stuck))
    return asked
