"""From prepared rows to a fitted model: features, estimators, saved models. Rarely edited.

The estimators that `[model] candidates` can name are functions that build one of them. Light on
purpose, with named tuples for the slower `dataclasses`: the command line imports it at every start.
"""

import re
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from types import ModuleType
from typing import TYPE_CHECKING, Any, NamedTuple

from ..core.errors import UserError
from ..core.registry import ESTIMATORS, INPUTS, entries, load, lookup, team
from ..data.dates import DATE_PARTS, in_english, zone_info

if TYPE_CHECKING:
    from ..data.schema import Schema


class Candidate(NamedTuple):
    """One estimator that is to be judged.

    Attributes:
        name: As in `[model] candidates` and `[params]`.
        label: As in the names of log files, in capitals.
        kind: Which inputs it gets: "linear" (scaled, one-hot), "tree" (numbers as they are, missing
            ones too) or "filled" (as "tree", missing numbers filled in).
        estimator: Unfitted; has scikit-learn's `fit`, `predict` and, for classes, `predict_proba`.
    """

    name: str
    label: str
    kind: str
    estimator: Any


class Input(NamedTuple):
    """One kind of input: which columns it is for, and what becomes of them.

    Functions are given as `"module:function"`, so that pandas and scikit-learn stay unimported.

    Attributes:
        types: The schema's types whose columns become this kind of input.
        prepare: From a typed column (a Series) to the inputs that it becomes, by name.
        steps: From the names of the inputs and `features.StepOptions` to the steps of a
            ColumnTransformer that are fitted on them. Inputs that do not have the column's own
            name, and all where this is None, count as what they hold: numbers, or categories.
        plain: Whether a service can prepare it without pandas: see `input_sources`.
    """

    types: tuple[str, ...]
    prepare: Any
    steps: Any = None
    plain: bool = False


class Weights(NamedTuple):
    """How an estimator is kept in files of its own beside `model.skops`, and in ONNX.

    Functions are given as `"module:function"`, so that no library is imported before it is needed.

    Attributes:
        name: What the rest of the estimator is called in `model.skops`; of one kind of weights.
        files: The names of all files that there can be.
        save: From (estimator, folder) to the paths of the files that it wrote there, whole or not
            at all (`core.files.write_atomic`), and the rest of the estimator as plain values.
        load: From (folder, rest) to the estimator.
        onnx: From (estimator, number of features) to an `onnx.ModelProto` of operators 18, from
            features (rows, features) in float32 to probabilities (rows, classes) or values; None
            where skl2onnx knows the estimator, or nothing does.
    """

    name: str
    files: tuple[str, ...]
    save: Any
    load: Any
    onnx: Any = None


EPOCH = datetime(1970, 1, 1)
WORD = re.compile(r"\w\w+")
# Dates that ISO 8601 does not know, and that are read all the same: 2024-01, 2024/1/31 8:30.
NEAR_ISO = re.compile(
    "([0-9]{4})(?:([-/. ])([0-9]{1,2})(?:\\2([0-9]{1,2})(?:[ T]([0-9]{1,2})(.*))?)?)?"
)
# In this order the inputs reach an estimator; those of other folders follow.
OWN_INPUTS = ("number", "category", "string", "text", "datetime")
INPUTS.add(
    number=Input(
        ("integer", "number", "boolean"),
        ".models.features:floats",
        ".models.features:number_steps",
        plain=True,
    ),
    category=Input(
        ("category",), ".models.features:strings", ".models.features:category_steps", plain=True
    ),
    string=Input(
        ("string",), ".models.features:strings", ".models.features:string_steps", plain=True
    ),
    text=Input(("text",), ".models.features:texts", ".models.features:text_steps", plain=True),
    datetime=Input(("datetime",), ".models.features:date_numbers", plain=True),
)
ESTIMATORS.add(
    baseline=".models:baseline",
    linear=".models.classic:linear",
    forest=".models.classic:forest",
    hgb=".models.classic:hgb",
)


def input_kinds(custom: ModuleType | None = None) -> dict[str, Input]:
    """Return every kind of input by its name, in the order in which estimators get them.

    Args:
        custom: The team's code; default: that of today.
    """
    found = entries("INPUTS", team() if custom is None else custom)
    others = sorted(found.keys() - set(OWN_INPUTS))
    return {name: load(found[name]) for name in (*OWN_INPUTS, *others)}


def kinds_by_type(kinds: Mapping[str, Input]) -> dict[str, str]:
    """Return the kind of input by the schema's type; where two serve one, that of a folder.

    Args:
        kinds: See `input_kinds`.
    """
    return {each: name for name, kind in kinds.items() for each in kind.types}


