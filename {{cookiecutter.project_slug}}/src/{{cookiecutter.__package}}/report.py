"""Stage: one page of HTML, from what the other stages wrote; it needs no network."""

from __future__ import annotations

import json
import math
import os
import re
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import plots, registry
from .bundle import CARD_FILE
from .data.schema import load_schema
from .data.split import load_split
from .errors import UserError
from .evaluate import openings_in_words
from .files import read_json_lines, write_text
from .ledger import openings, state_of_test
from .metrics import METRICS, in_words, show
from .pipeline import TABLE, require
from .plots import Plot
from .project import SPLITS, Project, Report, read_report, write_report

if TYPE_CHECKING:
    import pandas as pd

    from .config import Settings

PAGE = "index.html"
PROFILE = "profile.html"
PROFILE_ROWS = 50_000
PROFILE_COLUMNS = 60
DRAWN_COLUMNS = 40
ASSOCIATED_COLUMNS = 30
PROFILE_BYTES = 1_500_000
LONGEST = 300
FEW_VALUES = 50
OPEN_COLUMNS = 15
SHOWN_CLASSES = 20
# Nothing from elsewhere is loaded, whatever the data or a module's section holds.
POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; "
    "img-src data:; font-src data:"
)


@dataclass(frozen=True)
class Section:
    """A part of the page.

    Attributes:
        title: Its heading.
        html: Its content; headings in it begin with h3.
    """

    title: str
    html: str


SectionFunction = Callable[["Project", "Settings"], Section | None]


def report(project: Project, settings: Settings) -> Report:
    """Write `reports/index.html`, and what the data profile found to `reports/profile.json`.

    Raises:
        UserError: If a stage has to run first.
    """
    evaluated = _check(project)
    profile = _profile(project)
    sections = dict(_sections(project, settings))
    page = project.reports / PAGE
    write_text(page, _page(project, evaluated, sections))
    facts = profile | {
        "files": project.sizes(page, project.reports / PROFILE),
        "summary": f"{project.relative(page)}, {page.stat().st_size / 1e6:.1f} MB",
    }
    return write_report(
        project,
        settings,
        "report",
        facts,
        name="profile",
        run_id=evaluated.run_id,
        data=evaluated.data,
        model=evaluated.model,
    )


def table(
    headings: Sequence[str],
    rows: Sequence[Sequence[object]],
    *,
    caption: str = "",
    chosen: int | None = None,
    texts: Sequence[str] = (),
) -> str:
    """Return a table that scrolls on its own on a narrow screen.

    Args:
        headings: Of the columns; the first column names the rows.
        rows: The cells; numbers stand to the right, None is a dash.
        caption: What the table shows.
        chosen: The row to bring out.
        texts: Headings of columns with long texts, which may wrap.
    """
    numbers = [_is_numeric([row[place] for row in rows]) for place in range(len(headings))]
    head = "".join(
        f'<th scope="col"{_class(number and "number")}>{escape(name)}</th>'
        for name, number in zip(headings, numbers, strict=True)
    )
    body = []
    for at, row in enumerate(rows):
        cells = [f'<th scope="row">{_cell(row[0])}</th>']
        for name, number, value in list(zip(headings, numbers, row, strict=True))[1:]:
            kind = "number" if number else "text" if name in texts else ""
            cells.append(f"<td{_class(kind)}>{_cell(value)}</td>")
        body.append(f"<tr{_class(at == chosen and 'chosen')}>{''.join(cells)}</tr>")
    label = escape(caption or headings[0], quote=True)
    told = f'<p class="soft caption">{escape(caption)}</p>' if caption else ""
    return (
        f'{told}<div class="wide" role="region" aria-label="{label}" tabindex="0"><table>'
        f"<thead><tr>{head}</tr></thead><tbody>{''.join(body)}</tbody></table></div>"
    )


