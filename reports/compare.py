"""`python -m reports.compare DIR [--out DIR]`: a sweep's report.

Reads the run store in DIR and writes `report.html` (one file, no network), `report.md`, `tables/*.csv` and
`figures/*.svg|png`, and `trajectories.html` if episodes were recorded, into DIR unless `--out` says
otherwise. Finished, failed and missing runs may be mixed.
"""

import json
import shlex
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any

import pandas as pd
from jinja2 import Environment, PackageLoader, StrictUndefined

from harness.cells import Record
from harness.compose.overrides import overrides_of
from harness.config.plain import run_config
from harness.errors import UserError
from harness.store import write_atomically
from harness.terminal import Parser, command, full, named_path
from reports import export, wording
from reports.comparisons import Family
from reports.effects import Effects, effects_of, odds_ratio
from reports.outcomes import across
from reports.parts import Parts
from reports.pooled import pools
from reports.sections import MOST_ROWS, Compared, Overall, Section, overall, section
from reports.settings import settings
from reports.store import Store, read_store
from reports.viewer import PAGE as TRAJECTORIES
from reports.viewer import sweep_page

LOG_LINES = 20
"""Of a failed run's log, on the page."""
GROUPED = ("arm", "env", "model", "command")
"""What the runs of a group have in common."""


@dataclass(frozen=True)
class Report:
    """Everything that a report says."""

    store: Store
    sections: Sequence[Section]
    overalls: Sequence[Overall]
    effects: Effects | None
    trajectories: bytes | None
    """The page of recorded episodes; None if nothing is recorded."""
    failed: Sequence[str]
    """Parts that could not be made, and why."""


def compare(out: Path, to: Path | None = None) -> Path:
    """Write the report of the sweep in `out` into `to` (default: `out`); returns the path of its page."""
    report, target = report_of(read_store(out)), to or out
    try:
        for folder in (target / "figures", target / "tables"):
            folder.mkdir(parents=True, exist_ok=True)
        for name, content in files(report).items():
            write_atomically(target / name, content)
    except OSError as error:
        if to is None or full(error):
            raise
        raise UserError(f"{to} can't be written ({error.strerror}): choose another with --out DIR") from error
    return target / "report.html"


def report_of(store: Store) -> Report:
    """What there is to report. A part that fails is left out, and named."""
    parts = Parts()
    found = settings(store)
    made = [
        parts.made(f"The part on {each.env}, model {each.model},", partial(section, store, each, parts), None)
        for each in found
    ]
    pooled = [] if store.manifest["tuning"] else pools(found)
    over = [
        parts.made(f"The part over environments, model {each.model},", partial(overall, each, parts), None)
        for each in pooled
    ]
    return Report(
        store=store,
        sections=[each for each in made if each],
        overalls=[each for each in over if each],
        effects=parts.made("The model of factors", partial(effects_of, store, found), None),
        trajectories=parts.made("The page of single episodes", partial(sweep_page, store), None),
        failed=parts.failed,
    )


def files(report: Report) -> dict[str, bytes]:
    """Every file of the report by path, the page last."""
    content: dict[str, bytes] = {}
    named = {each.setting.slug: named_tables(each) for each in report.sections}
    models = effect_tables(report.effects)
    for name, frame in models.items():
        content[f"tables/{name}.csv"] = csv(frame)
    pooled = {each.pool.model: pooled_tables(each) for each in report.overalls}
    for each in report.sections:
        content |= files_of(each, named[each.setting.slug], each.setting.slug)
    for over in report.overalls:
        content |= files_of(over, pooled[over.pool.model], f"pooled-{over.pool.model}")
    if report.trajectories:
        content[TRAJECTORIES] = report.trajectories
    content["report.json"] = export.to_json(report.store, named, pooled, models, report.failed)
    words = said(report)
    for name in ("report.md", "report.html"):
        content[name] = render(f"{name}.j2", words)
    return content


