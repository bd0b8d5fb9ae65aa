"""What the report says about tuning: trials, tuned against default settings, learning-rate sensitivity."""

from dataclasses import dataclass
from functools import partial

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from harness.compose.frozen import Frozen, from_plain
from reports.comparisons import Family, arm_pairs, compare_pairs
from reports.figures import Drawing, Picture, drawn_as
from reports.parts import Parts
from reports.settings import Setting
from reports.store import Store
from reports.svg import INK, MUTED, canvas, legend, palette
from reports.tables import OUTSIDE
from reports.trials import collect
from reports.wording import amount, count, percent

LR = "model.lr"


@dataclass(frozen=True)
class Tuning:
    """A tuning, or the tuning that a comparison's arms come from."""

    searching: bool
    """Whether the report is the tuning's own: then nothing is compared between algorithms."""
    frozen: Frozen
    trials: pd.DataFrame
    """One row per algorithm and trial."""
    gains: Family
    """Tuned minus default, on the comparison's seeds and tasks."""
    figures: dict[str, Picture]
    notes: list[str]

    @property
    def caution(self) -> str:
        """What a tuning's page must not be read as."""
        return (
            "This is a tuning: it picks a setting for each algorithm, on tasks and seeds of its own. The "
            "best of several noisy trials looks better than it is, so these scores compare no algorithms; "
            "+sweep=all_algos_tuned does, on other tasks and seeds."
        )


def methods(tuning: Tuning) -> list[tuple[str, str]]:
    """How settings were chosen and compared: term and description."""
    frozen = tuning.frozen
    chosen = [
        ("Trials", trials_text(frozen)),
        ("Selection", f"The winner has the best {frozen.metric}."),
    ]
    if tuning.searching:
        return chosen
    gains = (
        "tuned minus default inside a seed, by the test below, on seeds and tasks that no trial has seen; a "
        "family of its own. Default arms take part in no other comparison."
    )
    return [*chosen, ("Tuned against default", gains)]


def tuning_of(store: Store, setting: Setting, parts: Parts) -> Tuning | None:
    """What there is to say about tuning in a setting."""
    searched, used = collect(store), store.manifest["tuned"]
    if searched is None and used is None:
        return None
    frozen = searched or from_plain(used["frozen"])
    pairs = [(f"{name} tuned", name) for name in frozen.algorithms]
    arms = set(setting.arms)
    return Tuning(
        searching=used is None,
        frozen=frozen,
        trials=trial_table(frozen),
        gains=compare_pairs(
            "tuned minus default",
            setting,
            arm_pairs([pair for pair in pairs if arms.issuperset(pair)]),
            setting.sesoi,
        ),
        figures=pictures(frozen, setting, parts),
        notes=notes(frozen) if used is None else [*used_notes(frozen, setting, used["name"]), *notes(frozen)],
    )


def trial_table(frozen: Frozen) -> pd.DataFrame:
    """Every trial of every algorithm: its knobs, its score, how many of its runs failed, whether it won."""
    return pd.DataFrame(
        {
            "algorithm": algorithm,
            "trial": number,
            **{knob: frozen.value(algorithm, number, knob) for knob in frozen.knobs},
            "score": trial.score,
            "area": trial.area,
            **{f"seed {seed}": trial.scores.get(seed) for seed in frozen.seeds},
            "failed": len(trial.failed),
            "winner": number == tuned.winner,
        }
        for algorithm, tuned in frozen.algorithms.items()
        for number, trial in enumerate(tuned.trials)
    )


def notes(frozen: Frozen) -> list[str]:
    """How the trials were made."""
    failed = sum(len(trial.failed) for tuned in frozen.algorithms.values() for trial in tuned.trials)
    return [
        trials_text(frozen),
        f"The winner has the best {frozen.metric}.",
        f"The trials cost {amount(frozen.flops)} nominal training FLOPs: "
        + ", ".join(f"{name} {amount(tuned.flops)}" for name, tuned in frozen.algorithms.items())
        + (f". {count(failed, 'run')} failed and counted 0." if failed else "."),
    ]


def trials_text(frozen: Frozen) -> str:
    """What was tried."""
    return (
        f"Every algorithm ran the same {count(len(frozen.points), 'setting')}: trial 0 is its default, the "
        f"others are scrambled Sobol points over {', '.join(frozen.knobs)}, equal for all. Each ran on "
        f"{count(len(frozen.seeds), 'seed')} ({', '.join(map(str, frozen.seeds))}), on tasks kept for "
        "tuning."
    )


def used_notes(frozen: Frozen, setting: Setting, name: str) -> list[str]:
    """What a comparison of tuned arms took over, and what that had cost beside it."""
    phases = setting.phases
    spent = float(phases[~phases["phase"].isin(OUTSIDE)]["flops"].sum())
    share = (
        f" Tuning cost {percent(frozen.flops / spent)} of what these finished runs spent." if spent else ""
    )
    kept = [algorithm for algorithm, tuned in frozen.algorithms.items() if not tuned.overrides]
    stayed = f" The default setting won for {', '.join(kept)}: one arm stands for both." if kept else ""
    return [f"The tuned arms run at the winning settings of {name}, frozen {frozen.date}.{share}{stayed}"]


def pictures(frozen: Frozen, setting: Setting, parts: Parts) -> dict[str, Picture]:
    """The learning-rate figure, if the rate was varied and some trial has ended."""
    scores = [trial.score for tuned in frozen.algorithms.values() for trial in tuned.trials]
    if LR not in frozen.knobs or np.isnan(scores).all():
        return {}
    title = f"Tuning score by learning rate ({setting.env}, model {setting.model})"
    drawing = Drawing(title, trial_table(frozen), list(frozen.algorithms), partial(sensitivity, frozen))
    made = parts.made(f"Figure “{title}”", partial(drawn_as, f"sensitivity-{setting.slug}", drawing), None)
    return {"sensitivity": made} if made else {}


def sensitivity(frozen: Frozen, width: float) -> Figure:
    """Mean tuning success against the learning rate, one line per algorithm."""
    colours = palette(list(frozen.algorithms))
    figure, axes = canvas(4.2, width)
    for algorithm, tuned in frozen.algorithms.items():
        rates = np.array([frozen.value(algorithm, i, LR) for i in range(len(tuned.trials))], dtype=float)
        scores = np.array([trial.score for trial in tuned.trials])
        order, colour = np.argsort(rates, kind="stable"), colours[algorithm]
        axes.plot(rates[order], scores[order], ".-", color=colour, linewidth=1.8, label=algorithm)
        axes.plot(rates[0], scores[0], "D", markerfacecolor="none", markeredgecolor=colour, markersize=8)
        if tuned.winner >= 0:
            axes.plot(rates[tuned.winner], scores[tuned.winner], "o", color=colour, markersize=8)
    axes.axvline(rates[0], color=MUTED, linewidth=0.8, linestyle=":")
    axes.set_xscale("log")
    axes.set_ylim(-0.02, 1.02)
    axes.set_xlabel("learning rate of the policy")
    axes.set_ylabel("final success on the tuning tasks, mean over seeds")
    axes.plot([], [], "D", markerfacecolor="none", markeredgecolor=INK, markersize=8, label="default")
    axes.plot([], [], "o", color=INK, markersize=8, label="winner")
    legend(figure, axes.get_legend_handles_labels()[0])
    return figure
