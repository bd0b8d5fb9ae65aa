"""`python -m harness.credit FILE --algorithms NAME,...`: the credit of recorded trajectories, as JSON Lines.

No model and no training: each algorithm's credit function reads the file (docs/trajectory-format.md), and
every trajectory of it gives one line: its advantages, a critic's targets, whether it is trained. Exit codes:
0 done, 2 bad input (nothing was written), 130 interrupted.
"""

import argparse
import contextlib
import gzip
import io
import json
import re
import sys
import tempfile
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from algorithms.base import Algorithm, Credit
from algorithms.shared.checked import checked_credit
from algorithms.shared.kl_reward import with_kl_in_reward
from harness.compose.composing import CONFIG_DIR, explain, group_options
from harness.config.classes import class_of
from harness.config.plain import typed
from harness.errors import UserError, suggest
from harness.records.batch import Batch, Bools, Floats
from harness.records.files import (
    COLUMN_KEYS,
    GIVEN_COLUMNS,
    RecordedTrajectory,
    batch_of,
    read_trajectories,
    require,
)
from harness.store.files import replacing
from harness.terminal import Parser, command, drop_stdout, named_path

STDIN = "-"


@dataclass(frozen=True)
class Result:
    """One algorithm's credit, ready to be written."""

    algorithm: str
    """The algorithm's name."""
    batch: Batch
    """What the file holds."""
    credit: Credit
    """What the algorithm made of it."""


@command("harness.credit")
def main(arguments: Sequence[str]) -> int:
    """The command line; returns the exit code."""
    if "--help" in arguments or "-h" in arguments:
        to_stdout([help_text()])
        return 0
    options = parser().parse_args(arguments)
    algorithms = chosen(options.algorithms, options.set)
    if options.out:
        check_out(options.out, options.file)
    records = read(options.file)
    results = credited(records, algorithms, options.seed)
    lines = (line for result in results for line in result_lines(result, records))
    if options.out:
        to_file(lines, options.out)
    else:
        to_stdout(lines)
    return 0


def parser() -> Parser:
    """The arguments and their descriptions."""
    made = Parser(
        prog="python -m harness.credit",
        description="Computes the credit that algorithms give to recorded trajectories.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    made.add_argument(
        "file",
        metavar="FILE",
        help="trajectories, one per line (docs/trajectory-format.md); .gz, or - for stdin",
    )
    made.add_argument("--algorithms", metavar="NAMES", required=True, help="names with commas between them")
    made.add_argument(
        "--set",
        metavar="NAME.OPTION=VALUE",
        action="append",
        default=[],
        help="an algorithm's option, as steppo.gamma=0.95; may be given many times",
    )
    made.add_argument(
        "--out",
        type=named_path,
        help="file to write, whole or not at all, .gz compressed; default: standard output",
    )
    made.add_argument(
        "--seed", type=seed, default=0, help="keys the random numbers of random credit; default: 0"
    )
    return made


def seed(value: str) -> int:
    """A seed from the command line."""
    if not value.isascii() or not value.isdigit() or int(value) >= 2**32:
        raise argparse.ArgumentTypeError(f"{value} is not a whole number from 0 to {2**32 - 1}")
    return int(value)


def help_text() -> str:
    """Usage, and the algorithms with what each asks of every step at its published setting."""
    lines = ["\nalgorithms, and the optional fields that each asks for in every step:"]
    for name in group_options("algorithm"):
        asked = [COLUMN_KEYS[column] for column in built(name, {}).columns - GIVEN_COLUMNS]
        lines.append(f"  {name:22}{', '.join(sorted(asked)) or '-'}")
    return parser().format_help() + "\n".join(lines) + "\n"


def chosen(names: str, settings: Sequence[str]) -> list[Algorithm]:
    """The algorithms that the command line names, with its settings. Raises `UserError`."""
    listed = [name.strip() for name in names.split(",")]
    known = group_options("algorithm")
    for i, name in enumerate(listed):
        if name not in known:
            raise UserError(f"algorithm={name} does not exist{suggest(name, known)}")
        if name in listed[:i]:
            raise UserError(f"--algorithms names {name} twice")
    options: dict[str, dict[str, Any]] = {name: {} for name in listed}
    for setting in settings:
        name, option, value = parsed(setting)
        if name not in options:
            raise UserError(f"--set {setting}: {name} is not among --algorithms{suggest(name, listed)}")
        options[name][option] = value
    return [built(name, options[name]) for name in listed]


def parsed(setting: str) -> tuple[str, str, Any]:
    """Algorithm, option and value of `NAME.OPTION=VALUE`; the value as YAML has it."""
    match = re.fullmatch(r"(\w+)\.(\w+)=(.*)", setting, re.DOTALL)
    if not match:
        raise UserError(f"--set {setting} is not NAME.OPTION=VALUE, as steppo.gamma=0.95")
    name, option, value = match.groups()
    try:
        plain = OmegaConf.to_container(
            OmegaConf.from_dotlist([f"{option}={value}"]), resolve=True, throw_on_missing=True
        )
    except (OmegaConfBaseException, yaml.YAMLError) as error:
        raise UserError(f"--set {setting}: {explain(error)}") from error
    assert isinstance(plain, dict)
    return name, option, plain[option]


