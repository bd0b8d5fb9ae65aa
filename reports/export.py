"""The report's numbers for other programs: JSON, and tables for LaTeX."""

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from reports import wording
from reports.columns import COLUMNS
from reports.store import Store

FORMAT = 2
"""Of the JSON: raised when a key or the meaning of a column changes."""
KEPT = ("name", "command", "commit", "creditbench", "sesoi", "looks", "contrasts", "controls")
ROW_MARGIN = 4 * " "
"""How deep a row is: in settings, a setting, a table."""
ESCAPED = str.maketrans({c: f"\\{c}" for c in "&%$#_{}"} | {"−": "$-$", "±": r"$\pm$", "–": "--"})


Tables = Mapping[str, Mapping[str, pd.DataFrame]]
"""Tables by name, by what they are about."""


def to_json(
    store: Store,
    settings: Tables,
    pooled: Tables,
    models: Mapping[str, pd.DataFrame],
    failed: Sequence[str],
) -> bytes:
    """Every table row by row: of settings (ENV-MODEL), of models over environments, of factors.

    `failed`: the parts that could not be made.

    Numbers are in full, null if there is none.
    """
    content = {
        "format": FORMAT,
        "sweep": {key: store.manifest[key] for key in KEPT},
        "versions": store.versions,
        "failed": list(failed),
        "columns": COLUMNS,
        "settings": nested(settings),
        "pooled": nested(pooled),
        "models": {name: records(frame) for name, frame in models.items()},
    }
    return (pretty(content) + "\n").encode()


def nested(tables: Tables) -> dict[str, dict[str, list[dict[str, Any]]]]:
    """The rows of each table."""
    return {
        about: {name: records(frame) for name, frame in frames.items()} for about, frames in tables.items()
    }


def pretty(value: Any, margin: str = "") -> str:
    """JSON in which a row of a setting's table is a line: plain `indent` is many times slower and longer."""
    if not value or not isinstance(value, dict | list) or margin == ROW_MARGIN:
        return json.dumps(value, ensure_ascii=False, allow_nan=False)
    inner = margin + " "
    if isinstance(value, dict):
        lines = [f"{inner}{json.dumps(key)}: {pretty(each, inner)}" for key, each in value.items()]
    else:
        lines = [inner + pretty(each, inner) for each in value]
    start, end = "{}" if isinstance(value, dict) else "[]"
    return start + "\n" + ",\n".join(lines) + f"\n{margin}{end}"


def records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """The rows of a table."""
    return [{str(key): plain(value) for key, value in row.items()} for row in frame.to_dict("records")]


def plain(value: Any) -> Any:
    """A value that JSON has."""
    if hasattr(value, "item"):
        value = value.item()
    return None if isinstance(value, float) and not math.isfinite(value) else value


def final_tex(final: pd.DataFrame) -> bytes:
    """Final success by arm."""
    return tex(
        ["algorithm", "credit", "seeds", "final success", "95 % interval", "IQM", "area"],
        [
            [
                row["arm"],
                row["credit_unit"],
                str(row["seeds"]),
                wording.plain(row["final_score"]),
                wording.between(row["low"], row["high"]),
                wording.plain(row["iqm"]),
                wording.plain(row["area"]),
            ]
            for row in final.to_dict("records")
        ],
    )


def comparisons_tex(table: pd.DataFrame) -> bytes:
    """The comparisons of a family."""
    return tex(
        ["comparison", "seeds", "difference", "95 % interval", "adjusted p", "left is"],
        [
            [
                row["label"],
                str(row["seeds"]),
                wording.signed(row["difference"]),
                wording.between(row["low"], row["high"], True),
                wording.p_value(row["p_verdict"]),
                row["verdict"],
            ]
            for row in table.to_dict("records")
        ],
    )


def tex(head: list[str], rows: list[list[str]]) -> bytes:
    """A booktabs table of text."""
    lines = [" & ".join(cell.translate(ESCAPED) for cell in row) + r" \\" for row in [head, *rows]]
    columns = "l" + "r" * (len(head) - 1)
    body = [
        rf"\begin{{tabular}}{{{columns}}}",
        r"\toprule",
        lines[0],
        r"\midrule",
        *lines[1:],
        r"\bottomrule",
    ]
    return "\n".join(["% \\usepackage{booktabs}", *body, r"\end{tabular}", ""]).encode()
