"""The JSON holds every number with its meaning, and the LaTeX is well formed."""

from itertools import chain

import pandas as pd
import pytest

from harness.store import read_json
from reports.columns import COLUMNS
from reports.compare import compare
from tests.reports.synthetic import TYPICAL, write_sweep


@pytest.fixture(scope="module")
def out(tmp_path_factory):
    out = tmp_path_factory.mktemp("export")
    write_sweep(out, TYPICAL, seeds=4)
    compare(out)
    return out


def test_the_json_has_every_table_in_full(out):
    report = read_json(out / "report.json")
    (tables,) = report["settings"].values()
    for name, rows in tables.items():
        if name in ("contrasts", "metrics"):
            assert rows == [], "none are declared, and the environment reports none"
            continue
        table = pd.read_csv(out / "tables" / f"{name}-vault-tiny.csv")
        assert len(rows) == len(table), name
        assert list(rows[0]) == list(table.columns), name
    final = pd.read_csv(out / "tables" / "final-vault-tiny.csv")
    assert [row["final_score"] for row in tables["final"]] == list(final["final_score"])


def test_every_column_is_described(out):
    (tables,) = read_json(out / "report.json")["settings"].values()
    named = {name: rows for name, rows in tables.items() if name != "factors"}
    columns = set(chain.from_iterable(rows[0] for rows in named.values() if rows))
    ends = {f"{name}_{end}" for name in COLUMNS for end in ("low", "high")}
    assert columns - set(COLUMNS) - ends == set()


def test_latex_rows_have_the_columns_of_their_head(out):
    text = (out / "tables" / "step-against-others-vault-tiny.tex").read_text()
    rows = [line for line in text.splitlines() if line.endswith(r"\\")]
    assert len(rows) == 1 + 9
    assert len({row.count(" & ") for row in rows}) == 1
    assert text.count(r"\begin{tabular}") == text.count(r"\end{tabular}") == 1
    assert "steppo $-$ ppo" in text
