"""The report's plots: from what the stages wrote to SVG that takes its colours from the page.

Colours are drawn as place holders and become CSS variables, so that one drawing suits a light and a
dark page; text stays text. The palette can be told apart with any colour vision (Okabe and Ito).
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from ..evaluation.metrics import show

# Place holder -> CSS variable of report.css.
COLOURS = {
    "#010101": "var(--ink)",
    "#020202": "var(--soft)",
    "#030303": "var(--line)",
    "#0000a1": "var(--c1)",
    "#0000a2": "var(--c2)",
    "#0000a3": "var(--c3)",
    "#0000a4": "var(--c4)",
    "#0000a5": "var(--c5)",
    "#0000a6": "var(--c6)",
}
INK, SOFT, LINE, *SERIES = COLOURS
PERSON = "a person"
MODEL, OTHER = SERIES[0], SERIES[1]
DASHES = ("-", "--", "-.", ":", (0, (5, 1)), (0, (1, 1)))
WIDTH, HEIGHT = 4.6, 3.3  # inches; narrow, so that text stays readable on a phone
STYLE: Any = {
    "svg.fonttype": "none",
    "text.parse_math": False,  # names of columns and classes may hold dollar signs
    "font.size": 10,
    "axes.edgecolor": LINE,
    "axes.labelcolor": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": LINE,
    "grid.linewidth": 0.6,
    "text.color": INK,
    "xtick.color": SOFT,
    "ytick.color": SOFT,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "legend.frameon": False,
    "lines.linewidth": 1.8,
    "figure.constrained_layout.use": True,
}


@dataclass(frozen=True)
class Plot:
    """A drawing with what it shows in words.

    Attributes:
        title: What to see in it, one sentence.
        alt: What is drawn, for those who cannot see it.
        svg: The drawing.
        note: What its marks stand for, where that is not said in the drawing.
    """

    title: str
    alt: str
    svg: str
    note: str = ""


def draw_scores(
    metric: str, rows: Sequence[tuple[str, float, float, float]], baseline: float, perfect: float
) -> Plot:
    """Draw scores with their intervals beside the baseline.

    Args:
        metric: Its title.
        rows: (name, value, low, high), from the top.
        baseline: The baseline's score.
        perfect: What a faultless model scores.
    """
    with _figure("scores", height=0.75 + 0.42 * len(rows)) as (figure, axes, drawn):
        axes.axvline(baseline, color=OTHER, linestyle="--")
        axes.axvline(perfect, color=SERIES[2], linestyle=":")
        for place, (name, value, low, high) in enumerate(rows):
            spread = [[max(0.0, value - low)], [max(0.0, high - value)]]
            hue = SERIES[3] if name == PERSON else MODEL
            axes.errorbar(value, place, xerr=spread, fmt="o", color=hue, capsize=4, markersize=6)
            side = (low, -8, "right") if value > (baseline + perfect) / 2 else (high, 8, "left")
            axes.annotate(
                show(value),
                (side[0], place),
                (side[1], 0),
                textcoords="offset points",
                ha=side[2],
                va="center",
            )
        axes.set_yticks(range(len(rows)), [row[0] for row in rows])
        axes.set_ylim(len(rows) - 0.5, -0.7)
        axes.grid(axis="y", visible=False)
        axes.set_xlabel(metric)
    name, value = rows[0][0], rows[0][1]
    alt = f"{metric} on {name} is {show(value)}; the baseline's is {show(baseline)}."
    note = "Dashed: the baseline; dotted: perfect."
    return Plot(f"{metric} beside the baseline, with 95% intervals", alt, drawn(), note)


def draw_candidates(metric: str, candidates: Sequence[dict[str, Any]], baseline: float) -> Plot:
    """Draw each candidate's folds, their mean, and its score on valid.

    Args:
        metric: Its title.
        candidates: {"label", "folds": [...], "mean", "valid", "winner": bool}, from the top.
        baseline: The baseline's score on valid.
    """
    names = [entry["label"] + (" (chosen)" if entry["winner"] else "") for entry in candidates]
    seen: list[float] = []
    with _figure("candidates", height=0.8 + 0.5 * len(candidates)) as (_, axes, drawn):
        for place, entry in enumerate(candidates):
            folds = [value for value in entry["folds"] if value is not None]
            axes.plot(folds, [place - 0.17] * len(folds), "|", color=SOFT, markersize=9, alpha=0.8)
            if entry["mean"] is not None:
                axes.plot(entry["mean"], place - 0.17, "o", color=SOFT, markersize=5)
            if entry["valid"] is not None:
                colour = MODEL if entry["winner"] else SERIES[5]
                axes.plot(entry["valid"], place + 0.17, "D", color=colour, markersize=7)
                folds.append(entry["valid"])
            seen += folds
        room = 0.08 * ((max(seen) - min(seen)) or abs(max(seen)) or 1.0)
        low, high = min(seen) - room, max(seen) + room
        if low <= baseline <= high:
            axes.axvline(baseline, color=OTHER, linestyle="--")
        axes.set_xlim(low, high)
        axes.xaxis.set_major_locator(MaxNLocator(5))
        axes.set_yticks(range(len(names)), names)
        axes.set_ylim(len(names) - 0.5, -0.5)
        axes.grid(axis="y", visible=False)
        axes.set_xlabel(metric)
    where = "dashed" if low <= baseline <= high else "beyond the edge"
    chosen = next((entry["label"] for entry in candidates if entry["winner"]), "none")
    return Plot(
        f"{metric} on valid, and in cross-validation on train",
        f"{chosen} was chosen of {len(candidates)} candidates by {metric}.",
        drawn(),
        "Bars: folds on train; dot: their mean; diamond: valid; "
        f"the baseline, {show(baseline)}, is {where}.",
    )


def draw_confusion(facts: dict[str, Any]) -> Plot:
    """Draw how often each class was taken for each; shades follow the share of the true class."""
    names, counts = [_short(name) for name in facts["classes"]], facts["counts"]
    size = len(names)
    rows = round(sum(map(sum, counts)), 1)  # of weighted rows no whole number
    wrong = round(rows - sum(counts[code][code] for code in range(size)), 1)
    side = min(4.6, 2.4 + 0.25 * size)
    with _figure("confusion", height=side) as (_, axes, drawn):
        for row, line in enumerate(counts):
            total = sum(line) or 1
            for column, count in enumerate(line):
                colour = MODEL if row == column else OTHER
                square = mpl.patches.Rectangle(
                    (column - 0.5, row - 0.5), 1, 1, color=colour, alpha=0.55 * count / total, lw=0
                )
                axes.add_patch(square)
                if count or size <= 6:
                    small = 9 if size <= 8 else 6
                    axes.text(column, row, f"{count:,}", ha="center", va="center", fontsize=small)
        axes.set_xlim(-0.5, size - 0.5)
        axes.set_ylim(size - 0.5, -0.5)
        turn = 0 if size <= 4 else 60
        axes.set_xticks(range(size), names, rotation=turn, ha="right" if turn else "center")
        axes.set_yticks(range(size), names)
        axes.grid(visible=False)
        axes.set_xlabel("predicted")
        axes.set_ylabel("true")
    counted = "rows" if isinstance(rows, int) else "weighted rows"
    title = f"{wrong:,} of {rows:,} {counted} of valid got the wrong class"
    return Plot(title, f"Confusion matrix of {size} classes; {title}.", drawn())


def draw_roc(curves: Sequence[dict[str, Any]]) -> Plot:
    """Draw true positives over false positives."""
    with _figure("roc") as (_, axes, drawn):
        axes.plot([0, 1], [0, 1], color=SOFT, linestyle=":", linewidth=1)
        _draw_curves(axes, curves)
        axes.set_xlabel("false positive rate")
        axes.set_ylabel("true positive rate")
    best = curves[0]
    title = f"ROC: the area is {best['area']:.3f} for {_short(best['class'])}; dotted is chance"
    if len(curves) > 1:
        title = "ROC of each class against the rest; dotted is chance"
    return Plot(title, f"ROC curves. {_areas(curves)}", drawn())


def draw_precision_recall(curves: Sequence[dict[str, Any]]) -> Plot:
    """Draw precision over recall."""
    with _figure("pr") as (_, axes, drawn):
        if len(curves) == 1:
            axes.axhline(curves[0]["share"], color=SOFT, linestyle=":", linewidth=1)
        _draw_curves(axes, curves)
        axes.set_xlabel("recall")
        axes.set_ylabel("precision")
    title = "Precision and recall of each class"
    if len(curves) == 1:
        title = (
            f"Precision over recall: {curves[0]['area']:.3f} on average; "
            f"dotted is chance, {curves[0]['share']:.2f}"
        )
    return Plot(title, f"Precision-recall curves. {_areas(curves)}", drawn())


def draw_calibration(facts: dict[str, Any]) -> Plot:
    """Draw how often a probability came true, and how many rows got it."""
    bins = facts["bins"]
    with _figure("calibration", rows=2) as (_, (axes, below), drawn):
        axes.plot([0, 1], [0, 1], color=SOFT, linestyle=":", linewidth=1)
        said, came = [each["mean"] for each in bins], [each["share"] for each in bins]
        axes.vlines(said, [b["low"] for b in bins], [b["high"] for b in bins], color=SOFT, lw=1)
        axes.plot(said, came, "o-", color=MODEL)
        axes.set_ylabel("came true")
        axes.set_ylim(-0.05, 1.05)
        below.bar(said, [b["count"] for b in bins], width=0.05, color=MODEL)
        below.set_ylabel("rows")
        below.yaxis.set_major_locator(MaxNLocator(3, integer=True))
        below.set_xlabel(f"probability of {_short(facts['about'])}")
        below.set_xlim(-0.05, 1.05)
    title = f"Probabilities are off by {facts['error']:.3f} on average; dotted: exact"
    return Plot(title, f"Calibration curve in {len(bins)} bins. {title}.", drawn())


def draw_residuals(facts: dict[str, Any]) -> Plot:
    """Draw truth over prediction."""
    points = facts["points"]
    with _figure("residuals") as (_, axes, drawn):
        values, truth = [p[0] for p in points], [p[1] for p in points]
        ends = [min([*values, *truth]), max([*values, *truth])]
        axes.plot(ends, ends, color=SOFT, linestyle=":", linewidth=1)
        axes.plot(values, truth, "o", color=MODEL, markersize=3.5, alpha=0.45, markeredgewidth=0)
        axes.set_xlabel("predicted")
        axes.set_ylabel("true")
    low, high = facts["quantiles"]["5"], facts["quantiles"]["95"]
    title = f"True over predicted: 9 of 10 errors lie between {low:,.4g} and {high:,.4g}"
    return Plot(title, f"Scatter of {len(points)} rows of valid. {title}.", drawn())


def draw_learning_curve(facts: dict[str, Any], title_of_metric: str) -> Plot:
    """Draw the metric on train and valid over the rows learned from."""
    points = facts["points"]
    with _figure("learning") as (_, axes, drawn):
        rows = [point["rows"] for point in points]
        axes.plot(rows, [_gap(p["train"]) for p in points], "s--", color=OTHER, label="train")
        axes.plot(rows, [_gap(p["valid"]) for p in points], "o-", color=MODEL, label="valid")
        axes.set_xscale("log")
        axes.set_xticks(rows, [_count(row) for row in rows])
        axes.minorticks_off()
        axes.set_xlabel("rows of train (log scale)")
        axes.set_ylabel(title_of_metric)
        axes.legend(loc="best")
    ends = [point for point in points if point["valid"] is not None][-2:]
    title = f"Learning curve: {title_of_metric} over rows of train"
    if len(ends) == 2:
        title = (
            f"From {_count(ends[0]['rows'])} to {_count(ends[1]['rows'])} rows of train, "
            f"{title_of_metric} on valid went from {show(ends[0]['valid'])} to "
            f"{show(ends[1]['valid'])}"
        )
    return Plot(title, f"Learning curve. {title}.", drawn())


def draw_importance(facts: dict[str, Any], title_of_metric: str, most: int = 12) -> Plot:
    """Draw how much the metric suffers when a column is shuffled."""
    shown = [entry for entry in facts["features"] if entry["mean"] is not None][:most]
    with _figure("importance", height=0.8 + 0.24 * len(shown)) as (_, axes, drawn):
        places = range(len(shown))
        axes.barh(
            places,
            [entry["mean"] for entry in shown],
            xerr=[entry["std"] for entry in shown],
            color=MODEL,
            height=0.65,
            error_kw={"ecolor": SOFT, "elinewidth": 1},
        )
        axes.set_yticks(places, [_short(entry["feature"]) for entry in shown])
        axes.set_ylim(len(shown) - 0.5, -0.5)
        axes.grid(axis="y", visible=False)
        axes.xaxis.set_major_locator(MaxNLocator(5))
        axes.set_xlabel(f"loss in {title_of_metric} when the column is shuffled")
    first = shown[0]["feature"] if shown else "no column"
    title = f"The model relies most on {_short(first)}"
    names = ", ".join(str(entry["feature"]) for entry in shown[:5])
    return Plot(title, f"Permutation importance; the first columns are {names}.", drawn())


@contextmanager
def _figure(name: str, *, height: float = HEIGHT, rows: int = 1) -> Iterator[tuple[Any, Any, Any]]:
    """Yield a figure, its axes, and a function that gives the SVG once all is drawn."""
    with mpl.rc_context({**STYLE, "svg.hashsalt": name}):
        figure = Figure(figsize=(WIDTH, height))
        ratios = {"height_ratios": [3, 1]} if rows == 2 else None
        axes = figure.subplots(rows, 1, sharex=rows == 2, gridspec_kw=ratios)
        yield figure, axes, lambda: _svg(figure, name)


def _svg(figure: Figure, name: str) -> str:
    """Return the figure as an SVG element that inherits fonts and colours."""
    buffer = io.StringIO()
    # Once more, since the drawing is asked for after its block has ended.
    with mpl.rc_context({**STYLE, "svg.hashsalt": name}):
        figure.savefig(
            buffer, format="svg", transparent=True, metadata={"Date": None, "Creator": None}
        )
    text = buffer.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.S)
    text = re.sub(r'<svg [^>]*?(viewBox="[^"]*")[^>]*>', r"<svg \1>", text, count=1)
    # Names of groups are not unique on a page.
    text = re.sub(r' id="[A-Za-z][A-Za-z0-9.]*_\d+"', "", text)
    text = re.sub(r"font: ([0-9.]+)px [^;\"]*", r"font-size: \1px", text)
    for hexadecimal, variable in COLOURS.items():
        text = text.replace(hexadecimal, variable)
    # Ids of shapes follow from their outline: the name keeps those of two drawings apart.
    text = re.sub(r'(id="|#)([mpC][0-9a-f_]{8,})', rf"\1{name}-\2", text)
    return re.sub(r"\s*\n\s*", "\n", text)


def _draw_curves(axes: Axes, curves: Sequence[dict[str, Any]]) -> None:
    """Draw one line per class in a unit square; lines differ in dashes as well as in colour."""
    for number, curve in enumerate(curves):
        across, up = zip(*curve["points"], strict=True)
        axes.plot(
            across,
            up,
            color=SERIES[number % len(SERIES)],
            linestyle=DASHES[number % len(DASHES)],
            label=f"{_short(curve['class'])} ({curve['area']:.3f})",
        )
    axes.set_xlim(-0.02, 1.02)
    axes.set_ylim(-0.02, 1.02)
    if len(curves) > 1:
        axes.legend(loc="lower right", fontsize=8)


def _areas(curves: Sequence[dict[str, Any]]) -> str:
    """Say the area under each curve."""
    return " ".join(f"{curve['class']}: area {curve['area']:.3f}." for curve in curves)


def _gap(value: float | None) -> float:
    """Return nan for what is missing, so that a line has a gap there."""
    return float("nan") if value is None else value


def _count(rows: int) -> str:
    """Shorten a number of rows."""
    return f"{rows / 1000:.3g}k" if rows >= 1000 else str(rows)


def _short(name: Any, most: int = 24) -> str:
    """Cut a long name."""
    text = str(name)
    return text if len(text) <= most else text[: most - 1] + "…"
