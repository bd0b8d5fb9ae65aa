"""`python -m harness.config.preset MODULE.CLASS`: the YAML of an algorithm, from its class's defaults."""

import sys
from dataclasses import fields

from hydra.utils import get_class
from omegaconf import OmegaConf

from harness.config.compose import json_able


def preset(target: str) -> str:
    """The text of `sweeps/algorithm/NAME.yaml` for the algorithm class `target`."""
    algorithm = get_class(target)()
    options = {field.name: json_able(getattr(algorithm, field.name)) for field in fields(algorithm)}
    return OmegaConf.to_yaml({"_target_": target, **options})


if __name__ == "__main__":
    sys.stdout.write(preset(sys.argv[1]))
