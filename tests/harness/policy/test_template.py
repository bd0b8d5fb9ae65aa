"""What chat templates of other makers do, and what becomes of it."""

import pytest

from envs.frame import Frame, Layout
from harness.config import PretrainedModel
from harness.config.model import Answer, Truncation
from harness.errors import UserError
from harness.policy.chat import ChatPrompts
from harness.policy.prompting import PromptTooLong, Turn
from harness.policy.template import Template
from harness.records import StopReason
from tests.harness.policy.folders import CHATML, chat_tokenizer

OPENING = CHATML.replace("<|im_start|>assistant\n{% endif %}", "<|im_start|>assistant\n<think>\n{% endif %}")
"""As Qwen3-Thinking has it: the thought is open when the model begins."""
DATED = CHATML.replace(
    "{% for", "<|im_start|>system\nToday is {{ strftime_now('%d %B %Y') }}.<|im_end|>\n{% for", 1
)
STRICT = (
    "{% if messages[0]['role'] == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}"
    + CHATML
)
"""As Gemma has it."""
DEAF = CHATML.replace(
    "{% for message in messages %}", "{% for message in messages if message['role'] != 'system' %}"
)
"""It leaves system messages out without a word."""
TOOLS = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n"
    "{% if message.tool_calls %}{% for call in message.tool_calls %}<tool_call>\n"
    '{"name": "{{ call.function.name }}", "arguments": {{ call.function.arguments | tojson }}}\n</tool_call>'
    "{% endfor %}{% else %}{{ message['content'] }}{% endif %}<|im_end|>\n{% endfor %}"
    "{% if tools %}<|im_start|>system\n{{ tools | tojson }}<|im_end|>\n{% endif %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
"""As Qwen2.5 has it, shortened."""


THINKING_TOOLS = TOOLS.replace(
    "{% if message.tool_calls %}",
    "{% if message['role'] == 'assistant' %}<think>\n\n</think>\n\n{% endif %}{% if message.tool_calls %}",
).replace("assistant\n{% endif %}", "assistant\n<think>\n\n</think>\n\n{% endif %}")
"""As Qwen3 has it: empty thoughts stand before an answer, and before a call."""


def folder_of(template: str, tmp_path, end: str = "<|im_end|>"):
    tokenizer = chat_tokenizer("qwen2")
    tokenizer.chat_template, tokenizer.eos_token = template, end
    tokenizer.save_pretrained(tmp_path)
    return tmp_path


def prompts_of(
    template: str, tmp_path, frame: Frame | None = None, history: int = 9, **options
) -> ChatPrompts:
    folder = folder_of(template, tmp_path)
    words = {"frame": frame} if frame else {}
    return ChatPrompts(PretrainedModel(source=str(folder), **options), folder, 416, history, **words)


def text_of(prompts: ChatPrompts, *arguments: object) -> str:
    return str(prompts.tokenizer.decode(list(prompts.prompt(*arguments))))


def test_a_thought_that_the_template_opens_ends_where_the_model_ends_it(tmp_path):
    prompts = prompts_of(OPENING, tmp_path, answer=Answer.open)
    said = (*prompts.ids("it is closed</think>open safe"), prompts.end_id)
    assert prompts.read(said).action == "open safe"
    assert prompts.read(prompts.ids("it is closed and")).action == ""


def test_the_date_is_the_same_every_day(tmp_path):
    prompts = prompts_of(DATED, tmp_path)
    assert "Today is 26 July 2024." in text_of(prompts, "g", (), "o")


@pytest.mark.parametrize("template", [STRICT, DEAF], ids=["refuses", "leaves out"])
def test_without_a_system_role_its_text_goes_before_the_first_message(template, tmp_path):
    text = text_of(prompts_of(template, tmp_path, example=False), "find it", (), "you see a safe .")
    assert text.startswith("<|im_start|>user\nYou play a text game. Your task: find it.")
    assert text.index("Your task") < text.index("you see a safe .")
    assert text.count("<|im_start|>user") == 1


def test_a_turn_ends_with_the_token_that_the_template_writes(tmp_path):
    tokenizer = chat_tokenizer("qwen2")
    tokenizer.eos_token = "<|eot_id|>"  # the end of a text, as base models have it
    tokenizer.add_special_tokens({"additional_special_tokens": ["<|im_end|>"]})
    assert Template(tokenizer, "m").end_id == tokenizer.convert_tokens_to_ids("<|im_end|>")


