"""What the pipeline itself can tell in the written answers: parts in Markdown, from `reports/`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any

from ..core.errors import UserError
from ..core.files import write_text
from ..core.project import SPLITS, Project
from ..core.reports import Report
from .catalogue import Source
from .context import Context
from .documents import Line, read_lines, read_text, refuse, shown_name
from .records import one_line

CRUFT = ".cruft.json"
SCHEMA = "data/schema.yaml"
# A page is to be read: what is longer stands in the file that the part names.
MOST_COLUMNS = 200
MOST_ROWS = 20
MOST_VALUES = 8
MOST_SIGNS = 80
STAGES = {"poc": "proof of concept", "mvp": "minimum viable product", "production": "production"}
UNSEEN = {"target", "id", "group", "ignore", "time"}


class Material(Context):
    """The files that parts are made of, each read once."""

    def facts(self, name: str) -> dict[str, Any]:
        """Return what a report found; nothing where its stage has not run."""
        report = self.report(name)
        return report.facts if report else {}

    @cached_property
    def schema(self) -> list[dict[str, Any]]:
        """The columns of data/schema.yaml, as they stand there; none before the first ingest."""
        path = self.project.schema_file
        content = Source(path, SCHEMA).read() if path.exists() else {}
        columns = content.get("columns") if isinstance(content, dict) else None
        return [{"type": "-", **each} for each in columns or [] if "name" in each]


Form = Callable[[Material], Iterable[str]]
PARTS: dict[str, tuple[tuple[str, ...], Form]] = {}


def part(name: str, *sources: str) -> Callable[[Form], Form]:
    """Register a part, and the reports or files without which there is nothing to say."""

    def register(form: Form) -> Form:
        PARTS[name] = (sources, form)
        return form

    return register


def measure(name: str, material: Material) -> list[str]:
    """Return the lines of a part, the last of which says where they come from.

    Raises:
        UserError: If a file that it is made of is cut off, or lacks what the part shows.
    """
    sources, form = PARTS[name]
    if not all(_is_there(source, material) for source in sources):
        return []
    try:
        lines = list(form(material))
    except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
        files = " and ".join(map(_file, sources))
        raise UserError(
            f"{files} lacks what the measured part '{name}' shows "
            f"({type(error).__name__}: {error}); delete it and `run` again."
        ) from None
    return [*lines, "", _origin(sources, material)] if lines else []


def _is_there(source: str, material: Material) -> bool:
    """Tell whether a report, or one of the two other files, says anything."""
    if source == SCHEMA:
        return bool(material.schema)
    return bool(material.answers) if source == CRUFT else material.report(source) is not None


def _origin(sources: Sequence[str], material: Material) -> str:
    """Return the line that says where a part comes from, and whether that is out of date."""
    *most, last = (f"`{_file(source)}`" for source in sources)
    files = f"{', '.join(most)} and {last}" if most else last
    reports = [report for source in sources if (report := _report(source, material))]
    if material.data and any(report.data != material.data for report in reports):
        return f"*From {files}, about other data than `data/manifest.json`: `run` updates it.*"
    judged = [report for report in reports if report.stage in ("postprocess", "evaluate")]
    if material.model and any(report.run_id != material.model for report in judged):
        return f"*From {files}, about another model than the one in service.*"
    return f"*From {files}.*"


def _file(source: str) -> str:
    """Return the path of a report, or of one of the two other files."""
    return source if source in (CRUFT, SCHEMA) else f"reports/{source}.json"


def _report(source: str, material: Material) -> Report | None:
    """Return the report of that name."""
    return None if source in (CRUFT, SCHEMA) else material.report(source)


# ----------------------------------------------------------------------------- scoping and data


@part("answers", CRUFT)
def answers(material: Material) -> Iterator[str]:
    """What was answered when the project was made."""
    given = {name: str(answer) for name, answer in material.answers.items()}
    stage = given.get("stage", "")
    shown = {
        "Description": given.get("description"),
        "Answers for it": given.get("author_name"),
        "Stage": STAGES.get(stage, stage),
        "Task": given.get("task"),
    }
    for name, answer in shown.items():
        if answer:
            yield f"- {name}: {prose(answer)}"


@part("inputs", SCHEMA)
def inputs(material: Material) -> Iterator[str]:
    """What goes into the model, and what comes out."""
    columns = material.schema
    features = [each for each in columns if not UNSEEN & set(each.get("roles") or ())]
    kinds = Counter(each["type"] for each in features)
    listed = ", ".join(f"{count} {code(kind)}" for kind, count in kinds.most_common())
    yield f"- In: {_count(len(features), 'column')} ({listed or 'none'})"
    for each in columns:
        if UNSEEN - {"target"} & set(each.get("roles") or ()):
            roles = ", ".join(map(str, each["roles"]))
            yield f"- Not read by the model: {code(each['name'])} ({prose(roles)})"
    for each in columns:
        if "target" in (each.get("roles") or ()):
            yield f"- Out: {code(each['name'])}, {_target(each, material.facts('release'))}"


def _target(column: Mapping[str, Any], release: Mapping[str, Any]) -> str:
    """Say what the model returns."""
    classes = release.get("classes") or column.get("categories")
    if classes:
        threshold = (release.get("threshold") or {}).get("value")
        limit = ""
        if release.get("positive") is not None and threshold is not None:
            limit = f"; predicted {code(release['positive'])} from {score(threshold)} on"
        return f"a probability of each class: {_listed(classes)}{limit}"
    half = (release.get("interval") or {}).get("half_width")
    width = f", with an interval of ± {score(half)}" if half is not None else ""
    return f"a number{width}"


@part("baseline", "metrics")
def baseline(material: Material) -> Iterator[str]:
    """How the model compares with the naive baseline, and with a person."""
    facts = material.facts("metrics")
    human = facts.get("human")
    people = ["A person"] if human else []
    header = ["Metric on valid", "Naive baseline", *people, f"{facts['label']}, the model"]
    rows = []
    for name, found in facts["metrics"].items():
        chosen = name == facts["metric"]
        person = [score(human["value"]) if chosen else ""] if human else []
        cells = [code(name), score(found["baseline"]), *person, score(found["value"])]
        rows.append(cells)
    yield from table(header, rows, right=len(header) - 1)
    yield ""
    yield (
        f"In {code(facts['metric'])} that is a skill of {score(facts['skill'])}, where 0 equals "
        f"the baseline and 1 is perfect; `[evaluate] margin` asks for {number(facts['margin'])}."
    )


@part("sources", "ingest")
def sources(material: Material) -> Iterator[str]:
    """Where the data was fetched from."""
    facts = material.facts("ingest")
    original = facts["original"]
    yield f"- Source: {code(facts['source'])}"
    if facts.get("query"):
        yield f"- Query: {code(facts['query'])}"
    kept = {"copy": "a copy", "reference": "left where it is"}.get(original["mode"], "kept")
    yield f"- Original: {code(original['path'])}, {kept}, {size(original['bytes'])}"
    yield f"- Its SHA-256: `{original['sha256']}`"


@part("lineage", "ingest", "split")
def lineage(material: Material) -> Iterator[str]:
    """Which state of the data became which."""
    fetched, split = material.facts("ingest"), material.facts("split")
    ingest, release = material.report("ingest"), material.report("release")
    data = ingest.data if ingest else None
    parts = ", ".join(code(f"data/{name}") for name in SPLITS)
    steps = [
        ["Original", code(fetched["original"]["path"]), "", fetched["original"]["sha256"][:16]],
        ["Typed", code("data/typed.parquet"), count(fetched["rows"]), data],
        ["Split", parts, count(sum(split["rows"].values())), split["fingerprint"]],
    ]
    if release and release.run_id and release.data == data:
        steps.append(["Model", code(f"models/{release.run_id}"), "", release.model])
    shown = [[name, where, many, code(mark or "-")] for name, where, many, mark in steps]
    yield from table(["State", "Where", "Rows", "Fingerprint"], shown)


@part("quantity", "ingest", "split")
def quantity(material: Material) -> Iterator[str]:
    """How many rows there are, of which kinds."""
    fetched, split = material.facts("ingest"), material.facts("split")
    rows = split["rows"]
    features = material.facts("train").get("features")
    yield f"- Rows: {count(fetched['rows'])} with {count(fetched['columns'])} columns"
    if features:
        each = rows["train"] / features
        yield f"- Rows of train per feature: {score(each)} ({count(features)} features)"
    yield ""
    kinds = split["target"]
    if "mean" in kinds["train"]:
        header = ["Part", "Rows", "Mean of the target", "Standard deviation"]
        told = []
        for name in SPLITS:
            mean, deviation = score(kinds[name]["mean"]), score(kinds[name]["std"])
            told.append([name, count(rows[name]), mean, deviation])
        yield from table(header, told, right=3)
        return
    classes = sorted(kinds["train"], key=lambda name: -kinds["train"][name])
    yield from table(
        ["Class", *(f"Rows of {name}" for name in SPLITS)],
        [
            [code(kind), *(_share(kinds[name].get(kind, 0), rows[name]) for name in SPLITS)]
            for kind in classes[:MOST_ROWS]
        ],
        right=3,
    )
    yield from _left_out(len(classes), "class", "reports/split.json")


@part("dictionary", SCHEMA)
def dictionary(material: Material) -> Iterator[str]:
    """What each column is allowed to hold."""
    shares = _missing(material)
    rows = []
    for each in material.schema[:MOST_COLUMNS]:
        nullable = "may be missing" if each.get("nullable", True) else "always there"
        share = shares.get(each["name"])
        known = f"{nullable} ({percent(share)} missing)" if share else nullable
        roles = ", ".join(map(str, each.get("roles") or ())) or "feature"
        cells = [code(each["name"]), prose(each["type"]), _range(each), known, prose(roles)]
        rows.append(cells)
    yield from table(["Column", "Type", "Values", "Presence", "Role"], rows)
    yield from _left_out(len(material.schema), "column", SCHEMA, MOST_COLUMNS)


@part("missing", SCHEMA, "schema")
def missing(material: Material) -> Iterator[str]:
    """Which columns have missing values."""
    shares = {name: share for name, share in _missing(material).items() if share}
    if not shares:
        yield "No column has a missing value."
        return
    worst = sorted(shares, key=lambda name: -shares[name])
    rows = [[code(name), percent(shares[name])] for name in worst[:MOST_ROWS]]
    yield from table(["Column", "Missing"], rows, right=1)
    yield from _left_out(len(worst), "column", "reports/schema.json")


def _missing(material: Material) -> dict[str, float]:
    """Return the share of missing values of each column."""
    columns = [*material.facts("profile").get("columns", ()), *material.facts("schema")["columns"]]
    return {each["name"]: each["missing"] for each in columns if each["missing"] is not None}


def _range(column: Mapping[str, Any]) -> str:
    """Return a column's bounds or categories."""
    if column.get("categories"):
        return _listed(column["categories"])
    low, high = column.get("minimum"), column.get("maximum")
    if low is None and high is None:
        return code(column["format"]) if column.get("format") else "any"
    if low is None or high is None:
        return f"up to {number(high)}" if low is None else f"from {number(low)}"
    return f"{number(low)} to {number(high)}"