def built(name: str, options: dict[str, Any]) -> Algorithm:
    """The algorithm of `sweeps/algorithm/NAME.yaml` with other options. Raises `UserError`."""
    loaded = OmegaConf.load(CONFIG_DIR / "algorithm" / f"{name}.yaml")
    assert isinstance(loaded, DictConfig)
    node = OmegaConf.to_container(loaded.get("algorithm", loaded), resolve=True)
    assert isinstance(node, dict)
    values = {str(option): value for option, value in node.items()}
    algorithm = typed(class_of(values.pop("_target_"), name), {**values, **options}, name)
    assert isinstance(algorithm, Algorithm)
    return algorithm


def read(file: str) -> list[RecordedTrajectory]:
    """The trajectories of a file, of a gzip file, or of standard input. Raises `UserError`."""
    name = "stdin" if file == STDIN else file
    try:
        with opened(file) as lines:
            return read_trajectories(lines, name)
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise UserError(f"{name} can't be unpacked ({error})") from error
    except OSError as error:
        raise UserError(f"{name} can't be read ({error.strerror})") from error


def opened(file: str) -> io.BufferedIOBase:
    """The file's bytes, unpacked."""
    if file == STDIN:
        return open(0, "rb", closefd=False)
    return gzip.open(file) if file.endswith(".gz") else open(file, "rb")


def credited(
    records: Sequence[RecordedTrajectory], algorithms: Sequence[Algorithm], seed: int
) -> list[Result]:
    """Every algorithm's credit. Raises `UserError` if the file lacks what one asks for, and `CreditError`
    if what came back is not a credit.
    """
    for algorithm in algorithms:
        require(records, algorithm.columns, algorithm.name)
    batch = batch_of(records, seed)
    return [Result(each.name, batch, credit_of(each, batch)) for each in algorithms]


def credit_of(algorithm: Algorithm, batch: Batch) -> Credit:
    """The algorithm's credit of recorded trajectories, any KL taken from the rewards first; checked."""
    return checked_credit(algorithm, with_kl_in_reward(batch, algorithm))


def result_lines(result: Result, records: Sequence[RecordedTrajectory]) -> Iterator[str]:
    """The lines of one algorithm, one per trajectory, in the file's order."""
    batch, credit = result.batch, result.credit
    advantages = by_step(batch, credit.advantage_T.tolist())
    returns = None if credit.return_T is None else by_step(batch, targets(credit.return_T, credit))
    trained = np.ones(len(records), dtype=bool) if credit.trained_N is None else credit.trained_N
    for row, record in enumerate(records):
        steps = slice(batch.first_step_N[row], batch.last_step_N[row] + 1)
        line = {
            "algorithm": result.algorithm,
            "trajectory": record.id,
            "advantages": advantages[steps],
            "returns": None if returns is None else returns[steps],
            "trained": bool(trained[row]),
            "diagnostics": credit.diagnostics,
        }
        yield json.dumps(line, allow_nan=False) + "\n"


def targets(return_T: Floats, credit: Credit) -> list[float | None]:
    """The critic's target at each token (T,), None if there is none."""
    target_T = return_T.astype(object)
    target_T[~trains_critic(credit)] = None
    return list(target_T)


def trains_critic(credit: Credit) -> Bools:
    """Where the critic has a target (T,); returns come with it."""
    assert credit.critic_T is not None
    return credit.critic_T


def by_step(batch: Batch, values: list[Any]) -> list[list[Any]]:
    """Values of all tokens as one list per step."""
    bounds = zip(batch.first_token_S.tolist(), batch.last_token_S.tolist(), strict=True)
    return [values[first : last + 1] for first, last in bounds]


def check_out(out: Path, file: str) -> None:
    """Raise `UserError` for an output that could not be written, or would replace what it is made from."""
    try:
        if out.exists() and not out.is_file():
            raise UserError(f"--out {out} is not a regular file")
        if out.exists() and file != STDIN and Path(file).exists() and out.samefile(file):
            raise UserError(f"--out {out} is FILE itself")
        with tempfile.TemporaryFile(dir=out.parent):
            pass
    except OSError as error:
        raise UserError(f"--out {out} can't be written ({error.strerror})") from error


def to_file(lines: Iterator[str], out: Path) -> None:
    """Write `out` whole, or leave what was there; `UserError` when that fails."""
    try:
        with replacing(out) as temporary, packed(temporary, out.suffix == ".gz") as file:
            for line in lines:
                file.write(line.encode())
    except OSError as error:
        raise UserError(f"--out {out} can't be written ({error.strerror})") from error


@contextlib.contextmanager
def packed(path: Path, compressed: bool) -> Iterator[io.BufferedIOBase]:
    """A file to write bytes to, gzip or plain; equal bytes make equal files."""
    with path.open("wb") as file:
        if not compressed:
            yield file
            return
        # Neither name nor time in the header.
        with gzip.GzipFile(filename="", mode="wb", compresslevel=6, fileobj=file, mtime=0) as gzipped:
            yield gzipped


def to_stdout(lines: Iterator[str] | list[str]) -> None:
    """Print lines. A reader that has seen enough (`| head`) is not an error; a full disk is."""
    try:
        for line in lines:
            sys.stdout.write(line)
        sys.stdout.flush()
    except OSError as error:
        drop_stdout()
        if not isinstance(error, BrokenPipeError):
            raise UserError(f"standard output can't be written ({error.strerror})") from error


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
