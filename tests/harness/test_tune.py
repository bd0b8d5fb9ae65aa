"""Fair tuning: equal trials for all, on tasks and seeds of their own; the winner is what the runs say."""

import math
import re
import shutil
import statistics
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
import yaml

from envs.base import STREAMS, EnvironmentSpec, Split, TaskSet
from envs.household import HouseholdSpec
from envs.textworld import TextWorldSpec
from envs.vault import VaultSpec
from harness import sweep, tune
from harness.compose import compose_sweep, frozen
from harness.compose.arms import sweep_arms
from harness.compose.space import points
from harness.config.sweep import Knob, Scale
from harness.errors import UserError
from harness.store import read_json, write_json
from harness.store.checksums import file_hash, read_sealed, write_sealed
from reports.compare import compare
from tests.harness import sweeps

SPACE = {
    "model.lr": Knob(1e-4, 1e-2, tied={"model.critic_lr": 2}),
    "model.grad_clip": Knob(1, 3, Scale.linear),
}
SMALL = [
    "sweep.algorithms=[grpo,steppo]",
    "batch.trajectories=16",
    "batch.minibatches=1",
    "model.clone_updates=150",
    "env.rooms=3",
    "env.key=false",
    "env.horizon=12",
    "evaluation.episodes=1",
    "evaluation.points=3",
    "evaluation.window=1",
    "budget.limit=2e10",
]
TUNE = ["+sweep=tune", *SMALL, "sweep.trials=2", "sweep.out=store", "+sweep.tuned=frozen.yaml"]


def test_points_are_deterministic_inside_the_space_and_go_on():
    found = points(SPACE, 8)
    assert found == points(SPACE, 8) == points(SPACE, 13)[:9]
    assert found[0] == {}, "trial 0 is the default setting"
    assert len({tuple(point.values()) for point in found}) == 9
    for point in found[1:]:
        assert 1e-4 <= point["model.lr"] <= 1e-2
        assert 1 <= point["model.grad_clip"] <= 3
        assert point["model.critic_lr"] == pytest.approx(2 * point["model.lr"], rel=0.01)


def test_points_fill_the_space_evenly_on_each_knobs_scale():
    """Of 8 Sobol points one lies in each eighth: of log lr, and of the linear knob itself."""
    tried = points(SPACE, 8)[1:]
    eighths = [int(8 * math.log(p["model.lr"] / 1e-4) / math.log(100)) for p in tried]
    assert sorted(eighths) == list(range(8))
    assert sorted(int(8 * (p["model.grad_clip"] - 1) / 2) for p in tried) == list(range(8))


def test_every_algorithm_gets_the_same_trials():
    composed, _, cells = compose_sweep(["+sweep=tune"])
    settings: dict[str, list[tuple[float, ...]]] = {}
    for cell in cells:
        if cell.seed == 1000:
            model, algorithm = cell.model, cell.algorithm
            setting = (model.lr, model.critic_lr, algorithm.entropy_coef)
            settings.setdefault(algorithm.name, []).append(setting)
    assert sorted(settings) == sorted(composed.algorithms)
    (tried,) = {tuple(each[1:]) for each in settings.values()}
    assert len(tried) == composed.trials == 8
    assert all(each[0][:2] == (1e-3, 2e-3) for each in settings.values())
    assert min(composed.seeds) >= 1000
    assert {cell.env.tasks for cell in cells} == {TaskSet.tuning}


@pytest.mark.parametrize(
    "spec",
    [
        VaultSpec(),
        VaultSpec(rooms=2, key=False, train_tasks=20, eval_tasks=20),
        HouseholdSpec(),
        TextWorldSpec(train_tasks=2, eval_tasks=2),
    ],
    ids=["vault", "few layouts", "household", "textworld"],
)
def test_tuning_tasks_are_in_no_comparison(spec: EnvironmentSpec):
    spec.check()
    unseen = replace(spec, split=Split.unseen)
    comparison = [*unseen.training_panel(), *unseen.evaluation_panel()]
    tuning = replace(unseen, tasks=TaskSet.tuning)
    tasks = [*tuning.training_panel(), *tuning.evaluation_panel()]
    assert not {task.seed for task in tasks} & {task.seed for task in comparison}
    assert not {task.id for task in tasks} & {task.id for task in comparison}
    assert replace(spec, tasks=TaskSet.tuning).panel_hash() != spec.panel_hash()
    if isinstance(spec, VaultSpec):
        assert not any(spec.layout(a.seed) == spec.layout(b.seed) for a in tasks for b in comparison)
    if isinstance(spec, HouseholdSpec):
        assert not {spec.home(task.seed) for task in tasks} & {spec.home(task.seed) for task in comparison}


