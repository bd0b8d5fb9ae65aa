"""`python -m harness.doctor [+sweep=NAME] [KEY=VALUE ...]`: will this sweep run here?

Takes what `harness.sweep` takes (without a sweep: +sweep=all_algos), starts nothing and leaves nothing. One
line per check: ok, warn or FAIL, with what to do. Exit codes: 0 nothing failed, 1 something did, 2 bad input.
"""

import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path

from harness.checkup import Finding, Verdict, fail, ok
from harness.checkup.machine import cores, libraries, python, torch_devices
from harness.checkup.play import engine, environments
from harness.checkup.slurm import slurm
from harness.checkup.store import disk, file_system
from harness.compose import compose_sweep, compose_tracker
from harness.config import Launcher, PretrainedModel, RunConfig, SweepConfig, Tracker
from harness.errors import UserError
from harness.pilot import auto_seeds
from harness.planning import directory
from harness.planning.checks import check_inputs, check_parts
from harness.planning.codes import check_code
from harness.planning.declared import manifest
from harness.planning.plan import Plan, plan
from harness.planning.predict import check_budget
from harness.planning.text import headline
from harness.policy.source import check_legible
from harness.terminal import command, show
from harness.tracker import check_tracker

Check = Callable[[], Iterable[Finding]]


@command("harness.doctor")
def main(arguments: Sequence[str]) -> int:
    """The command line; returns the exit code."""
    if "--help" in arguments or "-h" in arguments:
        show(__doc__)
        return 0
    for flag in arguments:
        if flag.startswith("-"):
            raise UserError(f"{flag} is not a flag: there is --help, the rest is KEY=VALUE")
    chosen = any(argument.startswith(("+sweep=", "sweep=")) for argument in arguments)
    overrides = [*([] if chosen else ["+sweep=all_algos"]), *arguments]
    sweep, launcher, cells = compose_sweep(overrides, auto_seeds)
    tracker = compose_tracker(overrides).name
    for model in dict.fromkeys(cell.model for cell in cells):
        if isinstance(model, PretrainedModel):
            check_legible(model)
    planned = plan(sweep, launcher, cells)
    show(f"{headline(planned)}\n")
    failures = 0
    for finding in examine(checks(sweep, launcher, cells, tracker, planned)):
        show(str(finding))
        failures += finding.verdict is Verdict.fail
    show(f"\n{failures} to fix" if failures else "\nready")
    return 1 if failures else 0


def checks(
    sweep: SweepConfig, launcher: Launcher, cells: Sequence[RunConfig], tracker: Tracker, planned: Plan
) -> dict[str, Check]:
    """Every check, by what it is about, the quick ones first."""
    out = Path(sweep.out)
    return {
        "python": python,
        "libraries": libraries,
        "cores": lambda: cores(launcher),
        "slurm": lambda: slurm(launcher, out, cells),
        "sweep": lambda: refusals(sweep, launcher, cells, tracker, planned),
        "store": lambda: file_system(out),
        "disk": lambda: disk(planned),
        "torch": torch_devices,
        "environment": lambda: environments(cells),
        "engine": lambda: engine(cells[0]),
    }


def examine(checks: dict[str, Check]) -> Iterator[Finding]:
    """The findings as they come. A check that breaks is a finding, and the others go on."""
    for subject, check in checks.items():
        try:
            yield from check()
        except Exception as error:
            yield fail(subject, f"{type(error).__name__}: {error}")


def refusals(
    sweep: SweepConfig, launcher: Launcher, cells: Sequence[RunConfig], tracker: Tracker, planned: Plan
) -> Iterator[Finding]:
    """What the sweep itself would refuse before it starts."""
    out = Path(sweep.out)
    refused = []
    steps: list[Callable[[], object]] = [
        lambda: check_tracker(tracker),
        lambda: check_parts(cells),
        lambda: directory.content(out, manifest(sweep, cells, ""), cells, sweep.append),
    ]
    steps.append(lambda: check_inputs(out, cells))
    steps += [partial(check_budget, arm.config) for arm in planned.arms]
    if not launcher.allow_mixed_code:
        steps.append(lambda: check_code(out, cells))
    for step in steps:
        try:
            step()
        except UserError as error:
            refused.append(str(error))
    yield from (fail("sweep", each) for each in dict.fromkeys(refused))
    if not refused:
        yield ok("sweep", "budget, model, engine, tracker, directory and code version are in order")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