def are_plain(types: Iterable[str], custom: ModuleType | None = None) -> bool:
    """Tell whether a service can prepare columns of these types without pandas."""
    kinds = input_kinds(custom)
    names = kinds_by_type(kinds)
    return all(kinds[names[each]].plain for each in types)


def make_candidate(name: str, task: str, seed: int, params: dict[str, Any]) -> Candidate:
    """Build the candidate `name` with the parameters that `[params]` gives it.

    Raises:
        UserError: If there is no such candidate, or it has no such parameter.
    """
    build = lookup(ESTIMATORS, name, "A name in [model] candidates")
    try:
        candidate: Candidate = build(task, seed, dict(params))
    except (TypeError, ValueError) as error:
        raise UserError(f"conf.cfg, [params]: '{name}' cannot be built: {error}.") from error
    return candidate


def configure(estimator: type[Any], name: str, params: dict[str, Any], **defaults: Any) -> Any:
    """Return `estimator(**defaults)` as changed by `params`.

    Raises:
        UserError: If `params` has a name that the estimator does not know.
    """
    allowed = estimator().get_params()
    for parameter in params:
        if parameter not in allowed:
            raise UserError(
                f"conf.cfg, [params] {name}.{parameter}: {name} has no parameter '{parameter}'; "
                f"it has: {', '.join(sorted(allowed))}."
            )
    return estimator(**(defaults | params))


def baseline(task: str, seed: int, params: dict[str, Any]) -> Candidate:
    """Predict the share of each class, or the mean, whatever the row says.

    The naive baseline, which every model has to beat.
    """
    from sklearn.dummy import DummyClassifier, DummyRegressor

    if task == "classification":
        estimator = configure(DummyClassifier, "baseline", params, strategy="prior")
    else:
        estimator = configure(DummyRegressor, "baseline", params, strategy="mean")
    return Candidate("baseline", "BASELINE", "constant", estimator)


def input_sources(schema: "Schema") -> dict[str, tuple[int, int | None]]:
    """Return, by the name of each input, the feature it comes from and which part of a date."""
    found: dict[str, tuple[int, int | None]] = {}
    for at, column in enumerate(schema.features):
        if column.type == "datetime":
            for name in column.parts or DATE_PARTS:
                found[f"{column.name}__{name}"] = (at, DATE_PARTS.index(name))
        else:
            found[column.name] = (at, None)
    return found


def words(text: str) -> str:
    """Return the words of a text, in lower case, with one blank between them.

    Other runtimes split and lower text by rules of their platform; these are Python's.
    """
    return " ".join(WORD.findall(text.lower()))


def date_parts(date: datetime) -> tuple[float, ...]:
    """Return the numbers that stand for a date, in the order of `DATE_PARTS`.

    Args:
        date: In UTC, or in the time of its column's zone; without a zone of its own.
    """
    days = (date - EPOCH).total_seconds() / 86_400
    return (date.year, date.month, date.day, date.weekday(), date.hour, days)


def _read_iso(text: str) -> datetime:
    """Read a date as ISO 8601 has it, or nearly so."""
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        near = NEAR_ISO.fullmatch(text)
        if near is None:
            raise
    year, _, month, day, hour, rest = near.groups()
    time = f"T{hour:0>2}{rest}" if hour else ""
    return datetime.fromisoformat(f"{year}-{month or '1':0>2}-{day or '1':0>2}{time}")


def local_time(date: datetime, zone: str | None) -> datetime:
    """Return the time of a zone for a time of UTC, both without a zone of their own.

    Args:
        date: In UTC.
        zone: A name, or an offset such as +01:00; None stands for UTC.
    """
    if zone is None:
        return date
    try:
        return date.replace(tzinfo=UTC).astimezone(zone_info(zone)).replace(tzinfo=None)
    except OverflowError:  # beyond the years 1 to 9999
        return date


def read_date(
    text: str,
    form: str | None = None,
    months: tuple[str, ...] | None = None,
    last_year: int | None = None,
) -> datetime:
    """Read a date as UTC without a zone.

    Args:
        text: The date.
        form: How it is written (`%d.%m.%Y`); None stands for ISO 8601.
        months: The names of its months; None stands for English ones.
        last_year: Of the hundred that years of two digits are of; None stands for 2068.

    Raises:
        ValueError: If it is no such date.
    """
    text = in_english(text, months) if months else text
    date = datetime.strptime(text, form) if form else _read_iso(text)
    if last_year is not None:
        date = date.replace(year=last_year - (last_year - date.year) % 100)
    try:
        return date.astimezone(UTC).replace(tzinfo=None) if date.tzinfo else date
    except OverflowError:
        raise ValueError("beyond the years 1 to 9999 in UTC") from None
