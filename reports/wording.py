"""Numbers as text, and the sentences that the data decides."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
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
    ("flops_reused", "FLOPs that this saved"),
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
    """A success rate, or – if there is none."""
    number = float(value) if isinstance(value, int | float) else math.nan
    return "–" if math.isnan(number) else f"{number:.2f}"


def signed(value: float) -> str:
    """A difference, with a true minus."""
    if math.isnan(value):
        return "–"
    return f"{value:+.2f}".replace("-", "−") if round(value, 2) else "0.00"


def between(low: float, high: float, sign: bool = False) -> str:
    """An interval. One without width is none: nothing that was seen spreads."""
    if math.isnan(low):
        return "–"
    if math.isclose(low, high, rel_tol=1e-9, abs_tol=1e-12):
        return "no spread seen"
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


def caution(families: Sequence[Family], unfinished: Mapping[str, tuple[int, int]]) -> str:
    """What the number of paired seeds allows to say at most about families of comparisons.

    `unfinished`: of the compared arms that lack scores, how many of how many seeds have one.
    """
    if not families:
        return "There are no two arms with a finished run to compare yet."
    lacking = ", ".join(f"{arm} ({has} of {of} seeds)" for arm, (has, of) in unfinished.items())
    waiting = f"Scores are missing: {lacking}; a seed counts if every arm of both sides has one. "
    return (waiting if lacking else "") + few_text(families)


def few_text(families: Sequence[Family]) -> str:
    """Which verdicts the paired seeds of some families cannot give; empty if they can give all."""
    most = {family.name: int(family.table["seeds"].max()) for family in families}
    seen = {f.name: stats.outlook(most[f.name], comparisons=len(f.table)) for f in families}
    short = [family for family in families if most[family.name] < seen[family.name].usually]
    said = [f"{holm_over(family)} {least_text(seen[family.name])}" for family in short]
    seeds = max(most.values())
    if all(most[family.name] < seen[family.name].alike for family in families):
        single = least_text(stats.outlook(seeds))
        return f"Nothing can be proved with {count(seeds, 'paired seed')}: {'; '.join([single, *said])}."
    if not said:
        return ""
    few = f"{seeds} paired seeds are too few to tell which side is better"
    return f"{few}: {'; '.join(said)}. Read the intervals."


def least_text(seen: stats.Outlook) -> str:
    """How many seeds a verdict takes."""
    return f"usually better takes {seen.usually} seeds at least, usually alike {seen.alike}"


def verdict_text(row: Mapping[str, Any]) -> str:
    """What may be said about a comparison, and what would change it: one row of a family's table."""
    if not row["seeds"]:
        return "No seed has a score of every arm of both sides."
    said = (decided_text(row), average_text(row), undone_text(row), failed_text(row), short_text(row))
    return " ".join(filter(None, said))


def decided_text(row: Mapping[str, Any]) -> str:
    """The verdict and what it rests on."""
    word = stats.Word(row["verdict"])
    if word is stats.Word.equivalent:
        return (
            f"The sides differ by less than {row['settles']:g} on most seeds and on average "
            f"(adjusted p {equals(row['p_verdict'])}, {count(int(row['seeds']), 'paired seed')})."
        )
    if word is stats.Word.usually_alike:
        return (
            f"The sides differ by less than {row['settles']:g} on most of {int(row['seeds'])} paired seeds "
            f"(adjusted p {equals(row['p_verdict'])})."
        )
    won = f"The left side won {int(row['wins'])} of {count(int(row['seeds']), 'paired seed')}"
    found = f"{won}, lost {int(row['losses'])} (adjusted p {equals(row['p_verdict'])})."
    return found if word.direction else f"No verdict. {found}"


