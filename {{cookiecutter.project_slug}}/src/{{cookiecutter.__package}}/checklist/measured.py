"""The measured parts in the written answers: `refresh` brings them up to date after a run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from functools import cache, partial
from pathlib import Path
from typing import Any

from ..core.errors import UserError, listed
from ..core.files import write_text
from ..core.project import SPLITS, Project
from ..data import is_feature
from .context import Context
from .documents import MarkdownLine, read_lines, read_text, refuse, shown_name
from .records import one_line

TEMPLATE = Path(__file__).with_name("measured.md.jinja")
# The sources that are not reports.
FILES = {"answers": ".cruft.json", "columns": "data/schema.yaml"}

# A page is for reading: what is longer is in the file that the part names.
MAX_VALUES = 8
MAX_CHARACTERS = 80

PUNCTUATION = "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~"
MARKUP = "&*<>[\\]_`|~$"


def last_line(project: Project) -> str:
    """Bring the measured parts up to date; return how many items are done, and what is next."""
    from . import verify

    refresh(project)
    assessment = verify.assess(project, brief=True)
    counts = verify.count(assessment.results.values())
    todo = verify.upcoming(assessment)
    ahead = f"; next: {todo[0].item.id} (`checklist next`)" if todo else ""
    return f"{counts.done} of {counts.total} done at {assessment.stage}{ahead}"


def refresh(project: Project) -> list[str]:
    """Write the measured parts of every document; return the documents that changed.

    Nothing is written unless all documents can be read. A part whose markers a person took out is
    not put back.

    Raises:
        UserError: With file and line, at the first fault of a document that has measured parts.
    """
    context = Context(project)
    changed = {}
    for path in sorted(project.docs.glob("[!.]*.md")):
        if b"measured" in path.read_bytes():
            before = read_text(path)
            after = _fill_parts(before, shown_name(path), context)
            if after != before:
                changed[path] = after
    for path, text in changed.items():
        write_text(path, text)
    return [project.relative(path) for path in changed]


@cache
def _template() -> Any:
    """Return the template of the parts."""
    from jinja2 import Environment, StrictUndefined

    # Markdown, in which HTML's escapes mean nothing: `code` and `prose` make any text safe.
    environment = Environment(  # noqa: S701
        undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.globals |= {each.__name__: each for each in FUNCTIONS}
    return environment.from_string(TEMPLATE.read_text(encoding="utf-8"))


def measure(name: str, context: Context) -> list[str]:
    """Return the lines of a part, the last of which names its sources.

    Raises:
        UserError: If a source is cut off, or lacks what the part shows.
    """
    from jinja2 import UndefinedError

    sources = parts()[name]
    values = {source: _facts_of(source, context) for source in sources}
    if None in values.values():
        return []
    about = {
        "splits": SPLITS,
        "facts": context.facts,
        "report": context.report,
        "missing_shares": partial(missing_shares, context),
        "folder_sizes": partial(folder_sizes, context),
    }
    try:
        macro = getattr(_template().make_module(about), name)
        lines = macro(**values).strip("\n").split("\n")
    except (AttributeError, LookupError, TypeError, UndefinedError, ValueError) as error:
        files = " and ".join(_path_of(source, context) for source in sources)
        raise UserError(
            f"{files} lacks what the measured part '{name}' shows "
            f"({type(error).__name__}: {error}); delete it and `run` again."
        ) from None
    return [*lines, "", _sources_line(sources, context)] if any(lines) else []


def parts() -> dict[str, tuple[str, ...]]:
    """Return the sources of every part: the parameters of its macro."""
    macros = vars(_template().module)
    return {name: each.arguments for name, each in macros.items() if hasattr(each, "arguments")}


def _fill_parts(text: str, shown: str, context: Context) -> str:
    """Return a document with its measured parts as they are today."""
    before = text.split("\n")
    after = []
    for line in read_lines(text, shown):
        original = before[line.number - 1]
        if line.kind != "measured":
            after.append(original)
        if line.kind == "begin":
            line_end = "\r" if original.endswith("\r") else ""
            after += [each + line_end for each in _part_lines(line, shown, context)]
    return "\n".join(after)


def _part_lines(marker: MarkdownLine, shown: str, context: Context) -> list[str]:
    """Return the lines of the part that a marker names, with an empty one before and after."""
    if marker.text not in parts():
        names = ", ".join(sorted(parts()))
        fault = f"there is no measured part '{marker.text}'; choose one of {names}"
        refuse(shown, marker.number, fault)
    lines = measure(marker.text, context)
    return ["", *lines, ""] if lines else []


# --------------------------------------------------------------------------------------- sources


def _facts_of(source: str, context: Context) -> Any:
    """Return what a part reads of a source; None where it is missing or says nothing."""
    if source in FILES:
        return (context.answers if source == "answers" else context.schema) or None
    report = context.report(source)
    return report and report.facts


def _sources_line(sources: Sequence[str], context: Context) -> str:
    """Return the line that names a part's sources, and says whether they are out of date."""
    *most, last = (f"`{_path_of(source, context)}`" for source in sources)
    files = f"{', '.join(most)} and {last}" if most else last
    found = (context.report(source) for source in sources if source not in FILES)
    reports = [report for report in found if report]
    if context.data and any(report.data != context.data for report in reports):
        return f"*From {files}, about other data than `data/manifest.json`: `run` updates it.*"
    of_model = [report for report in reports if report.stage in ("postprocess", "evaluate")]
    if context.model and any(report.run_id != context.model for report in of_model):
        return f"*From {files}, about another model than the one in service.*"
    return f"*From {files}.*"


