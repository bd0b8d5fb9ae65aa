"""Every sweep that ships has seeds enough to decide what its page leads with."""

from pathlib import Path

import pytest
import yaml

from harness.compose import compose_sweep
from harness.compose.composing import group_options
from harness.config.plain import to_plain
from harness.store import cell_id, write_json
from harness.sweep import manifest
from reports import stats
from reports.comparisons import Family, contrast_family, unit_family
from reports.settings import settings
from reports.store import read_store

UNDECIDED = {
    "smoke": "one seed: it shows that everything runs",
    "tune": "picks settings, compares no arms",
    "alfworld_tiny": "five seeds: it shows that all arms learn in ALFWorld's engine",
    **{
        name: "has the three seeds of its paper"
        for name in group_options("sweep")
        if name.startswith("paper_")
    },
    "all_algos_tuned": "needs a finished tuning to be composed; its seeds are those of all_algos (below)",
}
SWEEPS = Path(__file__).parents[2] / "sweeps" / "sweep"


def seeds_of(name: str) -> list[int]:
    """What the sweep's file says."""
    return list(yaml.safe_load((SWEEPS / f"{name}.yaml").read_text())["sweep"]["seeds"])


def leading(out: Path, name: str) -> list[Family]:
    """The families that the page of a sweep leads with, one an environment: of one seed, not run."""
    sweep, _, cells = compose_sweep([f"+sweep={name}", "sweep.seeds=[0]"])
    for cell in cells:
        folder = out / "runs" / cell_id(cell)
        folder.mkdir(parents=True)
        write_json(folder / "config.json", to_plain(cell))
    write_json(out / "sweep.json", manifest(sweep, cells, []))
    found = []
    for setting in settings(read_store(out)):
        contrasts = contrast_family(setting)
        found.append(contrasts if len(contrasts.table) else unit_family(setting))
    return found


@pytest.mark.parametrize("name", sorted({*group_options("sweep")} - set(UNDECIDED)))
def test_the_leading_family_can_be_decided(name, tmp_path):
    families, seeds = leading(tmp_path, name), len(seeds_of(name))
    assert families
    for family in families:
        comparisons = len(family.table)
        assert comparisons, "the page leads with something"
        needed = stats.outlook(seeds, comparisons=comparisons).usually
        assert needed <= seeds, f"{name}: {comparisons} comparisons take {needed} seeds, it has {seeds}"


def test_tuned_arms_have_the_seeds_of_the_others():
    assert seeds_of("all_algos_tuned") == seeds_of("all_algos")