def average_text(row: Mapping[str, Any]) -> str:
    """What is known of the mean difference, collapses that were not seen included."""
    word = stats.Word(row["verdict"])
    if word is stats.Word.undecided:
        return ""
    bounds = {
        1: f"at least {signed(row['at_least'])}",
        -1: f"at most {signed(row['at_most'])}",
        0: f"{signed(row['at_least'])} to {signed(row['at_most'])}",
    }[word.direction]
    known = f"{signed(row['difference'])}, {bounds} (95 %, collapses that were not seen included)"
    if word.grade == "on average":
        return f"Average: {known}."
    return f"Average, not decided: {known}."


def undone_text(row: Mapping[str, Any]) -> str:
    """The collapse rate that would undo a lead, if these seeds do not exclude it."""
    word = stats.Word(row["verdict"])
    if word.grade != "usually" or not word.direction:
        return ""
    ahead = "left" if word.direction > 0 else "right"
    lead, mean = word.direction * row["difference"], row[f"{ahead}_mean"]
    seen, most = int(row[f"{ahead}_collapsed"]), row[f"{ahead}_collapses_at_most"]
    if seen or not 0 < lead / mean < most:
        return ""
    return (
        f"If the {ahead} side collapsed in more than {share(lead / mean)} of its runs, its lead on average "
        f"would be gone; {int(row['seeds'])} seeds without a collapse exclude only rates above {share(most)}."
    )


def collapse_text(row: Mapping[str, Any]) -> str:
    """How often each side collapsed, what is not excluded, and whether the sides differ in it."""
    n = int(row["seeds"])
    if not n:
        return ""
    left, right = int(row["left_collapsed"]), int(row["right_collapsed"])
    found = (
        f"Collapsed: left on {left} of {n} seeds, right on {right}; not excluded are rates up to "
        f"{share(row['left_collapses_at_most'])} and {share(row['right_collapses_at_most'])}."
    )
    p = row["p_collapses"]
    if math.isnan(p) or p > stats.ALPHA:
        return found
    fewer = "left" if left < right else "right"
    return f"{found} The {fewer} side collapses less often (adjusted p {equals(p)})."


def failed_text(row: Mapping[str, Any]) -> str:
    """Which runs failed by what the algorithm did, and what would be said without them."""
    left, right = int(row["left_failed"]), int(row["right_failed"])
    if not left + right:
        return ""
    found = (
        f"Runs diverged on {left} seeds of the left side and {right} of the right: they score 0 and are no "
        "evidence of likeness."
    )
    if row["without_failed"] == row["verdict"]:
        return f"{found} Without those seeds the verdict would be the same."
    return f"{found} The verdict rests on them: without those seeds it would be {row['without_failed']}."


def short_text(row: Mapping[str, Any]) -> str:
    """What would decide what these seeds do not."""
    word = stats.Word(row["verdict"])
    if word is not stats.Word.undecided:
        return ""
    return f"{found_text(row['detectable'])} {planned_text(row)}".strip()


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


def planned_text(row: Mapping[str, Any]) -> str:
    """The seeds of a new sweep that would find the smallest effect of interest; empty if unknown."""
    if not row["spread_known"]:
        return ""
    low, high = (seeds_number(row[f"planned_{end}"]) for end in ("low", "high"))
    return (
        f"A new sweep of {seeds_number(row['planned'])} seeds would find one of {row['settles']:g} "
        f"({low} to {high}, as the spread is known from {int(row['seeds'])} seeds). Seeds added to these "
        "would be a second look, which errs more often."
    )


def seeds_number(seeds: float) -> str:
    """A number of seeds."""
    return f"over {stats.MOST_SEEDS}" if math.isinf(seeds) else f"{seeds:.0f}"


def page_error(families: int) -> str:
    """How often a page with this many families of verdicts is wrong somewhere."""
    each = f"{stats.ALPHA:.0%}".replace("%", " %")
    return (
        f"{each} is the chance of a false verdict in one family (table). Families of verdicts on this page: "
        f"{families}, and as many of statements on collapses. Something false is said anywhere with a "
        f"chance of up to {share(1 - (1 - stats.ALPHA) ** (2 * families))}."
    )


def share(value: float) -> str:
    """A share in whole percent; below one percent in one digit."""
    return f"{100 * value:.1g} %" if 0 < value < 0.01 else f"{100 * value:.0f} %"