def test_a_stream_is_not_another():
    seeds = [VaultSpec().task(stream, 0).seed for stream in STREAMS]
    assert len(set(seeds)) == len(STREAMS)


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (["+sweep=tune", "env.tasks=comparison"], "choose env.tasks=tuning"),
        (["+sweep=smoke", "env.tasks=tuning"], "env.tasks=tuning is for tuning alone"),
        (["+sweep=tune", "sweep.trials=0"], "a tuning needs both"),
        (["+sweep=smoke", "+sweep.trials=4"], "a tuning needs both"),
        (["+sweep=tune", "sweep.trials=-1"], "sweep.trials=-1"),
        (["+sweep=tune", "+sweep.crossed={ratio_unit:[token]}"], "sweep.crossed clashes with"),
        (["+sweep=tune", "+sweep.contrasts={a:{left:[ppo],right:[grpo]}}"], "a tuning compares no arms"),
        (["+sweep=tune", "sweep.space={model.lr:{low:1}}"], "low=1 must be above 0 and below high=0.008"),
        (["+sweep=tune", "+sweep.space={model.lrr:{low:1,high:2}}"], "did you mean lr? (arm ppo trial 1)"),
        (["+sweep=tune", "+sweep.space={modl.lr:{low:1,high:2}}"], "did you mean model?"),
        (["+sweep=tune", "+sweep.space={model.lr:{lo:1}}"], "did you mean low?"),
        (["+sweep=smoke", "sweep.algorithms=['grpo modl.lr=1']"], "modl.lr is not an option of an arm"),
        (["+sweep=all_algos_tuned", "sweep.tuned=nowhere"], "run python -m harness.sweep +sweep=tune"),
    ],
)
def test_mistakes_are_one_line(overrides, words):
    with pytest.raises(UserError) as error:
        compose_sweep(overrides)
    assert words in str(error.value)
    assert "\n" not in str(error.value)


def test_without_a_tuning_the_newest_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(frozen, "TUNED_DIR", tmp_path)
    with pytest.raises(UserError, match=r"nothing is tuned yet: run python -m harness.sweep \+sweep=tune"):
        compose_sweep(["+sweep=all_algos_tuned"])


def test_an_arm_may_set_what_is_not_its_algorithms():
    arms = '["grpo","grpo model.lr=0.002 rollouts=4"]'
    _, _, cells = compose_sweep(["+sweep=smoke", f"sweep.algorithms={arms}"])
    assert [(cell.model.lr, cell.algorithm.rollouts) for cell in cells] == [(1e-3, 8), (2e-3, 4)]


def test_a_dry_run_says_what_a_tuning_is(capsys):
    assert sweep.main(["+sweep=tune", "--dry-run"]) == 0
    printed = capsys.readouterr().out
    assert "x (default + 8 trials of model.lr, algorithm.entropy_coef, on tuning tasks)" in printed
    assert "x seeds 1000, 1001, on vault" in printed
    assert "108 cells, 0 done" in printed
    assert printed.count(", 9 arms each") == 12, "a line for each algorithm in either table"


@pytest.fixture(scope="module")
def tuned(tmp_path_factory) -> Path:
    """A folder in which a tiny tuning has run: its store, and the frozen file."""
    folder = tmp_path_factory.mktemp("tuned")
    run(folder, TUNE)
    return folder


