"""Published prompts: the presets word by word, and a repository's own words put into them."""

from pathlib import Path

import pytest
import yaml

from envs.frame import Frame
from harness import prompts as command
from harness.compose import compose_run
from harness.config.prompt import PromptConfig
from harness.errors import UserError
from harness.policy.chat import ChatPrompts
from harness.policy.prompting import Turn
from harness.prompts import PUBLISHED, renamed, words, written
from tests.harness.policy.folders import chat_tokenizer

EXPECTED = Path(__file__).parents[1] / "golden" / "prompts"
GOAL = "put a cup in the sink"
PAST = (Turn("a desk", "go to shelf 1", (5,)), Turn("a shelf", "take cup 1", (6,)), Turn("ok", "look", (7,)))
ACTIONS = ("go to sink 1", "put cup 1")
USER, ANSWER = "<|im_start|>user\n", "<|im_end|>\n<|im_start|>assistant\n"


CALLS = (
    "{% for message in messages %}<|im_start|>{{ message.role }}\n{{ message.content or '' }}"
    '{% for call in message.tool_calls or [] %}<tool_call>{"name": "{{ call.function.name }}", '
    '"arguments": {{ call.function.arguments | tojson }}}</tool_call>{% endfor %}<|im_end|>\n{% endfor %}'
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
"""A chat template that knows calls."""


def said(preset: str, answer: str, history: int, past, tmp_path) -> str:
    """A prompt as text."""
    tokenizer = chat_tokenizer("qwen2")
    tokenizer.chat_template = CALLS
    tokenizer.save_pretrained(tmp_path)
    options = ["model=pretrained", f"model.source={tmp_path}", f"model.answer={answer}", f"prompt={preset}"]
    config = compose_run([*options, f"env.history={history}"])
    assert isinstance(config.frame, Frame)
    prompts = ChatPrompts(config.model, tmp_path, 416, history=history, frame=config.frame)
    return str(prompts.tokenizer.decode(list(prompts.prompt(GOAL, past, "a cup", ACTIONS))))


@pytest.mark.parametrize(
    ("preset", "answer", "history"),
    [
        ("verl_agent_alfworld", "tagged", 2),
        ("verl_agent_webshop", "tagged", 2),
        ("steppo_alfworld", "tool_call", 20),
        ("steppo_webshop", "tool_call", 15),
    ],
)
def test_presets_word_by_word(preset, answer, history, tmp_path):
    """Against texts written by hand: a first step, and a fourth one that shows what history it has."""
    for past, step in (((), "first"), (PAST, "later")):
        system, user, shown = said(preset, answer, history, past, tmp_path).partition(USER)
        assert user
        assert shown == (EXPECTED / f"{preset}.{step}.txt").read_text() + ANSWER
        assert bool(system) == preset.startswith("steppo")


def test_a_repositorys_words_take_the_place_of_ours(tmp_path, capsys, monkeypatch):
    file = tmp_path / "copy" / "agent_system" / "environments" / "prompts" / "alfworld.py"
    file.parent.mkdir(parents=True)
    file.write_text(
        'raise SystemExit("never run")\n'
        'ALFWORLD_TEMPLATE_NO_HIS = """\nSee {current_observation}, do [{admissible_actions}].\n"""\n'
        'ALFWORLD_TEMPLATE = """{task_description} after {step_count}: {action_history} ({history_length} of '
        '{current_step}) {current_observation} [{admissible_actions}]"""\n'
    )
    made = tmp_path / "made"
    made.mkdir()
    assert [*written(tmp_path / "copy", made)] == ["prompt=verl_agent_alfworld_exact"]
    preset = PromptConfig(**yaml.safe_load((made / "verl_agent_alfworld_exact.yaml").read_text()))
    assert preset.first == "\nSee {observation}, do [{actions}].\n"
    assert preset.turn == "{goal} after {taken}: {past} ({shown} of {step}) {observation} [{actions}]"
    assert (preset.item, preset.joiner) == ("'{action}'", "\n "), "the rest is the preset's"
    monkeypatch.setattr(command, "PRESETS", tmp_path)
    assert command.main([str(tmp_path)]) == 2
    assert "name a copy of verl-agent or of StepPO" in capsys.readouterr().err
    assert command.main([]) == 2


def test_what_is_called_has_our_name_and_no_history_is_none(tmp_path):
    file = tmp_path / "prompts.py"
    file.write_text(
        'ALFWORLD_SYSTEM_PROMPT = ("Call the env_step tool " "once.")\n'
        'ALFWORLD_USER_PROMPT = """{task_text} {history_actions} `env_step` {admissible_commands}"""\n'
    )
    steppo = next(each for each in PUBLISHED if each.preset == "steppo_alfworld")
    assert words(steppo, file) == {
        "system": "Call the act tool once.",
        "first": "{goal} None `act` {actions}",
        "turn": "{goal} {past} `act` {actions}",
    }
    with pytest.raises(UserError, match="has no constant WEBSHOP_USER_PROMPT"):
        words(next(each for each in PUBLISHED if each.preset == "steppo_webshop"), file)
    with pytest.raises(UserError, match=r"a placeholder \{mood\} that nothing fills"):
        renamed("a {mood}", file)
