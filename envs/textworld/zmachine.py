"""In which order a game's things lie, read from the interpreter's memory.

A game lists what is in a room, on a table or in a box as its object tree has it, the last thing put there
first. TextWorld's facts leave this order out. Source: The Z-Machine Standards Document 1.1, sections 3 (text)
and 12 (the object table of versions 4 and later).
"""

from collections.abc import Iterator, Sequence

MOVABLE = "_object_like"
"""How TextWorld's kind of portable things ends, from which food and keys are derived; Inform numbers it."""
CLASSES = 2
"""The property that lists an object's classes, inherited ones included."""
ALPHABETS = ("abcdefghijklmnopqrstuvwxyz", "ABCDEFGHIJKLMNOPQRSTUVWXYZ", " \n0123456789.,!?_#'\"/\\-:()")
DEFAULTS, ENTRY = 126, 14
"""Bytes of the default properties before the object table, and of an object in it."""
PARENT, SIBLING, CHILD, PROPERTIES = 6, 8, 10, 12
"""Where an object's entry has them."""

Memory = Sequence[int]


def movable(code: Memory) -> frozenset[int]:
    """The numbers of a game's portable things, from its story file."""
    kinds = {number for number in _objects(code) if _name(code, number).endswith(MOVABLE)}
    return frozenset(number for number in _objects(code) if kinds & set(_classes(code, number)))


def piles(memory: Memory, things: frozenset[int]) -> list[list[int]]:
    """The numbers of `things` that lie together, in the order in which the game lists them."""
    found = []
    for holder in _objects(memory):
        pile, number = [], _link(memory, holder, CHILD)
        while number:
            pile += [number] if number in things else []
            number = _link(memory, number, SIBLING)
        if len(pile) > 1:
            found.append(pile)
    return found


def _word(memory: Memory, address: int) -> int:
    return (int(memory[address]) << 8) | int(memory[address + 1])


def _entry(memory: Memory, number: int) -> int:
    return _word(memory, 0x0A) + DEFAULTS + ENTRY * (number - 1)


def _link(memory: Memory, number: int, link: int) -> int:
    return _word(memory, _entry(memory, number) + link)


def _objects(memory: Memory) -> Iterator[int]:
    """All numbers: the table ends where the first object's properties begin."""
    number, end = 1, len(memory)
    while _entry(memory, number) < end:
        end = min(end, _link(memory, number, PROPERTIES))
        yield number
        number += 1


def _classes(memory: Memory, number: int) -> list[int]:
    address = _link(memory, number, PROPERTIES)
    address += 1 + 2 * memory[address]
    while head := memory[address]:
        if head & 0x80:
            size, address = memory[address + 1] & 0x3F or 64, address + 2
        else:
            size, address = 2 if head & 0x40 else 1, address + 1
        if head & 0x3F == CLASSES:
            return [_word(memory, address + i) for i in range(0, size - 1, 2)]
        address += size
    return []


def _name(memory: Memory, number: int) -> str:
    address = _link(memory, number, PROPERTIES)
    return _text(memory, address + 1) if memory[address] else ""


def _text(memory: Memory, address: int) -> str:
    """Text of five-bit characters, three per word, the last word marked."""
    codes: list[int] = []
    last = False
    while not last:
        word = _word(memory, address)
        codes += [(word >> 10) & 31, (word >> 5) & 31, word & 31]
        last, address = bool(word >> 15), address + 2
    text, alphabet, reading = "", 0, iter(codes)
    for code in reading:
        if code in (4, 5):
            alphabet = code - 3
            continue
        if code in (1, 2, 3):
            entry = _word(memory, 0x18) + 2 * (32 * (code - 1) + next(reading, 0))
            text += _text(memory, 2 * _word(memory, entry))
        elif alphabet == 2 and code == 6:
            text += chr((next(reading, 0) << 5) | next(reading, 0))
        else:
            text += ALPHABETS[alphabet][code - 6] if code >= 6 else " "
        alphabet = 0
    return text
