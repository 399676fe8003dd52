"""The sections of `reports/index.html`, each from the reports that stages wrote."""

from __future__ import annotations

import json
import math
import os
import re
import tempfile
from collections.abc import Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from markupsafe import Markup

from ..bundle.bundle import CARD_FILE
from ..core import registry
from ..core.errors import UserError
from ..core.files import read_json_lines, write_text
from ..core.pipeline import ASSUMED, MOST_LINES, assumed, require
from ..core.project import SPLITS, Project, Report, read_report
from ..data.dates import local_times
from ..data.schema import Schema, load_schema, with_columns
from ..data.split import load_manifest, load_split
from ..evaluation.bootstrap import in_words
from ..evaluation.ledger import openings, openings_in_words, state_of_test
from ..evaluation.metrics import find_metric, show, title_of
from ..evaluation.naive import baseline_in_words
from . import plots
from .html import PARTS, Section, bullets, cards, figures, macro, short_number, table, verdict
from .plots import Plot

if TYPE_CHECKING:
    import pandas as pd

    from ..core.config import Settings
    from ..tasks.task import Task

PROFILE = "profile.html"
PROFILE_ROWS = 50_000
PROFILE_COLUMNS = 60
DRAWN_COLUMNS = 40
ASSOCIATED_COLUMNS = 30
PROFILE_BYTES = 1_500_000
FEW_VALUES = 50
OPEN_COLUMNS = 15
SHOWN_CLASSES = 20
CHECK = "Margin met, but check"
part = partial(macro, PARTS)


def summary_section(project: Project, settings: Settings) -> Section:
    """Verdict, what was assumed, headline metric beside the baseline, all metrics."""
    facts = require(project, "evaluate").facts
    name, test = facts["metric"], facts["test"]
    valid, title = facts["metrics"][name], find_metric(name).title
    warnings = [each["text"] for each in facts.get("warnings", ())]
    word = "Margin missed" if not facts["passed"] else CHECK if warnings else "Margin met"
    shown = [(f"{title} on valid", show(valid["value"]), in_words(valid["low"], valid["high"]))]
    if test:
        on_test = test["metrics"][name]
        spread = in_words(on_test["low"], on_test["high"])
        shown.append((f"{title} on test", show(on_test["value"]), spread))
    said = f"predicts {baseline_in_words(facts.get('baseline_rule'))}"
    shown.append(("Naive baseline", show(valid["baseline"]), said))
    needed = f"0 is the baseline, 1 perfect; {facts['margin']:g} needed"
    shown.append(("Skill on valid", show(facts["skill"]), needed))
    if facts["human"]:
        reached = "reached" if facts["human"]["reached"] else "not reached"
        shown.append(("A person's score", show(facts["human"]["value"]), reached))
    return Section(
        "Summary",
        verdict(word, facts["verdict"], missed=not facts["passed"], warnings=warnings)
        + Markup("<h3>{}</h3>").format(ASSUMED)
        + bullets(_assumed(project), capital=False)  # some begin with the name of a column
        + cards(shown)
        + figures(list(_headline(facts)))
        + _metrics_table(facts)
        + part("intervals", facts["interval"], (test or {}).get("interval"))
        + bullets(facts["notes"]),
    )


def _assumed(project: Project) -> list[str]:
    """Return what was inferred or left out, for a person to agree with."""
    split, release = require(project, "preprocess").facts, require(project, "postprocess").facts
    lines = [f"{split['rule']} split; {split['reason']}"]
    if release.get("positive") is not None:
        lines.append(f"'{release['positive']}' is the class to find; [decision] positive")
    reports = ((stage, read_report(project, stage.report)) for stage in registry.stages().values())
    found = [(stage, report.facts) for stage, report in reports if report]
    return [*lines, *assumed(found, MOST_LINES - len(lines))]


