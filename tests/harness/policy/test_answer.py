"""Actions out of free text."""

import pytest

from harness.config.model import Answer
from harness.policy.answer import Answers, CallForm

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
    assert Answers(Answer.open).read(text, ADMISSIBLE) == (action, True)


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
    assert Answers(Answer.numbered).read(text, ADMISSIBLE) == (action, True)


@pytest.mark.parametrize(
    ("text", "action"),
    [
        ("it is closed</think>open safe", "open safe"),
        ("<think>a</think>b</think>open safe", "open safe"),
        ("<think>a</think><think>b</think>open safe", "open safe"),
    ],
)
def test_a_thought_whose_beginning_is_missing_is_a_thought(text, action):
    assert Answers(Answer.open).read(text) == (action, True)


@pytest.mark.parametrize(
    ("text", "action"),
    [("go shelf?</think>\n\nopen safe", "open safe"), ("go shelf, and then", ""), ("", "")],
)
def test_a_thought_that_the_prompt_opened_is_a_thought_to_its_end(text, action):
    assert Answers(Answer.open, thinks=True).read(text) == (action, True)


ILL, SAFE = ("", False), ("open safe", True)


@pytest.mark.parametrize(
    ("text", "read"),
    [
        ("<think>it is closed</think><action>Open safe</action>", ("open safe", True)),
        ("I say <action> open safe\n</action> now", ("open safe", True)),
        ("<think><action>go shelf</action></think><action>open safe</action>", ("open safe", True)),
        ("open safe", ILL),
        ("<action>open safe", ILL),
        ("<action> </action>", ILL),
        ("<action>open safe</action><action>go shelf</action>", ILL),
        ("<think>it is <action>open safe</action>", ILL),
        ("<action>open safe</action> <think>or", ILL),
    ],
)
def test_tags(text, read):
    assert Answers(Answer.tagged).read(text, ADMISSIBLE) == read


@pytest.mark.parametrize(
    ("text", "read"),
    [
        ("Thought: it is closed\nAction: open safe", ("open safe", True)),
        ("Action: Open safe\nObservation: it opens", ("open safe", True)),
        ("<think>hm</think>Action: open safe", ("open safe", True)),
        ("Thought: no Action: open safe", ILL),
        ("Action: go shelf\nAction: open safe", ILL),
        ("Action:", ILL),
        ("open safe", ILL),
    ],
)
def test_reasoning_and_acting(text, read):
    assert Answers(Answer.react).read(text) == read


HERMES = CallForm("<tool_call>\n", "\n</tool_call>", "name", "arguments")
BARE = CallForm("", "", "name", "parameters")


@pytest.mark.parametrize(
    ("text", "read"),
    [
        (
            '<tool_call>\n{"name": "act", "arguments": {"action": "Open safe"}}\n</tool_call>',
            ("open safe", True),
        ),
        (
            'I look. <tool_call>{"name": "act", "arguments": {"action": "open safe"}}</tool_call>',
            ("open safe", True),
        ),
        ('<tool_call>{"name": "act", "arguments": {"action": "open safe"}}', ILL),
        ('<tool_call>{"name": "act", "arguments": "open safe"}</tool_call>', ILL),
        ('<tool_call>{"name": "go", "arguments": {"action": "open safe"}}</tool_call>', ILL),
        ('<tool_call>{"name": "act", "arguments": {}}</tool_call>', ILL),
        ('<tool_call>{"name": "act", }</tool_call>', ILL),
        ('{"name": "act", "arguments": {"action": "open safe"}}', ILL),
        (2 * '<tool_call>{"name": "act", "arguments": {"action": "open safe"}}</tool_call>', ILL),
    ],
)
def test_calls(text, read):
    assert Answers(Answer.tool_call, call=HERMES).read(text) == read


def test_a_call_may_be_an_object_and_nothing_else():
    answers = Answers(Answer.tool_call, call=BARE)
    assert answers.read('{"name": "act", "parameters": {"action": "open safe"}}') == ("open safe", True)
    assert answers.read('sure: {"name": "act", "parameters": {"action": "open safe"}}') == ILL


def test_calls_of_an_environments_own_functions_reach_it_as_json():
    answers = Answers(Answer.tool_call, call=HERMES, own_tools=True)
    action = '{"name": "search", "arguments": {"query": "Who?\\nWhen?"}}'
    assert answers.read(answers.write(action)) == (action, True)


def test_free_text_keeps_case_and_lines():
    text = "The Answer:\n  42, said Deep Thought."
    assert Answers(Answer.open, verbatim=True).read(f"<think>x</think>{text}") == (text, True)
    assert Answers(Answer.tagged, verbatim=True).read(f"<action>{text}</action>") == (text, True)
    assert Answers(Answer.react, verbatim=True).read(f"Thought: x\nAction: {text}") == (text, True)


@pytest.mark.parametrize("answer", Answer)
def test_what_is_written_is_read(answer):
    answers = Answers(answer, call=HERMES)
    for action in ADMISSIBLE:
        assert answers.read(answers.write(action, ADMISSIBLE), ADMISSIBLE) == (action, True)
