"""A sweep over several environments: the same arms, batch and budget on each, or one line why not."""

import json
import subprocess
import sys

import pytest

from envs.vault import VaultSpec
from harness import sweep as command
from harness.compose import compose_sweep
from harness.compose.contrasts import resolve
from harness.errors import UserError
from harness.pilot import auto_seeds
from harness.planning.plan import plan
from harness.planning.text import headline, tables
from harness.store import cell_id
from tests.harness import sweeps
from tests.reports.synthetic import write_sweep

BOTH = "sweep.envs=[vault,household]"
SMOKE = ["+sweep=smoke", BOTH]


def test_every_arm_runs_on_every_environment_seed_by_seed():
    sweep, _, cells = compose_sweep(["+sweep=environments"])
    arms = len(sweep.algorithms)
    assert len({cell_id(cell) for cell in cells}) == len(cells) == arms * 2 * len(sweep.seeds)
    first = cells[: 2 * arms]
    assert {cell.seed for cell in first} == {sweep.seeds[0]}
    assert [cell.env.name for cell in first] == ["vault"] * arms + ["household"] * arms
    for on_vault, on_household in zip(first[:arms], first[arms:], strict=True):
        assert on_vault.algorithm == on_household.algorithm
        assert (on_vault.batch, on_vault.budget) == (on_household.batch, on_household.budget)


def test_a_cell_is_the_one_that_a_sweep_on_its_environment_alone_has():
    _, _, both = compose_sweep(["+sweep=environments"])
    _, _, vault = compose_sweep(["+sweep=environments", "sweep.envs=[]"])
    assert {cell_id(cell) for cell in vault} < {cell_id(cell) for cell in both}


def test_an_environment_may_carry_options_of_its_own():
    _, _, cells = compose_sweep(
        ["+sweep=smoke", 'sweep.envs=[vault,"vault slip=0.1 rooms=4"]', "env.horizon=9"]
    )
    specs = list(dict.fromkeys(cell.env for cell in cells))
    assert specs == [VaultSpec(horizon=9), VaultSpec(horizon=9, slip=0.1, rooms=4)]


def test_environments_may_declare_budgets_of_their_own():
    entries = '["vault budget.limit=1e10","vault thought=8 budget.limit=2e10"]'
    composed = compose_sweep(["+sweep=smoke", f"sweep.envs={entries}"])
    assert {(cell.env.thought, cell.budget.limit) for cell in composed[-1]} == {(0, 1e10), (8, 2e10)}
    assert "; 1e+10 or 2e+10 flops each," in headline(plan(*composed))


def test_the_granularity_sweep_scales_budgets_and_declares_its_negative_control():
    sweep, _, cells = compose_sweep(["+sweep=granularity"])
    assert {(cell.env.thought, cell.budget.limit) for cell in cells} == {
        (0, 1.4e12),
        (8, 1.9e12),
        (32, 3.4e12),
    }
    assert {cell.model.clone_updates for cell in cells} == {800}
    (control,) = (name for name in sweep.contrasts if name.startswith("negative control"))
    sides = resolve(sweep, cells)[control]
    for left, right in zip(sides["left"], sides["right"], strict=True):
        assert left.algorithm.lam == right.algorithm.lam == 1
        assert left.algorithm.ratio_unit == right.algorithm.ratio_unit
    widths = {cell.algorithm.clip_low for cell in cells}
    assert widths == {round(0.2 * 3 / (k + 3), 3) for k in (0, 8, 32)}


def test_the_plan_tells_environments_apart_and_fits_a_terminal():
    made = plan(*compose_sweep(["+sweep=environments"]))
    assert {arm.name for arm in made.arms} == {
        f"{arm} ({env})" for arm in ("ppo", "grpo", "steppo", "g2po") for env in ("vault", "household")
    }
    text = f"{headline(made)}\n{tables(made)}"
    assert "on vault and household with model tiny" in text
    assert max(map(len, text.splitlines())) <= 110


def test_contrasts_hold_the_cells_of_all_environments():
    contrast = "+sweep.contrasts={a:{left:[steppo],right:[ppo,grpo]}}"
    sweep, _, cells = compose_sweep([*SMOKE, contrast])
    sides = resolve(sweep, cells)["a"]
    assert [cell.env.name for cell in sides["left"]] == ["vault", "household"]
    assert len(sides["right"]) == 4