def profile_train(project: Project) -> dict[str, Any]:
    """Profile train, unless that was done for this data already; return what was found."""
    data = require(project, "preprocess").data
    found = read_profile(project)
    if found is None or found[0]["data"] != data:
        train, schema = load_split(project, "train", rows=PROFILE_ROWS), load_schema(project)
        hidden = [column.name for column in (*schema.ids, *schema.having("ignore"))]
        shown = train.drop(columns=[name for name in hidden if name in train.columns])
        frame = in_local_time(shown, schema)
        facts, html = _make_profile(frame, load_manifest(project)["rows"]["train"])
        # What was found goes into the first line; "--" would end the comment early.
        line = json.dumps(facts | {"data": data}).replace("--", "\\u002d\\u002d")
        write_text(project.reports / PROFILE, f"<!--{line}-->\n{html}")
        found = facts, html
    return {key: value for key, value in found[0].items() if key != "data"}


def in_local_time(frame: pd.DataFrame, schema: Schema) -> pd.DataFrame:
    """Return rows with the times of each column's zone, as people know them."""
    zones = {column.name: column.zone for column in schema.columns if column.name in frame}
    local = {name: local_times(frame[name], zone) for name, zone in zones.items() if zone}
    return with_columns(frame, local)


def read_profile(project: Project) -> tuple[dict[str, Any], str] | None:
    """Return what the cached profile found, and its page; None if there is none to use."""
    path = project.reports / PROFILE
    if not path.exists():
        return None
    line, _, html = path.read_text(encoding="utf-8").partition("\n")
    try:
        return json.loads(line.removeprefix("<!--").removesuffix("-->")), html
    except ValueError:
        return None


def _make_profile(frame: pd.DataFrame, rows: int) -> tuple[dict[str, Any], str]:
    """Return a line per column, and a page to look closer, of a sample of so many rows."""
    # When imported, skrub creates a folder for example data, by default in the home folder.
    os.environ.setdefault("SKB_DATA_DIRECTORY", tempfile.gettempdir())
    from skrub import TableReport

    width = frame.shape[1]
    shown = frame.iloc[:, :PROFILE_COLUMNS]
    about = f"{rows:,} rows of train"
    if rows > len(frame):
        about = f"A draw of {len(frame):,} of the {about}"
    if width > PROFILE_COLUMNS:
        about += f", the first {PROFILE_COLUMNS} of {width} columns"
    facts = {"about": about, "columns": [_column_facts(shown[name]) for name in shown.columns]}
    for drawn in (shown.shape[1] <= DRAWN_COLUMNS, False):
        html: str = TableReport(
            shown,
            title="Train",
            verbose=0,
            plot_distributions=drawn,
            compute_associations=shown.shape[1] <= ASSOCIATED_COLUMNS,
            open_tab="distributions" if drawn else "stats",
        ).html()
        if len(html.encode()) <= PROFILE_BYTES:
            break
    return facts, html


def _column_facts(values: pd.Series[Any]) -> dict[str, Any]:
    """Return what a column holds; no value of it where values might name a person."""
    from pandas.api.types import is_bool_dtype, is_datetime64_any_dtype, is_numeric_dtype

    present = values.dropna()
    distinct = int(present.nunique())
    low = middle = high = None
    if len(present) and is_datetime64_any_dtype(present):
        low, middle, high = (str(present.quantile(q))[:10] for q in (0, 0.5, 1))
    elif len(present) and is_numeric_dtype(present) and not is_bool_dtype(present):
        low, middle, high = (short_number(present.quantile(q)) for q in (0, 0.5, 1))
    elif len(present) and distinct <= FEW_VALUES:
        middle = str(present.mode().iloc[0])
    return {
        "name": str(values.name),
        "missing": round(1 - len(present) / max(1, len(values)), 6),
        "distinct": distinct,
        "low": low,
        "middle": middle,
        "high": high,
    }


