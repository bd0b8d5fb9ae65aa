"""`python -m harness.tune DIR [--out FILE]`: freeze the winners of a finished tuning.

Reads the store that `+sweep=tune` left in DIR (which does this itself at its end) and writes the trials, what
they cost and the winners into DIR/tuned.yaml and into sweeps/tuned/ENV-MODEL-DATE.yaml, or FILE.
"""

import sys
from collections.abc import Sequence
from dataclasses import replace
from datetime import date
from pathlib import Path

from harness.compose.frozen import TUNED_DIR, Frozen, load, to_yaml
from harness.errors import UserError
from harness.store import write_atomically
from harness.terminal import Parser, command, named_path
from reports.stats import broken_by_algorithm
from reports.store import read_store
from reports.trials import collect


def freeze(out: Path, to: Path | None = None) -> str:
    """Write the result of the tuning in `out` and say where; raise `UserError` if there is none."""
    store = read_store(out)
    frozen = collect(store)
    if frozen is None:
        raise UserError(f"{out} holds no tuning: name the directory of a +sweep=tune")
    if not frozen.ended:
        left = int((~(broken_by_algorithm(store.runs) | (store.runs["state"] == "done"))).sum())
        raise UserError(f"{left} of {len(store.runs)} cells of {out} have not ended: run the tuning again")
    beside = out / "tuned.yaml"
    frozen = dated(frozen, beside)
    content = to_yaml(frozen)
    write_atomically(beside, content)
    env, model = store.runs.iloc[0][["env", "model"]]
    return install(content, to, TUNED_DIR / f"{env}-{model}-{frozen.date}.yaml", beside)


def dated(frozen: Frozen, earlier: Path) -> Frozen:
    """The result with today's date, or with that of the same result frozen earlier."""
    if earlier.exists() and replace(load(earlier), date="") == frozen:
        return load(earlier)
    return replace(frozen, date=date.today().isoformat())


def install(content: bytes, to: Path | None, default: Path, beside: Path) -> str:
    """Write the result to `to`, or to `default` unless another result is there; says where it is."""
    if to is None and default.exists() and default.read_bytes() != content:
        return f"tuned: {beside} ({default} holds another tuning and was kept: use sweep.tuned={beside})"
    target = to or default
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(target, content)
    except OSError as error:
        return f"tuned: {beside} ({target} can't be written, {error.strerror}: use sweep.tuned={beside})"
    return f"tuned: {target}"


@command("harness.tune")
def main(arguments: Sequence[str]) -> int:
    """The command line; returns the exit code."""
    parser = Parser(prog="python -m harness.tune", description="Freeze a tuning's winners.")
    parser.add_argument("dir", type=named_path, metavar="DIR", help="the tuning's directory (its sweep.out)")
    parser.add_argument("--out", type=named_path, metavar="FILE", help="where to; default: sweeps/tuned/")
    options = parser.parse_args(arguments)
    print(freeze(options.dir, options.out))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
