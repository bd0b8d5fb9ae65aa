"""`python -m harness.compose.preset MODULE.CLASS`: the YAML of an algorithm, from its class's defaults."""

import sys
from collections.abc import Sequence
from dataclasses import fields

from omegaconf import OmegaConf

from harness.config.classes import class_of
from harness.config.plain import json_able
from harness.errors import UserError
from harness.terminal import command


def preset(target: str) -> str:
    """The text of `sweeps/algorithm/NAME.yaml` for the algorithm class `target`."""
    algorithm = class_of(target, "algorithm")()
    options = {field.name: json_able(getattr(algorithm, field.name)) for field in fields(algorithm)}
    return OmegaConf.to_yaml({"_target_": target, **options})


@command("harness.compose.preset")
def main(arguments: Sequence[str]) -> int:
    """The command line; returns the exit code."""
    if len(arguments) != 1:
        raise UserError("name one class: python -m harness.compose.preset MODULE.CLASS")
    sys.stdout.write(preset(arguments[0]))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