def test_the_manifest_names_arms_and_environments():
    overrides = [
        "+sweep=smoke",
        'sweep.envs=[vault,"vault slip=0.1"]',
        'sweep.algorithms=[grpo,"grpo gamma=1"]',
    ]
    overrides[-1] = 'sweep.algorithms=[grpo,"grpo rollouts=4"]'
    sweep, _, cells = compose_sweep(overrides)
    manifest = command.manifest(sweep, cells, overrides)
    assert list(manifest["arms"]) == list(manifest["environments"]) == manifest["cells"]
    for cell, id in zip(cells, manifest["cells"], strict=True):
        assert manifest["arms"][id] == f"grpo rollouts={cell.algorithm.rollouts}"
        assert manifest["environments"][id] == ("vault slip=0.1" if cell.env.slip else "vault")


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (["+sweep=all_algos", BOTH], "budget.limit is 7e+11 on vault and 1.5e+12 on household, and has to"),
        (
            ["+sweep=all_algos", "sweep.envs=[vault,textworld]", "budget.limit=1e12"],
            "batch.trajectories is 128 on vault and 64 on textworld",
        ),
        (
            [*SMOKE, "env=vault"],
            "env=vault clashes with sweep.envs=['vault', 'household']: set",
        ),
        (
            ["+sweep=smoke", 'sweep.envs=[vault,"vault slip=0.0"]'],
            "slip=0.0' are the same environment",
        ),
        (["+sweep=smoke", "sweep.envs=[vault,vault]"], "names one twice"),
        (
            ["+sweep=smoke", 'sweep.envs=[vault,"vault thought=8 budget.limit=2e12"]'],
            "budget.limit is 5e+10 on vault and 2e+12 on vault thought=8 budget.limit=2e12, and has to be "
            "the same: declare it in both entries, or in none",
        ),
        (
            ["+sweep=granularity", "budget.limit=1e10"],
            "budget.limit=1e10 has no effect on 'vault budget.limit=1.4e12', which has its own",
        ),
        (["+sweep=smoke", "sweep.envs=vault"], "must be a list, e.g. [vault,household]"),
        (["+sweep=smoke", "sweep.envs=[vault,mars]"], "env=mars does not exist"),
        ([*SMOKE, "env.slip=0.1"], "env.slip is not an option of HouseholdSpec"),
        (["+sweep=tune", "sweep.envs=[vault,household]"], "a setting is tuned on one environment"),
        (["+sweep=all_algos_tuned", BOTH, "budget.limit=1e12"], "a setting is tuned on one environment"),
        (
            ["+sweep=controls", 'sweep.envs=[vault,"vault slip=0.1"]'],
            "algorithm=oracle needs true values, which env=vault with model=tiny can't supply",
        ),
    ],
)
def test_mistakes_are_one_line_before_anything_runs(overrides, words, tmp_path, capsys):
    assert command.main([*overrides, f"sweep.out={tmp_path / 'store'}"]) == 2
    said = capsys.readouterr().err
    assert words in said
    assert said.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_branching_on_an_environment_that_can_not_be_repeated_is_refused(monkeypatch):
    monkeypatch.setattr("envs.household.HouseholdSpec.repeatable", False)
    with pytest.raises(UserError, match="algorithm=appo branches, which env=household can't"):
        compose_sweep(SMOKE)
    assert len(compose_sweep([*SMOKE, "sweep.algorithms=[grpo]"])[2]) == 2


def test_seeds_come_from_a_pilot_on_the_same_environments(tmp_path):
    arms = {"grpo": 0.5, "gigpo": 0.7, "ppo": 0.6}
    pilot = tmp_path / "pilot"
    write_sweep(pilot, arms, seeds=4, envs=("vault", "household"))
    auto = [
        "+sweep=all_algos",
        "sweep.algorithms=[grpo,gigpo,ppo]",
        "sweep.seeds=auto",
        f"sweep.pilot={pilot}",
    ]
    auto += ["sweep.effect=0.2", "budget.limit=7e11"]
    sweep, _, _ = compose_sweep([*auto, BOTH], auto_seeds)
    assert min(sweep.seeds) == 4
    for wrong, words in (
        ([], "has env=household, vault, this sweep vault: run a pilot"),
        (
            [BOTH, "env.horizon=9"],
            "has env.horizon=20, this sweep 9: run a pilot",
        ),
    ):
        with pytest.raises(UserError, match=words):
            compose_sweep([*auto, *wrong], auto_seeds)


def test_it_runs_to_the_page_and_the_board_follows(tmp_path):
    """Real processes: two algorithms on two environments, from the warm starts to report and board."""
    tiny = ["sweep.algorithms=[grpo,steppo]", "batch.trajectories=16", "batch.minibatches=1"]
    tiny += ["model.clone_updates=20", "env.horizon=8", "evaluation.episodes=1", "budget.limit=2e10"]
    done = sweeps.sweep(*SMOKE, *tiny, "sweep.out=store", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "4 cells, 0 done" in done.stdout
    starts = sorted(path.name.split("-s")[0] for path in (tmp_path / "store" / "warmstarts").iterdir())
    assert starts == ["tiny-household", "tiny-vault"], "one for each environment, shared by its arms"
    settings = json.loads((tmp_path / "store" / "report.json").read_text())["settings"]
    assert sorted(settings) == ["household-tiny", "vault-tiny"]
    look = [sys.executable, "-m", "harness.status", "store"]
    board = subprocess.run(look, capture_output=True, text=True, cwd=tmp_path, check=True).stdout
    assert "grpo (vault): 1/1 done" in board
    assert "steppo (household): 1/1 done" in board