def profile_section(project: Project, settings: Settings) -> Section:
    """What the rows of train look like, column by column."""
    schema = require_report(project, "schema", "ingest").facts
    typed = {column["name"]: column for column in schema["columns"]}
    found, html = read_profile(project) or ({"about": "", "columns": []}, "")
    rows = []
    for column in found["columns"]:
        known = typed.get(column["name"], {})
        numbers = (f"{column['missing']:.1%}", column["distinct"])
        values = (column["low"], column["middle"], column["high"])
        roles = ", ".join(known.get("roles", ()))
        rows.append((column["name"], known.get("type"), roles, *numbers, *values))
    headings = ("Column", "Type", "Role", "Missing", "Distinct", "Lowest", "Middle", "Highest")
    caption = f"{found['about']}; middle is the median or the mode"
    listed = table(headings, rows, caption=caption)
    closed = len(rows) if len(rows) > OPEN_COLUMNS else 0
    source = require(project, "ingest").facts
    return Section("Data", part("data", source, listed, closed, html))


def split_section(project: Project, settings: Settings) -> Section:
    """How the rows were divided, and the proof that the parts do not touch."""
    facts = require(project, "preprocess").facts
    names = [name for name in SPLITS if name in facts["rows"]]
    parts = [
        (name, facts["rows"][name], f"{facts['shares'][name]:.1%}", _wanted(facts, name))
        for name in names
    ]
    return Section(
        "Split",
        part(
            "split",
            facts,
            table(("Part", "Rows", "Share", "Asked for"), parts),
            bullets(_proofs(facts)),
        )
        + _times_table(facts, names)
        + _target_table(facts, names)
        + bullets(facts.get("notes", ())),
    )


def models_section(project: Project, settings: Settings) -> Section:
    """Every candidate beside the baseline."""
    facts = require(project, "train").facts
    metric = facts["metric"]
    others = [name for name in facts["baseline"]["valid"] if name != metric]
    entries = [*facts["candidates"], facts["baseline"]]
    chosen = next((at for at, e in enumerate(entries) if e["run_id"] == facts["run_id"]), None)
    rows = []
    for entry in entries:
        cv = entry["cv"] or {"mean": None, "std": None}
        spread = f"{show(cv['mean'])} ± {show(cv['std'])}" if cv["mean"] is not None else None
        scores = [show(entry["valid"][name]) for name in (metric, *others)]
        cost = (f"{entry['fit_seconds']:.2f}", f"{entry['peak_memory_mb']:,.0f}")
        rows.append(
            (
                entry["label"],
                entry["run_id"],
                spread,
                scores[0],
                show(entry["skill"]),
                *scores[1:],
                *cost,
            )
        )
    title = find_metric(metric).title
    headings = (
        "Model",
        "Run",
        f"{title}, cross-validated",
        f"{title}, valid",
        "Skill",
        *(find_metric(name).title for name in others),
        "Fit, s",
        "Peak, MB",
    )
    text = part("models", entries[chosen or 0]["label"], facts["reason"])
    text += bullets(facts.get("aloud", ()))
    drawn = [
        {
            "label": entry["label"],
            "folds": (entry["cv"] or {}).get("folds", []),
            "mean": (entry["cv"] or {}).get("mean"),
            "valid": entry["valid"][metric],
            "winner": entry["run_id"] == facts["run_id"],
        }
        for entry in facts["candidates"]
    ]
    floor = facts["baseline"]["valid"][metric]
    plot = [plots.draw_candidates(title, drawn, floor)] if _known(floor) else []
    caption = (
        "Before calibration and any rule of custom.py, at the usual threshold; the memory is that "
        "of the whole process."
    )
    return Section(
        "Models", text + figures(plot) + table(headings, rows, caption=caption, chosen=chosen)
    )


def curves_section(project: Project, settings: Settings) -> Section | None:
    """Ranking, calibration, residuals and learning."""
    facts = require_report(project, "diagnostics", "evaluate").facts
    title = find_metric(facts["metric"]).title
    drawn = _own_plots(project, facts, "curves")
    curve = facts["learning_curve"]
    if len(curve["points"]) > 1:
        drawn.append(plots.draw_learning_curve(curve, title))
    rows = require(project, "train").facts["rows"]["train"]
    return Section("Curves", part("curves", facts, rows) + figures(drawn)) if drawn else None


