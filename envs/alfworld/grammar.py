"""TextWorld's context-sensitive grammar, which here parses each of its texts once.

TextWorld parses a rule's condition, a list's query and the symbol to begin with anew at each derivation,
which is most of what a step of ALFWorld costs. What is derived is the same.
"""

import copy
import functools
from collections.abc import Sequence
from typing import Any

from textworld.envs.pddl import textgen
from textworld.logic import Rule

Context = dict[str, Any]
parsed_query = functools.cache(Rule.parse_conjunctive_query)


class Bound(dict[Any, Any]):
    """Names in a context. The grammar copies them deeply at each symbol, and changes nothing in them."""

    def __deepcopy__(self, memo: object) -> "Bound":
        return Bound(self)


class Grammar(textgen.ContextSensitiveGrammar):  # type: ignore[misc]  # textworld has no types
    """The rules of another grammar."""

    def __init__(self, rules: textgen.ContextSensitiveGrammar) -> None:
        self._rules = rules._rules
        self._parsed: dict[str, list[Any]] = {}

    def derive(self, start: str, context: Context) -> str:
        """The text that `start` stands for: `{"state", "facts", "variables", "mapping", "entity_infos"}`."""
        if start not in self._parsed:
            self._parsed[start] = textgen._parse_and_convert(start, rule_name="symbols")
        pending, said = placed(self._parsed[start], context)[::-1], []
        while pending:
            symbol = pending.pop()
            if isinstance(symbol, textgen.TerminalSymbol):
                said.append(str(symbol))
            else:
                pending += self._expanded(symbol)[::-1]
        return "".join(said)

    def _expanded(self, symbol: Any) -> Sequence[Any]:
        """What a symbol is replaced by, once."""
        if isinstance(symbol, textgen.NonterminalSymbol):
            rules = self._rules.get(str(symbol))
            if not rules:
                raise textgen.CSGUnknownSymbolError(symbol)
            first = next(
                rule for rule in rules if not rule.condition or matches(rule.condition, symbol.context)
            )
            return placed(first.rhs, symbol.context)
        if isinstance(symbol, textgen.ListSymbol):
            symbol.symbol.context = symbol.context
            return list(textgen.display_list(self._expanded(symbol.symbol), symbol.context))
        if isinstance(symbol, textgen.ConditionalSymbol) and symbol.given:
            return [symbol.expression.copy(context) for context in answers(symbol.given, symbol.context)]
        return list(symbol.derive())


def placed(symbols: Sequence[Any], context: Context) -> list[Any]:
    """Copies of the symbols in this context."""
    copies = copy.deepcopy(list(symbols))
    for symbol in copies:
        symbol.context = textgen.copy_context(context)
    return copies


def assignments(query: str, context: Context) -> Any:
    """The ways in which a query is true, one after another."""
    return context["state"].all_assignments(parsed_query(query), context["mapping"])


def matches(query: str, context: Context) -> bool:
    """Whether a query is true in any way."""
    return next(iter(assignments(query, context)), None) is not None


def answers(query: str, context: Context) -> list[Context]:
    """A context for each way in which a query is true."""
    found = []
    for mapping in assignments(query, context):
        extended = textgen.copy_context(context)
        names = {place.name: extended["entity_infos"][thing.name] for place, thing in mapping.items()}
        extended["variables"].update(names)
        extended["mapping"].update(mapping)
        found.append(extended)
    return found