def files_of(section: Section | Overall, tables: Mapping[str, pd.DataFrame], slug: str) -> dict[str, bytes]:
    """The files of a section by path: `tables` for programs and for LaTeX, and figures."""
    content = {}
    for name, frame in tables.items():
        if len(frame.columns):  # a family without comparisons has no table
            content[f"tables/{name}-{slug}.csv"] = csv(frame)
    if len(section.final):
        content[f"tables/final-{slug}.tex"] = export.final_tex(section.final)
    for family, name in ((section.contrasts, "contrasts"), (section.question, "step-against-others")):
        if len(family.table):
            content[f"tables/{name}-{slug}.tex"] = export.comparisons_tex(family.table)
    for picture in section.figures.values():
        content[f"figures/{picture.name}.svg"] = picture.svg.encode()
        content[f"figures/{picture.name}.png"] = picture.png
    return content


def compared_tables(compared: Compared) -> dict[str, pd.DataFrame]:
    """The families' tables by name."""
    return {
        "contrasts": compared.contrasts.table,
        "credit-units": compared.units.table,
        "step-against-others": compared.question.table,
        "all-pairs": compared.pairs.table,
        "differences-by-seed": differences(compared.pairs),
    }


def pooled_tables(overall: Overall) -> dict[str, pd.DataFrame]:
    """The tables over environments by name; `reports.columns` says what their columns are."""
    return {
        "final": overall.final,
        **compared_tables(overall),
        "against-others": overall.against_others,
        "profile": overall.profile,
        **({"dial": overall.dial.effects, "trends": overall.dial.trends} if overall.dial else {}),
    }


def named_tables(section: Section) -> dict[str, pd.DataFrame]:
    """A setting's tables by name; `reports.columns` says what their columns are."""
    named = {
        "runs": section.setting.runs,
        "final": section.final,
        **compared_tables(section),
        "equal": section.equal,
        "curves": section.curves,
        "threshold": section.threshold,
        "scaling": section.scaling,
        "profile": section.profile,
        "compute": section.compute,
        "phases": section.phases,
        "outcomes": section.outcomes,
        "metrics": section.metrics,
        "factors": section.factors,
    }
    if section.tuning:
        named |= {"trials": section.tuning.trials, "tuned-against-default": section.tuning.gains.table}
    return named


def differences(family: Family) -> pd.DataFrame:
    """Paired differences, one row per pair and seed."""
    rows = [
        {"pair": pair, "seed": seed, "difference": difference}
        for pair, by_seed in family.differences.items()
        for seed, difference in by_seed.items()
    ]
    return pd.DataFrame(rows, columns=["pair", "seed", "difference"])


def csv(frame: pd.DataFrame) -> bytes:
    """UTF-8 with Unix line ends, floats in full."""
    return frame.to_csv(index=False, lineterminator="\n").encode()


def effect_tables(effects: Effects | None) -> dict[str, pd.DataFrame]:
    """The tables of the models that were fitted."""
    if effects is None:
        return {}
    fits = {"model": effects.score, "model-odds": effects.odds}
    found = {f"{name}-effects": fit.effects for name, fit in fits.items() if not fit.reason}
    return found | {f"{name}-terms": fit.terms for name, fit in fits.items() if not fit.reason}


def render(template: str, content: Mapping[str, Any]) -> bytes:
    """A page from its template."""
    page = templates(template.startswith("report.html")).get_template(template)
    return page.render(content).encode()


