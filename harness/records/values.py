"""JSON and its values, checked.

Each function returns what it was given, or raises `UserError` with what is wrong and where (`what`).
Shape suffixes: L tokens of one step.
"""

import codecs
import json
from collections import Counter
from typing import Any

import numpy as np

from harness.errors import UserError, suggest
from harness.records.batch import Floats, Ints

LARGEST = 1e30
"""No number may be larger in size: sums and squares of such numbers are finite."""
LARGEST_ID = 2**63 - 1

INFO = "info"
"""An object with whatever the writer likes, in a trajectory or a step; ignored."""


class NotJSON(UserError):
    """A line that is not JSON text, perhaps because its end is missing."""


def decode(line: bytes) -> object:
    """The JSON value of a line; a UTF-8 byte-order mark before it is skipped.

    Python's extensions (NaN, Infinity) and repeated keys are refused.
    """
    try:
        return DECODER.decode(line.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        if line.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
            raise NotJSON("not UTF-8 but UTF-16, as its byte-order mark says: save it as UTF-8") from error
        raise NotJSON("not UTF-8 (the name of a gzip file must end in .gz)") from error
    except RecursionError as error:
        raise UserError("nested too deeply") from error
    except json.JSONDecodeError as error:
        raise NotJSON(f"not JSON: {error.msg} at character {error.pos + 1}") from error
    except ValueError as error:  # a whole number with more digits than Python converts
        raise UserError(f"not a usable number: {error}") from error


def refuse_constant(name: str) -> None:
    """`NaN`, `Infinity` and `-Infinity`."""
    raise UserError(f"{name} is not a number in JSON, and credit needs finite numbers")


def object_of(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object in which no key stands twice: Python would keep the last and say nothing."""
    built = dict(pairs)
    if len(built) < len(pairs):
        [(key, _)] = Counter(key for key, _ in pairs).most_common(1)
        raise UserError(f"the key {quoted(key)} stands twice in one object")
    return built


DECODER = json.JSONDecoder(parse_constant=refuse_constant, object_pairs_hook=object_of)


def an_object(value: object, what: str) -> dict[str, Any]:
    """`value`, an object."""
    if not isinstance(value, dict):
        raise UserError(f"{what} must be an object, not {shown(value)}")
    return value


def check_keys(
    value: dict[str, Any], what: str, required: tuple[str, ...], optional: tuple[str, ...]
) -> None:
    """Raise `UserError` for keys that are unknown or missing, or an `info` that is not an object."""
    known = (*required, *optional, INFO)
    for key in value:
        if key not in known:
            raise UserError(f"{what}: {quoted(key)} is not a key{suggest(key, known)}")
    for key in required:
        if key not in value:
            raise UserError(f'{what}: "{key}" is missing')
    an_object(value.get(INFO, {}), f'{what}: "{INFO}"')


def text(value: object, what: str) -> str:
    """`value`, a string."""
    if not isinstance(value, str):
        raise UserError(f"{what} must be a string, not {shown(value)}")
    return value


def boolean(value: object, what: str) -> bool:
    """`value`, true or false."""
    if not isinstance(value, bool):
        raise UserError(f"{what} must be true or false, not {shown(value)}")
    return value


def number(value: Any, what: str) -> float:
    """`value`, a finite number."""
    # type() and not isinstance() here and below: to Python, true is a whole number.
    if type(value) not in (int, float) or not abs(value) <= LARGEST:
        raise UserError(f"{what} must be a number of at most {LARGEST:g} in size, not {shown(value)}")
    return float(value)


def whole(value: object, what: str) -> int:
    """`value`, a whole number from 0."""
    if type(value) is not int or not 0 <= value <= LARGEST:
        raise UserError(f"{what} must be a whole number of at least 0, not {shown(value)}")
    return value


def a_list(value: object, what: str) -> list[Any]:
    """`value`, a list."""
    if not isinstance(value, list):
        raise UserError(f"{what} must be a list, not {shown(value)}")
    return value


def list_of(value: object, what: str, kinds: tuple[type, ...], name: str) -> list[Any]:
    """`value`, a list whose elements are of exactly these types."""
    values = a_list(value, what)
    if not set(map(type, values)) <= set(kinds):
        wrong = next(i for i, each in enumerate(values) if type(each) not in kinds)
        raise UserError(f"{what} must hold {name}, but number {wrong} is {shown(values[wrong])}")
    return values


def right_length(values: list[Any], what: str, count: int) -> list[Any]:
    """`values`, as many as the step has tokens."""
    if len(values) != count:
        unit = "number" if len(values) == 1 else "numbers"
        raise UserError(f'{what} has {len(values)} {unit}, but "response_ids" has {count}')
    return values


def numbers(value: object, what: str, count: int) -> Floats:
    """A list of `count` finite numbers as an array (L,)."""
    values = right_length(list_of(value, what, (int, float), "numbers"), what, count)
    try:
        array_L = np.array(values, dtype=np.float64)
        if (np.abs(array_L) <= LARGEST).all():
            return array_L
    except OverflowError:  # a whole number beyond float64
        pass
    wrong = next(i for i, each in enumerate(values) if not abs(each) <= LARGEST)
    found = f"number {wrong} is {shown(values[wrong])}"
    raise UserError(f"{what} must hold numbers of at most {LARGEST:g} in size, but {found}")


def token_ids(value: object, what: str) -> Ints:
    """A list of token ids as an array (L,)."""
    values = list_of(value, what, (int,), "whole numbers")
    if values and not 0 <= min(values) <= max(values) <= LARGEST_ID:
        wrong = next(i for i, each in enumerate(values) if not 0 <= each <= LARGEST_ID)
        raise UserError(f"{what}: number {wrong} is {shown(values[wrong])}, which is not a token id")
    return np.array(values, dtype=np.int64)


def quoted(string: str) -> str:
    """A string of the file as JSON, so that whatever is in it a message stays one line."""
    return json.dumps(string)


def shown(value: object) -> str:
    """The beginning of a value of the file, as JSON."""
    whole_text = json.dumps(value)
    return whole_text if len(whole_text) <= 40 else f"{whole_text[:37]}..."
