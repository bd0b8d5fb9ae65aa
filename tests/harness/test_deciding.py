"""`sweep.seeds=until_decided`: who gets more seeds, and when it ends."""

import json
from contextlib import nullcontext

import numpy as np
import pytest

from harness.compose import compose_sweep
from harness.config.plain import to_plain
from harness.deciding import until_decided
from harness.errors import UserError
from harness.launch.outcome import Outcome
from harness.planning import directory
from harness.planning.declared import manifest, of_cells
from harness.store import cell_id
from reports.compare import compare
from tests.harness.sweeps import TINY, sweep
from tests.reports.synthetic import write_cell

CONTRASTS = "sweep.contrasts={clear: {left: [steppo], right: [grpo]}, close: {left: [ppo], right: [gigpo]}}"
FOUR = ["+sweep=smoke", "sweep.algorithms=[steppo,grpo,ppo,gigpo]", "sweep.seeds=until_decided", CONTRASTS]


class Sweep:
    """One whose runs end as `score` says, without being run."""

    def __init__(self, out, score, *overrides):
        self.sweep, _, self.cells = compose_sweep([*FOUR, f"sweep.out={out}", *overrides])
        self.out, self.score, self.turns = out, score, []
        self.declared = manifest(self.sweep, self.cells, "the command")

    def launch(self, cells) -> Outcome:
        directory.claim(self.out, of_cells(self.declared, {*map(cell_id, cells)}), cells, append=False)
        due = [cell for cell in cells if not (self.out / "runs" / cell_id(cell)).exists()]
        for cell in due:
            final = self.score(cell.algorithm.name, cell.seed)
            noise = np.random.default_rng(cell.seed)
            write_cell(self.out / "runs" / cell_id(cell), to_plain(cell), cell.algorithm.name, final, noise)
        self.turns.append(sorted({(cell.algorithm.name, cell.seed) for cell in due}))
        return Outcome(failures=0)

    def run(self) -> Outcome:
        return until_decided(self.sweep, self.cells, self.declared, self.launch)

    @property
    def seeds(self) -> dict[str, int]:
        """By arm, how many seeds were run."""
        all_ = [pair for turn in self.turns for pair in turn]
        return {arm: sum(name == arm for name, _ in all_) for arm in ("steppo", "grpo", "ppo", "gigpo")}


def one_clear(arm, seed) -> float:
    """steppo always wins against grpo; ppo and gigpo win by turns, by more than a SESOI."""
    return {"steppo": 0.9, "grpo": 0.2, "ppo": 0.7 - 0.4 * (seed % 2), "gigpo": 0.3 + 0.4 * (seed % 2)}[arm]


def test_only_the_arms_of_what_is_undecided_get_more_seeds(tmp_path, capsys):
    """Two comparisons: 9 wins of 9 seeds decide one, the first look none."""
    sweep = Sweep(tmp_path, one_clear, "sweep.max_seeds=18")
    sweep.run()
    assert sweep.seeds == {"steppo": 9, "grpo": 9, "ppo": 18, "gigpo": 18}
    assert [len(turn) for turn in sweep.turns] == [24, 12, 6, 12]
    said = capsys.readouterr().out.splitlines()
    assert said == [
        "after 6 seeds: undecided: clear, close",
        "after 9 seeds: clear usually better; undecided: close",
        "after 12 seeds: clear usually better; undecided: close",
        "after 18 seeds: clear usually better; undecided: close",
    ]
    listed = json.loads((tmp_path / "sweep.json").read_text())
    assert len(listed["cells"]) == 9 + 9 + 18 + 18, "what was never asked for is no cell of the sweep"
    assert listed["looks"] == [6, 9, 12, 18]


def test_the_page_says_what_the_looks_said(tmp_path):
    sweep = Sweep(tmp_path, one_clear, "sweep.max_seeds=12")
    sweep.run()
    page = compare(tmp_path).read_text()
    assert "12 seeds were the most that was declared" in page
    assert "a second look" not in page
    assert "after 6, 9 and 12 seeds the arms of undecided ones got more" in " ".join(page.split())
    summary = json.loads((tmp_path / "report.json").read_text())
    [setting] = summary["settings"].values()
    words = {row["label"]: row["verdict"] for row in setting["contrasts"]}
    assert words == {"clear": "usually better", "close": "undecided"}


