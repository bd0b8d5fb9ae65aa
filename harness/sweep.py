"""`python -m harness.sweep +sweep=NAME`: plan -> run -> resume -> report.

The same command again goes on where it stopped: finished cells are skipped, others resume from their last
checkpoint. Exit codes: 0 all cells done, 1 some failed, 2 bad input (nothing was written), 130 interrupted.
"""

import os
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from harness import __version__
from harness.config import LauncherConfig, RunConfig, SweepConfig, compose_sweep
from harness.config.arms import tuning_record
from harness.config.contrasts import resolve
from harness.config.frozen import tuned_path
from harness.config.help import sweep_help
from harness.errors import UserError
from harness.ledger.predict import check_budget, predict
from harness.store import RunDir, State, cell_id, write_json

FLAGS = ("--help", "-h", "--dry-run")


def main(arguments: Sequence[str]) -> int:
    """The command line; returns the exit code."""
    overrides = [argument for argument in arguments if argument not in FLAGS]
    try:
        if "--help" in arguments or "-h" in arguments:
            print(sweep_help())
            return 0
        for flag in overrides:
            if flag.startswith("-"):
                raise UserError(f"{flag} is no flag: there are --dry-run and --help, the rest is KEY=VALUE")
        sweep, launcher, cells = compose_sweep(overrides)
        resolve(sweep, cells)
        check(cells, Path(sweep.out))
        print(plan(sweep, launcher, cells))
        if "--dry-run" in arguments:
            print("\n".join(forecast(cells)))
            return 0
        return run(sweep, launcher, cells, overrides)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(f"\ninterrupted; to go on: {command(overrides)}", file=sys.stderr)
        return 130


def run(
    sweep: SweepConfig, launcher: LauncherConfig, cells: Sequence[RunConfig], overrides: Sequence[str]
) -> int:
    """Run the cells and write the report."""
    from harness.launch.local import run_cells

    out = Path(sweep.out)
    out.mkdir(parents=True, exist_ok=True)
    manifest = {
        "name": sweep.name,
        "command": command(overrides),
        "cells": [cell_id(cell) for cell in cells],
        "controls": [cell_id(cell) for cell in cells if cell.algorithm.control],
        "contrasts": {
            name: {side: [cell_id(cell) for cell in members] for side, members in sides.items()}
            for name, sides in resolve(sweep, cells).items()
        },
        "sesoi": sweep.sesoi,
        "creditbench": __version__,
        "commit": commit(),
        **tuning_record(sweep, [cell_id(cell) for cell in cells]),
    }
    write_json(out / "sweep.json", manifest)
    failures = run_cells(cells, out, worker_count(launcher))
    # Only now: the report's libraries would slow the start and are not needed before.
    from reports.compare import compare

    print(f"report: {compare(out)}")
    if sweep.trials:
        from harness.tune import freeze

        print(freeze(out, tuned_path(sweep.tuned) if sweep.tuned else None))
    if failures:
        retry = f"to try them again: {command(overrides)}"
        print(f"{failures} of {len(cells)} cells failed; {retry}", file=sys.stderr)
    return 1 if failures else 0


def check(cells: Sequence[RunConfig], out: Path) -> None:
    """Raise `UserError` for what would fail later: a missing extra, a budget or store of no use."""
    cells[0].env.check()
    for cell in {cell.algorithm: cell for cell in cells}.values():
        check_budget(cell)
    existing = out.absolute()
    while not existing.exists():
        existing = existing.parent
    try:
        with tempfile.TemporaryFile(dir=existing):
            pass
    except OSError as error:
        raise UserError(f"sweep.out={out} can't be written ({error.strerror}): set sweep.out=DIR") from error


def plan(sweep: SweepConfig, launcher: LauncherConfig, cells: Sequence[RunConfig]) -> str:
    """What the sweep is going to do."""
    out = Path(sweep.out)
    states = [RunDir(out / "runs" / cell_id(cell)).state() for cell in cells]
    done = sum(state is State.done for state in states)
    budget = cells[0].budget
    return (
        f"{sweep.name}: {', '.join(sweep.algorithms)}{settings(sweep)} x seeds "
        f"{', '.join(map(str, sweep.seeds))} on {cells[0].env.name} = {len(cells)} cells, {done} done; "
        f"{budget.limit:.3g} {budget.axis.value} each, {worker_count(launcher)} at once, in {out}"
    )


def settings(sweep: SweepConfig) -> str:
    """What a tuning, or a comparison that uses one, multiplies the algorithms by."""
    if sweep.trials:
        return f" x (default + {sweep.trials} trials of {', '.join(sweep.space)}, on tuning tasks)"
    return f" x (default, tuned by {Path(sweep.tuned).stem})" if sweep.tuned else ""


def forecast(cells: Sequence[RunConfig]) -> list[str]:
    """For each arm, what an iteration spends at most, and so how many the budget pays for at least."""
    lines = []
    for cell in {cell.algorithm: cell for cell in cells}.values():
        most, budget, arm = predict(cell), cell.budget, cell.algorithm
        lines.append(
            f"  {arm.name}: {cell.tasks_per_iteration} tasks x {arm.rollouts} rollouts; an iteration spends "
            f"at most {most.flops:.2g} flops, {most.tokens} tokens, {most.env_steps} env_steps"
        )
        if spent := most.on(budget.axis):
            lines[-1] += f"; at least {int(budget.limit / spent)} of them"
    return list(dict.fromkeys(lines))  # trials of an algorithm spend alike


def worker_count(launcher: LauncherConfig) -> int:
    """Cells at once: as configured, or one for each core this process may use."""
    return launcher.workers or len(os.sched_getaffinity(0))


def command(overrides: Sequence[str]) -> str:
    """The command line that this is."""
    return shlex.join(["python", "-m", "harness.sweep", *overrides])


def commit() -> str:
    """The source tree's commit, with `+` when it has changes; empty outside a checkout."""
    try:
        head, changes = git("rev-parse", "--short=12", "HEAD"), git("status", "--porcelain")
    except (OSError, subprocess.CalledProcessError):
        return ""
    return head + ("+" if changes else "")


def git(*arguments: str) -> str:
    """What git prints about the source tree."""
    folder = str(Path(__file__).resolve().parent)
    done = subprocess.run(["git", "-C", folder, *arguments], capture_output=True, text=True, check=True)
    return done.stdout.strip()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
