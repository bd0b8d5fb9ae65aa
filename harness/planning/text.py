"""A plan in words and columns that fit a terminal."""

from collections import defaultdict
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path

from harness.config import BudgetAxis, SweepConfig
from harness.errors import UserError
from harness.planning.labels import environment_names
from harness.planning.plan import Arm, Plan
from harness.planning.predict import measurable
from harness.reading.cell import Cell, State, percent

NAME_WIDTH = 24
"""An arm with a longer name has a line for its name alone."""
NAMED = 8
"""More algorithms, equal lines of one, or cells to resume are summed up."""
Column = tuple[str, Callable[[Arm], str]]


def headline(plan: Plan) -> str:
    """What is run, and what of it is there."""
    sweep, config = plan.sweep, plan.arms[0].config
    named = len(sweep.algorithms) <= NAMED and not sweep.crossed
    arms = ", ".join(sweep.algorithms) if named else f"{len(plan.arms) // max(1, len(sweep.envs))} arms"
    what = f"{arms}{settings_text(sweep)} x {seeds_text(sweep)}"
    where = " and ".join(environment_names(sweep, [arm.config for arm in plan.arms]))
    limits = dict.fromkeys(f"{arm.config.budget.limit:.3g}" for arm in plan.arms)
    return (
        f"{sweep.name}: {what}, on {where} with model {config.model.name}\n"
        f"{count(len(plan.cells))}, {standing_text(plan.cells)}; "
        f"{' or '.join(limits)} {config.budget.axis.value} each, {plan.workers} at once, in {sweep.out}"
    )


def settings_text(sweep: SweepConfig) -> str:
    """What a tuning, or a comparison that uses one, multiplies the algorithms by."""
    if sweep.trials:
        return f" x (default + {sweep.trials} trials of {', '.join(sweep.space)}, on tuning tasks)"
    return f" x (default, tuned by {Path(sweep.tuned).stem})" if sweep.tuned else ""


def seeds_text(sweep: SweepConfig) -> str:
    """The seeds, and where they come from."""
    seeds = sweep.seeds
    following = len(seeds) > 2 and all(b == a + 1 for a, b in pairwise(seeds))
    listed = f"{seeds[0]} to {seeds[-1]}" if following else ", ".join(map(str, seeds))
    if sweep.looks:
        return f"seeds {listed} at most, until it is decided"
    return f"seeds {listed}" + (f" ({chosen_text(sweep)})" if sweep.pilot else "")


def chosen_text(sweep: SweepConfig) -> str:
    """Where the seeds of `sweep.seeds=auto` come from."""
    return f"{len(sweep.seeds)} fresh ones, to find a difference of {sweep.effect:g} by {sweep.pilot}"


def standing_text(cells: Sequence[Cell]) -> str:
    """How many cells are done, to resume, running, to start, damaged, failed."""
    open_ = [cell for cell in cells if cell.state in (State.interrupted, State.waiting)]
    resumed = sorted(cell.spent_at_checkpoint for cell in open_ if cell.spent_at_checkpoint is not None)
    counts = {state: sum(cell.state is state for cell in cells) for state in State}
    parts = [f"{counts[State.done]} done"]
    if resumed:
        noun = "checkpoint" if len(resumed) == 1 else "checkpoints"
        parts.append(f"{len(resumed)} to resume from {shares_text(resumed)} (last {noun})")
    if counts[State.running]:
        parts.append(f"{counts[State.running]} running elsewhere")
    if new := len(open_) - len(resumed):
        parts.append(f"{new} to start")
    if counts[State.damaged]:
        parts.append(f"{counts[State.damaged]} damaged: run again from what is intact")
    if counts[State.failed]:
        parts.append(f"{counts[State.failed]} failed before: tried again")
    return ", ".join(parts)


def shares_text(shares: Sequence[float]) -> str:
    """Ascending shares of the budget."""
    texts = [percent(share) for share in shares]
    if len(texts) > NAMED:
        return f"{texts[0]} to {texts[-1]}"
    return " and ".join([", ".join(texts[:-1]), texts[-1]] if len(texts) > 1 else texts)


def tables(plan: Plan) -> str:
    """The batch of every arm, and what its cells take."""
    return "\n\n".join([batch_table(plan), cost_table(plan)])


def batch_table(plan: Plan) -> str:
    """Batch shapes, and the most that an iteration spends."""
    columns: list[Column] = [
        ("tasks x rollouts", batch_text),
        ("updates", lambda arm: str(arm.config.batch.minibatches)),
        ("rows", lambda arm: str(arm.rows)),
        ("FLOPs", lambda arm: f"{arm.most.flops:.2g}"),
        ("tokens", lambda arm: str(arm.most.tokens)),
        ("env_steps", lambda arm: str(arm.most.env_steps)),
        ("iterations", lambda arm: "unknown" if arm.iterations is None else f">= {arm.iterations}"),
    ]
    return "\n".join(
        [
            "The batch of an iteration: tasks x rollouts of each, branches included; its optimiser steps",
            "(updates) and the step rows of one. Rows, FLOPs, tokens and env_steps are upper bounds: every",
            "episode to the horizon, every response at its longest, every rollout trained.",
            *prompts_text(plan),
            *grid(plan.arms, columns),
        ]
    )


