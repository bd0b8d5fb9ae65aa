"""A word-level tokenizer over an environment's vocabulary, and the prompts built with it."""

from collections.abc import Sequence

from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.normalizers import Lowercase
from tokenizers.pre_tokenizers import Whitespace

from envs.base import ClosedVocabulary, EnvironmentSpec
from harness.policy.prompting import Reading, Sums, Turn
from harness.policy.specials import ACTION, BEGIN, END, GOAL, OBSERVATION, PAD, SPECIALS, UNKNOWN


def word_tokenizer(words: Sequence[str]) -> Tokenizer:
    """One id per word, the special tokens first; words outside the vocabulary become `<unk>`."""
    ids = {token: i for i, token in enumerate(dict.fromkeys([*SPECIALS, *words]))}
    tokenizer = Tokenizer(WordLevel(ids, unk_token=UNKNOWN))
    tokenizer.normalizer = Lowercase()
    tokenizer.pre_tokenizer = Whitespace()
    # These are tokens in a text too, where an observation happens to hold one.
    tokenizer.add_special_tokens([PAD, UNKNOWN, BEGIN, END])
    return tokenizer


class Prompts:
    """Builds prompts from text and reads actions from ids.

    A prompt is `<begin> [<goal> goal] (<obs> observation <act> action)* <obs> observation <act>`; each step
    is prompted afresh, with the last `history` pairs.
    """

    def __init__(self, spec: EnvironmentSpec) -> None:
        assert isinstance(spec, ClosedVocabulary), "a run's configuration has checked that"
        self.tokenizer = word_tokenizer(spec.vocabulary())
        self.history = spec.history
        self.longest = spec.max_prompt_tokens
        self.pad_id, self.end_id = self._id(PAD), self._id(END)
        self.vocabulary_size = self.tokenizer.get_vocab_size()
        self._special = set(range(len(SPECIALS))) - {self._id(UNKNOWN)}
        self.thought_tokens = spec.thought_tokens
        self.thought_ids = tuple(i for word in spec.thought_words for i in self.tokenizer.encode(word).ids)
        self._cache: dict[str, tuple[int, ...]] = {}

    def prompt(
        self, goal: str, past: Sequence[Turn], observation: str, admissible: Sequence[str] = ()
    ) -> tuple[int, ...]:
        """Ids of the prompt. Too long: the oldest pairs go first, then the observation's last words."""
        head = (self._id(BEGIN), *((self._id(GOAL), *self.ids(goal)) if goal else ()))
        tail = (self._id(OBSERVATION), *self.ids(observation))
        room = self.longest - len(head) - 1
        pairs: tuple[int, ...] = ()
        for seen, action, *_ in reversed(past[-self.history :] if self.history else ()):
            pair = (self._id(OBSERVATION), *self.ids(seen), self._id(ACTION), *self.ids(action))
            if len(pair) + len(pairs) + len(tail) > room:
                break
            pairs = pair + pairs
        return (*head, *pairs, *tail[: max(room, 0)], self._id(ACTION))

    def ids(self, text: str) -> tuple[int, ...]:
        """Ids of plain text."""
        if text not in self._cache:
            self._cache[text] = tuple(self.tokenizer.encode(text).ids)
        return self._cache[text]

    def response(self, action: str, admissible: Sequence[str] = ()) -> tuple[int, ...]:
        """Ids of an action as a policy would sample it, after its thoughts if it has any."""
        return (*self.ids(action), self.end_id)

    def read(self, response_ids: Sequence[int], admissible: Sequence[str] = ()) -> Reading:
        """The words of a response after its thoughts; special tokens are not words.

        Every response is well formed; one that ends among its thoughts says nothing.
        """
        said = response_ids[self.thought_tokens :]
        return Reading(" ".join(self.texts([i for i in said if i not in self._special])))

    def texts(self, ids: Sequence[int]) -> list[str]:
        """The text of each token, special tokens by their names."""
        return [str(self.tokenizer.id_to_token(i)) for i in ids]

    def take_dropped(self, summed: Sums = dict) -> None:
        """Nobody counts what these prompts leave out."""

    def _id(self, token: str) -> int:
        return SPECIALS.index(token)
