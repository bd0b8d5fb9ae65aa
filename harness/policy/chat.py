"""Prompts of pretrained chat models: a growing conversation in ids, through the model's own chat template.

The template is applied to text that has not been in a prompt before, never to what was sampled: a step's
prompt is the earlier prompt, the sampled ids, and the ids of what the template puts after them. So with all
of the history, the prompt of a step begins with the prompt and the response of the step before.
"""

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

from transformers import AutoTokenizer, PreTrainedTokenizerFast

from harness.config.model import Answer, PretrainedModel, Truncation
from harness.errors import UserError
from harness.policy.answer import read_answer
from harness.policy.prompting import Sums, Turn

HOW_TO_ANSWER = {
    Answer.open: "answer with exactly one action and nothing else",
    Answer.listed: "answer with exactly one of the listed actions, word by word, and nothing else",
    Answer.numbered: "answer with the number of one of the listed actions and nothing else",
}
EXAMPLE = (
    ("you are in a kitchen . you see a closed fridge .", ("go north", "open fridge", "take apple"), 1),
    ("you open the fridge . you see an apple .", ("close fridge", "go north", "take apple"), 2),
)
"""Made-up turns of no environment: observation, admissible actions, the one that is chosen."""
SAMPLED = "\N{OBJECT REPLACEMENT CHARACTER}"
"""Stands where a sampled response is when the template is asked what follows it."""

remember = lru_cache(maxsize=2**14)
"""Rollouts of a task show the same observations again and again."""


class ChatPrompts:
    """Builds a conversation: who the model is and what it has to do; observations; its own answers."""

    def __init__(self, model: PretrainedModel, folder: Path, vocabulary_size: int, history: int) -> None:
        """`history`: the most past turns that a prompt shows. `vocabulary_size`: of the model's head."""
        tokenizer = AutoTokenizer.from_pretrained(folder)
        assert isinstance(tokenizer, PreTrainedTokenizerFast)
        if not tokenizer.chat_template or tokenizer.eos_token_id is None:
            raise UserError(f"model={model.name}: {folder} has no chat template: choose a chat model")
        self.tokenizer, self.model, self.history = tokenizer, model, history
        self.vocabulary_size = vocabulary_size
        self.end_id: int = tokenizer.eos_token_id
        self.pad_id: int = self.end_id if tokenizer.pad_token_id is None else tokenizer.pad_token_id
        self.prompts = self.dropped_turns = self.cut_tokens = 0
        self._begin, self._after = remember(self._begin_ids), remember(self._after_ids)

    def prompt(
        self, goal: str, past: Sequence[Turn], observation: str, admissible: Sequence[str] = ()
    ) -> tuple[int, ...]:
        """Ids of the conversation up to the point where the model answers."""
        shown = tuple(past[-self.history :]) if self.history else ()
        now = Turn(observation, "", (), tuple(admissible))
        longest = self.model.max_prompt_tokens
        self.prompts += 1
        for first in range(len(shown) + 1):
            ids = self._conversation(goal, (*shown[first:], now))
            if len(ids) <= longest:
                self.dropped_turns += first
                return ids
            if self.model.truncation is Truncation.refuse:
                raise UserError(
                    f"a prompt of {len(ids)} tokens is longer than model.max_prompt_tokens={longest}: raise "
                    "it, lower env.history, or set model.truncation=oldest"
                )
        self.dropped_turns += len(shown)
        return self._cut(goal, now, len(ids) - longest)

    def response(self, action: str, admissible: Sequence[str] = ()) -> tuple[int, ...]:
        """Ids of an action in the form that the prompt asks for."""
        return (*self.ids(self._answer(action, admissible)), self.end_id)

    def action(self, response_ids: Sequence[int], admissible: Sequence[str] = ()) -> str:
        """What a response says, in the words that environments read."""
        text = self.tokenizer.decode(list(response_ids), skip_special_tokens=True)
        return read_answer(str(text), admissible, numbered=self.model.answer is Answer.numbered)

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

    def _conversation(self, goal: str, turns: Sequence[Turn]) -> tuple[int, ...]:
        first, *rest = turns
        ids = self._begin(goal, self._shown(first.observation, first.admissible))
        for before, turn in zip(turns, rest, strict=False):
            ids += before.response_ids
            after = self._after(self._shown(turn.observation, turn.admissible))
            # The template ends the answer, unless the model has done so.
            ended = before.response_ids[-1] == self.end_id == after[0]
            ids += after[1:] if ended else after
        return ids

    def _cut(self, goal: str, now: Turn, excess: int) -> tuple[int, ...]:
        """The conversation of one turn, the end of its observation cut by at least `excess` tokens."""
        observation, longest = self.ids(now.observation), self.model.max_prompt_tokens
        for kept in range(len(observation) - excess, -1, -1):
            text = str(self.tokenizer.decode(list(observation[:kept])))
            ids = self._conversation(goal, (now._replace(observation=text),))
            if len(ids) <= longest:
                self.cut_tokens += len(observation) - kept
                return ids
        raise UserError(
            f"the task and its actions alone are longer than model.max_prompt_tokens={longest}: raise it"
        )

    def _begin_ids(self, goal: str, shown: str) -> tuple[int, ...]:
        """Ids of a conversation with one observation."""
        return self.ids(self._render([*self._head(goal), message("user", shown)]))

    def _after_ids(self, shown: str) -> tuple[int, ...]:
        """Ids of what follows a sampled response: its end, the next observation, the generation prompt."""
        text = self._render([message("user", "-"), message("assistant", SAMPLED), message("user", shown)])
        return self.ids(text.rpartition(SAMPLED)[2])

    def _head(self, goal: str) -> list[dict[str, str]]:
        task = f" Your task: {goal}." if goal else ""
        how = HOW_TO_ANSWER[self.model.answer]
        head = [message("system", f"You play a text game.{task} Each turn, {how}.")]
        for observation, admissible, chosen in EXAMPLE if self.model.example else ():
            answer = self._answer(admissible[chosen], admissible)
            head += [message("user", self._shown(observation, admissible)), message("assistant", answer)]
        return head

    def _shown(self, observation: str, admissible: Sequence[str]) -> str:
        """An observation, with the actions that are possible where the prompt lists them."""
        if self.model.answer is Answer.open or not admissible:
            return observation
        numbered = self.model.answer is Answer.numbered
        lines = [f"{i}. {action}" if numbered else action for i, action in enumerate(admissible, start=1)]
        return "\n".join([observation, "", *lines])

    def _answer(self, action: str, admissible: Sequence[str]) -> str:
        if self.model.answer is Answer.numbered and action in admissible:
            return str(list(admissible).index(action) + 1)
        return action

    def _render(self, messages: list[dict[str, str]]) -> str:
        """The template's text with one generation prompt at its end."""
        # A model that can think is asked not to: its thoughts would be the response.
        text = self.tokenizer.apply_chat_template(
            messages, tokenize=False, add_generation_prompt=True, enable_thinking=False
        )
        return str(text)


def message(role: str, content: str) -> dict[str, str]:
    """A message as chat templates read it."""
    return {"role": role, "content": content}
