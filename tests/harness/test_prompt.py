"""Prompt presets: their text is configuration, so that another wording is another cell."""

import pytest

from envs.frame import TEXT_GAME, Frame, Layout
from harness.compose import compose_run
from harness.compose.composing import group_options
from harness.config.prompt import PromptConfig
from harness.errors import UserError
from harness.policy.chat import ChatPrompts
from harness.policy.prompting import Turn
from harness.store import cell_id
from tests.harness.policy.folders import chat_tokenizer

PRESETS = [name for name in group_options("prompt") if name != "environment" and not name.endswith("_exact")]


@pytest.fixture
def folder(tmp_path):
    chat_tokenizer("qwen2").save_pretrained(tmp_path)
    return tmp_path


def pretrained(folder, *overrides: str):
    return compose_run(["model=pretrained", f"model.source={folder}", "model.answer=tagged", *overrides])


def test_without_a_preset_the_words_are_the_environments(folder):
    config = pretrained(folder)
    assert config.prompt == PromptConfig()
    assert config.frame is config.env.frame is TEXT_GAME


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_says_what_it_is_given(name, folder):
    config = pretrained(folder, f"prompt={name}", "env.history=2")
    assert isinstance(config.frame, Frame)
    prompts = ChatPrompts(config.model, folder, 416, history=2, frame=config.frame)
    past = [Turn("a desk", "go shelf", (5,)), Turn("a shelf", "take mug", (6,))]
    for turns in ((), past):
        text = str(
            prompts.tokenizer.decode(list(prompts.prompt("tidy up", turns, "a mug", ("put mug", "look"))))
        )
        for words in ("tidy up", "a mug", "put mug", "look", "<action>"):
            assert words in text
        assert ("go shelf" in text) == bool(turns)
        assert "{" not in text


def test_another_wording_is_another_cell(folder):
    plain = pretrained(folder, "prompt=single_message")
    assert plain.prompt.layout is Layout.single
    other = pretrained(folder, "prompt=single_message", "prompt.joiner='; '")
    assert other.frame.joiner == "; "
    assert len({cell_id(config) for config in (plain, other, pretrained(folder))}) == 3


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (["prompt=single"], "did you mean single_message"),
        (["prompt.turn=x"], "prompt=environment takes the environment's words: write a preset of your"),
        (
            ["prompt=single_message", "prompt.turn='see {observatoin}'"],
            "is not a placeholder: did you mean observation",
        ),
        (["prompt=single_message", "prompt.turn=''"], "turn is empty: it must hold"),
        (["prompt=single_message", "prompt.layot=single"], "did you mean layout"),
    ],
)
def test_mistakes_are_one_line(overrides, words, folder):
    with pytest.raises(UserError, match=words) as error:
        pretrained(folder, *overrides)
    assert "\n" not in str(error.value)


def test_a_model_that_reads_words_alone_takes_none():
    with pytest.raises(UserError, match="prompt=single_message is for pretrained models"):
        compose_run(["prompt=single_message"])
