"""Numbers as text, and the sentences that the data decides."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from harness.cells import Record
from harness.ledger import Phase
from reports import stats
from reports.comparisons import Family
from reports.settings import Setting
from reports.store import Store

PHASE_NAMES = {
    Phase.prefill_new.value: "prefill",
    Phase.prefill_cached.value: "prefill, cached",
    Phase.decode.value: "decode",
    Phase.decode_branch.value: "decode branches",
    Phase.score_sampled.value: "score samples",
    Phase.branch_scoring.value: "score branch points",
    Phase.score_reference.value: "score reference",
    Phase.column_scoring.value: "score for credit",
    Phase.ratio_centre.value: "centre the ratio",
    Phase.critic_forward.value: "critic forward",
    Phase.critic_train.value: "critic train",
    Phase.actor_train.value: "actor train",
    Phase.environment.value: "environment",
    Phase.credit.value: "credit",
    Phase.evaluation.value: "evaluation",
    Phase.warm_start.value: "warm start",
    Phase.true_values.value: "true values",
    Phase.unused.value: "unused rollout",
}
COMPUTE_ROWS = [
    ("flops_nominal", "training FLOPs, nominal"),
    ("flops_computed", "training FLOPs, computed"),
    ("flops_cached", "of the nominal: prompts that were cached"),
    ("overshoot", "spent beyond the budget"),
    ("tokens_sampled", "tokens sampled"),
    ("tokens_trained", "tokens trained on (actor)"),
    ("tokens_reused", "tokens that branches took over"),
    ("flops_reused", "FLOPs that this spared"),
    ("trajectories", "trajectories"),
    ("env_steps", "environment steps"),
    ("tool_calls", "tool calls: steps that the environment carried out"),
    ("env_steps_replayed", "environment steps replayed to branch"),
    ("iterations", "iterations"),
    ("rollout_seconds", "device seconds in rollouts"),
    ("update_seconds", "device seconds in updates"),
    ("peak_memory", "most bytes of memory in use"),
    ("flops_evaluation", "outside the budget: evaluation FLOPs"),
    ("evaluation_seconds", "outside the budget: evaluation seconds"),
    ("flops_warm_start", "outside the budget: warm start FLOPs"),
    ("flops_redone", "outside the budget: FLOPs done again after interruptions"),
    ("seconds_redone", "outside the budget: seconds done again"),
]
"""Columns of `tables.compute_table` and their names on the page."""
AXES = {
    "flops": "training FLOPs",
    "tokens": "sampled tokens",
    "env_steps": "environment steps",
    "trajectories": "trajectories",
    "gpu_seconds": "device seconds",
    "seconds": "device seconds",
}
"""Axes of a budget and of a curve."""
SHARED = ("env", "model", "batch", "budget", "evaluation")
COMPARING = ("Pairing", "Intervals", "Test")
"""Terms of `methods` that are about comparisons of arms."""
MATCHED = 0.05
"""Overshoots further apart than this share of the budget are pointed out."""


def plain(value: object) -> str:
    """A success rate, or – where there is none."""
    number = float(value) if isinstance(value, int | float) else math.nan
    return "–" if math.isnan(number) else f"{number:.2f}"


def signed(value: float) -> str:
    """A difference, with a true minus."""
    if math.isnan(value):
        return "–"
    return f"{value:+.2f}".replace("-", "−") if round(value, 2) else "0.00"


def between(low: float, high: float, sign: bool = False) -> str:
    """An interval."""
    if math.isnan(low):
        return "–"
    form = signed if sign else plain
    return f"{form(low)} to {form(high)}"


def p_value(value: float) -> str:
    """A p value."""
    if math.isnan(value):
        return "–"
    return "<0.001" if value < 0.001 else f"{value:.3f}"


def amount(value: float) -> str:
    """A large number in three digits, e.g. 700 G."""
    if math.isnan(value):
        return "–"
    for size, unit in ((1e15, "P"), (1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= size:
            return f"{value / size:.3g} {unit}"
    return f"{value:.3g}"


def percent(value: float) -> str:
    """A share."""
    return "–" if math.isnan(value) else f"{value:.1%}".replace("%", " %")


def count(number: int, noun: str) -> str:
    """`1 seed`, `2 seeds`."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def caution(families: Sequence[Family]) -> str:
    """What the number of paired seeds allows to say at most about families of comparisons."""
    if not families:
        return "There are no two arms with a finished run to compare yet."
    seeds = {family.name: int(family.table["seeds"].max()) for family in families}
    most = max(seeds.values())
    if most < stats.seeds_needed(1):
        several = [family for family in families if len(family.table) > 1]
        needs = "".join(f", {stats.seeds_needed(len(f.table))} {holm_over(f)}" for f in several)
        return (
            f"Nothing can be proved with {count(most, 'paired seed')}: the smallest p that the exact "
            f"sign-flip test can give is {p_value(stats.smallest_p(most))}. At least "
            f"{stats.seeds_needed(1)} seeds are needed for a single comparison{needs}."
        )
    said = []
    for family in families:
        needed = stats.seeds_needed(len(family.table))
        if seeds[family.name] < needed:
            least = p_value(min(1.0, len(family.table) * stats.smallest_p(seeds[family.name])))
            said.append(
                f"{holm_over(family)} the adjusted p can't fall below {least} ({needed} seeds needed)"
            )
    if not said:
        return ""
    return f"{most} paired seeds are too few for a verdict: {'; '.join(said)}. Read the intervals."