@part("split", "split")
def split(material: Material) -> Iterator[str]:
    """How the rows were divided."""
    facts = material.facts("split")
    column = f", by {code(facts['column'])}" if facts.get("column") else ""
    yield f"- Rule: {facts['rule']}{column} ({prose(facts['reason'])}), seed {facts['seed']}"
    shared = f"- Shared by two parts: {count(facts['overlap_rows'])} rows"
    groups = facts.get("overlap_groups")
    yield shared if groups is None else f"{shared}, {count(groups)} groups"
    yield (
        f"- Left out: {count(facts['duplicates_dropped'])} duplicates, "
        f"{count(facts['twins_removed'])} twins of a row in an earlier part, "
        f"{count(facts['purged'])} of groups that go on later, "
        f"{count(facts['removed_by_custom'])} by `custom.py`"
    )
    for note in facts.get("notes", ()):
        yield f"- {prose(note)}"
    yield ""
    times = facts.get("time") or {}
    header = ["Part", "Rows", "Share", *(["From", "To"] if times else [])]
    rows = []
    for name in SPLITS:
        period = [prose(at) if at is not None else "-" for at in times.get(name, ())]
        cells = [name, count(facts["rows"][name]), percent(facts["shares"][name]), *period]
        rows.append(cells)
    yield from table(header, rows, right=2)


