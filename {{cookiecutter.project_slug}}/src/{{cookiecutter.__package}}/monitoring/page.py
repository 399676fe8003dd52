"""The page of a check: what was found, beside what the training data looked like."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from ..core.files import write_text
from ..core.project import Project, read_report
from ..evaluation.bootstrap import in_words
from ..evaluation.metrics import find_metric, show
from ..reporting.html import Section, bullets, cards, figures, html_page, macro, table, verdict
from ..reporting.plots import Plot
from .words import NAME, counted

if TYPE_CHECKING:
    from markupsafe import Markup

    from ..core.config import Settings

PAGE = "drift.html"
DRAWN = 12
SHOWN_FAULTS = 100
SHORT = 24
part = partial(macro, "monitoring/drift.html.jinja")


def write_page(project: Project, run_id: str, facts: Mapping[str, Any]) -> None:
    """Write `reports/drift.html`."""
    parts = {
        "summary": _summary(facts),
        "features": _features(facts),
        "prediction": _prediction(facts),
        "labels": _labels(facts),
        "quality": _quality(facts),
        "method": _method(facts),
    }
    sections = {key: each for key, each in parts.items() if each is not None}
    lead = _lead(run_id, facts)
    title = f"{project.root.name}: monitoring"
    write_text(project.reports / PAGE, html_page(title, lead, sections, part("foot")))


def use_section(project: Project, settings: Settings) -> Section | None:
    """The last check, for the report: what was found, in which rows, and when."""
    check = read_report(project, NAME)
    if check is None:
        return None
    there = (project.reports / PAGE).exists()
    lead = _lead(check.run_id or "", check.facts)
    content = part("in_use", _verdict(check.facts), lead, PAGE if there else "")
    return Section("In use", content)


def _lead(run_id: str, facts: Mapping[str, Any]) -> Markup:
    """Say which rows were compared with what, and when."""
    time = facts["time"][:16].replace("T", " ")
    return part("lead", run_id, facts, time, _span(facts))


def draw_shares(name: str, finding: Mapping[str, Any]) -> Plot:
    """Draw the share of each cell in the reference and now, a pair of bars each."""
    names = [cell if len(cell) <= SHORT else cell[: SHORT - 1] + "…" for cell in finding["cells"]]
    cells = list(zip(names, finding["reference"], finding["now"], strict=True))
    most = max([*finding["reference"], *finding["now"], 1e-9])
    svg = part("shares", cells, most)
    mark = "Drift in" if finding["found"] else "No finding in"
    title = f"{mark} {name}: {finding['measure']} {finding['size']:.2f}"
    return Plot(
        title,
        f"Shares now and in the reference; {finding['story']}.",
        svg,
        _sentence(finding["story"]),
    )


def _summary(facts: Mapping[str, Any]) -> Section:
    """What was found, and the few numbers to see first."""
    notes = bullets([_sentence(text) for text in facts["notes"]])
    return Section("Summary", _verdict(facts) + cards(list(_cards(facts))) + notes)


def _verdict(facts: Mapping[str, Any]) -> Markup:
    """Say what was found, in sentences, and what the policy makes of it."""
    problems, policy = facts["problems"], facts["policy"]
    word = "Alert" if facts["alert"] else "Watch" if problems else "All quiet"
    missed = bool(facts["alert"] or problems)
    counts = f"{counted(len(problems), 'problem')}; {counted(facts['tests'], 'test')} were made"
    if problems and not facts["alert"]:
        counts += f"; an alert after {policy['checks']} checks in a row"
    sentences = [
        each["sentence"] + (f" (check {each['checks']} in a row)" if each["checks"] > 1 else "")
        for each in problems
    ]
    found = verdict(word, _sentence(counts), missed=missed)
    found += bullets([_sentence(text) for text in sentences])
    return found + part("advice", policy) if facts["alert"] else found


def _cards(facts: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    """Yield the few numbers to see first."""
    columns = [each for each in facts["findings"] if each["about"] == "feature"]
    moved = sum(each["found"] for each in columns)
    yield "Features that drifted", f"{moved} of {len(columns)}", "significant and large"
    predictions = [each for each in facts["findings"] if each["about"] == "prediction"]
    if predictions:
        worst = max(predictions, key=lambda each: float(each["size"]))
        yield "Prediction", "drifted" if any(e["found"] for e in predictions) else "steady", (
            f"PSI {worst['size']:.2f}, beside valid"
        )
    measured = facts["performance"]
    if measured:
        title, was = find_metric(measured["metric"]).title, measured["reference"]
        interval = in_words(measured["now"]["low"], measured["now"]["high"])
        yield f"{title} with labels", show(measured["now"]["value"]), (
            f"{interval}; {show(was['value'])} on valid"
        )
    delay = facts["delay"]
    share = delay["labelled"] / max(1, delay["labelled"] + delay["unlabelled"])
    late = "" if delay["median"] is None else f"half within {delay['median']:.3g} days"
    yield "Rows with a label", f"{share:.0%}", late or counted(delay["labelled"], "row")
    broken = sum(fault["rows"] for fault in facts["faults"])
    yield "Values that the schema refuses", f"{broken:,}", f"in {counted(facts['rows'], 'row')}"


def _features(facts: Mapping[str, Any]) -> Section | None:
    """Every feature, those that drifted drawn first."""
    columns = [each for each in facts["findings"] if each["about"] == "feature"]
    if not columns:
        return None
    missing = {each["name"]: each for each in facts["findings"] if each["about"] == "missing"}
    columns = sorted(columns, key=lambda each: (not each["found"], -each["size"]))
    drawn = [each for each in columns if each["found"]][:DRAWN] or columns[:2]
    rows = []
    for each in columns:
        gone = missing.get(each["name"])
        share = None if gone is None else f"{gone['now'][0]:.1%} ({gone['reference'][0]:.1%})"
        mark = "drifted" if each["found"] else "missing" if gone and gone["found"] else "-"
        rows.append((each["name"], mark, *_numbers(each), share))
    headings = ("Feature", "Finding", "PSI", "JS", "Test", "p, adjusted", "Missing (reference)")
    return Section(
        "Features",
        figures([draw_shares(each["name"], each) for each in drawn])
        + table(headings, rows, caption="All features, the largest differences first"),
    )


def _prediction(facts: Mapping[str, Any]) -> Section | None:
    """The predictions now, beside those for valid."""
    predictions = [each for each in facts["findings"] if each["about"] == "prediction"]
    if not predictions:
        return None
    rows = [
        (each["name"], "drifted" if each["found"] else "-", *_numbers(each)) for each in predictions
    ]
    headings = ("Prediction", "Finding", "PSI", "JS", "Test", "p, adjusted")
    drawn = [draw_shares(f"the predicted {each['name']}", each) for each in predictions[:DRAWN]]
    return Section("Prediction", part("beside") + figures(drawn) + table(headings, rows))


def _labels(facts: Mapping[str, Any]) -> Section:
    """Label shift, seen or estimated; the metric with labels; how late labels come."""
    delay, shares = facts["delay"], facts["shares"]
    lines = [f"{delay['labelled']:,} rows have a label, {delay['unlabelled']:,} have none"]
    if delay["median"] is not None:
        lines.append(
            f"half of the labels came within {delay['median']:.3g} days, nine of ten within "
            f"{delay['slowest']:.3g}"
        )
    if delay["due"]:
        lines.append(
            f"of {delay['due']:,} predictions that are due a label, {delay['due_labelled']:,} have "
            "one"
        )
    about = ("performance", "target")
    found = [each for each in facts["findings"] if each["about"] in about]
    lines += [each["story"] for each in found]
    html = bullets([_sentence(text) for text in lines])
    html += figures([draw_shares(f"the label {e['name']}", e) for e in found if e["cells"]])
    if shares:
        rows = [
            (name, f"{each['reference']:.1%}", f"{each['estimate']:.1%}",
             f"{each['low']:.1%} to {each['high']:.1%}")
            for name, each in shares.items()
        ]  # fmt: skip
        caption = (
            "Shares of the classes as the predictions suggest them, without labels (black-box "
            "shift estimation); right if the features within each class are as they were"
        )
        html += table(("Class", "Valid", "Estimate now", "95% interval"), rows, caption=caption)
    return Section("Labels", html)


def _quality(facts: Mapping[str, Any]) -> Section:
    """What the schema refuses, by column and rule."""
    faults = sorted(facts["faults"], key=lambda each: -each["rows"])
    if not faults:
        return Section("Data quality", "<p>Every value fits the schema of the bundle.</p>")
    rows = [
        (each["column"], each["rule"], each["rows"], f"{each['share']:.2%}", each["example"])
        for each in faults[:SHOWN_FAULTS]
    ]
    headings = ("Column", "Rule", "Rows", "Share", "First rows")
    return Section("Data quality", table(headings, rows, texts=("First rows",)))


def _method(facts: Mapping[str, Any]) -> Section:
    """How certain the findings are."""
    lines = [
        f"{counted(facts['tests'], 'test')} were made on {counted(facts['compared'], 'row')}. "
        f"Their p-values are adjusted together (Holm), so that the chance of any false finding of "
        f"drift in this check is at most {facts['false_alarms']:.1%}.",
        "A finding is significant (adjusted p) and large (its size is beyond the limit in "
        "[monitor]). In huge samples, trifles are significant; in small ones, large differences "
        "may be chance.",
        "Numbers are compared by Kolmogorov-Smirnov, categories and few values by chi-square, "
        "missing shares by Fisher's exact test. PSI: population stability index, 0.1 is worth a "
        "look, 0.25 is large. JS: Jensen-Shannon distance, from 0 to 1.",
        "Of a column of many strings only hashes are kept, in 16 groups: no value is named.",
        "The chance of a false finding holds for independent rows. Rows of one customer or one day "
        "resemble each other, and then findings are more frequent.",
    ]
    return Section("How this is judged", bullets(lines))


def _numbers(each: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the size and the test of a comparison as cells."""
    p = "-" if each["adjusted"] is None else _p(each["adjusted"])
    return f"{each['size']:.3f}", f"{each['distance']:.3f}", each["method"], p


def _p(value: float) -> str:
    """Write a p-value."""
    return "< 0.0001" if value < 1e-4 else f"{value:.2g}" if value < 0.1 else f"{value:.2f}"


def _span(facts: Mapping[str, Any]) -> str:
    """Say from when to when the rows are."""
    if not facts["span"]:
        return ""
    first, last = (text[:16].replace("T", " ") for text in facts["span"])
    return f" ({first} to {last} UTC)"


def _sentence(text: str) -> str:
    """Return a sentence with its first letter and full stop."""
    return text[:1].upper() + text[1:] + ("" if text.endswith(".") else ".")