def errors_section(project: Project, settings: Settings) -> Section:
    """Where the model is wrong, and what it leans on."""
    facts = require_report(project, "diagnostics", "evaluate").facts
    ranks = facts["importance"]
    drawn = _own_plots(project, facts, "errors")
    if any(_known(entry["mean"]) for entry in ranks["features"]):
        drawn.append(plots.draw_importance(ranks, find_metric(ranks["metric"]).title))
    worst = facts["worst"]
    rows = []
    lines = read_json_lines(project.worst_rows)
    for number, row in enumerate(lines, start=1):
        ids = tuple(row["id"].values()) or (number,)
        cells = (row["truth"], row["prediction"], short_number(row["error"]))
        rows.append((*ids, *cells, *row["features"].values()))
    first = lines[0] if lines else {"id": {}, "features": {}}
    headings = (*(tuple(first["id"]) or ("Row",)), "True", "Predicted", "Error", *first["features"])
    caption = f"The rows of valid with the largest error ({worst['error']})"
    listed = table(headings, rows, caption=caption)
    return Section("Errors", figures(drawn) + part("errors", ranks) + listed)


def _own_plots(project: Project, facts: dict[str, Any], section: str) -> list[Plot]:
    """Return the plots of the task's own diagnostics that belong into a section."""
    task: Task = registry.task(require(project, "evaluate").facts["task"])
    return [
        registry.load(each.draw)(facts[each.name])
        for each in task.diagnostics
        if each.section == section and facts.get(each.name)
    ]


def openings_section(project: Project, settings: Settings) -> Section:
    """Every look at the test split."""
    facts = require(project, "evaluate").facts
    lines = read_json_lines(project.ledger)
    here = openings(project, state_of_test(project))
    rows = [
        (
            str(line["date"])[:16].replace("T", " "),
            line["run_id"],
            line["reason"],
            title_of(line["metric"]),
            show(line["metrics"][line["metric"]]["value"]),
        )
        for line in here
    ]
    sentence = openings_in_words(facts["test_openings"])
    text = part("openings", sentence, len(lines) - len(here))
    headings = ("Opened (UTC)", "Run", "Reason", "Metric", "Value")
    return Section("Test split", text + (table(headings, rows, texts=("Reason",)) if rows else ""))


def card_section(project: Project, settings: Settings) -> Section | None:
    """The bundle's model card."""
    from markdown_it import MarkdownIt

    run_id = require(project, "evaluate").run_id or ""
    path = project.bundle_folder(run_id) / CARD_FILE
    if not path.exists():
        return None
    text = re.sub(r"<!--.*?-->\n?", "", path.read_text(encoding="utf-8"), flags=re.S)
    html = str(MarkdownIt("commonmark", {"html": False}).enable("table").render(text))
    html = re.sub(r"<h1>.*?</h1>\s*", "", html, count=1, flags=re.S)  # the section has a title
    html = re.sub(r"(</?h)([1-4])>", lambda found: f"{found[1]}{int(found[2]) + 1}>", html)
    region = '<div class="wide" role="region" aria-label="Table of the card" tabindex="0">'
    html = html.replace("<table>", f"{region}<table>")
    html = html.replace("</table>", "</table></div>")
    return Section("Model card", f'<div class="card-text">{html}</div>')


def require_report(project: Project, name: str, stage: str) -> Report:
    """Return a report that is not the last one of its stage.

    Raises:
        UserError: If it is not there.
    """
    found = read_report(project, name)
    if found is None:
        raise UserError(f"There is no reports/{name}.json; run `{stage}` first.")
    return found


def _headline(facts: dict[str, Any]) -> Iterator[Plot]:
    """Yield the metric that decides, beside the baseline and a person."""
    name = facts["metric"]
    rows = []
    for split in ("valid", "test"):
        found = (facts if split == "valid" else facts["test"] or {}).get("metrics", {}).get(name)
        if found and all(_known(found[key]) for key in ("value", "low", "high")):
            rows.append((split, found["value"], found["low"], found["high"]))
    if facts["human"]:
        human = facts["human"]["value"]
        rows.append((plots.PERSON, human, human, human))
    baseline = facts["metrics"][name]["baseline"]
    if rows and _known(baseline):
        yield plots.draw_scores(find_metric(name).title, rows, baseline, find_metric(name).perfect)