@cache
def templates(escapes: bool) -> Environment:
    """Where templates come from, compiled once; `escapes`: what is filled in is text in HTML."""
    environment = Environment(
        loader=PackageLoader("reports", "."),
        autoescape=escapes,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    forms = (
        wording.plain, wording.signed, wording.between, wording.p_value, wording.amount, wording.percent,
        wording.count, wording.verdict_text, wording.collapse_text, wording.reach, odds_ratio, across,
    )  # fmt: skip
    environment.filters |= {form.__name__: form for form in forms}
    return environment


def said(report: Report) -> dict[str, Any]:
    """What the pages are made of."""
    store = report.store
    runs = store.runs.assign(
        seconds=wording.run_seconds(store.runs), command=commands(store), log=failed_logs(store)
    )
    records = runs.to_dict("records")
    return {
        "store": store,
        "answers": answers(report),
        "sections": report.sections,
        "measure": measure_of(report.sections),
        "overalls": report.overalls,
        "effects": report.effects,
        "trajectories": TRAJECTORIES if report.trajectories else "",
        "failed": report.failed,
        "runs": records,
        "groups": groups(records),
        "several": wording.page_error(confirmatory(report.sections, report.overalls)),
        "done": int((store.runs["state"] == "done").sum()),
        "compute_rows": wording.COMPUTE_ROWS,
        "most_rows": MOST_ROWS,
        "axes": wording.AXES,
        "command": f"python -m reports.compare {store.path}",
    }


def measure_of(sections: Sequence[Section]) -> str:
    """What all runs of a page are compared by: `score` if an environment is graded."""
    return "success" if all(section.measure == "success" for section in sections) else "score"


def answers(report: Report) -> list[tuple[str, str]]:
    """The lines that a page begins with, and what each is about: all environments together, or each."""
    if report.store.manifest["tuning"]:
        return []
    if report.overalls:
        several = len(report.overalls) > 1
        return [
            (f"Over environments, model {over.pool.model}" if several else "Over environments", over.answer)
            for over in report.overalls
        ]
    if len(report.sections) == 1:
        return [("", report.sections[0].answer)]
    return [(f"{s.setting.env}, model {s.setting.model}", s.answer) for s in report.sections]


def confirmatory(sections: Sequence[Section], overalls: Sequence[Overall]) -> int:
    """How many families of verdicts a page has: those that have comparisons and are not exploratory."""
    compared = [(each.contrasts, each.units, each.question) for each in (*sections, *overalls)]
    families = [family for three in compared for family in three]
    families += [each.tuning.gains for each in sections if each.tuning]
    return sum(len(family.table) > 0 for family in families)


def groups(runs: Sequence[Mapping[Any, Any]]) -> list[Record]:
    """The runs of each arm, environment, model and command; the command with its seed if there is one."""
    found: dict[tuple[str, ...], list[Mapping[Any, Any]]] = {}
    for run in runs:
        found.setdefault(tuple(run[key] for key in GROUPED), []).append(run)
    return [
        {**dict(zip(GROUPED, named, strict=True)), "command": with_seed(named[-1], of), "runs": of}
        for named, of in found.items()
    ]


def with_seed(command: str, runs: Sequence[Mapping[Any, Any]]) -> str:
    """The command of one run, or that of any of several."""
    if not command:
        return ""
    return f"{command} seed={runs[0]['seed'] if len(runs) == 1 else 'SEED'}"


def commands(store: Store) -> list[str]:
    """For each run, what runs it but for the seed; empty if its configuration is useless or missing."""
    known: dict[str, str] = {}
    found = []
    for cell in store.runs["cell"]:
        config = store.configs.get(cell, {})
        arm = json.dumps({**config, "seed": 0}, sort_keys=True)
        if arm not in known:
            known[arm] = command_of(config)
        found.append(known[arm])
    return found


def command_of(config: Record) -> str:
    """What runs the cells of this configuration, but for the seed; empty if that can't be told."""
    try:
        *overrides, _ = overrides_of(run_config(config))
    except Exception:  # an algorithm's file is anybody's code: it may be gone or broken
        return ""
    return shlex.join(["python", "-m", "harness.run", *overrides])


def failed_logs(store: Store) -> list[str]:
    """The end of the log of each run that failed; empty for the others."""
    found = []
    for cell, state in zip(store.runs["cell"], store.runs["state"], strict=True):
        log = store.path / "runs" / cell / "log.txt"
        lines = log.read_text("utf-8", "replace").splitlines() if state == "failed" and log.exists() else []
        found.append("\n".join(lines[-LOG_LINES:]))
    return found


@command("reports.compare")
def main(arguments: Sequence[str]) -> int:
    """The command line; returns the exit code."""
    parser = Parser(prog="python -m reports.compare", description="Write a sweep's report.")
    parser.add_argument("dir", type=named_path, metavar="DIR", help="the sweep's directory (its sweep.out)")
    parser.add_argument(
        "--out", type=named_path, metavar="DIR", help="where the report goes; default: the sweep's"
    )
    options = parser.parse_args(arguments)
    print(f"report: {compare(options.dir, options.out)}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
