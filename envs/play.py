"""`python -m envs.play NAME [env.OPTION=VALUE ...]`: play an environment in the terminal.

Shows what a policy is told: the goal, the observation, and the actions where they are listed. An action is
given by its number or its words; `quit`, or the end of the input, leaves. Exit codes: 0 done, 1 the
environment failed, 2 bad input, 130 interrupted.
"""

import argparse
import sys
from collections.abc import Sequence
from io import TextIOWrapper

from envs.base import STREAMS, Environment, EnvironmentSpec, Info, Task, Transition, normalise
from envs.engines.worker import EngineFailed
from harness.compose import compose_environment
from harness.errors import UserError
from harness.terminal import DONE, FAILED, Parser, command, ended, show

QUIT = "quit"


@command("envs.play")
def main(arguments: Sequence[str]) -> int:
    """The command line; returns the exit code."""
    if "--help" in arguments or "-h" in arguments:
        show(parser().format_help())
        return 0
    options = parser().parse_intermixed_args(arguments)
    spec = compose_environment(options.words)
    spec.check()
    task = chosen(spec, options.stream, options.task)
    if isinstance(sys.stdin, TextIOWrapper):
        sys.stdin.reconfigure(errors="replace")
    environment = spec.make()
    try:
        return play(spec, environment, task, options.seed)
    except EngineFailed as error:
        return ended(f"error: {spec.name} failed: {' '.join(str(error).split())}", FAILED)
    finally:
        environment.close()


def parser() -> Parser:
    """The arguments and their descriptions."""
    made = Parser(
        prog="python -m envs.play",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    words = ("NAME", "env.OPTION=VALUE")
    made.add_argument("words", metavar=words, nargs="*", help="an environment (env=NAME), its options")
    made.add_argument("--task", metavar="N", type=int, default=0, help="which task, from 0; default: 0")
    made.add_argument("--stream", choices=STREAMS, help="its source; default: the evaluation panel")
    made.add_argument(
        "--seed", metavar="N", type=int, default=0, help="drives an episode's noise; default: 0"
    )
    return made


def chosen(spec: EnvironmentSpec, stream: str | None, number: int) -> Task:
    """A task of a stream, or of the evaluation panel."""
    if number < 0:
        raise UserError(f"--task {number} must be at least 0")
    if stream:
        return spec.task(stream, number)
    if number >= spec.eval_tasks:
        raise UserError(
            f"--task {number}: the panel's tasks are 0 to {spec.eval_tasks - 1}; "
            "raise env.eval_tasks, or choose another --stream"
        )
    return spec.evaluation_panel()[number]


def play(spec: EnvironmentSpec, environment: Environment, task: Task, seed: int) -> int:
    """Play an episode with whoever writes to stdin; returns the exit code."""
    show(f"{spec.name}, task {task.id}, {spec.horizon} steps\n")
    observation, info = environment.reset(task, seed)
    if task.goal:
        show(f"goal: {task.goal}\n")
    show(observation)
    for left in range(spec.horizon, 0, -1):
        action = asked(spec, info, left)
        if action is None:
            show(f"left after {spec.horizon - left} steps")
            return DONE
        seen = environment.step(action)
        info = seen.info
        show(told(seen))
        if seen.terminated or seen.truncated:
            break
    show(ending(spec, seen, spec.horizon - left + 1))
    return DONE


def asked(spec: EnvironmentSpec, info: Info, left: int) -> str | None:
    """The next action; None if the player leaves."""
    if info.admissible:
        show("\n" + "\n".join(f"{number:3}  {each}" for number, each in enumerate(info.admissible, 1)))
    while True:
        try:
            line = input(f"\n{left} steps left> ").strip()
        except EOFError:
            show("")
            return None
        if not sys.stdin.isatty():
            show(line)  # a terminal has shown it
        if line == QUIT and QUIT not in info.admissible:
            return None
        if line:
            return action_of(line, spec, info)


def action_of(line: str, spec: EnvironmentSpec, info: Info) -> str:
    """What a line means: a listed action's number, or words as a policy's reach the environment."""
    words = line if spec.verbatim else normalise(line)
    if words not in info.admissible and line.isascii() and line.isdigit():
        number = int(line)
        if 1 <= number <= len(info.admissible):
            return info.admissible[number - 1]
    return words


def told(seen: Transition) -> str:
    """What a step showed and paid."""
    notes = [] if seen.info.valid else ["not possible, it costs a step all the same"]
    notes += [f"reward {seen.reward:g}"] if seen.reward else []
    notes += [f"score {seen.info.score:g}"] if seen.info.score is not None else []
    return seen.observation + (f"\n({', '.join(notes)})" if notes else "")


def ending(spec: EnvironmentSpec, seen: Transition, steps: int) -> str:
    """How the episode ended."""
    how = "solved" if seen.info.success else "out of steps" if seen.truncated else "lost"
    score = f", score {seen.info.score_or_success:g}" if spec.graded else ""
    return f"\n{how} after {steps} steps{score}"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