def _path_of(source: str, context: Context) -> str:
    """Return the path of a source, relative to the project."""
    return FILES.get(source) or context.path(source)


# ------------------------------------------------------------------------- what the template asks


def roles_of(column: Mapping[str, Any]) -> list[str]:
    """Return the roles of a column."""
    return list(map(str, column.get("roles") or ()))


def features_of(columns: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Return the columns that the model reads."""
    return [each for each in columns if is_feature(roles_of(each), each.get("parts"))]


def types_of(columns: Sequence[Mapping[str, Any]]) -> str:
    """Return how many columns have which type."""
    kinds = Counter(each["type"] for each in columns).most_common()
    return ", ".join(f"{number} {code(kind)}" for kind, number in kinds) or "none"


def missing_shares(context: Context) -> dict[str, float]:
    """Return the share of missing values of each column."""
    columns = [*context.facts("profile").get("columns", ()), *context.facts("schema")["columns"]]
    return {each["name"]: each["missing"] for each in columns if each["missing"] is not None}


def folder_sizes(context: Context) -> Counter[str]:
    """Return how many bytes the files of the last run take in each folder."""
    sizes: Counter[str] = Counter()
    for name in ("ingest", "split", "train", "release", "metrics", "profile"):
        for path, size in context.facts(name).get("files", {}).items():
            sizes[path.split("/")[0]] += size
    return sizes


# ----------------------------------------------------------------------------- values as Markdown


def code(value: Any) -> str:
    """Return a value from the data as code on one line, safe in a table."""
    text = _shorten(value)
    if not text:
        return "(empty)"
    # Nothing can escape a backtick or a bar inside code for every renderer.
    return _escape(text, PUNCTUATION) if set(text) & set("`|<>\\&") else f"`{text}`"


def codes(values: Sequence[Any]) -> str:
    """Return the first of some values as code, and how many more there are."""
    return listed([code(value) for value in values], MAX_VALUES)


def prose(value: Any) -> str:
    """Return words from outside as plain text on one line, safe in a table."""
    return _escape(one_line(str(value)), MARKUP)


def _escape(text: str, characters: str) -> str:
    """Write characters as references, which Markdown never takes for its own."""
    return "".join(f"&#{ord(each)};" if each in characters else each for each in text)


def _shorten(value: Any) -> str:
    """Return a value as text on one line, cut where it is very long."""
    text = one_line(str(value))
    return text if len(text) <= MAX_CHARACTERS else f"{text[: MAX_CHARACTERS - 1]}…"


def plural(value: int, noun: str) -> str:
    """Return a number of things: `1 column`, `3 classes`."""
    plural = "" if value == 1 else "es" if noun.endswith("s") else "s"
    return f"{count(value)} {noun}{plural}"


def count(value: int) -> str:
    """Return a whole number for people."""
    return f"{value:,}"


def number(value: float | None) -> str:
    """Return a setting or bound for people, as short as it was given."""
    return "-" if value is None else f"{value:,.6g}"


def score(value: float | None) -> str:
    """Return a measured number for people, as the report's page shows it."""
    if value is None:
        return "-"
    if value and not 1e-3 <= abs(value) < 1e5:
        return f"{value:.3g}"
    return f"{value:,.3f}" if abs(value) < 100 else f"{value:,.1f}"


def mean_and_deviation(mean: float | None, deviation: float | None) -> str:
    """Return a mean with its standard deviation."""
    if mean is None or deviation is None:
        return score(mean)
    return f"{score(mean)} ± {score(deviation)}"


def bounds(interval: Mapping[str, Any]) -> str:
    """Return an interval from its `low` and `high`."""
    low, high = interval.get("low"), interval.get("high")
    return "-" if low is None or high is None else f"{score(low)} to {score(high)}"


def percent(share: float) -> str:
    """Return a share for people; one that is small but not zero does not read as zero."""
    return "< 0.1 %" if 0 < share < 0.001 else f"{100 * share:.3g} %"


def share_of(share: float, rows: int) -> str:
    """Return how many of some rows a share is, and the share."""
    return f"{count(round(share * rows))} ({percent(share)})"


def size(value: int) -> str:
    """Return a number of bytes for people (1 MB is 10^6 bytes)."""
    for unit, factor in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if value >= factor:
            return f"{value / factor:.3g} {unit}"
    return f"{value} bytes"


# What the template calls.
FUNCTIONS = (
    *(roles_of, features_of, types_of),
    *(code, codes, prose, plural, count, number, score, mean_and_deviation),
    *(bounds, percent, share_of, size),
)