def equals(p: float) -> str:
    """`= 0.012` or `< 0.001`."""
    text = p_value(p)
    return text.replace("<", "< ") if text.startswith("<") else f"= {text}"


def thinned(seeds: int, most: int) -> str:
    """What a caption adds if not every seed is drawn."""
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
            "A run that diverged counts as a score of 0. Any other without a result (failed for another "
            "reason, not ended, damaged) is missing and left out, with its seed: that flatters an arm whose "
            "bad runs take longer or end early."
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
    if len(places := placements(setting)) > 1:
        mixed = "; ".join(f"{place} ({arms})" for place, arms in places.items())
        found.append(
            f"Hardware is mixed: {mixed}. If arms differ in it, their difference is not the algorithm's "
            "alone."
        )
    return found


def stuck(setting: Setting, floor: Sequence[str], ceiling: Sequence[str]) -> list[str]:
    """What is said of arms, two or more, that stay at an end of the scale."""
    found = []
    if len(floor) > 1:
        found.append(
            f"The task is too hard for {listed(floor)}: no run of theirs is ever seen above a success of "
            f"{setting.sesoi:g}. That they do alike says nothing about them; an easier task, a better start "
            "or a larger budget would."
        )
    if len(ceiling) > 1:
        found.append(
            f"The task is too easy for {listed(ceiling)}: all of their runs end at a success of "
            f"{1 - setting.sesoi:g} or more. Their ends can't tell them apart; the area under the curve and "
            "a harder task can."
        )
    return found


def listed(names: Sequence[str]) -> str:
    """`a, b and c`."""
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)


def methods(store: Store, setting: Setting) -> list[tuple[str, str]]:
    """How the numbers came about: term and description, from the data."""
    config = setting.config
    if not config:
        return [("Command", str(store.manifest["command"]))]
    configs = [store.configs[cell] for cell in setting.runs["cell"] if cell in store.configs]
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
            f"Final {setting.measure}",
            f"mean sampled {setting.measure} of the last {count(int(evaluation['window']), 'evaluation')} of "
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
            "usually better, worse, alike: on most seeds, by paired sign tests, of likeness against "
            f"±{setting.sesoi:g}, the declared smallest effect of interest. Without “usually”: also on "
            "average over all runs, however rare the bad ones, by a bound on the mean that assumes "
            "nothing about the distribution (Gaffke's). A side of several arms wins a seed if its runs "
            "win more than half of their meetings with the other side's. One family-wise level for each "
            f"grade, step-down inside each table; verdicts at adjusted p ≤ {stats.ALPHA}. Collapses: "
            "McNemar's exact test, Holm in a family of its own. All pairs are exploratory "
            "(Benjamini-Hochberg).",
        ),
        ("Noise of a score", noise(setting)),
        ("Hardware", hardware(store, setting)),
        *([("Rollouts", ahead)] if (ahead := overlapped(store, setting)) else []),
        ("Model", model([each["model"] for each in configs])),
        ("Versions", versions(store)),
        ("Code", mixed_code(setting) or "runs of one algorithm were made by one version of the code."),
        ("Command", str(store.manifest["command"])),
    ]


def evaluation_error(success: float, episodes: int) -> float:
    """Standard error of a share of solved episodes: binomial, so at most this on a fixed panel of tasks."""
    return math.sqrt(success * (1 - success) / episodes)


def noise(setting: Setting) -> str:
    """How exactly a run's score is measured, next to the smallest effect of interest.

    A score between failure and success spreads at most as success of the same mean does.
    """
    env, evaluation = setting.config["env"], setting.config["evaluation"]
    episodes = int(env["eval_tasks"]) * int(evaluation["episodes"]) * int(evaluation["window"])
    scores = setting.finals.to_numpy(dtype=float)
    level = 0.5 if np.isnan(scores).all() else float(np.nanmean(scores))
    error, seeds = evaluation_error(level, episodes), max(1, len(setting.finals))
    some = "at most" if setting.measure == "score" else "some"
    return (
        f"{episodes} sampled episodes make a run's final {setting.measure}: at {level:.2f}, the mean of all "
        f"runs, its standard error is {some} {error:.3f} from the evaluation alone; that of a difference of "
        f"two arms over {count(seeds, 'seed')} {error * math.sqrt(2 / seeds):.3f}. The smallest effect of "
        f"interest is {setting.sesoi:g}."
    )


