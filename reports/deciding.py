"""What a sweep with `seeds=until_decided` has decided after some of its seeds."""

from collections.abc import Collection
from dataclasses import dataclass, replace
from pathlib import Path

from reports.sections import families, leading_of
from reports.settings import settings
from reports.stats import Word
from reports.store import read_store


@dataclass(frozen=True)
class Standing:
    """A leading comparison."""

    environment: str
    name: str
    word: Word
    arms: tuple[str, ...]
    """Of both sides."""

    @property
    def undecided(self) -> bool:
        """Whether its arms need more seeds."""
        return self.word is Word.undecided


def standings(path: Path, seeds: Collection[int]) -> list[Standing]:
    """The leading comparisons of the sweep in `path`, in each environment, by the runs of `seeds` alone."""
    store = read_store(path)
    some = replace(store, runs=store.runs[store.runs["seed"].isin(list(seeds))])
    found = []
    for setting in settings(some):
        family = leading_of(families(setting))
        for name, pair in family.pairs.items():
            arms = (*pair.left, *pair.right)
            found.append(Standing(setting.env, name, family.verdicts[name].word, arms))
    return found