@part("importance", "diagnostics")
def importance(material: Material) -> Iterator[str]:
    """Which features the model leans on."""
    ranks = material.facts("diagnostics")["importance"]
    if not ranks["features"]:
        return
    yield (
        f"What {code(ranks['metric'])} loses on {count(ranks['rows'])} rows of valid when a column "
        "is shuffled:"
    )
    yield ""
    first = ranks["features"][:10]
    rows = [[code(each["feature"]), _spread(each["mean"], each["std"])] for each in first]
    yield from table(["Column", "Loss"], rows, right=1)


# ------------------------------------------------------------------------------- later documents


@part("candidates", "train")
def candidates(material: Material) -> Iterator[str]:
    """What was tried, and how it did."""
    facts = material.facts("train")
    metric = facts["metric"]
    rows = []
    for each in (facts["baseline"], *facts["candidates"]):
        folds = each.get("cv") or {}
        cells = [
            f"{prose(each['label'])} `{each['run_id']}`",
            _spread(folds.get("mean"), folds.get("std")),
            score(each["valid"].get(metric)),
            score(each["skill"]),
        ]
        rows.append(cells)
    header = ["Model", f"{metric}, folds of train", f"{metric}, valid", "Skill"]
    yield from table(list(map(prose, header)), rows, right=3)