def placements(setting: Setting) -> dict[str, str]:
    """The devices and number formats of finished runs, and which arms ran on each."""
    runs = setting.done.dropna(subset="placement")
    by_place = {str(place): sorted(set(arms)) for place, arms in runs.groupby("placement")["arm"]}
    return {
        place: listed(arms) if len(arms) <= 4 else f"{len(arms)} arms" for place, arms in by_place.items()
    }


def hardware(store: Store, setting: Setting) -> str:
    """Devices, machines, and how long they worked."""
    runs = setting.runs
    places = " and ".join(placements(setting)) or "devices that were not recorded"
    hosts = {host for named in runs["hosts"].dropna() for host in named.split()}
    machines = f" of {count(len(hosts), 'machine')}" if hosts else ""
    devices = [store.configs.get(cell, {}).get("model", {}).get("gpus", 1) for cell in runs["cell"]]
    hours = float((run_seconds(runs) * devices).sum()) / 3600
    return (
        f"{places}{machines}: {hours:.3g} device-hours in rollouts, updates and evaluations of all runs, "
        "other work on the machines beside them included."
    )


def overlapped(store: Store, setting: Setting) -> str:
    """Which arms train on rollouts of an older policy; empty if none does."""
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
    """The algorithms whose runs were made by several versions of the code; empty if there are none.

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
        "greedy per task at every evaluation."
    )


def model(configs: Sequence[Record]) -> str:
    """The policy and where it starts from; `configs`: the model's options in each run."""
    config = configs[0]
    rates = sorted({float(each["lr"]) for each in configs if "lr" in each})
    if "layers" in config:
        what = f"{config['layers']} layers of width {config.get('width')}, made for this environment"
    else:
        revision = f" at {config['revision'][:12]}" if config.get("revision") else ""
        what = f"pretrained, from {config.get('source')}{revision}; actions are {config.get('answer')}; "
        rank = config.get("lora_rank")
        what += f"LoRA adapters of rank {rank} are trained" if rank else "all weights are trained"
    said = f"learning rate {', '.join(f'{rate:g}' for rate in rates)}" + " (by arm)" * (len(rates) > 1)
    if updates := config.get("clone_updates"):
        start = (
            f"warm start by {count(int(updates), 'update')} that clone uniformly random valid play, in the "
            f"situations met in {config.get('clone_steps')} steps of it, made once per seed and shared by "
            "all arms"
        )
    else:
        start = "no warm start"
    return f"{config.get('name')}: {what}; {said}; {start}."


def versions(store: Store) -> str:
    """Code and libraries."""
    parts = [f"CreditBench {store.manifest['creditbench']}".strip()]
    parts += [f"commit {store.manifest['commit']}"] if store.manifest["commit"] else []
    parts += [" ".join(f"{k} {v}" for k, v in sorted(each.items())) for each in store.versions]
    mixed = " (runs were made with different versions)" if len(store.versions) > 1 else ""
    return "; ".join(parts) + mixed


def ranges(numbers: list[int]) -> str:
    """`0–5`, or the numbers if they are not consecutive."""
    if len(numbers) > 2 and numbers[-1] - numbers[0] == len(numbers) - 1:
        return f"{numbers[0]}–{numbers[-1]}"
    return ", ".join(map(str, numbers))


def run_seconds(runs: pd.DataFrame) -> pd.Series:
    """Seconds of each run, all kinds of work together."""
    return runs[["rollout_seconds", "update_seconds", "evaluation_seconds"]].sum(axis=1)