def test_a_template_that_refuses_is_named_in_one_line(tmp_path):
    broken = CHATML + "{{ raise_exception('no such\\nconversation') }}"
    with pytest.raises(UserError, match="its chat template refuses the conversation") as error:
        prompts_of(broken, tmp_path)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("template", [TOOLS, THINKING_TOOLS], ids=["plain", "empty thoughts"])
def test_calls_have_the_form_of_the_models_own_template(template, tmp_path):
    prompts = prompts_of(template, tmp_path, answer=Answer.tool_call)
    assert prompts.answers.write("open safe") == (
        '<tool_call>\n{"name": "act", "arguments": {"action": "open safe"}}\n</tool_call>'
    )
    first = text_of(prompts, "g", (), "o", ("open safe",))
    assert '"name": "act"' in first
    assert "\nopen safe<|im_end|>" in first
    turn = Turn("o", "open safe", prompts.response("open safe"), ("open safe",))
    assert "<|im_start|>tool\nit opens" in text_of(prompts, "g", [turn], "it opens")
    assert prompts.read(prompts.response("Open safe")).action == "open safe"


def test_a_template_without_calls_is_refused(tmp_path):
    with pytest.raises(UserError, match=r"writes no function calls as JSON: choose model\.answer=tagged"):
        prompts_of(CHATML, tmp_path, answer=Answer.tool_call)


def test_an_ill_formed_response_costs_and_may_end_the_episode(tmp_path):
    prompts = prompts_of(CHATML, tmp_path, answer=Answer.tagged, format_penalty=0.25, stop_on_format=True)
    ended, cut = (*prompts.ids("open safe"), prompts.end_id), prompts.ids("open safe, as")
    assert prompts.read(ended) == ("", False, 0.25, StopReason.format)
    assert prompts.read(cut) == ("", False, 0.25, StopReason.response_too_long)
    assert prompts.read(prompts.response("open safe")) == ("open safe", True, 0.0, None)
    lenient = prompts_of(CHATML, tmp_path, answer=Answer.tagged)
    assert lenient.read(ended) == ("", False, 0.0, None)


def test_a_conversation_that_outgrows_the_prompt_may_end_the_episode(tmp_path):
    roomy = prompts_of(CHATML, tmp_path)
    turn = Turn("a safe", "open safe", roomy.response("open safe"))
    longest = len(roomy.prompt("g", (), "a safe"))
    tight = prompts_of(CHATML, tmp_path, max_prompt_tokens=longest, truncation=Truncation.stop)
    assert tight.prompt("g", (), "a safe") == roomy.prompt("g", (), "a safe")
    with pytest.raises(PromptTooLong):
        tight.prompt("g", [turn], "it opens")
    assert len(tight.prompt("g", (), "a safe " * 9)) <= longest, "the first prompt is cut all the same"


SINGLE = Frame(
    system="",
    first="Task: {goal}. You see: {observation} You may: [{actions}] {how}",
    turn="Task: {goal}. {shown} of {step}:\n{past}\nNow: {observation} You may: [{actions}] {how}",
    past="[{step}: '{observation}' -> '{action}']",
    layout=Layout.single,
    how='Answer as JSON {"braces"}.',
    item="'{action}'",
    joiner=", ",
)


def test_a_frame_may_put_the_past_into_one_message(tmp_path):
    prompts = prompts_of(CHATML, tmp_path, frame=SINGLE, history=1, answer=Answer.listed)
    past = [Turn("a {goal}", "look", (5, 6)), Turn("a safe", "open safe", (7, 8))]
    begin, end = "<|im_start|>user\n", "<|im_end|>\n<|im_start|>assistant\n"
    assert text_of(prompts, "win", (), "a {past}", ("look",)) == (
        f"{begin}Task: win. You see: a {{past}} You may: ['look'] Answer as JSON {{\"braces\"}}.{end}"
    )
    assert text_of(prompts, "win", past, "gold", ("look", "take gold")) == (
        f"{begin}Task: win. 1 of 3:\n[2: 'a safe' -> 'open safe']\nNow: gold You may: ['look', 'take gold'] "
        f'Answer as JSON {{"braces"}}.{end}'
    )