def verdict_text(row: Mapping[str, Any]) -> str:
    """What may be said about a comparison, and what would change it: one row of a family's table."""
    seeds, settled = count(int(row["seeds"]), "paired seed"), f"{row['settles']:g}"
    p = f"adjusted p {equals(row['p_adjusted'])}, {seeds}"
    if row["verdict"] in ("better", "worse"):
        return f"The left side is {row['verdict']}: {p}."
    if row["verdict"] == "equivalent":
        return (
            f"The difference is smaller than {settled} either way: "
            f"adjusted p {equals(row['p_equivalence'])}, {seeds}."
        )
    return f"No verdict: {p}. {found_text(row['detectable'])} {more_text(row['seeds_more'], settled)}"


def found_text(detectable: float) -> str:
    """What an undecided comparison would have found."""
    if math.isnan(detectable):
        return "The spread between seeds is unknown."
    if detectable > 1:
        return "So few seeds find no difference, however large."
    return f"Its seeds find a true difference of {detectable:.2f} with {stats.POWER:.0%} power."


def reach(detectable: float) -> str:
    """The true difference that seeds find, as a table's entry."""
    return "none" if detectable > 1 else plain(detectable)


def more_text(seeds: float | None, effect: str) -> str:
    """How many seeds an undecided comparison is short of."""
    if seeds is None or math.isnan(seeds):
        return f"A difference of {effect} takes more than {stats.MOST_SEEDS} seeds."
    if not seeds:
        return f"There are enough seeds for a difference of {effect}."
    return f"{count(int(seeds), 'more seed')} would settle one of {effect}."


def equals(p: float) -> str:
    """`= 0.012` or `< 0.001`."""
    text = p_value(p)
    return text.replace("<", "< ") if text.startswith("<") else f"= {text}"


def thinned(seeds: int, most: int) -> str:
    """What a caption adds where not every seed is drawn."""
    if seeds <= most:
        return ""
    return (
        f" Of more than {most} seeds, {most} are drawn: evenly spaced in rank, the lowest and the highest "
        "among them. All numbers are over all seeds."
    )


def holm_over(family: Family) -> str:
    """`with Holm over 9 comparisons (all pairs)`."""
    return f"with Holm over {count(len(family.table), 'comparison')} ({family.name})"


def differing(store: Store, setting: Setting) -> list[str]:
    """Settings that all arms ought to share and do not, e.g. `budget.limit: 1e9, 2e9`."""
    found = []
    configs = [store.configs[cell] for cell in setting.runs["cell"] if cell in store.configs]
    for part in SHARED:
        for name in sorted({name for config in configs for name in config.get(part, {})}):
            values = sorted({str(config.get(part, {}).get(name)) for config in configs})
            if len(values) > 1 and f"{part}.{name}" not in store.manifest["knobs"]:
                found.append(f"{part}.{name}: {', '.join(values)}")
    hashes = sorted(set(setting.done["panel_hash"]))
    return found + ([f"panel hash: {', '.join(h[:12] for h in hashes)}"] if len(hashes) > 1 else [])


def warnings(store: Store, setting: Setting) -> list[str]:
    """What makes the comparison unfair or incomplete, one sentence each."""
    found = [f"The arms do not share {each}." for each in differing(store, setting)]
    missing = setting.runs[setting.runs["state"] != "done"]
    if len(missing):
        states = ", ".join(
            f"{n} {state}" for state, n in missing["state"].value_counts().sort_index().items()
        )
        found.append(
            f"{len(missing)} of {count(len(setting.runs), 'run')} have no final score ({states}). "
            "A failed run counts as a score of 0; one that has not ended is left out, with its seed."
        )
    starts = setting.done.groupby("seed")["start_hash"].nunique()
    if (starts > 1).any():
        found.append(
            f"Arms of one seed did not start from the same weights (seed {starts[starts > 1].index[0]}): "
            "their difference is not the algorithm's alone. Runs of different settings are mixed."
        )
    over = setting.done.groupby("arm")["overshoot"].mean()
    if len(over) and over.max() - over.min() > MATCHED:
        found.append(
            f"Compute is not matched closely: a run finishes its iteration in flight, and the arms spent "
            f"{percent(over.min())} ({over.idxmin()}) to {percent(over.max())} ({over.idxmax()}) more than "
            "the budget. A larger budget or smaller batches bring them together."
        )
    if mixed := mixed_code(setting):
        found.append(f"Code is mixed: {mixed}.")
    return found


