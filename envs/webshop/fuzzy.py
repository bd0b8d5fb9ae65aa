"""`token_set_ratio` as thefuzz 0.19 computes it with difflib: how alike two texts are, 0 to 100."""

import functools
import re
from difflib import SequenceMatcher

NO_WORD = re.compile(r"\W")


@functools.lru_cache(maxsize=262_144)
def token_set_ratio(one: str, other: str) -> int:
    """100 if the words of one text are all in the other; 0 if one has no word of ASCII letters."""
    words, others = set(plain(one).split()), set(plain(other).split())
    if not words or not others:
        return 0
    shared = _line(words & others)
    left = f"{shared} {_line(words - others)}".strip()
    right = f"{shared} {_line(others - words)}".strip()
    return max(_ratio(shared, left), _ratio(shared, right), _ratio(left, right))


def plain(text: str) -> str:
    """Lower-case ASCII without punctuation. Letters outside ASCII are left out, not replaced."""
    return NO_WORD.sub(" ", text.encode("ascii", "ignore").decode()).lower().strip()


def _line(words: set[str]) -> str:
    return " ".join(sorted(words))


def _ratio(one: str, other: str) -> int:
    return round(100 * SequenceMatcher(None, one, other).ratio()) if one and other else 0