def batch_text(arm: Arm) -> str:
    """Tasks x rollouts; if there are branches, how many of the rollouts are roots."""
    rollouts = arm.config.algorithm.plan()
    roots = f" ({rollouts.roots} roots)" if rollouts.branches else ""
    return f"{arm.config.tasks_per_iteration} x {rollouts.trajectories}{roots}"


def cost_table(plan: Plan) -> str:
    """Compute, hours and disk."""
    columns: list[Column] = [
        ("cells left", lambda arm: str(arm.unfinished)),
        ("FLOPs/cell", lambda arm: f"{arm.flops:.2g}"),
        ("s/cell", lambda arm: f"{arm.seconds:.0f}"),
        ("core hours", lambda arm: f"{arm.seconds_left / 3600:.2f}"),
        ("MB/cell", lambda arm: f"<= {arm.disk / 1e6:.1f}"),
        ("seconds are", lambda arm: source_text(arm, plan.rate)),
    ]
    return "\n".join(
        [
            "What is left: the time is an estimate (evaluations included, the warm start of each seed not),",
            "FLOPs are the budget's or, on another axis, estimated; the disk is an upper bound.",
            *grid(plan.arms, columns),
            f"{count(plan.unfinished)}: about {plan.seconds / 3600:.2g} hours with "
            f"{plan.workers} at once, at most {plan.disk / 1e9:.2g} GB;",
            total_text(plan),
        ]
    )


def total_text(plan: Plan) -> str:
    """What the cells that are left spend, in episodes of full length."""
    shares = [(arm, sum(cell.left for cell in arm.cells) * arm.flops / arm.most.flops) for arm in plan.arms]
    names = {"episodes": "trajectories", "steps": "env_steps", "tokens": "tokens", "FLOPs": "flops"}
    total = {
        what: sum(share * getattr(arm.most, field) for arm, share in shares) for what, field in names.items()
    }
    spent = ", ".join(f"{amount:.3g} {what}" for what, amount in total.items())
    return f"if every episode is as long as it may be: {spent}"


def lacks_text(lacks: Sequence[UserError]) -> list[str]:
    """What this machine lacks to carry a plan out, a line each."""
    return ["", "To run this here:", *(f"  {error}" for error in lacks)] if lacks else []


def prompts_text(plan: Plan) -> list[str]:
    """That prompts could not be measured, if so."""
    unknown = [arm.config for arm in plan.arms if not measurable(arm.config.model, arm.config.env)]
    if not unknown:
        return []
    longest = " or ".join(str(length) for length in sorted({config.longest_prompt for config in unknown}))
    return [f"Prompts count with {longest} tokens, the most: what they are made of is not on this machine."]


def source_text(arm: Arm, rate: float) -> str:
    """Where an arm's seconds come from."""
    if arm.measured:
        return f"measured here ({count(arm.measured)})"
    if arm.config.budget.axis is BudgetAxis.gpu_seconds:
        return "the budget, without evaluations"
    return f"at {rate:.2g} FLOP/s assumed"


def grid(arms: Sequence[Arm], columns: Sequence[Column]) -> list[str]:
    """A header and a line for each arm, columns aligned; many equal lines of an algorithm are one."""
    equal: dict[tuple[str, ...], list[str]] = defaultdict(list)
    for arm in arms:
        equal[arm.config.algorithm.name, *(text(arm) for _, text in columns)].append(arm.name)
    lines = [("arm", *(title for title, _ in columns))]
    for (algorithm, *cells), names in equal.items():
        listed = names if len(names) <= NAMED else [f"{algorithm}, {len(names)} arms each"]
        lines += [(name, *cells) for name in listed]
    return aligned(lines)


def aligned(lines: Sequence[Sequence[str]]) -> list[str]:
    """The first column to the left, the others to the right."""
    first, *widths = (max(map(len, column)) for column in zip(*lines, strict=True))
    first = min(first, NAME_WIDTH)
    texts = []
    for name, *cells in lines:
        if len(name) > first:
            texts.append(f"  {name}")
            name = ""
        row = "  ".join(f"{cell:>{width}}" for cell, width in zip(cells, widths, strict=True))
        texts.append(f"  {name:<{first}}  {row}".rstrip())
    return texts


def count(cells: int) -> str:
    """A number of cells."""
    return f"{cells} cell{'s' * (cells != 1)}"
