"""The help text, made from the dataclasses' field docstrings."""

import ast
import inspect
import textwrap
from dataclasses import MISSING, fields
from enum import Enum
from itertools import pairwise

from omegaconf import DictConfig, OmegaConf

from harness.compose.composing import CONFIG_DIR, group_options
from harness.config.classes import class_of
from harness.config.launchers import LAUNCHERS
from harness.config.plain import SECTIONS
from harness.config.schema import RunConfig, SweepConfig, TrackerConfig

USAGE = """\
python -m harness.sweep +sweep=NAME [KEY=VALUE ...] [--dry-run]

Runs a comparison (algorithms x seeds at one budget), resumes it when run again, and writes the report.
With launcher=slurm it submits job arrays and returns; wait=true follows them, cancel=true cancels them.
KEY=VALUE are Hydra overrides: algorithm.gamma=0.9  sweep.seeds=[0,1,2]  env=textworld  budget.limit=1e12
"""


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


def sweep_help() -> str:
    """Everything that `python -m harness.sweep` understands."""
    parts = [USAGE]
    for group in ("sweep", "algorithm", "env", "model", "engine", "launcher", "tracker"):
        parts.append(f"{group}: {', '.join(group_options(group))}")
    parts.append(f"\nseed\n      {field_docs(RunConfig)['seed']}")
    classes = {"sweep": SweepConfig, **SECTIONS, "tracker": TrackerConfig}
    parts += [f"\n{prefix}\n{section_help(prefix, cls)}" for prefix, cls in classes.items()]
    parts += [f"\nlauncher={name}\n{section_help('launcher', cls)}" for name, cls in LAUNCHERS.items()]
    for group in ("algorithm", "env"):
        for name in group_options(group):
            loaded = OmegaConf.load(CONFIG_DIR / group / f"{name}.yaml")
            assert isinstance(loaded, DictConfig)
            node = loaded.get(group, loaded)
            parts.append(f"\n{group}={name}\n{section_help(group, class_of(node._target_, group))}")
    return "\n".join(parts)
