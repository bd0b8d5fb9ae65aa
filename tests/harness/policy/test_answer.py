"""Actions out of free text."""

import pytest

from harness.policy.answer import read_answer

ADMISSIBLE = ("go shelf", "open safe", "take type 2 key")


@pytest.mark.parametrize(
    ("text", "action"),
    [
        ("Open safe", "open safe"),
        ("\n  open safe.\nBecause it is closed.", "open safe"),
        ("- open safe", "open safe"),
        ("**open safe**", "open safe"),
        ('"open safe"', "open safe"),
        ("Action: open safe", "open safe"),
        ("I would <action>open safe</action>, then stop", "open safe"),
        ("<action> open safe", "open safe"),
        ("<think>go shelf?\nno</think>\n\nopen safe", "open safe"),
        ("<think>go shelf", ""),
        ("don't", "don ' t"),
        ("2", "2"),
        ("", ""),
    ],
)
def test_words(text, action):
    assert read_answer(text, ADMISSIBLE) == action


@pytest.mark.parametrize(
    ("text", "action"),
    [
        ("2", "open safe"),
        ("2.", "open safe"),
        (" 2. open safe", "open safe"),
        ("Action: 3", "take type 2 key"),
        ("take type 2 key", "take type 2 key"),
        ("0", "0"),
        ("4", "4"),
        ("2nd", "2nd"),
        ("22", "22"),
    ],
)
def test_numbers(text, action):
    assert read_answer(text, ADMISSIBLE, numbered=True) == action
