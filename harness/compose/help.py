"""The help text, made from the dataclasses' field docstrings."""

import ast
import inspect
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, fields
from enum import Enum
from itertools import pairwise

from omegaconf import DictConfig, OmegaConf

from algorithms.base import Algorithm
from envs.base import EnvironmentSpec
from harness.compose.composing import CONFIG_DIR, group_options
from harness.config.classes import class_of
from harness.config.launchers import LAUNCHERS
from harness.config.model import PretrainedModel, TinyModel
from harness.config.plain import SECTIONS
from harness.config.sweep import SweepConfig, TrackerConfig
from harness.errors import UserError, suggest

SWEEP_USAGE = """\
python -m harness.sweep +sweep=NAME [KEY=VALUE ...] [--dry-run]

Runs a comparison (algorithms x seeds at one budget), resumes it when run again, and writes the report.
--dry-run shows the plan and runs nothing.
With launcher=slurm it submits job arrays and returns; wait=true follows them, cancel=true cancels them.
KEY=VALUE are Hydra overrides: algorithm.gamma=0.9  sweep.seeds=[0,1,2]  env=textworld  budget.limit=1e12
"""
RUN_USAGE = """\
python -m harness.run [KEY=VALUE ...]

Runs one cell in this process, under runs/single, and goes on with it when run again.
KEY=VALUE are Hydra overrides: algorithm=steppo  algorithm.gamma=0.9  env=textworld  seed=3  budget.limit=1e12
"""
GROUPS = ("sweep", "algorithm", "env", "model", "engine", "launcher", "tracker")
HELP, HELP_ALL = ("--help", "-h"), "--help-all"


def asked(arguments: Sequence[str]) -> bool:
    """Whether the command line asks for help."""
    return any(argument in (*HELP, HELP_ALL) for argument in arguments)


def help_text(usage: str, arguments: Sequence[str]) -> str:
    """A page that names every option; `--help SECTION` describes a section's, `--help-all` all."""
    described = sections()
    if HELP_ALL in arguments:
        return "\n".join(
            [usage, *chosen(), *(f"\n{name}\n{section_help(*it)}" for name, it in described.items())]
        )
    names = [argument for argument in arguments if argument not in HELP]
    for name in names:
        if name not in described:
            raise UserError(f"--help {name}: there is no such section{suggest(name, [*described])}")
    if names:
        return "\n\n".join(f"{name}\n{section_help(*described[name])}" for name in names)
    return "\n".join([usage, *chosen(), "", *map(wrapped, overview(described)), "", MORE])


MORE = "--help SECTION describes its options (--help budget, --help algorithm=ppo), --help-all every one."


def chosen() -> list[str]:
    """What each group offers."""
    return [wrapped(f"{group}=NAME: {', '.join(group_options(group))}") for group in GROUPS]


def overview(described: Mapping[str, tuple[str, type]]) -> list[str]:
    """The options of each section by name; of algorithms and environments, what all of them have."""
    lines = []
    for name, (prefix, cls) in described.items():
        if prefix in ("algorithm", "env"):
            continue
        lines.append(f"{name}: {', '.join(field.name for field in fields(cls))}")
    for prefix, base in (("algorithm", Algorithm), ("env", EnvironmentSpec)):
        lines.append(f"{prefix}=NAME: {', '.join(f.name for f in fields(base))}, and each its own")
    return lines


def wrapped(line: str) -> str:
    """A line of the overview, broken where a terminal ends."""
    return textwrap.fill(line, width=100, subsequent_indent="    ", break_long_words=False)


def field_docs(cls: type) -> dict[str, str]:
    """The docstring under each field of a dataclass, its bases' included."""
    docs: dict[str, str] = {}
    for base in reversed(cls.__mro__[:-1]):
        try:
            tree = ast.parse(textwrap.dedent(inspect.getsource(base)))
        except (OSError, TypeError):
            continue
        body = tree.body[0].body if isinstance(tree.body[0], ast.ClassDef) else []
        for pair in pairwise(body):
            match pair:
                case ast.AnnAssign(target=ast.Name(id=name)), ast.Expr(value=ast.Constant(value=str(text))):
                    docs[name] = " ".join(text.split())
    return docs


def section_help(prefix: str, cls: type) -> str:
    """One line an option: name, default, description."""
    docs = field_docs(cls)
    lines = []
    for field in fields(cls):
        default = field.default.value if isinstance(field.default, Enum) else field.default
        shown = "" if default is MISSING else f"={default}"
        lines.append(f"  {prefix}.{field.name}{shown}\n      {docs.get(field.name, '')}")
    return "\n".join(lines)


def sections() -> dict[str, tuple[str, type]]:
    """By the name of a section, the prefix of its options and the class that has them."""
    found: dict[str, tuple[str, type]] = {"sweep": ("sweep", SweepConfig)}
    found |= {prefix: (prefix, cls) for prefix, cls in SECTIONS.items()}
    found["tracker"] = ("tracker", TrackerConfig)
    found |= {f"launcher={name}": ("launcher", cls) for name, cls in LAUNCHERS.items()}
    found |= {"model=tiny": ("model", TinyModel), "model=pretrained": ("model", PretrainedModel)}
    for group in ("algorithm", "env"):
        for name in group_options(group):
            loaded = OmegaConf.load(CONFIG_DIR / group / f"{name}.yaml")
            assert isinstance(loaded, DictConfig)
            node = loaded.get(group, loaded)
            found[f"{group}={name}"] = (group, class_of(node._target_, group))
    return found
