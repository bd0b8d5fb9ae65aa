"""`python -m harness.track DIR --to TRACKER`: copy a sweep's runs to an experiment tracker.

Reads the store and never writes to it, so it can run beside a sweep, after it, and again: nothing is copied
twice. Exit codes: 0 all copied, 1 some not, 2 bad input, 130 interrupted.
"""

import sys
import time
from collections.abc import Sequence

from harness.config import Tracker
from harness.errors import UserError
from harness.terminal import Parser, command, named_path
from harness.tracker import Mirror, check_tracker
from harness.tracker.follow import PERIOD_SECONDS


@command("harness.track")
def main(arguments: Sequence[str]) -> int:
    """The command line; returns the exit code."""
    parser = Parser(
        prog="python -m harness.track", description="Copy a sweep's runs to an experiment tracker."
    )
    trackers = [tracker.value for tracker in Tracker if tracker is not Tracker.none]
    parser.add_argument("dir", type=named_path, metavar="DIR", help="the sweep's directory (its sweep.out)")
    parser.add_argument("--to", choices=trackers, required=True, help="the tracker")
    parser.add_argument(
        "--follow", action="store_true", help="go on, as runs go on, until interrupted with Ctrl-C"
    )
    options = parser.parse_args(arguments)
    tracker = Tracker(options.to)
    check_tracker(tracker)
    if not (options.dir / "runs").is_dir():
        raise UserError(f"{options.dir} holds no runs: name a sweep's directory, as in sweep.out")
    problems = Mirror(options.dir, tracker).run(stopped=interrupted if options.follow else lambda: True)
    for problem in problems:
        print(f"not copied: {problem}", file=sys.stderr)
    return 1 if problems else 0


def interrupted() -> bool:
    """Wait for the next pass; whether Ctrl-C was pressed meanwhile."""
    try:
        time.sleep(PERIOD_SECONDS)
    except KeyboardInterrupt:
        return True
    return False


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
