"""Conversations in ids: the template once, nothing sampled tokenised again, nothing dropped in silence."""

from dataclasses import replace

import pytest

from envs.household import HouseholdSpec
from harness.config import PretrainedModel
from harness.config.model import Answer, Truncation
from harness.errors import UserError
from harness.policy.chat import ChatPrompts
from harness.policy.prompting import Turn
from tests.harness.policy.folders import TEMPLATES, chat_tokenizer

ALL = 100
ADMISSIBLE = ("go shelf", "go desk", "take mug")
GENERATION = {
    "qwen2": "<|im_start|>assistant\n",
    "qwen3": "<|im_start|>assistant\n<think>\n\n</think>\n\n",
    "llama": "<|start_header_id|>assistant<|end_header_id|>\n\n",
}


@pytest.fixture(params=TEMPLATES)
def architecture(request) -> str:
    return request.param


@pytest.fixture
def folder(architecture, tmp_path):
    chat_tokenizer(architecture).save_pretrained(tmp_path)
    return tmp_path


def model_of(folder, **options) -> PretrainedModel:
    return PretrainedModel(source=str(folder), **options)


@pytest.fixture
def prompts(folder):
    return ChatPrompts(model_of(folder), folder, 416, history=ALL)


def sampled(prompts: ChatPrompts, text: str, ended: bool = True) -> tuple[int, ...]:
    return (*prompts.ids(text), *([prompts.end_id] if ended else []))


def played(prompts: ChatPrompts, ended: bool = True) -> list[Turn]:
    """Three turns; the second answer is no merge of the tokenizer: its letters were sampled one by one."""
    letters = tuple(i for letter in "go desk" for i in prompts.ids(letter))
    end = (prompts.end_id,) if ended else ()
    assert letters != prompts.ids("go desk")
    return [
        Turn("you see a desk .", "go shelf", sampled(prompts, "1", ended), ADMISSIBLE),
        Turn("you see a mug .", "go desk", letters + end, ADMISSIBLE),
        Turn("you see a door .", "take mug", sampled(prompts, "3", ended), ADMISSIBLE),
    ]


def test_a_prompt_is_the_template_applied_once(prompts, architecture, folder):
    """Against the tokenizer's own rendering of the whole conversation, ids and all."""
    ids = prompts.prompt("put a mug on desk", (), "you see a desk .", ADMISSIBLE)
    text = prompts.tokenizer.decode(list(ids))
    assert text.endswith(GENERATION[architecture])
    assert text.count(GENERATION[architecture]) == 1 or architecture != "qwen3"
    begin = TEMPLATES[architecture][1]
    if begin:
        assert ids.count(prompts.tokenizer.convert_tokens_to_ids(begin)) == 1
    assert "Your task: put a mug on desk." in text
    assert (
        text.index("put a mug on desk") < text.index("you are in a kitchen") < text.index("you see a desk .")
    )
    assert "you see a desk .\n\n1. go shelf\n2. go desk\n3. take mug" in text


@pytest.mark.parametrize("ended", [True, False], ids=["ended", "cut off"])
def test_a_conversation_is_what_the_template_makes_of_all_its_messages(prompts, architecture, ended):
    """Where the sampled ids are those that the tokenizer would give; Qwen3's empty thoughts apart."""
    turns = [turn for turn in played(prompts, ended) if turn.action != "go desk"]
    now = "you see a window ."
    ids = prompts.prompt("", turns, now, ADMISSIBLE)
    listed = "\n\n1. go shelf\n2. go desk\n3. take mug"
    messages = list(prompts._head(""))
    for turn in turns:
        answer = prompts.tokenizer.decode([i for i in turn.response_ids if i != prompts.end_id])
        messages += [
            {"role": "user", "content": turn.observation + listed},
            {"role": "assistant", "content": answer},
        ]
    messages.append({"role": "user", "content": now + listed})
    whole = prompts.tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
    text = prompts.tokenizer.decode(list(ids))
    if architecture == "qwen3":
        assert text.count("<think>\n\n</think>\n\n") == 3
        text = text.replace("<think>\n\n</think>\n\n", "")
        assert text == whole
    else:
        assert text == whole
        assert list(ids) == prompts.tokenizer.encode(whole, add_special_tokens=False)


@pytest.mark.parametrize("ended", [True, False], ids=["ended", "cut off"])
def test_a_prompt_extends_the_prompt_and_the_response_before(prompts, ended):
    turns = played(prompts, ended)
    for now in range(len(turns)):
        here, then = turns[now], turns[now + 1].observation if now + 1 < len(turns) else "you see a window ."
        before = prompts.prompt("a goal", turns[:now], here.observation, ADMISSIBLE)
        after = prompts.prompt("a goal", turns[: now + 1], then, ADMISSIBLE)
        assert after[: len(before) + len(here.response_ids)] == before + here.response_ids