def figures(drawn: Sequence[Plot]) -> str:
    """Return plots side by side, one below the other on a narrow screen."""
    parts = []
    for plot in drawn:
        alt = escape(plot.alt, quote=True)
        svg = plot.svg.replace("<svg ", f'<svg role="img" aria-label="{alt}" ', 1)
        note = f'<p class="soft">{escape(plot.note)}</p>' if plot.note else ""
        parts.append(f"<figure><figcaption>{escape(plot.title)}</figcaption>{svg}{note}</figure>")
    return f'<div class="plots">{"".join(parts)}</div>' if parts else ""


def summary_section(project: Project, settings: Settings) -> Section:
    """Verdict, headline metric beside the baseline, all metrics."""
    facts = require(project, "evaluate").facts
    name, test = facts["metric"], facts["test"]
    valid, title = facts["metrics"][name], METRICS[name].title
    state, word = ("", "Bar cleared") if facts["passed"] else (" missed", "Bar missed")
    shown = [(f"{title} on valid", show(valid["value"]), in_words(valid["low"], valid["high"]))]
    if test:
        on_test = test["metrics"][name]
        spread = in_words(on_test["low"], on_test["high"])
        shown.append((f"{title} on test", show(on_test["value"]), spread))
    shown.append(("Naive baseline", show(valid["baseline"]), "says the same of every row"))
    needed = f"0 is the baseline, 1 perfect; {facts['margin']:g} needed"
    shown.append(("Skill on valid", show(facts["skill"]), needed))
    if facts["human"]:
        reached = "reached" if facts["human"]["reached"] else "not reached"
        shown.append(("A person's score", show(facts["human"]["value"]), reached))
    return Section(
        "Summary",
        f'<div class="verdict{state}"><strong>{word}</strong>'
        f"<p>{escape(facts['verdict'])}</p></div>"
        + cards(shown)
        + figures(list(_headline(facts)))
        + _metrics_table(facts)
        + _interval_text(facts)
        + bullets(facts["notes"]),
    )


def profile_section(project: Project, settings: Settings) -> Section:
    """What the rows of train look like, column by column."""
    schema = require_report(project, "schema", "ingest").facts
    typed = {column["name"]: column for column in schema["columns"]}
    found, html = _read_profile(project) or ({"about": "", "columns": []}, "")
    rows = []
    for column in found["columns"]:
        known = typed.get(column["name"], {})
        numbers = (f"{column['missing']:.1%}", column["distinct"])
        values = (column["low"], column["middle"], column["high"])
        roles = ", ".join(known.get("roles", ()))
        rows.append((column["name"], known.get("type"), roles, *numbers, *values))
    headings = ("Column", "Type", "Role", "Missing", "Distinct", "Lowest", "Middle", "Highest")
    source = require(project, "ingest").facts
    told = (
        f"<p>{source['rows']:,} rows and {source['columns']} columns from "
        f"<code>{escape(source['source'])}</code>.</p>"
    )
    closed = "" if len(rows) <= OPEN_COLUMNS else f" of {len(rows)} columns"
    listed = table(headings, rows, caption=f"{found['about']}; middle is the median or the mode")
    if closed:
        listed = f"<details><summary>A line for each{closed}</summary>{listed}</details>"
    details = (
        "<details><summary>Look closer: values, distributions and associations</summary>"
        f'<iframe title="Data profile" sandbox="allow-scripts" loading="lazy" '
        f'srcdoc="{escape(html, quote=True)}"></iframe></details>'
    )
    return Section("Data", told + listed + (details if html else ""))


def split_section(project: Project, settings: Settings) -> Section:
    """How the rows were divided, and the proof that the parts do not touch."""
    facts = require(project, "preprocess").facts
    rule = (
        f"<p>Rule: <strong>{escape(facts['rule'])}</strong>, since {escape(facts['reason'])}.</p>"
    )
    names = [name for name in SPLITS if name in facts["rows"]]
    parts = [
        (name, facts["rows"][name], f"{facts['shares'][name]:.1%}", _wanted(facts, name))
        for name in names
    ]
    return Section(
        "Split",
        rule
        + table(("Part", "Rows", "Share", "Asked for"), parts)
        + "<h3>Proof that no part knows another</h3>"
        + bullets(_proofs(facts))
        + _times_table(facts, names)
        + _target_table(facts, names)
        + bullets(facts.get("notes", ())),
    )


