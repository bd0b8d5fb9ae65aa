#!/usr/bin/env bash
# textworld 1.7.0 with its extra pddl (fast-downward-textworld 20.6.4), the engine of ALFWorld's text games.
#
# A PDDL game with two lamps. `press` has two conditional effects: a lit lamp goes out, a dark one lights up. The
# goal is: lamp a lit, lamp b dark.
#
# Guess:  infos["facts"] is the state of the game, so that it agrees with `won`, and a state can be named by it.
# Seen:   facts take every effect to have happened, whatever its condition says; the last one stays, "not lit". The
#         game itself (Fast Downward) plays by the conditions. After `press a` and `press b` the game is won, while
#         facts say that lamp a is dark. One more `press a` loses the goal again and leaves the list as it is: two
#         states, one won and one not, have the same facts.
# So:     a harness that groups steps, or recognises states, by facts merges situations that differ in the outcome.
#         ALFWorld's own domain switches its lamps by such a pair of effects.
#
# Output seen:
#   press a  won=False  lit: b            dark: a
#   press b  won=True   lit: -            dark: a b
#   press a  won=False  lit: -            dark: a b
#   press a  won=True   lit: -            dark: a b
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet 'textworld[pddl]==1.7.0' 'fast-downward-textworld==20.6.4'

cat > "$folder/lamps.py" <<'PYTHON'
import json
import sys

from textworld import EnvInfos
from textworld.envs import PddlEnv

DOMAIN = """
(define (domain room)
  (:requirements :adl)
  (:types lamp)
  (:predicates (here ?l - lamp) (lit ?l - lamp))
  (:action press
    :parameters (?l - lamp)
    :precondition (here ?l)
    :effect (and (when (lit ?l) (not (lit ?l)))
                 (when (not (lit ?l)) (lit ?l)))))
"""
PROBLEM = """
(define (problem two-lamps)
  (:domain room)
  (:objects a - lamp b - lamp)
  (:init (here a) (here b) (lit b))
  (:goal (and (lit a) (not (lit b)))))
"""
GRAMMAR = '''
grammar :: """ {"intro": [{"rhs": "Two lamps."}], "press.feedback": [{"rhs": "Click."}]} """;
action press {
    template :: "press {l}";
    feedback :: "#press.feedback#";
    grammar :: """ {} """;
}
'''

with open(sys.argv[1], "w") as file:
    json.dump({"pddl_domain": DOMAIN, "grammar": GRAMMAR, "pddl_problem": PROBLEM}, file)
game = PddlEnv(EnvInfos(won=True, facts=True, admissible_commands=True))
game.load(sys.argv[1])
game.reset()
seen = []
for command in ("press a", "press b", "press a", "press a"):
    state, _, _ = game.step(command)
    facts = sorted(map(str, state["facts"]))
    lit = [fact[4] for fact in facts if fact.startswith("lit(")]
    dark = [fact[8] for fact in facts if fact.startswith("not_lit(")]
    seen.append((bool(state["won"]), facts))
    print(f"{command}  won={seen[-1][0]!s:6} lit: {' '.join(lit) or '-':12} dark: {' '.join(dark) or '-'}")

assert [won for won, _ in seen] == [False, True, False, True], "the game no longer plays by the conditions"
assert "not_lit(a: lamp)" in seen[1][1] and "lit(a: lamp)" not in seen[1][1], "facts follow the conditions now"
assert seen[1][1] == seen[2][1] == seen[3][1], "won and not won differ in facts now"
PYTHON
"$folder/venv/bin/python" "$folder/lamps.py" "$folder/lamps.tw-pddl"