@part("selection", "train")
def selection(material: Material) -> Iterator[str]:
    """Which was chosen, and by which rule."""
    facts = material.facts("train")
    labels = {each["name"]: each["label"] for each in facts["candidates"]}
    label = labels.get(facts["winner"], facts["winner"])
    yield f"Chosen: {prose(label)} `{facts['run_id']}`, for {prose(facts['reason'])}."


@part("complexity", "train")
def complexity(material: Material) -> Iterator[str]:
    """What training took."""
    facts = material.facts("train")
    rows = [
        [prose(each["label"]), score(each["fit_seconds"]), score(each["peak_memory_mb"])]
        for each in (facts["baseline"], *facts["candidates"])
    ]
    what = f"{count(facts['rows']['train'])} rows with {count(facts['features'])} features"
    yield f"Fitted on {what}; the peak is the process's, so it never falls:"
    yield ""
    yield from table(["Model", "Seconds", "Peak memory in MB"], rows, right=2)


@part("evaluation", "metrics")
def evaluation(material: Material) -> Iterator[str]:
    """What was measured, with intervals, and how often test was opened."""
    facts = material.facts("metrics")
    judged = [(f"valid, {count(facts['rows'])} rows", facts["metrics"])]
    test = facts.get("test")
    if test:
        judged.append((f"test, {count(test['rows'])} rows", test["metrics"]))
    rows = []
    for name in facts["metrics"]:
        cells = [code(name)]
        for _, found in judged:
            cells += [score(found[name]["value"]), _bounds(found[name])]
        rows.append(cells)
    header = ["Metric"]
    for title, _ in judged:
        header += [title, "95 % interval"]
    yield from table(header, rows, right=len(header) - 1)
    yield ""
    opened = facts["test_openings"]
    times = {0: "never", 1: "once"}.get(opened, f"{count(opened)} times")
    yield f"- Test was opened {times} so far"
    for note in facts.get("notes", ()):
        yield f"- {prose(note)}"


