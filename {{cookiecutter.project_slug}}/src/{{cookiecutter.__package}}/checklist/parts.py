"""The measured parts: what the reports and the schema say, as lines of Markdown."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from ..core.project import SPLITS
from .context import Context
from .markdown import (
    MAX_ROWS,
    bounds,
    code,
    codes,
    count,
    mean_and_deviation,
    number,
    percent,
    plural,
    prose,
    rest_of_table,
    score,
    share_of,
    size,
    table,
)

# The two sources that are not reports.
ANSWERS = ".cruft.json"
SCHEMA = "data/schema.yaml"

MAX_COLUMNS = 200
STAGE_NAMES = {
    "poc": "proof of concept",
    "mvp": "minimum viable product",
    "production": "production",
}
# Columns with these roles are not features.
NOT_FEATURES = {"target", "id", "group", "ignore", "time"}

Lines = Callable[[Context], Iterable[str]]


@dataclass(frozen=True)
class Part:
    """One measured part.

    Attributes:
        sources: The reports that it needs, by name; or `ANSWERS`, or `SCHEMA`.
        lines: Returns its lines; none where there is nothing to say.
    """

    sources: tuple[str, ...]
    lines: Lines


PARTS: dict[str, Part] = {}


def part(name: str, *sources: str) -> Callable[[Lines], Lines]:
    """Register a function as a measured part, with the sources that it needs."""

    def register(lines: Lines) -> Lines:
        PARTS[name] = Part(sources, lines)
        return lines

    return register


# ------------------------------------------------------------------------------------- scoping


@part("answers", ANSWERS)
def answers(context: Context) -> Iterator[str]:
    """What was answered when the project was made."""
    given = {name: str(answer) for name, answer in context.answers.items()}
    stage = given.get("stage", "")
    shown = {
        "Description": given.get("description"),
        "Answers for it": given.get("author_name"),
        "Stage": STAGE_NAMES.get(stage, stage),
        "Task": given.get("task"),
    }
    for name, answer in shown.items():
        if answer:
            yield f"- {name}: {prose(answer)}"


@part("inputs", SCHEMA)
def inputs(context: Context) -> Iterator[str]:
    """What goes into the model, and what comes out."""
    columns = context.schema
    features = [each for each in columns if not NOT_FEATURES & set(each.get("roles") or ())]
    kinds = Counter(each["type"] for each in features)
    listed = ", ".join(f"{count} {code(kind)}" for kind, count in kinds.most_common())
    yield f"- In: {plural(len(features), 'column')} ({listed or 'none'})"
    for each in columns:
        if NOT_FEATURES - {"target"} & set(each.get("roles") or ()):
            roles = ", ".join(map(str, each["roles"]))
            yield f"- Not read by the model: {code(each['name'])} ({prose(roles)})"
    for each in columns:
        if "target" in (each.get("roles") or ()):
            yield f"- Out: {code(each['name'])}, {_target(each, context.facts('release'))}"


def _target(column: Mapping[str, Any], release: Mapping[str, Any]) -> str:
    """Return what the model returns: a probability or a number."""
    classes = release.get("classes") or column.get("categories")
    if classes:
        threshold = (release.get("threshold") or {}).get("value")
        limit = ""
        if release.get("positive") is not None and threshold is not None:
            limit = f"; predicted {code(release['positive'])} from {score(threshold)} on"
        return f"a probability of each class: {codes(classes)}{limit}"
    half_width = (release.get("interval") or {}).get("half_width")
    width = f", with an interval of ± {score(half_width)}" if half_width is not None else ""
    return f"a number{width}"


@part("baseline", "metrics")
def baseline(context: Context) -> Iterator[str]:
    """How the model compares with the naive baseline, and with a person."""
    facts = context.facts("metrics")
    human = facts.get("human")
    people = ["A person"] if human else []
    header = ["Metric on valid", "Naive baseline", *people, f"{facts['label']}, the model"]
    rows = []
    for name, measured in facts["metrics"].items():
        chosen = name == facts["metric"]
        person = [score(human["value"]) if chosen else ""] if human else []
        cells = [code(name), score(measured["baseline"]), *person, score(measured["value"])]
        rows.append(cells)
    yield from table(header, rows, right=len(header) - 1)
    yield ""
    yield (
        f"In {code(facts['metric'])} that is a skill of {score(facts['skill'])}, where 0 equals "
        f"the baseline and 1 is perfect; `[evaluate] margin` asks for {number(facts['margin'])}."
    )


# ---------------------------------------------------------------------------------------- data


@part("sources", "ingest")
def sources(context: Context) -> Iterator[str]:
    """Where the data came from."""
    facts = context.facts("ingest")
    original = facts["original"]
    yield f"- Source: {code(facts['source'])}"
    if facts.get("query"):
        yield f"- Query: {code(facts['query'])}"
    kept = {"copy": "a copy", "reference": "left where it is"}.get(original["mode"], "kept")
    yield f"- Original: {code(original['path'])}, {kept}, {size(original['bytes'])}"
    yield f"- Its SHA-256: `{original['sha256']}`"


@part("lineage", "ingest", "split")
def lineage(context: Context) -> Iterator[str]:
    """The states of the data, from the original to the model, with their fingerprints."""
    fetched, split = context.facts("ingest"), context.facts("split")
    ingest, release = context.report("ingest"), context.report("release")
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
def quantity(context: Context) -> Iterator[str]:
    """How many rows there are, and how the target is distributed."""
    fetched, split = context.facts("ingest"), context.facts("split")
    rows = split["rows"]
    features = context.facts("train").get("features")
    yield f"- Rows: {count(fetched['rows'])} with {count(fetched['columns'])} columns"
    if features:
        each = rows["train"] / features
        yield f"- Rows of train per feature: {score(each)} ({count(features)} features)"
    yield ""
    kinds = split["target"]
    if "mean" in kinds["train"]:
        header = ["Part", "Rows", "Mean of the target", "Standard deviation"]
        statistics = []
        for name in SPLITS:
            mean, deviation = score(kinds[name]["mean"]), score(kinds[name]["std"])
            statistics.append([name, count(rows[name]), mean, deviation])
        yield from table(header, statistics, right=3)
        return
    classes = sorted(kinds["train"], key=lambda name: -kinds["train"][name])
    yield from table(
        ["Class", *(f"Rows of {name}" for name in SPLITS)],
        [
            [code(kind), *(share_of(kinds[name].get(kind, 0), rows[name]) for name in SPLITS)]
            for kind in classes[:MAX_ROWS]
        ],
        right=3,
    )
    yield from rest_of_table(len(classes), "class", "reports/split.json")


@part("dictionary", SCHEMA)
def dictionary(context: Context) -> Iterator[str]:
    """The type, the allowed values and the role of each column."""
    shares = _missing(context)
    rows = []
    for each in context.schema[:MAX_COLUMNS]:
        nullable = "may be missing" if each.get("nullable", True) else "always there"
        share = shares.get(each["name"])
        known = f"{nullable} ({percent(share)} missing)" if share else nullable
        roles = ", ".join(map(str, each.get("roles") or ())) or "feature"
        cells = [code(each["name"]), prose(each["type"]), _range(each), known, prose(roles)]
        rows.append(cells)
    yield from table(["Column", "Type", "Values", "Presence", "Role"], rows)
    yield from rest_of_table(len(context.schema), "column", SCHEMA, MAX_COLUMNS)


@part("missing", SCHEMA, "schema")
def missing(context: Context) -> Iterator[str]:
    """Which columns have missing values."""
    shares = {name: share for name, share in _missing(context).items() if share}
    if not shares:
        yield "No column has a missing value."
        return
    worst = sorted(shares, key=lambda name: -shares[name])
    rows = [[code(name), percent(shares[name])] for name in worst[:MAX_ROWS]]
    yield from table(["Column", "Missing"], rows, right=1)
    yield from rest_of_table(len(worst), "column", "reports/schema.json")


def _missing(context: Context) -> dict[str, float]:
    """Return the share of missing values of each column."""
    columns = [*context.facts("profile").get("columns", ()), *context.facts("schema")["columns"]]
    return {each["name"]: each["missing"] for each in columns if each["missing"] is not None}


def _range(column: Mapping[str, Any]) -> str:
    """Return a column's bounds or categories."""
    if column.get("categories"):
        return codes(column["categories"])
    low, high = column.get("minimum"), column.get("maximum")
    if low is None and high is None:
        return code(column["format"]) if column.get("format") else "any"
    if low is None or high is None:
        return f"up to {number(high)}" if low is None else f"from {number(low)}"
    return f"{number(low)} to {number(high)}"


