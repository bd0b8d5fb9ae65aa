"""Declared contrasts: which arms are on which side, and what is refused."""

import pytest

from harness.compose import compose_sweep
from harness.compose.composing import group_options
from harness.compose.contrasts import resolve
from harness.errors import UserError

BASE = ["+sweep=step_vs_token", "sweep.seeds=[0,1]"]


def arms(cells) -> set[tuple[str, str]]:
    return {(cell.algorithm.name, cell.algorithm.discount_unit.value) for cell in cells}


def declared(*overrides: str):
    sweep, _, cells = compose_sweep([*BASE, *overrides])
    return resolve(sweep, cells)


def test_sides_are_the_arms_that_the_selectors_name():
    credit = declared()["credit per step − per token"]
    assert arms(credit["left"]) == {("steppo", "step"), ("steppo_token_ratio", "step")}
    assert arms(credit["right"]) == {("steppo_token_credit", "step"), ("steppo_neither", "step")}
    assert len(credit["left"]) == len(credit["right"]) == 4, "both seeds of both arms"
    discount = declared()["discount per step − per token, token credit"]
    assert arms(discount["right"]) == {("steppo_token_credit", "token"), ("steppo_neither", "token")}


@pytest.mark.parametrize("name", sorted({*group_options("sweep")} - {"all_algos_tuned"}))
def test_every_sweeps_contrasts_hold_arms_and_are_balanced(name):
    sweep, _, cells = compose_sweep([f"+sweep={name}"])
    for sides in resolve(sweep, cells).values():
        assert sides["left"]
        assert sides["right"]
    if name == "factorial":
        assert all(len(sides["left"]) == len(sides["right"]) for sides in resolve(sweep, cells).values())


@pytest.mark.parametrize(
    ("contrast", "words"),
    [
        ("{left: [steppo], right: [dqn]}", "no arm of the sweep is 'dqn'"),
        ("{left: ['gamma=0.5'], right: [steppo]}", "no arm of the sweep is 'gamma=0.5'"),
        ("{left: ['credit_unit=step'], right: [steppo]}", "steppo on both sides"),
        ("{left: [steppo]}", "must have left and right"),
    ],
)
def test_what_can_not_be_compared_is_refused(contrast, words):
    with pytest.raises(UserError, match=words):
        declared(f"+sweep.contrasts.mine={contrast}")