def test_a_shorter_history_shows_the_last_turns_as_they_were_sampled(folder, prompts):
    turns = played(prompts)
    short = ChatPrompts(prompts.model, folder, 416, history=1)
    assert short.prompt("g", turns, "now", ADMISSIBLE) == prompts.prompt("g", turns[2:], "now", ADMISSIBLE)
    none = ChatPrompts(prompts.model, folder, 416, history=0)
    assert none.prompt("g", turns, "now", ADMISSIBLE) == prompts.prompt("g", (), "now", ADMISSIBLE)


def test_the_oldest_turns_go_first_and_are_counted(folder, prompts):
    turns = played(prompts)
    kept = prompts.prompt("g", turns[1:], "now", ADMISSIBLE)
    tight = ChatPrompts(model_of(folder, max_prompt_tokens=len(kept)), folder, 416, history=ALL)
    assert tight.prompt("g", turns, "now", ADMISSIBLE) == kept
    assert tight.prompt("g", turns[1:], "now", ADMISSIBLE) == kept
    assert tight.take_dropped() == {"dropped_turns": 0.5, "cut_tokens": 0.0}
    assert tight.take_dropped() == {"dropped_turns": 0.0, "cut_tokens": 0.0}


def test_then_the_end_of_the_observation_is_cut_and_counted(folder, prompts):
    words = " ".join(f"word{i}" for i in range(50))
    longest = len(prompts.prompt("g", (), "", ADMISSIBLE)) + 20
    tight = ChatPrompts(model_of(folder, max_prompt_tokens=longest), folder, 416, history=ALL)
    ids = tight.prompt("g", played(prompts), words, ADMISSIBLE)
    assert longest - 4 <= len(ids) <= longest
    text = tight.tokenizer.decode(list(ids))
    assert "word0 word1" in text
    assert "word49" not in text
    assert "3. take mug" in text, "the actions stay"
    dropped = tight.take_dropped()
    assert dropped["dropped_turns"] == 3
    assert dropped["cut_tokens"] == pytest.approx(len(prompts.ids(words)) - 20, abs=5)
    hopeless = ChatPrompts(model_of(folder, max_prompt_tokens=10), folder, 416, history=ALL)
    with pytest.raises(UserError, match=r"longer than model\.max_prompt_tokens=10: raise it"):
        hopeless.prompt("g", (), "now", ADMISSIBLE)


def test_a_run_may_refuse_to_drop_anything(folder, prompts):
    turns = played(prompts)
    longest = len(prompts.prompt("g", turns[1:], "now", ADMISSIBLE))
    strict = model_of(folder, max_prompt_tokens=longest, truncation=Truncation.refuse)
    with pytest.raises(
        UserError, match=r"longer than model.max_prompt_tokens=\d+: raise it, lower env.history"
    ):
        ChatPrompts(strict, folder, 416, history=ALL).prompt("g", turns, "now", ADMISSIBLE)


@pytest.mark.parametrize("answer", [each for each in Answer if each is not Answer.tool_call])
def test_every_admissible_action_can_be_said(answer, folder):
    """What `response` writes, `action` reads, for all actions of an environment."""
    prompts = ChatPrompts(model_of(folder, answer=answer), folder, 416, history=0)
    spec = HouseholdSpec()
    for task in spec.training_panel():
        _, info = spec.make().reset(task)
        for action in info.admissible:
            response = prompts.response(action, info.admissible)
            assert response[-1] == prompts.end_id
            assert prompts.read(response, info.admissible).action == action
    listed = "2. go desk" if answer is Answer.numbered else "go desk"
    text = prompts.tokenizer.decode(list(prompts.prompt("", (), "o", ADMISSIBLE)))
    assert (f"\n{listed}\n" in text) == (answer is not Answer.open)


def test_the_example_can_be_left_out(folder, prompts):
    bare = ChatPrompts(replace(prompts.model, example=False), folder, 416, history=0)
    assert "kitchen" not in bare.tokenizer.decode(list(bare.prompt("g", (), "o", ADMISSIBLE)))


def test_a_model_without_a_template_is_refused(tmp_path):
    tokenizer = chat_tokenizer("qwen2")
    tokenizer.chat_template = None
    tokenizer.save_pretrained(tmp_path)
    with pytest.raises(UserError, match="has no chat template: choose a chat model"):
        ChatPrompts(model_of(tmp_path), tmp_path, 416, history=0)