def run(folder: Path, arguments: list[str]) -> str:
    done = sweeps.sweep(*arguments, cwd=folder)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def results(store: Path) -> pd.DataFrame:
    """The runs, read from their own files by this test: what they tried and what came of it."""
    rows = []
    for path in store.glob("runs/*"):
        config, result = read_json(path / "config.json"), read_json(path / "result.json")
        phases = result["ledger"]["phases"]
        outside = ("evaluation", "warm_start", "true_values")
        rows.append(
            {
                "cell": path.name,
                "algorithm": path.name.split("-")[0],
                "lr": config["model"]["lr"],
                "seed": config["seed"],
                "final": result["final_success"],
                "flops": sum(entry["flops"] for name, entry in phases.items() if name not in outside),
            }
        )
    return pd.DataFrame(rows)


FINALS = ("final_success", "final_score")
"""The vault has no scores between success and failure: both are one number."""


def give(store: Path, finals: dict[tuple[str, int], float]) -> None:
    """Change the final success of trials, by algorithm and trial."""
    record = read_json(store / "sweep.json")["tuning"]
    for cell, (algorithm, trial) in record["cells"].items():
        if (algorithm, trial) in finals:
            path = store / "runs" / cell / "result.json"
            write_sealed(path, {**read_sealed(path), **dict.fromkeys(FINALS, finals[algorithm, trial])})


@pytest.mark.slow
def test_the_winner_has_the_best_runs(tuned):
    content = yaml.safe_load((tuned / "frozen.yaml").read_bytes())
    runs = results(tuned / "store")
    assert len(runs) == 2 * 3 * 2
    assert runs["final"].nunique() > 4, "an easy task: runs must differ for this test to say something"
    for algorithm, found in content["algorithms"].items():
        mine = runs[runs["algorithm"] == algorithm]
        means = mine.groupby("lr")["final"].mean()
        won = found["overrides"].get("model.lr", 1e-3)
        assert means[won] == means.max()
        assert found["flops"] == mine["flops"].sum()
        for point, trial in zip(content["points"], found["trials"], strict=True):
            rows = mine[mine["lr"] == point.get("model.lr", 1e-3)].set_index("seed")
            assert trial["scores"] == pytest.approx(rows["final"].to_dict(), abs=1e-6)
            assert trial["score"] == pytest.approx(statistics.mean(trial["scores"].values()), abs=1e-6)
    assert content["flops"] == runs["flops"].sum()
    assert content["seeds"] == [1000, 1001]
    one = next((tuned / "store" / "runs").iterdir())
    assert content["panel_hash"] == read_json(one / "result.json")["panel_hash"]


@pytest.mark.slow
def test_all_rates_start_from_the_same_weights(tuned):
    assert len(list((tuned / "store" / "warmstarts").iterdir())) == 2, "one a seed"