def models_section(project: Project, settings: Settings) -> Section:
    """Every candidate beside the baseline."""
    facts = require(project, "train").facts
    metric = facts["metric"]
    others = [name for name in METRICS if name in facts["baseline"]["valid"] and name != metric]
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
    title = METRICS[metric].title
    headings = (
        "Model",
        "Run",
        f"{title}, cross-validated",
        f"{title}, valid",
        "Skill",
        *(METRICS[name].title for name in others),
        "Fit, s",
        "Peak, MB",
    )
    told = f"<p><strong>{escape(entries[chosen or 0]['label'])}</strong> was chosen: "
    told += f"{escape(facts['reason'])}.</p>"
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
    caption = "Before calibration, at the usual threshold; the memory is that of the whole process."
    return Section(
        "Models", told + figures(plot) + table(headings, rows, caption=caption, chosen=chosen)
    )


def curves_section(project: Project, settings: Settings) -> Section | None:
    """Ranking, calibration, residuals and learning."""
    facts = require_report(project, "diagnostics", "evaluate").facts
    title = METRICS[facts["metric"]].title
    drawn = []
    if facts["roc"]:
        drawn.append(plots.draw_roc(facts["roc"]))
    if facts["pr"]:
        drawn.append(plots.draw_precision_recall(facts["pr"]))
    if facts["calibration"] and facts["calibration"]["bins"]:
        drawn.append(plots.draw_calibration(facts["calibration"]))
    if facts["residuals"]:
        drawn.append(plots.draw_residuals(facts["residuals"]))
    curve = facts["learning_curve"]
    if len(curve["points"]) > 1:
        drawn.append(plots.draw_learning_curve(curve, title))
    rows = require(project, "train").facts["rows"]["train"]
    told = f"All curves are of valid, {facts['rows']:,} rows."
    if curve["fitted_rows"] < rows:
        told += (
            f" The learning curve fits at most {curve['fitted_rows']:,} rows anew; its last point "
            f"is the model itself, on all {rows:,}."
        )
    return Section("Curves", f'<p class="soft">{told}</p>' + figures(drawn)) if drawn else None


def errors_section(project: Project, settings: Settings) -> Section:
    """Where the model is wrong, and what it leans on."""
    facts = require_report(project, "diagnostics", "evaluate").facts
    ranks = facts["importance"]
    drawn = [plots.draw_confusion(facts["confusion"])] if facts["confusion"] else []
    if any(_known(entry["mean"]) for entry in ranks["features"]):
        drawn.append(plots.draw_importance(ranks, METRICS[ranks["metric"]].title))
    told = (
        f'<p class="soft">Columns are shuffled {ranks["repeats"]} times on {ranks["rows"]:,} rows '
        "of valid. Columns that say the same as another look less important than they are."
    )
    if ranks["left_out"]:
        told += f" {ranks['left_out']} more columns were left out."
    worst = facts["worst"]
    rows = []
    lines = read_json_lines(project.worst_rows)
    for number, row in enumerate(lines, start=1):
        ids = tuple(row["id"].values()) or (number,)
        cells = (row["truth"], row["prediction"], _short_number(row["error"]))
        rows.append((*ids, *cells, *row["features"].values()))
    first = lines[0] if lines else {"id": {}, "features": {}}
    headings = (*(tuple(first["id"]) or ("Row",)), "True", "Predicted", "Error", *first["features"])
    caption = f"The rows of valid with the largest error ({worst['error']})"
    return Section(
        "Errors", figures(drawn) + f"{told}</p>" + table(headings, rows, caption=caption)
    )


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
            METRICS[line["metric"]].title,
            show(line["metrics"][line["metric"]]["value"]),
        )
        for line in here
    ]
    told = f"<p>{escape(openings_in_words(facts['test_openings']))} "
    told += "Each further look makes its score flatter, since choices begin to follow it.</p>"
    if len(lines) > len(here):
        told += f'<p class="soft">{len(lines) - len(here)} more in earlier states of the data.</p>'
    headings = ("Opened (UTC)", "Run", "Reason", "Metric", "Value")
    return Section("Test split", told + (table(headings, rows, texts=("Reason",)) if rows else ""))


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
    html = html.replace("<table>", '<div class="wide" tabindex="0"><table>')
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


