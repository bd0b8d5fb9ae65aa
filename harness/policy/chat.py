"""Prompts of pretrained chat models: a conversation in ids, through the model's own chat template.

The template is applied to text that has not been in a prompt before, never to what was sampled: a step's
prompt is the earlier prompt, the sampled ids, and the ids of what the template puts after them. So with all
of the history, the prompt of a step begins with the prompt and the response of the step before. What is said
is the frame's (`envs/frame.py`), never the policy's.
"""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

from transformers import AutoTokenizer, PreTrainedTokenizerFast

from envs.frame import TEXT_GAME, Frame, Layout, fill
from harness.config import RunConfig
from harness.config.model import Answer, PretrainedModel, Truncation
from harness.errors import UserError
from harness.policy.answer import ACT, HOW_TO_ANSWER, Answers
from harness.policy.prompting import PromptTooLong, Reading, Sums, Turn
from harness.policy.template import SAMPLED, Message, Template, message
from harness.records import StopReason

remember = lru_cache(maxsize=2**14)
"""Rollouts of a task show the same observations again and again."""


class ChatPrompts:
    """Builds conversations and reads answers."""

    def __init__(
        self,
        model: PretrainedModel,
        folder: Path,
        vocabulary_size: int,
        history: int,
        frame: Frame = TEXT_GAME,
        verbatim: bool = False,
        tools: Sequence[Mapping[str, Any]] = (),
    ) -> None:
        """`history`: the most past turns that a prompt shows. `vocabulary_size`: of the model's head.

        `verbatim`, `tools`: see `EnvironmentSpec`.
        """
        tokenizer = AutoTokenizer.from_pretrained(folder)
        assert isinstance(tokenizer, PreTrainedTokenizerFast)
        self.template = Template(tokenizer, f"model={model.name}: {folder}", model.enable_thinking)
        self.tokenizer, self.model, self.history, self.frame = tokenizer, model, history, frame
        self.vocabulary_size = vocabulary_size
        self.end_id = self.template.end_id
        self.pad_id: int = self.end_id if tokenizer.pad_token_id is None else tokenizer.pad_token_id
        call = None
        if model.answer is Answer.tool_call:
            call = self.template.call_form()
            self.template.tools = [dict(tool) for tool in tools] or [ACT]
        self.answers = Answers(model.answer, verbatim, self.template.opens_thought, call, bool(tools))
        # The tags around thoughts and calls are special tokens of some models, and a part of what they say.
        marks = f"<think></think>{call.opening}{call.closing}" if call else "<think></think>"
        self._unread = {self.end_id, *tokenizer.all_special_ids} - {*self.ids(marks)}
        self.prompts = self.dropped_turns = self.cut_tokens = 0
        self._begin, self._after = remember(self._begin_ids), remember(self._after_ids)

    def prompt(
        self, goal: str, past: Sequence[Turn], observation: str, admissible: Sequence[str] = ()
    ) -> tuple[int, ...]:
        """Ids of the conversation up to the point where the model answers."""
        shown = tuple(past[-self.history :]) if self.history else ()
        now, step = Turn(observation, "", (), tuple(admissible)), len(past) + 1
        longest = self.model.max_prompt_tokens
        for first in range(len(shown) + 1):
            ids = self._ids(goal, shown[first:], now, step)
            if len(ids) <= longest:
                return self._counted(ids, first)
            if self.model.truncation is Truncation.refuse:
                raise UserError(
                    f"a prompt of {len(ids)} tokens is longer than model.max_prompt_tokens={longest}: raise "
                    "it, lower env.history, or set model.truncation=oldest"
                )
            if self.model.truncation is Truncation.stop and past:
                raise PromptTooLong
        return self._counted(self._cut(goal, now, step, len(ids) - longest), len(shown))

    def response(self, action: str, admissible: Sequence[str] = ()) -> tuple[int, ...]:
        """Ids of an action in the form that the prompt asks for."""
        return (*self.ids(self.answers.write(action, admissible)), self.end_id)

    def read(self, response_ids: Sequence[int], admissible: Sequence[str] = ()) -> Reading:
        """What a response says."""
        text = str(self.tokenizer.decode([i for i in response_ids if i not in self._unread]))
        action, well_formed = self.answers.read(text, admissible)
        if well_formed:
            return Reading(action)
        cut = response_ids[-1] != self.end_id
        stop = StopReason.response_too_long if cut else StopReason.format
        return Reading("", False, self.model.format_penalty, stop if self.model.stop_on_format else None)

    def texts(self, ids: Sequence[int]) -> list[str]:
        """The text of each token, special tokens by their names."""
        return [str(self.tokenizer.decode([i])) for i in ids]

    def ids(self, text: str) -> tuple[int, ...]:
        """Ids of text as it stands: the template has put in every special token that there is to be."""
        return tuple(self.tokenizer.encode(text, add_special_tokens=False))

    def take_dropped(self, summed: Sums = dict) -> dict[str, float]:
        """Turns left out and tokens cut, each a mean over the prompts since the last call."""
        names = ("prompts", "dropped_turns", "cut_tokens")
        total = summed({name: getattr(self, name) for name in names})
        self.prompts = self.dropped_turns = self.cut_tokens = 0
        return {name: total[name] / max(total["prompts"], 1) for name in names[1:]}

    def _counted(self, ids: tuple[int, ...], dropped: int) -> tuple[int, ...]:
        self.prompts += 1
        self.dropped_turns += dropped
        return ids

    def _ids(self, goal: str, shown: Sequence[Turn], now: Turn, step: int) -> tuple[int, ...]:
        if self.frame.layout is Layout.single:
            return self._begin(goal, self._single(goal, shown, now, step))
        first, *rest = (*shown, now)
        number = step - len(shown)
        ids = self._begin(goal, self._turn(self.frame.first or self.frame.turn, goal, first, number))
        for i, (before, turn) in enumerate(zip((*shown, now), rest, strict=False), start=1):
            ids += before.response_ids
            after = self._after(self._turn(self.frame.turn, goal, turn, number + i))
            # The template ends the answer, unless the model has done so.
            ended = before.response_ids[-1] == self.end_id == after[0]
            ids += after[1:] if ended else after
        return ids

    def _cut(self, goal: str, now: Turn, step: int, excess: int) -> tuple[int, ...]:
        """The conversation of one turn, the end of its observation cut by at least `excess` tokens."""
        observation, longest = self.ids(now.observation), self.model.max_prompt_tokens
        for kept in range(len(observation) - excess, -1, -1):
            text = str(self.tokenizer.decode(list(observation[:kept])))
            ids = self._ids(goal, (), now._replace(observation=text), step)
            if len(ids) <= longest:
                self.cut_tokens += len(observation) - kept
                return ids
        raise UserError(
            f"the task and its actions alone are longer than model.max_prompt_tokens={longest}: raise it"
        )

    def _begin_ids(self, goal: str, shown: str) -> tuple[int, ...]:
        """Ids of a conversation with one observation."""
        return self.ids(self.template.render([*self._head(goal), message("user", shown)]))

    def _after_ids(self, shown: str) -> tuple[int, ...]:
        """Ids of what follows a sampled response: its end, the next observation, the generation prompt."""
        role = "tool" if self.model.answer is Answer.tool_call else "user"
        text = self.template.render(
            [message("user", "-"), message("assistant", SAMPLED), message(role, shown)]
        )
        return self.ids(text.rpartition(SAMPLED)[2])

    def _head(self, goal: str) -> list[Message]:
        system = fill(self.frame.system, self._values(goal))
        head: list[Message] = [message("system", system)] if system else []
        for example in self.frame.examples if self.model.example else ():
            turn = Turn(example.observation, "", (), example.admissible)
            answer = self.answers.write(example.chosen, example.admissible)
            shown = self._turn(self.frame.turn, goal, turn, 1)
            head += [message("user", shown), message("assistant", answer)]
        return head

    def _values(self, goal: str) -> dict[str, object]:
        task = fill(self.frame.task, {"goal": goal}) if goal else ""
        return {"goal": goal, "task": task, "how": self.frame.how or HOW_TO_ANSWER[self.model.answer]}

    def _turn(self, template: str, goal: str, turn: Turn, step: int, **more: object) -> str:
        """The message of a turn."""
        actions = self._listed(turn.admissible)
        if not actions:
            template = template.removesuffix("{actions}").rstrip()
        now = {"observation": turn.observation, "actions": actions, "step": step, "taken": step - 1}
        return fill(template, {**self._values(goal), **now, **more})

    def _single(self, goal: str, shown: Sequence[Turn], now: Turn, step: int) -> str:
        """One message that holds the past turns too."""
        frame, first = self.frame, step - len(shown)
        past = "\n".join(
            fill(frame.past, {"observation": turn.observation, "action": turn.action, "step": first + i})
            for i, turn in enumerate(shown)
        )
        template = frame.turn if shown else frame.first or frame.turn
        return self._turn(template, goal, now, step, past=past, shown=len(shown))

    def _listed(self, admissible: Sequence[str]) -> str:
        """The actions that are possible, if the prompt lists them."""
        if self.model.answer is Answer.open:
            return ""
        item = self.frame.item or (
            "{number}. {action}" if self.model.answer is Answer.numbered else "{action}"
        )
        listed = (fill(item, {"action": each, "number": i}) for i, each in enumerate(admissible, start=1))
        return self.frame.joiner.join(listed)


def chat_prompts(config: RunConfig, folder: Path, vocabulary_size: int) -> ChatPrompts:
    """The conversations of a run with the pretrained model in `folder`."""
    assert isinstance(config.model, PretrainedModel)
    env = config.env
    return ChatPrompts(
        config.model, folder, vocabulary_size, env.history, config.frame, env.verbatim, env.tools
    )
