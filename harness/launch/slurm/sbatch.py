"""The sbatch command and the script of a job array.

Options stand on the command line, where they outrank the SBATCH_* variables of the user's shell. Variables
that say what the launcher leaves open are the user's defaults: handed on, and shown in front of the command.
"""

import os
import shlex
import sys
from pathlib import Path

from harness.config import SlurmConfig
from harness.config.launchers import SET_BY_US
from harness.launch.slurm.cluster import ask, minutes

MINUTES = 240
"""Time limit if neither `launcher.minutes` nor SBATCH_TIMELIMIT says one."""
TIME_LIMIT = "SBATCH_TIMELIMIT"
VARIABLES = {"array": "SBATCH_ARRAY_INX", "mem": "SBATCH_MEM_PER_NODE", "time": TIME_LIMIT}
"""Variables of options that are not named like them."""
OF_A_JOB = ("SBATCH_CPU_BIND", "SBATCH_MEM_BIND")
"""Variables that SLURM sets in a job itself begin so."""


def options(launcher: SlurmConfig) -> dict[str, object]:
    """sbatch's long options by name; True: one without a value."""
    named = {name: getattr(launcher, name) for name in ("partition", "account", "qos", "constraint", "gres")}
    time = launcher.minutes or ("" if TIME_LIMIT in os.environ else MINUTES)
    found = {
        **named,
        "mem": launcher.mem,
        "time": time,
        "cpus-per-task": launcher.cpus,
        "nodes": 1,
        "ntasks": 1,
        "signal": f"USR2@{launcher.grace_seconds}",
        # If SLURM's configuration forbids it by default, a job still may ask for it.
        "requeue": True,
        **{name.replace("_", "-"): value for name, value in launcher.sbatch.items()},
    }
    return {name: value for name, value in found.items() if value not in ("", False)}


def flags(launcher: SlurmConfig) -> list[str]:
    """The options as arguments."""
    return [
        f"--{name}" if value is True else f"--{name}={value}" for name, value in options(launcher).items()
    ]


def user_defaults(launcher: SlurmConfig) -> dict[str, str]:
    """The user's SBATCH_* variables for options that neither the launcher nor the way jobs are run sets."""
    ours = {variable(option) for option in (*options(launcher), *SET_BY_US)}
    return {
        name: value
        for name, value in sorted(os.environ.items())
        if name.startswith("SBATCH_") and name not in ours and not name.startswith(OF_A_JOB)
    }


def says(launcher: SlurmConfig, option: str) -> str:
    """What jobs ask for by an option, the user's defaults included; empty if nothing."""
    default = user_defaults(launcher).get(variable(option), "")
    return str(options(launcher).get(option, default))


def variable(option: str) -> str:
    """The variable of sbatch's that stands for an option."""
    return VARIABLES.get(option, f"SBATCH_{option.upper().replace('-', '_')}")


def time_limit(launcher: SlurmConfig) -> float | None:
    """Minutes that a job asks for; None if SBATCH_TIMELIMIT says them in words that only sbatch knows."""
    if launcher.minutes or TIME_LIMIT not in os.environ:
        return launcher.minutes or MINUTES
    try:
        return minutes(os.environ[TIME_LIMIT])
    except ValueError:
        return None


def shown(launcher: SlurmConfig) -> str:
    """The command line that a user would write: the defaults of the shell, sbatch, its options."""
    variables = [f"{name}={shlex.quote(value)}" for name, value in user_defaults(launcher).items()]
    array = f"--array=0-N%{launcher.array_parallelism}"
    return " ".join([*variables, shlex.join(["sbatch", *flags(launcher), array])])


def script(launcher: SlurmConfig, folder: Path) -> str:
    """What each job of the array runs: the launcher's setup, then the cells that `folder` holds for it."""
    # `--export=ALL`: with `sbatch --export=NONE` or a list, srun would not hand on what the script has.
    srun = ["srun", "--unbuffered", "--export=ALL", *launcher.srun_args]
    python = launcher.python or shlex.quote(sys.executable)
    run = f"{shlex.join(srun)} {python} -u -m harness.launch.slurm.start {shlex.quote(str(folder))}"
    return "\n".join(["#!/bin/bash", *launcher.setup, run, ""])


def sbatch(launcher: SlurmConfig, name: str, folder: Path, number: int) -> str:
    """Submit `number` jobs under a name, which find their cells in `folder`; returns the array's job id.

    Raises `Unreachable`, which does not say that nothing was submitted.
    """
    several = number > 1
    array = [f"--array=0-{number - 1}%{min(number, launcher.array_parallelism)}"] if several else []
    log = folder / log_name("%A" if several else "%j", "%a" if several else None)
    return ask(
        *("sbatch", "--parsable", *flags(launcher), *array),
        *(f"--job-name={name}", f"--output={log}", "--open-mode=append", str(folder / "script.sh")),
        defaults=user_defaults(launcher),
    )


def log_name(job: str, index: object | None) -> str:
    """The file that a job prints to; `index`: in its array, None for one that is none."""
    return f"{job}.log" if index is None else f"{job}_{index}.log"


def job_id(answer: str) -> str:
    """The job id in what sbatch printed (`ID[;CLUSTER]`); raises ValueError if there is none."""
    return str(int(answer.split(";")[0]))
