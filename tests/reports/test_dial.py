"""Contrasts against an option of the environment that a sweep turns."""

import json

import numpy as np
import pytest

from harness.compose import compose_sweep
from harness.config.plain import to_plain
from harness.errors import UserError
from harness.planning.declared import manifest
from harness.store import cell_id, write_json
from reports.compare import compare
from reports.dial import dial_of, trend_votes
from reports.pooled import pools
from reports.settings import settings
from reports.store import read_store
from tests.reports.synthetic import write_cell

SEEDS = 6
RATIO = "ratio per step − per token"


@pytest.fixture(scope="module")
def out(tmp_path_factory):
    """The ratio per step loses more, the longer a step is; nothing else differs but for noise."""
    path = tmp_path_factory.mktemp("dial")
    sweep, _, cells = compose_sweep(["+sweep=granularity", f"sweep.seeds={list(range(SEEDS))}"])
    for cell in cells:
        noise = np.random.default_rng([cell.seed, hash(cell_id(cell)) % 2**32])
        lost = {0: 0.0, 8: 0.2, 32: 0.4}[cell.env.thought] * (cell.algorithm.ratio_unit.value == "step")
        plain = to_plain(cell)
        write_cell(path / "runs" / cell_id(cell), plain, "steppo", 0.8 - lost, noise)
    write_json(path / "sweep.json", manifest(sweep, cells, "the command"))
    return path


def test_a_trend_is_counted_inside_seeds(out):
    [pool] = pools(settings(read_store(out)))
    dial = dial_of(pool)
    assert dial.option == "thought"
    assert list(dial.effects["setting"].unique()) == [0, 8, 32]
    assert len(dial.effects) == 9
    trends = dial.trends.set_index("label")
    assert trends.loc[RATIO, ["seeds", "rises", "falls"]].tolist() == [6, 0, 6]
    assert trends.loc[RATIO, "change"] == pytest.approx(-0.4, abs=0.05)
    assert trends.loc[RATIO, "p"] == pytest.approx(2 / 2**6)
    assert trends.loc[RATIO, "p_adjusted"] == pytest.approx(3 * 2 / 2**6), "three contrasts"
    assert set(trends["trend"]) == {"undecided"}, "six seeds decide one trend, not three"


def test_votes_are_kendalls():
    differences = np.array(
        [[0.1, 0.2, 0.3], [0.3, 0.2, 0.1], [0.1, 0.3, 0.2], [0.1, 0.1, 0.1], [0.2, 0.1, 0.2]]
    )
    assert trend_votes(differences).tolist() == [1, -1, 1, 0, 0]


def test_the_page_shows_it(out, tmp_path):
    page = compare(out, tmp_path).read_text()
    assert "contrast against env.thought" in page
    assert 'id="data-dial-pooled-tiny"' in page
    assert (tmp_path / "figures" / "dial-pooled-tiny.png").stat().st_size > 5000
    pooled = json.loads((tmp_path / "report.json").read_text())["pooled"]["tiny"]
    assert RATIO in [row["label"] for row in pooled["trends"]]
    assert len(pooled["dial"]) == 9
    assert "| contrast against env.thought |" in (tmp_path / "report.md").read_text()


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (["sweep.envs=[vault]"], "must differ between the environments: write"),
        (["sweep.dial=rooms"], "must differ between the environments"),
        (["sweep.dial=thoughts"], "is not a number that every environment of the sweep has"),
        (["sweep.dial=key"], "is not a number"),
    ],
)
def test_mistakes_are_one_line(overrides, words):
    with pytest.raises(UserError, match=words):
        compose_sweep(["+sweep=granularity", *overrides])


def test_a_dial_needs_contrasts():
    with pytest.raises(UserError, match=r"is read with sweep\.contrasts"):
        compose_sweep(["+sweep=smoke", "sweep.dial=rooms", "sweep.envs=[vault,'vault rooms=3']"])