def test_it_ends_when_all_is_decided(tmp_path):
    sweep = Sweep(tmp_path, lambda arm, seed: {"steppo": 0.9, "ppo": 0.9}.get(arm, 0.2))
    sweep.run()
    assert set(sweep.seeds.values()) == {9}


@pytest.mark.parametrize("turns", [1, 2, 3])
def test_a_killed_one_goes_on_to_the_same_cells(turns, tmp_path):
    whole, killed = (Sweep(tmp_path / name, one_clear, "sweep.max_seeds=12") for name in ("whole", "killed"))
    whole.run()
    launch, left = killed.launch, iter(range(turns))

    def dying(cells):
        if next(left, None) is None:
            raise KeyboardInterrupt
        return launch(cells)

    with pytest.raises(KeyboardInterrupt) if turns < 3 else nullcontext():
        until_decided(killed.sweep, killed.cells, killed.declared, dying)
    before = json.loads((tmp_path / "killed" / "sweep.json").read_text())["cells"]
    killed.run()
    after = json.loads((tmp_path / "killed" / "sweep.json").read_text())["cells"]
    assert after == json.loads((tmp_path / "whole" / "sweep.json").read_text())["cells"]
    assert set(before) <= set(after)


def test_jobs_that_are_on_their_way_are_waited_for(tmp_path):
    sweep = Sweep(tmp_path, one_clear)
    sweep.launch = lambda cells: Outcome(failures=0, alive=len(cells))
    outcome = sweep.run()
    assert outcome.alive == 24, "the first look's cells, and nothing is decided without them"


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (["sweep.max_seeds=5"], "sweep.max_seeds=5 must be 6 or more"),
        (["sweep.max_seeds=many"], "sweep.max_seeds=many must be a whole number"),
        (["sweep.seeds=[0,1]", "sweep.max_seeds=9"], "is read with sweep.seeds=until_decided alone"),
        (["sweep.append=true"], "clashes with sweep.trials, sweep.tuned, sweep.append"),
    ],
)
def test_mistakes_are_one_line(overrides, words):
    with pytest.raises(UserError, match=words):
        compose_sweep([*FOUR, *overrides])


def test_a_sweep_that_compares_nothing_is_refused():
    with pytest.raises(UserError, match=r"has nothing to decide: declare sweep\.contrasts"):
        compose_sweep(["+sweep=smoke", "sweep.algorithms=[grpo]", "sweep.seeds=until_decided"])


def test_looks_are_declared_before_results_are_known(tmp_path):
    sweep = Sweep(tmp_path, one_clear, "sweep.max_seeds=9")
    sweep.run()
    more = Sweep(tmp_path, one_clear, "sweep.max_seeds=24")
    with pytest.raises(UserError, match=r"sweep\.seeds is not what was declared"):
        more.run()


def test_a_real_sweep_ends_with_a_report_and_goes_on_for_free(tmp_path):
    """Cells that learn nothing: all seeds are alike, which the first look can tell of one comparison."""
    small = ["batch.trajectories=8", "model.clone_updates=5", "model.clone_steps=200", "env.train_tasks=2"]
    small += ["env.eval_tasks=1", "evaluation.points=1", "evaluation.window=1", "evaluation.record=0"]
    small += ["budget.axis=trajectories", "budget.limit=16"]
    asked = [*TINY, *small, "sweep.seeds=until_decided", "sweep.max_seeds=9", f"sweep.out={tmp_path}"]
    done = sweep(*asked, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "after 6 seeds: step − trajectory usually alike\n" in done.stdout
    assert len(list((tmp_path / "runs").glob("*/result.json"))) == 12
    again = sweep(*asked, cwd=tmp_path)
    assert again.returncode == 0
    assert again.stdout.count("success") == 0, "no cell was run again"