@part("decision", "release")
def decision(material: Material) -> Iterator[str]:
    """How a score becomes a decision."""
    facts = material.facts("release")
    calibration, threshold = facts.get("calibration"), facts.get("threshold")
    interval = facts.get("interval")
    if calibration:
        yield (
            f"- Calibration: temperature {score(calibration['temperature'])} "
            f"({prose(calibration['reason'])}); log loss {score(calibration['before'])} before, "
            f"{score(calibration['after'])} after"
        )
    if threshold:
        yield (
            f"- Threshold: {score(threshold['value'])} for {code(facts['positive'])}, where a "
            f"false alarm costs {number(threshold['cost_fp'])} and a miss "
            f"{number(threshold['cost_fn'])}"
        )
    elif calibration:
        yield "- Threshold: none, the likeliest class is predicted"
    if interval:
        half = interval["half_width"]
        width = "none, valid has too few rows" if half is None else f"± {score(half)}"
        yield f"- Interval at {percent(interval['level'])}: {width}"


@part("bundle", "release")
def bundle(material: Material) -> Iterator[str]:
    """What is handed to whoever serves it."""
    facts = material.facts("release")
    files = facts["files"].items()
    yield from table(["File", "Size"], [[code(path), size(n)] for path, n in files], right=1)
    yield ""
    onnx = facts["onnx"]
    if onnx["equal"]:
        yield (
            f"`model.onnx` predicts the same on {count(onnx['rows'])} rows; the largest "
            f"difference is {score(onnx['max_abs_diff'])}."
        )
    else:
        yield f"There is no ONNX form: {prose(onnx['reason'])}."


@part("storage", "ingest", "split", "train")
def storage(material: Material) -> Iterator[str]:
    """What lies on disk, and what training takes."""
    held: Counter[str] = Counter()
    for name in ("ingest", "split", "train", "release", "metrics", "profile"):
        for path, bytes_ in material.facts(name).get("files", {}).items():
            folder = path.split("/")[0]
            held[folder] += bytes_
    yield from table(["Folder", "Size"], [[code(f), size(n)] for f, n in held.items()], right=1)
    facts = material.facts("train")
    runs = (facts["baseline"], *facts["candidates"])
    seconds = sum(each["fit_seconds"] or 0 for each in runs)
    peak = max((each["peak_memory_mb"] or 0 for each in runs), default=0)
    yield ""
    yield (
        f"The last training's fits took {score(seconds)} s"
        + (f" and at most {count(round(peak))} MB of memory." if peak else ".")
    )


@part("versions", "train")
def versions(material: Material) -> Iterator[str]:
    """What the last training ran on."""
    found = material.facts("train")["versions"].items()
    yield from table(["Package", "Version"], [[code(name), prose(each)] for name, each in found])


@part("reference", "release")
def reference(material: Material) -> Iterator[str]:
    """What later data can be compared with."""
    files = material.facts("release")["files"]
    found = [path for path in files if path.endswith("/reference.json")]
    if found:
        yield (
            f"{code(found[0])} ({size(files[found[0]])}) describes each feature and the "
            "predictions on train, to compare later data with."
        )


# ---------------------------------------------------------------------------------------- Markdown


def table(header: Sequence[str], rows: Iterable[Sequence[str]], right: int = 0) -> list[str]:
    """Return a table whose last `right` columns are aligned to the right."""
    marks = ["---"] * (len(header) - right) + ["--:"] * right
    lines = [" | ".join(cells) for cells in (header, marks, *rows)]
    return [f"| {line} |" for line in lines]


def code(value: Any) -> str:
    """Return a value from the data as code on one line, safe in a table."""
    text = _cut(value)
    if not text:
        return "(empty)"
    # No sign can shield a backtick or a bar inside code in every reader.
    return _shielded(text, SIGNS) if set(text) & set("`|<>\\&") else f"`{text}`"


