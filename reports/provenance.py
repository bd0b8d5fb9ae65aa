"""What a report says of how its numbers came about, and of what makes a comparison unfair or incomplete."""

import math
from collections.abc import Sequence

import numpy as np

from harness.cells import Record
from reports import stats
from reports.settings import Setting
from reports.store import Store
from reports.wording import AXES, amount, count, listed, percent, run_seconds

SHARED = ("env", "model", "batch", "budget", "evaluation")
COMPARING = ("Pairing", "Intervals", "Test")
"""Terms of `methods` that are about comparisons of arms."""
MATCHED = 0.05
"""Overshoots further apart than this share of the budget are pointed out."""


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
        *([("Looks", looks_text(setting.looks))] if setting.looks else []),
        ("Noise of a score", noise(setting)),
        ("Hardware", hardware(store, setting)),
        *([("Rollouts", ahead)] if (ahead := overlapped(store, setting)) else []),
        ("Model", model([each["model"] for each in configs])),
        ("Versions", versions(store)),
        ("Code", mixed_code(setting) or "runs of one algorithm were made by one version of the code."),
        ("Command", str(store.manifest["command"])),
    ]


def looks_text(looks: Sequence[int]) -> str:
    """How seeds that were added until something was decided are reckoned with."""
    after = listed([str(look) for look in looks])
    return (
        f"seeds were added until comparisons were decided, at most {looks[-1]}: after {after} seeds the arms "
        "of undecided ones got more. The p values are right whenever that ends: of the sign tests exactly, "
        "over all planned looks, a tied seed counting for neither side; of the average and its limits by "
        "Bonferroni over the looks. The t intervals are not adjusted for it."
    )


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