@pytest.mark.slow
def test_a_tuning_freezes_to_the_same_bytes_and_keeps_what_is_there(tuned, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(tune, "TUNED_DIR", tmp_path / "named")
    assert tune.main([str(tuned / "store"), "--out", str(tmp_path / "again.yaml")]) == 0
    assert (tmp_path / "again.yaml").read_bytes() == (tuned / "frozen.yaml").read_bytes()
    assert tune.main([str(tuned / "store")]) == 0
    (named,) = (tmp_path / "named").iterdir()
    date = yaml.safe_load(named.read_bytes())["date"]
    assert named.name == f"vault-tiny-{date}.yaml"
    named.write_text("another tuning")
    capsys.readouterr()
    assert tune.main([str(tuned / "store")]) == 0
    assert "holds another tuning and was kept" in capsys.readouterr().out
    assert named.read_text() == "another tuning"


def curve(store: Path, algorithm: str, trial: int, metrics: bytes) -> None:
    """Give the runs of a trial the learning curve in `metrics`."""
    for cell, each in read_json(store / "sweep.json")["tuning"]["cells"].items():
        if each == [algorithm, trial]:
            folder = store / "runs" / cell
            (folder / "metrics.jsonl").write_bytes(metrics)
            sums = {"metrics_sha256": file_hash(folder / "metrics.jsonl")}
            write_sealed(folder / "result.json", {**read_sealed(folder / "result.json"), **sums})


@pytest.mark.slow
def test_ties_go_to_the_larger_area_then_to_the_lower_rate(tuned, tmp_path):
    store = shutil.copytree(tuned / "store", tmp_path / "store")
    give(store, {("steppo", 0): 0.2, ("steppo", 1): 0.9, ("steppo", 2): 0.9})
    low = next(store.glob("runs/steppo-*/metrics.jsonl")).read_bytes()
    low = re.sub(rb'"success": [0-9.]+', b'"success": 0.1', low)
    rates = [point.get("model.lr") for point in read_json(store / "sweep.json")["tuning"]["points"]]
    slower, faster = sorted((1, 2), key=lambda trial: rates[trial])
    for areas, winner in (((0.1, 0.1), slower), ((0.1, 0.2), faster)):
        for trial, area in zip((slower, faster), areas, strict=True):
            curve(store, "steppo", trial, low.replace(b"0.1", str(area).encode()))
        tune.freeze(store, tmp_path / "frozen.yaml")
        found = frozen.load(tmp_path / "frozen.yaml").algorithms["steppo"]
        assert found.winner == winner
        assert found.trials[faster].area == pytest.approx(areas[1])


@pytest.mark.slow
def test_failed_runs_count_nothing_and_unfinished_ones_stop_the_freezing(tuned, tmp_path):
    store = shutil.copytree(tuned / "store", tmp_path / "store")
    give(store, {("grpo", 0): 0.5, ("grpo", 1): 0.25})
    cells = read_json(store / "sweep.json")["tuning"]["cells"]
    failed = [store / "runs" / cell for cell, trial in cells.items() if trial == ["grpo", 2]]
    for path in failed:
        (path / "result.json").unlink()
        write_json(path / "failure.json", {"reason": "FloatingPointError: diverged"})
    tune.freeze(store, tmp_path / "frozen.yaml")
    found = frozen.load(tmp_path / "frozen.yaml").algorithms["grpo"]
    assert (found.winner, found.overrides) == (0, {})
    assert found.trials[2] == frozen.Trial(0.0, 0.0, {1000: 0.0, 1001: 0.0}, [1000, 1001])
    assert found.flops > 0
    for path in failed:
        write_json(path / "failure.json", {"reason": "ConnectionError: the server is gone"})
    with pytest.raises(UserError, match=r"2 of 12 cells of .* have not ended"):
        tune.freeze(store)  # it says nothing about the setting
    for path in failed:
        (path / "failure.json").unlink()
    with pytest.raises(UserError, match=r"2 of 12 cells of .* have not ended"):
        tune.freeze(store)


@pytest.mark.slow
def test_the_page_of_a_tuning_compares_no_arms(tuned):
    page = (tuned / "store" / "report.md").read_text()
    assert "This is a tuning" in page
    assert "undecided" not in page
    assert "Paired differences" not in page
    assert "do not share" not in page
    assert "- **Selection**: The winner has the best final_success" in page
    assert "- **Test**" not in page, "nothing is tested in a tuning"
    assert (tuned / "store" / "figures" / "sensitivity-vault-tiny.png").stat().st_size > 5_000
    trials = pd.read_csv(tuned / "store" / "tables" / "trials-vault-tiny.csv")
    assert len(trials) == 6
    assert trials.groupby("algorithm")["winner"].sum().tolist() == [1, 1]


@pytest.mark.slow
def test_an_unfinished_tuning_has_a_page_too(tuned, tmp_path):
    store = shutil.copytree(tuned / "store", tmp_path / "store")
    cell = read_json(store / "sweep.json")["cells"][2]
    (store / "runs" / cell / "result.json").unlink()
    compare(store)
    trials = pd.read_csv(store / "tables" / "trials-vault-tiny.csv").groupby("algorithm")
    assert sorted(trials["winner"].sum()) == [0, 1], "no winner where a trial has not ended"
    shutil.rmtree(store / "runs")
    assert "No run has finished yet" in compare(store).read_text()


@pytest.mark.slow
def test_a_tuned_comparison_runs_each_arm_as_tuned_and_by_default(tuned, tmp_path):
    store = shutil.copytree(tuned / "store", tmp_path / "store")
    give(store, {("grpo", 0): 0.9, ("grpo", 1): 0.1, ("grpo", 2): 0.2})
    give(store, {("steppo", 0): 0.1, ("steppo", 1): 0.2, ("steppo", 2): 0.8})
    tune.freeze(store, tmp_path / "winners.yaml")
    compared = ["+sweep=all_algos_tuned", *SMALL, "sweep.tuned=winners.yaml"]
    compared.append("+sweep.contrasts={step:{left:[steppo],right:[grpo]}}")
    printed = run(tmp_path, [*compared, "sweep.seeds=[0,1]", "sweep.out=compared"])
    assert "grpo, steppo x (default, tuned by winners)" in printed
    assert "6 cells, 0 done" in printed, "where the default has won, one arm is both"
    out = tmp_path / "compared"
    manifest = read_json(out / "sweep.json")
    assert set(manifest["arms"].values()) == {"grpo tuned", "steppo", "steppo tuned"}
    winner = frozen.load(tmp_path / "winners.yaml").algorithms["steppo"].overrides
    for cell, arm in manifest["arms"].items():
        config = read_json(out / "runs" / cell / "config.json")
        assert config["env"]["tasks"] == "comparison"
        assert config["model"]["lr"] == (winner["model.lr"] if arm == "steppo tuned" else 1e-3)
    page = (out / "report.md").read_text()
    assert "do not share" not in page
    assert "winning settings of winners" in page
    assert "- **Tuned against default**" in page
    assert "- **Test**" in page
    gains = pd.read_csv(out / "tables" / "tuned-against-default-vault-tiny.csv")
    assert gains[["left", "right"]].to_numpy().tolist() == [["steppo tuned", "steppo"]]
    finals = pd.read_csv(out / "tables" / "runs-vault-tiny.csv").groupby("arm")["final_success"].mean()
    assert gains["difference"][0] == pytest.approx(finals["steppo tuned"] - finals["steppo"])
    question = pd.read_csv(out / "tables" / "step-against-others-vault-tiny.csv")
    assert question[["left", "right"]].to_numpy().tolist() == [["steppo tuned", "grpo tuned"]]
    assert len(pd.read_csv(out / "tables" / "all-pairs-vault-tiny.csv")) == 1
    contrasts = pd.read_csv(out / "tables" / "contrasts-vault-tiny.csv")
    assert contrasts[["left", "right"]].to_numpy().tolist() == [["steppo tuned", "grpo tuned"]]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (["budget.limit=3e10"], "was made for budget.limit=20000000000.0, not 30000000000.0: run python -m"),
        (["env.rooms=4"], "was made for env.rooms=3, not 4"),
        (["model.width=32"], "was made for model.width=64, not 32"),
        (["algorithm.clip_high=0.3"], "was made for algorithm.clip_high=0.2, not 0.3"),
        (["sweep.seeds=[0,1001]"], "was tuned on seed 1001: choose other sweep.seeds"),
        (["sweep.algorithms=[grpo,ppo]"], "has no winner for ppo: run python -m"),
    ],
)
def test_a_tuning_of_something_else_is_refused(overrides, words, tuned, monkeypatch):
    base = ["+sweep=all_algos_tuned", *SMALL]
    path = tuned / "frozen.yaml"
    for name in (str(path), "newest"):
        monkeypatch.setattr(frozen, "TUNED_DIR", tuned)
        with pytest.raises(UserError) as error:
            compose_sweep([*base, f"sweep.tuned={name}", *overrides])
        assert words in str(error.value)
        assert "\n" not in str(error.value)
    arms = sweep_arms(compose_sweep([*base, "sweep.tuned=newest"])[0])
    assert [arm.name for arm in arms if not arm.reference] == ["grpo tuned", "steppo tuned"]


def test_a_foreign_file_is_no_tuning(tmp_path):
    (tmp_path / "foreign.yaml").write_text("algorithms: [grpo]\n")
    with pytest.raises(UserError, match=r"foreign.yaml is not a frozen tuning"):
        compose_sweep(["+sweep=all_algos_tuned", f"sweep.tuned={tmp_path}/foreign.yaml"])