def _metrics_table(facts: dict[str, Any]) -> Markup:
    """Return every metric on valid and test, beside the baseline."""
    test = facts["test"]
    headings = ["Metric", "Better", "Valid", "95% interval"]
    headings += ["Test", "95% interval on test"] if test else []
    rows = []
    for name, found in facts["metrics"].items():
        metric = find_metric(name)
        row = [metric.title, "higher" if metric.greater_is_better else "lower"]
        for each in (found, test["metrics"].get(name, {})) if test else (found,):
            row += [show(each.get("value")), in_words(each.get("low"), each.get("high"))]
        rows.append([*row, show(found["baseline"])])
    counted = f"valid {facts['rows']:,} rows" + (f", test {test['rows']:,} rows" if test else "")
    caption = f"The packaged model beside the baseline ({counted})"
    chosen = list(facts["metrics"]).index(facts["metric"])
    return table([*headings, "Baseline"], rows, caption=caption, chosen=chosen)


def _wanted(facts: dict[str, Any], name: str) -> str:
    """Return the share that conf.cfg asks for."""
    return f"{facts['fractions'][name]:.1%}"


def _proofs(facts: dict[str, Any]) -> Iterator[str]:
    """Yield what was checked on the parts as they were written."""
    yield f"Rows in two splits: {facts['overlap_rows']}."
    if facts["overlap_groups"] is not None:
        yield f"Rows whose group is in two splits: {facts['overlap_groups']}."
    if "time_travel" in facts:
        yield f"Rows not earlier than a later split: {facts['time_travel']:,}."
    if facts.get("duplicates", "drop") == "drop":
        yield f"Equal rows dropped before the split: {facts['duplicates_dropped']:,}."
    elif facts["equal_rows"]:
        yield (
            f"Rows that equal another and are kept: {facts['equal_rows']:,}, of which almost "
            f"certainly copies: {facts['copies']:,}."
        )
    if facts.get("without_target"):
        yield f"Rows left out since their target is missing: {facts['without_target']:,}."
    if facts["twins_removed"]:
        yield f"Rows left out since an earlier split has an equal row: {facts['twins_removed']:,}."
    if facts["removed_by_custom"]:
        yield f"Rows taken out by custom.py: {facts['removed_by_custom']:,}."
    yield f"Fingerprint of the split: {facts['fingerprint']}; seed {facts['seed']}."


def _times_table(facts: dict[str, Any], names: Sequence[str]) -> Markup:
    """Return the first and last time of each part, where there is a time."""
    if "time" not in facts:
        return Markup("")
    rows = [(name, *facts["time"][name]) for name in names]
    return table(("Part", "From", "To"), rows, caption="Time of the rows")


def _target_table(facts: dict[str, Any], names: Sequence[str]) -> Markup:
    """Return how the target is distributed in each part."""
    keys = list(dict.fromkeys(key for name in names for key in facts["target"][name]))
    classes = facts["target"]["train"].keys() != {"mean", "std"}
    rows = [
        (key, *(_share(facts["target"][name].get(key, 0.0), classes) for name in names))
        for key in keys[:SHOWN_CLASSES]
    ]
    caption = "Target: share of each class" if classes else "Target: mean and standard deviation"
    caption += f", not weighted by {facts['weight']}" if "weight" in facts else ""
    if len(keys) > SHOWN_CLASSES:
        caption += f" ({len(keys) - SHOWN_CLASSES} more classes are in reports/split.json)"
    return table(("Class" if classes else "Statistic", *names), rows, caption=caption)


def _share(value: float, classes: bool) -> str:
    """Write the share of a class, or a number."""
    return f"{value:.1%}" if classes else f"{value:,.4g}"


def _known(value: float | None) -> bool:
    """Tell whether a number of a report is there; JSON's null stands for what is not defined."""
    return value is not None and math.isfinite(value)