def methods(store: Store, setting: Setting) -> list[tuple[str, str]]:
    """How the numbers came about: term and description, from the data."""
    config = setting.config
    if not config:
        return [("Command", str(store.manifest["command"]))]
    budget, env, evaluation = config["budget"], config["env"], config["evaluation"]
    seeds = sorted(set(setting.runs["seed"]))
    hashes = sorted(set(setting.done["panel_hash"]))
    return [
        (
            "Budget",
            f"{amount(float(budget['limit']))} {AXES.get(budget['axis'], budget['axis'])} a run, nominal: "
            "every row counted as if nothing were shared. A run finishes the iteration in flight. Evaluation "
            "and warm start are outside it.",
        ),
        ("Panel", panel(env, evaluation) + (f" SHA-256 {hashes[0][:16]}…" if len(hashes) == 1 else "")),
        (
            "Final success",
            f"mean sampled success of the last {count(int(evaluation['window']), 'evaluation')} of "
            f"{int(evaluation['points']) + 1}, read off the curve at equal fractions of the budget, the last "
            "at exactly the limit; never the peak.",
        ),
        ("Replication", f"the training run: {count(len(seeds), 'seed')} ({ranges(seeds)}) an arm."),
        (
            "Pairing",
            "arms of one seed share the start policy, the order of tasks, the environment's seeds and the "
            "sampling keys; differences are taken inside a seed.",
        ),
        (
            "Intervals",
            "95 %, over runs, not adjusted: Student's t on means (cut to 0 to 1) and on paired differences, "
            "Yuen's on interquartile means.",
        ),
        (
            "Test",
            "paired sign-flip permutation of the mean difference, two-sided, all 2ⁿ arrangements up to "
            f"{stats.EXACT_SEEDS} seeds; equivalence by the same test against ±{setting.sesoi:g}, the "
            "declared smallest effect of interest; one family-wise level for both, step-down inside each "
            f"table; verdicts at adjusted p ≤ {stats.ALPHA}. All pairs are exploratory (Benjamini-Hochberg).",
        ),
        *([("Rollouts", ahead)] if (ahead := overlapped(store, setting)) else []),
        ("Model", model(config["model"])),
        ("Versions", versions(store)),
        ("Code", mixed_code(setting) or "runs of one algorithm were made by one version of the code."),
        ("Command", str(store.manifest["command"])),
    ]


def overlapped(store: Store, setting: Setting) -> str:
    """Which arms train on rollouts of an older policy; empty where none does."""
    arms = ", ".join(
        str(arm)
        for arm, cells in setting.runs.groupby("arm")["cell"]
        if any(store.configs.get(cell, {}).get("rollout", {}).get("overlap") for cell in cells)
    )
    return arms and (
        f"{arms}: played while the weights were updated (rollout.overlap), by the policy of one iteration "
        "before; not comparable with arms that play and train in turn."
    )


def mixed_code(setting: Setting) -> str:
    """The algorithms whose runs were made by several versions of the code; empty where there are none.

    Versions of different algorithms can't be compared: each counts its own file.
    """
    runs = setting.runs.dropna(subset="code")
    if runs.empty:
        return ""
    algorithm = runs["arm"].str.split().str[0]
    found = []
    for name, codes in runs["code"].str.split().groupby(algorithm):
        counted = codes.explode().value_counts().sort_index()
        if len(counted) > 1:
            parts = ", ".join(f"{code} ({count(int(n), 'run')})" for code, n in counted.items())
            found.append(f"runs of {name} were made by {len(counted)} versions of the code: {parts}")
    return "; ".join(found)


def panel(env: Record, evaluation: Record) -> str:
    """What success is measured on."""
    where = {
        "fixed": "of those that are trained on (this measures learning, not generalisation)",
        "unseen": "that training never sees",
    }.get(str(env.get("split")), "of the environment")
    tasks = int(env.get("eval_tasks", 0))
    return (
        f"{count(tasks, 'task')} {where}; {count(int(evaluation['episodes']), 'sampled episode')} and one "
        "greedy a task at every evaluation."
    )


def model(config: Record) -> str:
    """The policy and its warm start."""
    return (
        f"{config.get('name')}: {config.get('layers')} layers of width {config.get('width')}, learning rate "
        f"{config.get('lr')}; warm start by cloning uniformly random valid play in the situations met in "
        f"{config.get('clone_steps')} steps of it, made once a seed and shared by all arms."
    )


def versions(store: Store) -> str:
    """Code and libraries."""
    parts = [f"CreditBench {store.manifest['creditbench']}".strip()]
    parts += [f"commit {store.manifest['commit']}"] if store.manifest["commit"] else []
    parts += [" ".join(f"{k} {v}" for k, v in sorted(each.items())) for each in store.versions]
    mixed = " (runs were made with different versions)" if len(store.versions) > 1 else ""
    return "; ".join(parts) + mixed


def ranges(numbers: list[int]) -> str:
    """`0–5`, or the numbers where they are not consecutive."""
    if len(numbers) > 2 and numbers[-1] - numbers[0] == len(numbers) - 1:
        return f"{numbers[0]}–{numbers[-1]}"
    return ", ".join(map(str, numbers))


def run_seconds(runs: pd.DataFrame) -> pd.Series:
    """Seconds of each run, all kinds of work together."""
    return runs[["rollout_seconds", "update_seconds", "evaluation_seconds"]].sum(axis=1)