@part("split", "split")
def split(context: Context) -> Iterator[str]:
    """How the rows were divided."""
    facts = context.facts("split")
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
def importance(context: Context) -> Iterator[str]:
    """Which features the model depends on, by permutation importance."""
    ranks = context.facts("diagnostics")["importance"]
    if not ranks["features"]:
        return
    yield (
        f"What {code(ranks['metric'])} loses on {count(ranks['rows'])} rows of valid when a column "
        "is shuffled:"
    )
    yield ""
    first = ranks["features"][:10]
    rows = [
        [code(each["feature"]), mean_and_deviation(each["mean"], each["std"])] for each in first
    ]
    yield from table(["Column", "Loss"], rows, right=1)


# --------------------------------------------------------------------------------------- model


@part("candidates", "train")
def candidates(context: Context) -> Iterator[str]:
    """The candidates, with their scores."""
    facts = context.facts("train")
    metric = facts["metric"]
    rows = []
    for each in (facts["baseline"], *facts["candidates"]):
        folds = each.get("cv") or {}
        cells = [
            f"{prose(each['label'])} `{each['run_id']}`",
            mean_and_deviation(folds.get("mean"), folds.get("std")),
            score(each["valid"].get(metric)),
            score(each["skill"]),
        ]
        rows.append(cells)
    header = ["Model", f"{metric}, folds of train", f"{metric}, valid", "Skill"]
    yield from table(list(map(prose, header)), rows, right=3)