SECTIONS: dict[str, SectionFunction] = {
    "summary": summary_section,
    "data": profile_section,
    "split": split_section,
    "models": models_section,
    "curves": curves_section,
    "errors": errors_section,
}
LAST_SECTIONS: dict[str, SectionFunction] = {"test": openings_section, "card": card_section}


def _check(project: Project) -> Report:
    """Return the evaluation once every stage's report is there and they belong together.

    Raises:
        UserError: Naming the stage to run.
    """
    found = {name: require(project, name) for name in TABLE if name != "report"}
    trained, release, judged = found["train"], found["postprocess"], found["evaluate"]
    for name, run_id, last in (
        ("postprocess", release.facts.get("trained_as"), trained.run_id),
        ("evaluate", judged.run_id, release.run_id),
    ):
        if run_id != last:
            raise UserError(
                f"reports/{TABLE[name].report}.json is of the model {run_id}, but the last one is "
                f"{last}; run `{name}` first."
            )
    return judged


def _sections(project: Project, settings: Settings) -> Iterator[tuple[str, Section]]:
    """Yield the page's parts; those of modules and custom.py stand before the last ones."""
    registry.extend_by_custom()
    own = {name: registry.load(entry) for name, entry in registry.REPORT_SECTIONS.items()}
    for name, function in (SECTIONS | own | LAST_SECTIONS).items():
        section = function(project, settings)
        if section is not None:
            yield escape(name, quote=True), section


def _page(project: Project, evaluated: Report, sections: dict[str, Section]) -> str:
    """Return the whole page."""
    facts, column = evaluated.facts, load_schema(project).target
    target = escape(column.name if column else "")
    lead = (
        f'{escape(facts["label"])} <code>{evaluated.run_id}</code> predicts\n'
        f'<code>{target}</code> ({escape(facts["task"])}), on data <code>{evaluated.data}</code>.'
    )
    foot = (
        "Written by <code>report</code> from <code>reports/*.json</code>; nothing was computed\n"
        "for this page but the data profile."
    )
    return html_page(f"{project.root.name}: model report", lead, sections, foot)


