"""`sweep.seeds=auto`: fresh seeds, as many as a pilot says are needed."""

import pytest

from harness.compose import compose_sweep
from harness.errors import UserError
from harness.pilot import auto_seeds
from harness.planning.plan import plan
from harness.planning.text import headline
from reports.power import seeds_needed
from reports.store import read_store
from tests.reports.synthetic import write_sweep

ARMS = {"grpo": 0.5, "gigpo": 0.7, "ppo": 0.6}
AUTO = ["+sweep=all_algos", "sweep.algorithms=[grpo,gigpo,ppo]", "sweep.seeds=auto"]


def test_seeds_are_as_many_as_power_says_and_none_of_the_pilots(tmp_path):
    pilot = tmp_path / "pilot"
    write_sweep(pilot, ARMS, seeds=4)
    overrides = [*AUTO, f"sweep.pilot={pilot}", f"sweep.out={tmp_path / 'confirmed'}"]
    sweep, launcher, cells = compose_sweep([*overrides, "sweep.effect=0.2"], auto_seeds)
    needed = seeds_needed(read_store(pilot), 0.2)
    assert sweep.seeds == tuple(range(4, 4 + needed))
    assert len(cells) == 3 * needed
    said = headline(plan(sweep, launcher, cells))
    assert f"seeds 4 to {3 + needed} ({needed} fresh ones, to find a difference of 0.2 by {pilot})" in said
    assert len(compose_sweep([*overrides, "sweep.effect=0.05"], auto_seeds)[0].seeds) > needed
    assert compose_sweep([*overrides, "sweep.effect=0.2"], auto_seeds)[0].seeds == sweep.seeds, (
        "the same again: it resumes"
    )


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        ([], "needs a finished pilot sweep: add sweep.pilot=DIR"),
        (["sweep.pilot={other}"], "has no sweep.json"),
        (["sweep.pilot={one}"], "no two arms that finished 2 seeds in common"),
        (["sweep.pilot={pilot}", "env=household"], "has env=vault, this sweep household: run a pilot"),
        (["sweep.pilot={pilot}", "env.rooms=6"], "has env.rooms=5, this sweep 6: run a pilot of it"),
        (["sweep.pilot={pilot}", "model.width=32"], "has model.width=64, this sweep 32"),
        (["sweep.pilot={pilot}", "sweep.algorithms=[grpo,steppo]"], "has no run of steppo"),
        (["sweep.pilot={pilot}", "sweep.out={pilot}"], "is sweep.out: set another sweep.out"),
        (["sweep.pilot={pilot}", "sweep.effect=0"], "effect is 0: give a difference"),
        (["sweep.pilot={pilot}", "sweep.effect=0.0001"], "takes more than 1000 seeds"),
        (["sweep.pilot={pilot}", "sweep.effect=much"], "sweep.effect: Value 'much'"),
        (["sweep.pilot={pilot}", "sweep.seeds=[0]"], "is read with sweep.seeds=auto alone"),
        (["sweep.seeds=many"], "sweep.seeds=many must be a list, e.g. [0,1,2], auto or until_decided"),
    ],
)
def test_mistakes_are_one_line(overrides, words, tmp_path):
    folders = {name: tmp_path / name for name in ("pilot", "one", "other")}
    write_sweep(folders["pilot"], ARMS, seeds=2)
    write_sweep(folders["one"], ARMS, seeds=1)
    with pytest.raises(UserError) as error:
        compose_sweep([*AUTO, *(each.format(**folders) for each in overrides)], auto_seeds)
    assert words in str(error.value)
    assert "\n" not in str(error.value)
