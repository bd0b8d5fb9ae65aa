"""Names of arms, told by a sweep and, where it says nothing, by the cells' configurations."""

from harness.cells import PARTS, arm_names, is_cell
from harness.compose import compose_sweep
from harness.config.plain import SECTIONS, TARGETED
from harness.planning.labels import labels

FIRST, SECOND, OTHER = "grpo-vault-tiny-s0-00", "grpo-vault-tiny-s0-01", "ppo-vault-tiny-s0-02"
OPTIONS = {
    FIRST: {"gamma": 1.0, "lam": 1.0},
    SECOND: {"gamma": 0.9, "lam": 1.0},
    OTHER: {"gamma": 0.9, "lam": 1.0},
}


def test_two_settings_of_one_algorithm_are_two_arms():
    assert list(arm_names([FIRST, SECOND, OTHER], OPTIONS).values()) == [
        "grpo gamma=1.0",
        "grpo gamma=0.9",
        "ppo",
    ]


def test_a_cell_that_has_not_started_is_of_the_arm_in_its_place():
    waiting = ["grpo-vault-tiny-s1-0a", "grpo-vault-tiny-s1-0b", "gspo-vault-tiny-s1-0c"]
    names = arm_names([FIRST, SECOND, *waiting], OPTIONS)
    assert [names[cell] for cell in waiting] == ["grpo gamma=1.0", "grpo gamma=0.9", "gspo"]


def test_cells_are_told_from_other_folders():
    assert is_cell(FIRST)
    assert not any(map(is_cell, ["../../etc", "grpo-vault-tiny", "runs", 3, None]))


def test_a_label_of_an_environment_is_in_its_name():
    """Numbers on games that are generated in a benchmark's engine are never taken for the benchmark's."""
    asked = ["+sweep=environments", "sweep.envs=[vault,alfworld]", "sweep.seeds=[0]"]
    sweep, _, cells = compose_sweep([*asked, "batch.trajectories=64", "batch.minibatches=2"])
    found = list(dict.fromkeys(label.environment for label in labels(sweep, cells)))
    assert found == ["vault", "alfworld (ALFWorld engine, generated games)"]


def test_every_part_of_a_configuration_is_looked_at():
    assert (*TARGETED, *SECTIONS) == PARTS


def test_labels_follow_the_cells():
    """Each label's own words are in the configuration of its cell."""
    arms = 'sweep.algorithms=[steppo,"grpo rollouts=4","grpo rollouts=8"]'
    sweep, _, cells = compose_sweep(["+sweep=environments", arms, "sweep.seeds=[0,1]"])
    found = labels(sweep, cells)
    assert len(found) == len(cells) == 3 * 2 * 2
    for label, cell in zip(found, cells, strict=True):
        assert label.environment == cell.env.name
        name, *options = label.arm.split()
        assert name == cell.algorithm.name
        if name == "grpo":
            assert options == [f"rollouts={cell.algorithm.rollouts}"]
    assert {label.arm for label in found} == {"steppo", "grpo rollouts=4", "grpo rollouts=8"}