def html_page(title: str, lead: str, sections: Mapping[str, Section], foot: str) -> str:
    """Return a page that needs nothing from elsewhere.

    Args:
        title: Plain text.
        lead: HTML of the line below it.
        sections: By their anchors, the first called "summary".
        foot: HTML of the last line.
    """
    style = Path(__file__).with_name("report.css").read_text(encoding="utf-8")
    links = "".join(
        f'<li><a href="#{key}">{escape(section.title)}</a></li>'
        for key, section in sections.items()
    )
    bodies = "\n".join(
        f'<section id="{key}" aria-labelledby="{key}-title"><h2 id="{key}-title">'
        f"{escape(section.title)}</h2>\n{section.html}</section>"
        for key, section in sections.items()
    )
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{POLICY}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{escape(title)}</title>
<style>
{style}</style>
</head>
<body>
<a class="skip" href="#summary">Skip to the summary</a>
<header>
<h1>{escape(title)}</h1>
<p class="soft">{lead}</p>
</header>
<nav aria-label="Sections"><ul>{links}</ul></nav>
<main>
{bodies}
</main>
<footer><p>{foot}</p></footer>
</body>
</html>
"""


def _profile(project: Project) -> dict[str, Any]:
    """Profile train, unless that was done for this data already; return what was found."""
    data = require(project, "preprocess").data
    found = _read_profile(project)
    if found is None or found[0]["data"] != data:
        train, schema = load_split(project, "train"), load_schema(project)
        hidden = [column.name for column in (*schema.ids, *schema.having("ignore"))]
        frame = train.drop(columns=[name for name in hidden if name in train.columns])
        facts, html = _make_profile(frame)
        # What was found goes into the first line; "--" would end the comment early.
        line = json.dumps(facts | {"data": data}).replace("--", "\\u002d\\u002d")
        write_text(project.reports / PROFILE, f"<!--{line}-->\n{html}")
        found = facts, html
    return {key: value for key, value in found[0].items() if key != "data"}


def _read_profile(project: Project) -> tuple[dict[str, Any], str] | None:
    """Return what the cached profile found, and its page; None if there is none to use."""
    path = project.reports / PROFILE
    if not path.exists():
        return None
    line, _, html = path.read_text(encoding="utf-8").partition("\n")
    try:
        return json.loads(line.removeprefix("<!--").removesuffix("-->")), html
    except ValueError:
        return None


def _make_profile(frame: pd.DataFrame) -> tuple[dict[str, Any], str]:
    """Return a line per column, and a page to look closer, of at most `PROFILE_ROWS` rows."""
    # When imported, skrub creates a folder for example data, by default in the home folder.
    os.environ.setdefault("SKB_DATA_DIRECTORY", tempfile.gettempdir())
    from skrub import TableReport

    rows, width = frame.shape
    if rows > PROFILE_ROWS:
        frame = frame.sample(PROFILE_ROWS, random_state=0).sort_index()
    shown = frame.iloc[:, :PROFILE_COLUMNS]
    about = f"{rows:,} rows of train"
    if rows > PROFILE_ROWS:
        about = f"A draw of {PROFILE_ROWS:,} of the {about}"
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
        low, middle, high = (_short_number(present.quantile(q)) for q in (0, 0.5, 1))
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
        yield plots.draw_scores(METRICS[name].title, rows, baseline, METRICS[name].perfect)


def _metrics_table(facts: dict[str, Any]) -> str:
    """Return every metric on valid and test, beside the baseline."""
    test = facts["test"]
    headings = ["Metric", "Better", "Valid", "95% interval"]
    headings += ["Test", "95% interval on test"] if test else []
    rows = []
    for name, found in facts["metrics"].items():
        metric = METRICS[name]
        row = [metric.title, "higher" if metric.greater_is_better else "lower"]
        for each in (found, test["metrics"].get(name, {})) if test else (found,):
            row += [show(each.get("value")), in_words(each.get("low"), each.get("high"))]
        rows.append([*row, show(found["baseline"])])
    counted = f"valid {facts['rows']:,} rows" + (f", test {test['rows']:,} rows" if test else "")
    caption = f"The packaged model beside the baseline ({counted})"
    chosen = list(facts["metrics"]).index(facts["metric"])
    return table([*headings, "Baseline"], rows, caption=caption, chosen=chosen)


def _interval_text(facts: dict[str, Any]) -> str:
    """Say how often the predicted intervals held."""
    parts = []
    for split, found in (
        ("valid", facts["interval"]),
        ("test", (facts["test"] or {}).get("interval")),
    ):
        if found:
            parts.append(f"{found['coverage']:.1%} of {split}")
            level = f"{found['level']:.0%}"
    if not parts:
        return ""
    return f"<p>The {level} interval around each prediction holds {' and '.join(parts)}.</p>"


def _wanted(facts: dict[str, Any], name: str) -> str:
    """Return the share that conf.cfg asks for."""
    return f"{facts['fractions'][name]:.1%}"


def _proofs(facts: dict[str, Any]) -> Iterator[str]:
    """Yield what was checked on the parts as they were written."""
    yield f"Rows that are in two parts: {facts['overlap_rows']}."
    if facts["overlap_groups"] is not None:
        yield f"Rows of a group that is in two parts: {facts['overlap_groups']}."
    if "time_travel" in facts:
        yield f"Rows that are as late as a later part: {facts['time_travel']:,}."
    yield f"Exact duplicates dropped before the split: {facts['duplicates_dropped']:,}."
    if facts["twins_removed"]:
        yield f"Rows taken out since an earlier part holds their equal: {facts['twins_removed']:,}."
    if facts["removed_by_custom"]:
        yield f"Rows taken out by custom.py: {facts['removed_by_custom']:,}."
    yield f"Fingerprint of the split: {facts['fingerprint']}; seed {facts['seed']}."


def _times_table(facts: dict[str, Any], names: Sequence[str]) -> str:
    """Return the first and last time of each part, where there is a time."""
    if "time" not in facts:
        return ""
    rows = [(name, *facts["time"][name]) for name in names]
    return table(("Part", "From", "To"), rows, caption="Time of the rows")


def _target_table(facts: dict[str, Any], names: Sequence[str]) -> str:
    """Return how the target is distributed in each part."""
    keys = list(dict.fromkeys(key for name in names for key in facts["target"][name]))
    classes = facts["target"]["train"].keys() != {"mean", "std"}
    rows = [
        (key, *(_share(facts["target"][name].get(key, 0.0), classes) for name in names))
        for key in keys[:SHOWN_CLASSES]
    ]
    caption = "Target: share of each class" if classes else "Target: mean and standard deviation"
    if len(keys) > SHOWN_CLASSES:
        caption += f" ({len(keys) - SHOWN_CLASSES} more classes are in reports/split.json)"
    return table(("Class" if classes else "Statistic", *names), rows, caption=caption)


def _share(value: float, classes: bool) -> str:
    """Write the share of a class, or a number."""
    return f"{value:.1%}" if classes else f"{value:,.4g}"


def cards(shown: Sequence[tuple[str, str, str]]) -> str:
    """Return the few numbers to see first."""
    parts = [
        f"<div><dt>{escape(name)}</dt><dd>{escape(value)}</dd><dd>{escape(told)}</dd></div>"
        for name, value, told in shown
    ]
    return f'<dl class="cards">{"".join(parts)}</dl>'


def bullets(sentences: Iterator[str] | Sequence[str]) -> str:
    """Return sentences as a list."""
    items = "".join(f"<li>{escape(text[:1].upper() + text[1:])}</li>" for text in sentences)
    return f'<ul class="notes">{items}</ul>' if items else ""


def _cell(value: object) -> str:
    """Return a cell's text."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return "-"
    text = f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)
    return escape(text if len(text) <= LONGEST else text[: LONGEST - 1] + "…")


def _class(name: str | bool) -> str:
    """Return a class attribute, or nothing."""
    return f' class="{name}"' if name else ""


def _is_numeric(cells: Sequence[object]) -> bool:
    """Tell whether most of a column are numbers, written in whatever way."""
    texts = [str(cell) for cell in cells if cell is not None]
    found = sum(bool(re.fullmatch(r"[-+\d.,%\s±e]+( to [-+\d.,e]+)?", text)) for text in texts)
    return 2 * found > len(texts)


def _short_number(value: Any) -> str:
    """Return a number of the data with four significant digits, whole ones in full."""
    number = float(value)
    whole = number.is_integer() or abs(number) >= 1000
    return f"{number:,.0f}" if whole and abs(number) < 1e15 else f"{number:,.4g}"


def _known(value: float | None) -> bool:
    """Tell whether a number of a report is there; JSON's null stands for what is not defined."""
    return value is not None and math.isfinite(value)
