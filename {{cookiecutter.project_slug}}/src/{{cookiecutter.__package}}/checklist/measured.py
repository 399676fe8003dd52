"""The measured parts in the written answers: `refresh` brings them up to date after a run."""

from __future__ import annotations

from collections.abc import Sequence

from ..core.errors import UserError
from ..core.files import write_text
from ..core.project import Project, Report
from .context import Context
from .documents import MarkdownLine, read_lines, read_text, refuse, shown_name
from .parts import ANSWERS, PARTS, SCHEMA


def last_line(project: Project) -> str:
    """Bring the measured parts up to date; return how many items are done, and what is next."""
    from .summary import count, upcoming
    from .verify import assess

    refresh(project)
    assessment = assess(project, brief=True)
    counts = count(assessment.results.values())
    todo = upcoming(assessment)
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


def measure(name: str, context: Context) -> list[str]:
    """Return the lines of a part, the last of which names its sources.

    Raises:
        UserError: If a source is cut off, or lacks what the part shows.
    """
    part = PARTS[name]
    if not all(_exists(source, context) for source in part.sources):
        return []
    try:
        lines = list(part.lines(context))
    except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
        files = " and ".join(map(_path_of, part.sources))
        raise UserError(
            f"{files} lacks what the measured part '{name}' shows "
            f"({type(error).__name__}: {error}); delete it and `run` again."
        ) from None
    return [*lines, "", _sources_line(part.sources, context)] if lines else []


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
    if marker.text not in PARTS:
        names = ", ".join(sorted(PARTS))
        fault = f"there is no measured part '{marker.text}'; choose one of {names}"
        refuse(shown, marker.number, fault)
    lines = measure(marker.text, context)
    return ["", *lines, ""] if lines else []


# --------------------------------------------------------------------------------------- sources


def _exists(source: str, context: Context) -> bool:
    """Tell whether a source is there and not empty."""
    if source == SCHEMA:
        return bool(context.schema)
    return bool(context.answers) if source == ANSWERS else context.report(source) is not None


def _sources_line(sources: Sequence[str], context: Context) -> str:
    """Return the line that names a part's sources, and says whether they are out of date."""
    *most, last = (f"`{_path_of(source)}`" for source in sources)
    files = f"{', '.join(most)} and {last}" if most else last
    reports = [report for source in sources if (report := _report_of(source, context))]
    if context.data and any(report.data != context.data for report in reports):
        return f"*From {files}, about other data than `data/manifest.json`: `run` updates it.*"
    of_model = [report for report in reports if report.stage in ("postprocess", "evaluate")]
    if context.model and any(report.run_id != context.model for report in of_model):
        return f"*From {files}, about another model than the one in service.*"
    return f"*From {files}.*"


def _path_of(source: str) -> str:
    """Return the path of a source, relative to the project."""
    return source if source in (ANSWERS, SCHEMA) else f"reports/{source}.json"


def _report_of(source: str, context: Context) -> Report | None:
    """Return the report that a source is; None for the two that are not reports."""
    return None if source in (ANSWERS, SCHEMA) else context.report(source)
