"""The state of a running game in ALFWorld's format, and what its operators are."""

import functools
import hashlib
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import fast_downward
import textworld
from textworld.envs.pddl.logic import Atom, PddlState
from textworld.envs.pddl.pddl import PddlEnv
from textworld.logic import Placeholder, Variable

from envs.alfworld.grammar import Grammar

GAMES_KEPT = 256
"""Games whose translation a process keeps."""
QUERIED = re.compile(r"(\w+)\(")
"""A predicate in a condition of the grammar."""


@dataclass
class Operation:
    """An operator of a game."""

    mapping: Mapping[Any, Any]
    """The things that stand for the placeholders of its templates."""
    template: str
    feedback_rule: str
    varies: bool
    """Whether its command depends on more than the things in it."""
    command: str | None = None
    """The command, once it was derived."""


class Choice(NamedTuple):
    """Something that can be done now: an operator, and its number in Fast Downward."""

    id: int
    operation: Operation


class Loaded:
    """A game before its first command, and what is known about it; for all who play it in this process."""

    def __init__(self, game: str) -> None:
        env = PddlEnv(textworld.EnvInfos())
        env.load(game)
        self.first = env._pddl_state
        self.grammar = Grammar(env._logic.grammar)
        self.operations: dict[str, Operation] = {}
        actions = self.first.task.actions
        effects = [effect for action in actions for effect in action.effects]
        self.changed = {effect.literal.predicate for effect in effects}
        queried = {found.lower() for found in QUERIED.findall(env._game_data["grammar"])}
        read = queried | set(read_by_rules(self.first.task))
        self.telling = {name for name in read if name.removeprefix("not_") in self.changed}
        """Predicates that change and that anything depends on; others only note what was done (`checked`)."""
        self.conditional = {
            effect.literal.predicate
            for effect in effects
            if not isinstance(effect.condition, fast_downward.translate.pddl.conditions.Truth)
        }
        """Predicates of which TextWorld's facts may be wrong: it takes every effect to have happened."""


@functools.lru_cache(maxsize=GAMES_KEPT)
def loaded(game: str) -> Loaded:
    """The game of a file."""
    return Loaded(game)


def read_by_rules(task: Any) -> Iterable[str]:
    """The predicates in preconditions, conditions of effects, axioms and the goal."""
    conditions = [task.goal, *(axiom.condition for axiom in task.axioms)]
    for action in task.actions:
        conditions += [action.precondition, *(effect.condition for effect in action.effects)]
    while conditions:
        condition = conditions.pop()
        conditions += getattr(condition, "parts", ())
        if hasattr(condition, "predicate"):
            yield condition.predicate


class Position(PddlState):  # type: ignore[misc]  # textworld has no types
    """The state of a running game, which begins as the game does."""

    def __init__(self, game: Loaded, downward_lib: Any) -> None:
        first = game.first
        self.__dict__ |= first.__dict__
        self._facts = defaultdict(set, {kind: set(facts) for kind, facts in first._facts.items()})
        self._vars_by_name = dict(first._vars_by_name)
        by_type = {kind: set(names) for kind, names in first._vars_by_type.items()}
        self._vars_by_type = defaultdict(set, by_type)
        self._var_counts = first._var_counts.copy()
        self._game = game
        self.downward_lib = downward_lib
        self.downward_lib.load_sas(self.sas.encode())

    def all_applicable_actions(self) -> list[Choice]:
        """What can be done here; of operators with one name, the first."""
        operators = (fast_downward.Operator * self.downward_lib.get_applicable_operators_count())()
        self.downward_lib.get_applicable_operators(operators)
        self._operators = {operator.id: operator for operator in operators}
        named: dict[str, int] = {}
        for operator in operators:
            named.setdefault(operator.name, operator.id)
        return [Choice(id, self._operation(name)) for name, id in named.items()]

    def key(self) -> str:
        """A hash of the facts that decide what may happen and be said from here on."""
        facts = {str(fact) for fact in self.facts if fact.name in self._game.telling}
        if self._game.conditional:
            atoms = (Atom * self.downward_lib.get_state_size())()
            self.downward_lib.get_state(atoms)
            facts |= {name for name in (atom.name for atom in atoms) if self._uncertain(name)}
        return hashlib.sha256("\n".join(sorted(facts)).encode()).hexdigest()[:16]

    def _uncertain(self, atom: str) -> bool:
        """Whether Fast Downward alone knows of an atom such as `Atom ison(lamp)`."""
        return atom.split(" ", 1)[-1].split("(", 1)[0] in self._game.conditional

    def _operation(self, name: str) -> Operation:
        """The operator of this name, such as `gotolocation agent1 here there shelf`."""
        if name not in self._game.operations:
            kind, *things = name.split()
            mapping = {
                Placeholder(place.name.strip("?"), place.type_name): Variable(thing, place.type_name)
                for place, thing in zip(self._actions[kind].parameters, things, strict=False)
            }
            words = self._logic.actions[kind]
            varies = any(each.lower() in self._game.changed for each in QUERIED.findall(words.template))
            self._game.operations[name] = Operation(mapping, words.template, words.feedback_rule, varies)
        return self._game.operations[name]
