"""`python -m envs.panel NAME [env.OPTION=VALUE ...] [--json]`: an environment's frozen evaluation panel.

Prints the id, the seed and the goal of each of its tasks, and the hash of all that makes the panel: two runs
with the same hash were evaluated on the same tasks. Exit codes: 0 done, 2 bad input.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict

from envs.base import EnvironmentSpec
from harness.compose import compose_environment
from harness.terminal import Parser, command, show


@command("envs.panel")
def main(arguments: Sequence[str]) -> int:
    """The command line; returns the exit code."""
    if "--help" in arguments or "-h" in arguments:
        show(parser().format_help())
        return 0
    options = parser().parse_intermixed_args(arguments)
    spec = compose_environment(options.words)
    spec.check()
    show(as_json(spec) if options.json else as_text(spec))
    return 0


def parser() -> Parser:
    """The arguments and their descriptions."""
    made = Parser(
        prog="python -m envs.panel",
        description="Prints an environment's frozen evaluation panel and its hash.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    words = ("NAME", "env.OPTION=VALUE")
    made.add_argument("words", metavar=words, nargs="*", help="an environment (env=NAME), its options")
    made.add_argument("--json", action="store_true", help="the same as JSON")
    return made


def as_text(spec: EnvironmentSpec) -> str:
    """A line for each task, and the hash."""
    panel = spec.evaluation_panel()
    width = max(len(task.id) for task in panel)
    digits = max(len(str(task.seed)) for task in panel)
    lines = [f"{task.id:<{width}}  {task.seed:>{digits}}  {' '.join(task.goal.split())}" for task in panel]
    last = f"{spec.name} {spec.version}, {len(panel)} tasks, panel {spec.panel_hash()}"
    return "\n".join([*map(str.rstrip, lines), last])


def as_json(spec: EnvironmentSpec) -> str:
    """The same for programs."""
    content = {
        "environment": spec.name,
        "version": spec.version,
        "panel_hash": spec.panel_hash(),
        "tasks": [asdict(task) for task in spec.evaluation_panel()],
    }
    return json.dumps(content, indent=2)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
