"""`python -m harness.sweep +sweep=NAME`: plan -> run or submit -> resume -> report.

The same command again goes on where it stopped: finished cells are skipped, others resume from their last
checkpoint. Exit codes: 0 all cells done or on their way, 1 some failed, or the disk is full; 2 bad input
(nothing was written), 130 interrupted by Ctrl-C, SIGTERM or SIGHUP.
"""

import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

from harness.cells import Record
from harness.code_version import code_version
from harness.compose import compose_sweep, compose_tracker
from harness.compose.frozen import tuned_path
from harness.compose.help import SWEEP_USAGE, asked, help_text
from harness.config import Launcher, RunConfig, SlurmConfig, SweepConfig, Tracker
from harness.deciding import until_decided
from harness.errors import UserError
from harness.launch.outcome import Outcome
from harness.pilot import auto_seeds
from harness.planning import codes, directory
from harness.planning.checks import check, check_slurm, forecast
from harness.planning.declared import manifest, of_cells
from harness.planning.plan import Plan
from harness.planning.text import headline, lacks_text, tables
from harness.reading.whole import stand
from harness.store import cell_id
from harness.terminal import command, show
from harness.tracker import check_tracker, following

DRY_RUN = "--dry-run"


@command("harness.sweep")
def main(arguments: Sequence[str]) -> int:
    """The command line; returns the exit code."""
    if asked(arguments):
        show(help_text(SWEEP_USAGE, arguments))
        return 0
    overrides = [argument for argument in arguments if argument != DRY_RUN]
    for flag in overrides:
        if flag.startswith("-"):
            raise UserError(
                f"{flag} is not a flag: there are --dry-run, --help and --help-all, the rest is KEY=VALUE"
            )
    sweep, launcher, cells = compose_sweep(overrides, auto_seeds)
    declared = manifest(sweep, cells, typed(overrides))
    tracker = compose_tracker(overrides).name
    check_tracker(tracker)
    if DRY_RUN in arguments:
        planned, lacks = forecast(sweep, launcher, cells)
        directory.content(Path(sweep.out), declared, cells, sweep.append)
        show("\n".join([headline(planned), tables(planned), *lacks_text(lacks)]))
        if isinstance(launcher, SlurmConfig):
            show(submission(launcher, planned))
        return 0
    planned = check(sweep, launcher, cells)
    directory.content(Path(sweep.out), declared, cells, sweep.append)
    show(headline(planned))
    if isinstance(launcher, SlurmConfig):
        check_slurm(launcher, Path(sweep.out), cells)
    if launcher.cancel:
        return cancel(sweep)
    return run(sweep, launcher, cells, tracker, declared)


def run(
    sweep: SweepConfig, launcher: Launcher, cells: Sequence[RunConfig], tracker: Tracker, declared: Record
) -> int:
    """Run the cells and write the report, unless they are still on their way."""
    out = Path(sweep.out)

    def declare_and_launch(some: Sequence[RunConfig]) -> Outcome:
        directory.claim(out, of_cells(declared, set(map(cell_id, some))), some, sweep.append)
        codes.note(out, some)
        return launch(sweep, launcher, some, out)

    with following(out, tracker):
        if sweep.looks:
            outcome = until_decided(sweep, cells, declared, declare_and_launch)
        else:
            outcome = declare_and_launch(cells)
    if outcome.alive:
        show(
            f"{outcome.alive} of {len(cells)} cells wait or run\n"
            f"to watch them: python -m harness.status {shlex.quote(str(out))} --watch\n"
            f"to go on and for the report, when they have ended: {declared['command']}"
        )
        return 1 if outcome.failures else 0
    # Only now: the report's libraries would slow the start and are not needed before.
    from reports.compare import compare

    show(f"report: {compare(out)}")
    if sweep.trials:
        from harness.tune import freeze

        try:
            show(freeze(out, tuned_path(sweep.tuned) if sweep.tuned else None))
        except UserError as error:  # cells without a score: how to try them again is said below
            print(f"not frozen: {error}", file=sys.stderr)
    if outcome.failures:
        retry = f"to try them again: {declared['command']}{more_attempts(launcher)}"
        found = [stand(out / "runs" / cell_id(cell)) for cell in cells]
        for line in failures_text(len(cells), outcome.failures, sum(cell.repeats for cell in found), retry):
            print(line, file=sys.stderr)
    if outcome.cancelled:
        go_on = f"to go on with them: {declared['command']}"
        print(f"{outcome.cancelled} of {len(cells)} cells were cancelled; {go_on}", file=sys.stderr)
    return 1 if outcome.failures or outcome.cancelled else 0


def failures_text(cells: int, failures: int, diverged: int, retry: str) -> list[str]:
    """What is said of failed cells. Those that `diverged` are not to be tried again: they would repeat it."""
    others = failures - diverged
    repeating = f"{diverged} of {cells} cells diverged: that counts 0, and would happen again"
    return [repeating] * bool(diverged) + [f"{others} of {cells} cells failed; {retry}"] * (others > 0)


def launch(sweep: SweepConfig, launcher: Launcher, cells: Sequence[RunConfig], out: Path) -> Outcome:
    """Run the cells, or submit them."""
    mixed = launcher.allow_mixed_code
    codes = {} if mixed else {cell_id(cell): code_version(cell.algorithm, cell.env) for cell in cells}
    if isinstance(launcher, SlurmConfig):
        from harness.launch.slurm.launch import launch as launch_jobs
        from harness.launch.slurm.request import Request

        return launch_jobs(Request(cells, codes, sweep.name, out, launcher))
    from harness.launch.local import run_cells

    return Outcome(failures=run_cells(cells, out, launcher, launcher.at_once, codes))


def submission(launcher: SlurmConfig, planned: Plan) -> str:
    """What would be submitted, at most: nobody is asked here which jobs are alive."""
    from harness.launch.slurm.sbatch import shown

    jobs = -(-planned.unfinished // launcher.cells_per_job)
    return f"\nat most {jobs} jobs, those that wait or run included: {shown(launcher)}"


def more_attempts(launcher: Launcher) -> str:
    """What the command needs in addition if each cell was submitted as often as is allowed."""
    return f" launcher.max_attempts={launcher.max_attempts + 1}" if isinstance(launcher, SlurmConfig) else ""


def cancel(sweep: SweepConfig) -> int:
    """Cancel the sweep's jobs."""
    from harness.launch.slurm.launch import cancel as cancel_jobs

    number = cancel_jobs(Path(sweep.out))
    show(f"{number} {'job' if number == 1 else 'jobs'} cancelled")
    show("what was written is kept: the same command without cancel=true goes on from there")
    return 0


def typed(overrides: Sequence[str]) -> str:
    """The command line that this is."""
    return shlex.join(["python", "-m", "harness.sweep", *overrides])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