def prose(value: Any) -> str:
    """Return words that came from outside as plain text on one line, safe in a table."""
    return _shielded(one_line(str(value)), MARKUP)


SIGNS = "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~"
MARKUP = "&*<>[\\]_`|~$"


def _shielded(text: str, signs: str) -> str:
    """Write signs as character references, which Markdown never takes for its own."""
    return "".join(f"&#{ord(sign)};" if sign in signs else sign for sign in text)


def _cut(value: Any) -> str:
    """Return a value as text on one line, cut where it is very long."""
    text = one_line(str(value))
    return text if len(text) <= MOST_SIGNS else f"{text[: MOST_SIGNS - 1]}…"


def _listed(values: Sequence[Any]) -> str:
    """Return the first of some values."""
    more = f" and {len(values) - MOST_VALUES} more" if len(values) > MOST_VALUES else ""
    return ", ".join(map(code, values[:MOST_VALUES])) + more


def _left_out(total: int, what: str, where: str, most: int = MOST_ROWS) -> Iterator[str]:
    """Yield a line about what a table leaves out."""
    if total > most:
        yield ""
        yield f"{_count(total - most, 'more ' + what)} in `{where}`."


def _count(value: int, what: str) -> str:
    """Return a number of things."""
    plural = "" if value == 1 else "es" if what.endswith("s") else "s"
    return f"{count(value)} {what}{plural}"


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


def percent(share: float) -> str:
    """Return a share for people; a little is not nothing."""
    return "< 0.1 %" if 0 < share < 0.001 else f"{100 * share:.3g} %"


def size(value: int) -> str:
    """Return a number of bytes for people (1 MB is 10^6 bytes)."""
    for unit, factor in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if value >= factor:
            return f"{value / factor:.3g} {unit}"
    return f"{value} bytes"


def _spread(mean: float | None, deviation: float | None) -> str:
    """Return a mean with its standard deviation."""
    return (
        score(mean) if mean is None or deviation is None else f"{score(mean)} ± {score(deviation)}"
    )


def _bounds(found: Mapping[str, Any]) -> str:
    """Return an interval."""
    low, high = found.get("low"), found.get("high")
    return "-" if low is None or high is None else f"{score(low)} to {score(high)}"


def _share(share: float, rows: int) -> str:
    """Return how many of some rows a share is, and the share."""
    return f"{count(round(share * rows))} ({percent(share)})"


def refresh(project: Project) -> list[str]:
    """Write the measured parts of every document anew; return the documents that changed.

    Nothing is written unless all of them can be read. A part whose markers a person took out stays
    out.

    Raises:
        UserError: With file and line, at the first fault of a document that has measured parts.
    """
    material = Material(project)
    changed = {}
    for path in sorted(project.docs.glob("[!.]*.md")):
        if b"measured" in path.read_bytes():
            before = read_text(path)
            after = _filled(before, shown_name(path), material)
            if after != before:
                changed[path] = after
    for path, text in changed.items():
        write_text(path, text)
    return [project.relative(path) for path in changed]


def _filled(text: str, shown: str, material: Material) -> str:
    """Return a document with its measured parts as they are today."""
    rows = text.split("\n")
    filled = []
    for line in read_lines(text, shown):
        row = rows[line.number - 1]
        if line.kind != "measured":
            filled.append(row)
        if line.kind == "begin":
            end = "\r" if row.endswith("\r") else ""
            part = _measure(line, shown, material)
            filled += [each + end for each in part]
    return "\n".join(filled)


def _measure(line: Line, shown: str, material: Material) -> list[str]:
    """Return the lines of a part, apart from its markers by empty ones."""
    if line.text not in PARTS:
        known = ", ".join(sorted(PARTS))
        fault = f"there is no measured part '{line.text}'; known are {known}"
        refuse(shown, line.number, fault)
    part = measure(line.text, material)
    return ["", *part, ""] if part else []