@part("selection", "train")
def selection(context: Context) -> Iterator[str]:
    """Which candidate was chosen, and why."""
    facts = context.facts("train")
    labels = {each["name"]: each["label"] for each in facts["candidates"]}
    label = labels.get(facts["winner"], facts["winner"])
    yield f"Chosen: {prose(label)} `{facts['run_id']}`, for {prose(facts['reason'])}."


@part("complexity", "train")
def complexity(context: Context) -> Iterator[str]:
    """How long training took, and how much memory."""
    facts = context.facts("train")
    rows = [
        [prose(each["label"]), score(each["fit_seconds"]), score(each["peak_memory_mb"])]
        for each in (facts["baseline"], *facts["candidates"])
    ]
    what = f"{count(facts['rows']['train'])} rows with {count(facts['features'])} features"
    yield f"Fitted on {what}; the peak is the process's, so it never falls:"
    yield ""
    yield from table(["Model", "Seconds", "Peak memory in MB"], rows, right=2)


@part("evaluation", "metrics")
def evaluation(context: Context) -> Iterator[str]:
    """The metrics with their intervals, and how often test was opened."""
    facts = context.facts("metrics")
    measured = [(f"valid, {count(facts['rows'])} rows", facts["metrics"])]
    test = facts.get("test")
    if test:
        measured.append((f"test, {count(test['rows'])} rows", test["metrics"]))
    rows = []
    for name in facts["metrics"]:
        cells = [code(name)]
        for _, found in measured:
            cells += [score(found[name]["value"]), bounds(found[name])]
        rows.append(cells)
    header = ["Metric"]
    for title, _ in measured:
        header += [title, "95 % interval"]
    yield from table(header, rows, right=len(header) - 1)
    yield ""
    opened = facts["test_openings"]
    times = {0: "never", 1: "once"}.get(opened, f"{count(opened)} times")
    yield f"- Test was opened {times} so far"
    for note in facts.get("notes", ()):
        yield f"- {prose(note)}"


@part("decision", "release")
def decision(context: Context) -> Iterator[str]:
    """How a score becomes a decision."""
    facts = context.facts("release")
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
        half_width = interval["half_width"]
        width = "none, valid has too few rows" if half_width is None else f"± {score(half_width)}"
        yield f"- Interval at {percent(interval['level'])}: {width}"


@part("bundle", "release")
def bundle(context: Context) -> Iterator[str]:
    """The files of the bundle, and whether its ONNX form, if it has one, predicts the same."""
    facts = context.facts("release")
    files = facts["files"].items()
    yield from table(["File", "Size"], [[code(path), size(n)] for path, n in files], right=1)
    onnx = facts["onnx"]
    if onnx["reason"] == "not installed":
        return
    yield ""
    if onnx["equal"]:
        yield (
            f"`model.onnx` predicts the same on {count(onnx['rows'])} rows; the largest "
            f"difference is {score(onnx['max_abs_diff'])}."
        )
    else:
        yield f"There is no ONNX form: {prose(onnx['reason'])}."


# ----------------------------------------------------------------------------------- operation


@part("storage", "ingest", "split", "train")
def storage(context: Context) -> Iterator[str]:
    """How much space the files take, and how much time and memory training takes."""
    bytes_by_folder: Counter[str] = Counter()
    for name in ("ingest", "split", "train", "release", "metrics", "profile"):
        for path, bytes_ in context.facts(name).get("files", {}).items():
            folder = path.split("/")[0]
            bytes_by_folder[folder] += bytes_
    rows = [[code(folder), size(total)] for folder, total in bytes_by_folder.items()]
    yield from table(["Folder", "Size"], rows, right=1)
    facts = context.facts("train")
    runs = (facts["baseline"], *facts["candidates"])
    seconds = sum(each["fit_seconds"] or 0 for each in runs)
    peak = max((each["peak_memory_mb"] or 0 for each in runs), default=0)
    yield ""
    yield (
        f"The last training's fits took {score(seconds)} s"
        + (f" and at most {count(round(peak))} MB of memory." if peak else ".")
    )


@part("versions", "train")
def versions(context: Context) -> Iterator[str]:
    """The packages that the last training used."""
    found = context.facts("train")["versions"].items()
    yield from table(["Package", "Version"], [[code(name), prose(each)] for name, each in found])


@part("reference", "release")
def reference(context: Context) -> Iterator[str]:
    """The reference that later data can be compared with."""
    files = context.facts("release")["files"]
    found = [path for path in files if path.endswith("/reference.json")]
    if found:
        yield (
            f"{code(found[0])} ({size(files[found[0]])}) describes each feature and the "
            "predictions on train, to compare later data with."
        )
