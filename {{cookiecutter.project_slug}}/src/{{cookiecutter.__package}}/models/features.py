"""The model's inputs: what follows from a row alone (`prepare`), and what is fitted on train.

The encoders are those that convert to other forms (`bundle.Form`) with equal predictions. What
converts wrongly without a word (missing numbers in forests, encoders fed with None,
`min_frequency`) is avoided here.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import sparse
from sklearn.base import clone
from sklearn.compose import ColumnTransformer
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.impute import SimpleImputer
from sklearn.model_selection import KFold
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import (
    Binarizer,
    OneHotEncoder,
    OrdinalEncoder,
    StandardScaler,
    TargetEncoder,
)

from ..core import registry
from ..core.errors import UserError, failure
from ..data.dates import DATE_PARTS, local_times
from ..data.schema import require_columns
from . import input_kinds, kinds_by_type, words

if TYPE_CHECKING:
    from ..core.config import FeatureSettings
    from ..data.schema import Schema

# A step of a ColumnTransformer: its name, the transformer, and the columns that it gets.
Step = tuple[str, Any, Any]
# Stands for a missing number where an estimator cannot take one: below all that data holds, so
# that a tree can split it off, and within float32, in which other forms of a model compute.
MISSING = -1e30
# The step that encodes high-cardinality columns by the target.
STRINGS = "strings"
# Words of a text, and as many pairs of words, where [features] text_words is silent. Of fewer rows
# pairs tell less than they disturb; of more, all that occur once would fill the memory.
MOST_WORDS = 5_000
WORDS_OF_TREES = 300
ROWS_OF_PAIRS = range(3_000, 200_001)
# What an estimator of scikit-learn has that turns columns into others.
METHODS = ("fit", "transform", "get_params")


@dataclass(frozen=True)
class StepOptions:
    """What the steps for one kind of input may depend on, besides its columns.

    Attributes:
        kind: "linear", "tree" or "filled", see `Candidate`.
        target_kind: What the target is to `TargetEncoder`: "auto" or "continuous".
        seed: Of the folds in which a high-cardinality column is encoded.
        settings: `[features]`.
        inputs: Prepared rows of train; only which of them lack numbers matters.
    """

    kind: str
    target_kind: str
    seed: int
    settings: FeatureSettings
    inputs: pd.DataFrame


def prepare(frame: pd.DataFrame, schema: Schema, custom: ModuleType | None = None) -> pd.DataFrame:
    """Turn typed rows into the model's inputs, each row by itself.

    Numbers and flags become float64 with NaN, a date becomes six numbers in the time of its zone
    (the last, `__days`, is counted from 1970) or those that its column names, strings keep their
    text with "" for a missing one, and a text becomes its words in lower case. Columns that need no
    change are not copied.

    Args:
        frame: Rows that conform to `schema`; columns beside its features are left out.
        schema: The types of the columns.
        custom: The team's code; default: that of today.

    Returns:
        The inputs, in the order of the schema's features, then those that `custom.py` added.

    Raises:
        UserError: If `add_features` of custom.py returns other rows, or a column that is neither
            of numbers, flags, dates nor text.
    """
    types = {column.name: column.type for column in schema.features}
    zones = {column.name: column.zone for column in schema.features if column.zone}
    unused = {
        f"{column.name}__{part}"
        for column in schema.features
        if column.parts
        for part in DATE_PARTS
        if part not in column.parts
    }
    custom = registry.team() if custom is None else custom
    kinds = input_kinds(custom)
    names = kinds_by_type(kinds)
    given = frame if list(frame.columns) == list(types) else frame[list(types)]
    rows = _add_own_features(given, custom)
    inputs: dict[str, Any] = {}
    changed = False
    for name in rows.columns:
        values = rows[name]
        kind = kinds[names[types.get(name) or _own_type(values)]]
        if name in zones and isinstance(values.dtype, np.dtype) and values.dtype.kind == "M":
            values = local_times(values, zones[name])
        columns = registry.load(kind.prepare)(values)
        changed = changed or columns.get(name) is not values
        inputs |= {each: column for each, column in columns.items() if each not in unused}
    return pd.DataFrame(inputs, index=rows.index, copy=False) if changed else rows


def build_features(
    inputs: pd.DataFrame,
    schema: Schema,
    kind: str,
    *,
    target_kind: str,
    seed: int,
    settings: FeatureSettings,
) -> ColumnTransformer:
    """Return the unfitted transformer from prepared inputs to an array (rows, features).

    Args:
        inputs: Prepared rows of train; only their columns, and which of them lack numbers, matter.
        schema: The types of the columns.
        kind: "linear", "tree", "filled" or "constant", see `Candidate`.
        target_kind: What the target is to `TargetEncoder`: "auto" or "continuous".
        seed: Of the folds in which a high-cardinality column is encoded.
        settings: `[features]`.
    """
    if kind == "constant":  # the baseline looks at no column
        return ColumnTransformer([("none", "drop", [])])
    types = input_types(inputs, schema, settings)
    options = StepOptions(kind, target_kind, seed, settings, inputs)
    steps: list[Step] = []
    for name, each in input_kinds().items():
        columns = [column for column, of in types.items() if of == name]
        if columns:
            steps += registry.load(each.steps)(columns, options)
    steps += team_steps(inputs, kind, seed)
    # Trees take dense input only; a linear model is faster on sparse columns of zeros.
    return ColumnTransformer(steps, sparse_threshold=0.3 if kind == "linear" else 0)


def input_types(inputs: pd.DataFrame, schema: Schema, settings: FeatureSettings) -> dict[str, str]:
    """Return the kind of each input: number, category, string (high-cardinality), text, others."""
    kinds = input_kinds()
    names = kinds_by_type(kinds)
    served = {
        column.name: names[column.type]
        for column in schema.features
        if kinds[names[column.type]].steps is not None
    }
    types = {}
    for name in inputs.columns:
        if name in served:
            types[name] = served[name]
        elif pd.api.types.is_float_dtype(inputs[name]):
            types[name] = "number"
        else:  # a column of custom.py
            few = inputs[name].nunique() <= settings.max_categories
            types[name] = "category" if few else "string"
    return types


def _add_own_features(given: pd.DataFrame, custom: ModuleType) -> pd.DataFrame:
    """Apply custom.py to the rows; it may add columns, not rows."""
    add = getattr(custom, "add_features", None)
    if add is None:
        return given
    rows: pd.DataFrame = add(given)
    if not isinstance(rows, pd.DataFrame) or not rows.index.equals(given.index):
        raise UserError(
            "add_features in custom.py has to return the frame it got, with columns added and "
            "every row in its place."
        )
    return rows


def _own_type(values: pd.Series[Any]) -> str:
    """Return the type of a column that custom.py added."""
    if pd.api.types.is_numeric_dtype(values) or pd.api.types.is_bool_dtype(values):
        return "number"
    if pd.api.types.is_datetime64_any_dtype(values):
        return "datetime"
    inferred = pd.api.types.infer_dtype(values, skipna=True)
    if inferred in ("string", "empty", "boolean", "categorical"):
        return "boolean" if inferred == "boolean" else "category"
    raise UserError(
        f"add_features in custom.py made the column '{values.name}' of type {inferred}; a "
        "column has to hold numbers, flags, dates or text."
    )


# ------------------------------------------------------------- what a column becomes, row by row


def floats(values: pd.Series[Any]) -> dict[Any, Any]:
    """Return numbers or flags as float64 with NaN for a missing one."""
    if values.dtype == np.float64:
        return {values.name: values}
    plain = values.astype("boolean") if values.dtype == object else values  # flags with None
    numbers = plain.to_numpy(dtype=np.float64, na_value=np.nan)
    return {values.name: pd.Series(numbers, index=values.index, name=values.name, copy=False)}


def strings(values: pd.Series[Any]) -> dict[Any, Any]:
    """Return strings with "" for a missing one, as Python objects, which the encoders expect."""
    return {values.name: _objects(values)}


def texts(values: pd.Series[Any]) -> dict[Any, Any]:
    """Return the words of each text."""
    return {values.name: _objects(values).map(words).astype(object)}


def date_numbers(values: pd.Series[Any]) -> dict[Any, Any]:
    """Return the six numbers that stand for a date."""
    dates = pd.DatetimeIndex(values)
    if dates.tz is not None:
        dates = dates.tz_convert("UTC").tz_localize(None)
    days = (dates - pd.Timestamp(1970, 1, 1)) / pd.Timedelta(days=1)
    parts = [dates.year, dates.month, dates.day, dates.day_of_week, dates.hour, days]
    return {
        f"{values.name}__{part}": pd.Series(np.asarray(numbers, np.float64), index=values.index)
        for part, numbers in zip(DATE_PARTS, parts, strict=True)
    }


def _objects(values: pd.Series[Any]) -> pd.Series[Any]:
    """Return strings as Python objects, with "" for a missing one."""
    values = values.astype(object)
    missing = values.isna()
    return values.where(~missing, "") if missing.any() else values


# ------------------------------------------------------------------------ what is fitted on train


def number_steps(columns: list[str], options: StepOptions) -> list[Step]:
    """Return the steps for numbers; for a linear model scaled, with flags for those missing."""
    if options.kind == "tree":
        return [("numbers", "passthrough", columns)]
    if options.kind == "filled":
        return [("numbers", _fill(), columns)]
    median = SimpleImputer(strategy="median", keep_empty_features=True)
    steps: list[Step] = [
        ("numbers", Pipeline([("fill", median), ("scale", StandardScaler())]), columns)
    ]
    lacking = [name for name in columns if options.inputs[name].isna().any()]
    if lacking:  # scikit-learn's own indicator does not convert
        flags = Pipeline([("fill", _fill()), ("flag", Binarizer(threshold=MISSING / 10))])
        steps.append(("present", flags, lacking))
    return steps


def _fill() -> SimpleImputer:
    """Return the step that puts `MISSING` in place of a missing number."""
    return SimpleImputer(strategy="constant", fill_value=MISSING, keep_empty_features=True)


def category_steps(columns: list[str], options: StepOptions) -> list[Step]:
    """Return the step for columns of few categories; unknown ones count as none of them."""
    if options.kind == "linear":
        return [("categories", OneHotEncoder(handle_unknown="ignore"), columns)]
    encoder = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1)
    return [("categories", encoder, columns)]


def string_steps(columns: list[str], options: StepOptions) -> list[Step]:
    """Return the step for high-cardinality columns: the target's mean (Micci-Barreca, 2001).

    On train each row gets the mean of other folds, so that its own target does not leak.
    """
    encoder = TargetEncoder(
        target_type=options.target_kind,
        cv=KFold(5, shuffle=True, random_state=options.seed),
    )
    if options.kind == "linear":
        scaled = Pipeline([("encode", encoder), ("scale", StandardScaler())])
        return [(STRINGS, scaled, columns)]
    return [(STRINGS, encoder, columns)]


def as_learnt(
    features: ColumnTransformer, inputs: pd.DataFrame, target: NDArray[Any], rows: int
) -> Any:
    """Return rows of train as a model learnt from them: strings as means of other folds.

    What `transform` returns holds each row's own target. Of a string that occurs once it holds
    little else, and a model that never learnt from such means may be wrong on every row.

    Args:
        features: Fitted.
        inputs: Prepared rows.
        target: Their classes or numbers.
        rows: How many it was fitted on.

    Returns:
        An array (rows, features); None where the folds were of rows that are not here.
    """
    columns = next((of for name, _, of in features.transformers if name == STRINGS), None)
    if columns is None:
        return features.transform(inputs)
    place = features.output_indices_[STRINGS]
    means = clone(features.named_transformers_[STRINGS]).fit_transform(inputs[columns], target)
    if rows > len(inputs) or means.shape[1] != place.stop - place.start:
        return None
    return _with_step(features, features.transform(inputs), STRINGS, means)


def transform_again(
    features: ColumnTransformer, made: Any, inputs: pd.DataFrame, changed: Iterable[str]
) -> Any:
    """Return what `features.transform(inputs)` does, where all but a few inputs are as before.

    Args:
        features: Fitted.
        made: What it gave before, an array (rows, features), which stays as it is.
        inputs: Prepared rows.
        changed: The names of those inputs that hold other values now.
    """
    changed = set(changed)
    if not sparse.issparse(made):
        made = made.copy()
    for name, step, columns in features.transformers_:
        own = {columns} if isinstance(columns, str) else columns
        if step != "drop" and not changed.isdisjoint(own):
            made = _with_step(features, made, name, step.transform(inputs[columns]))
    return made


def _with_step(features: ColumnTransformer, made: Any, name: str, values: Any) -> Any:
    """Return an array (rows, features) with other values of one step; a dense one is changed."""
    place = features.output_indices_[name]
    if not sparse.issparse(made):
        made[:, place] = values.toarray() if sparse.issparse(values) else values
        return made
    return sparse.hstack([made[:, : place.start], values, made[:, place.stop :]], format="csr")


def text_steps(columns: list[str], options: StepOptions) -> list[Step]:
    """Return the steps for texts: per column its most frequent words, weighed by rarity or counted.

    A linear model gets pairs of words as well where there are rows enough to learn from them (Wang
    and Manning, 2012), unless `[features] text_words` says how much it gets. Pairs are a step of
    their own: so they push no word out, and convert to other forms without guessing what a pair is.

    A tree gains nothing from weights, and can split between two that differ in their last digit
    only, which is lost in float32; counts are exact. It takes dense input, and so fewer words.
    """
    weighed = options.kind == "linear"
    most = options.settings.text_words

    def step(title: str, name: str, size: int, default: int) -> Step:
        vectorizer = TfidfVectorizer(
            max_features=most or default,
            ngram_range=(size, size),
            lowercase=False,
            token_pattern=r"\S+",  # noqa: S106  # no password
            use_idf=weighed,
            norm="l2" if weighed else None,
        )
        return f"{title} {name}", vectorizer, name

    steps = [step("text", name, 1, MOST_WORDS if weighed else WORDS_OF_TREES) for name in columns]
    if weighed and most is None and len(options.inputs) in ROWS_OF_PAIRS:
        paired = [name for name in columns if options.inputs[name].str.contains(" ").mean() > 0.5]
        steps += [step("pairs", name, 2, MOST_WORDS) for name in paired]
    return steps


# ------------------------------------------------------------------------ transformers of custom.py


def team_steps(inputs: pd.DataFrame, kind: str, seed: int) -> list[tuple[str, Any, list[str]]]:
    """Return the steps that custom.py, or a folder, adds to those for each kind of input.

    One that takes no column is left out.

    Args:
        inputs: Prepared rows of train.
        kind: "linear", "tree" or "filled", see `Candidate`.
        seed: Of the split.

    Raises:
        UserError: If a function fails, or does not return a transformer and columns that there are.
    """
    registry.team()
    entries = sorted(registry.TRANSFORMERS.items())
    steps = [_team_step(name, registry.load(each), inputs, kind, seed) for name, each in entries]
    return [step for step in steps if step[-1]]


def _team_step(
    name: str, build: Any, inputs: pd.DataFrame, kind: str, seed: int
) -> tuple[str, Any, list[str]]:
    """Return one step."""
    try:
        found = build(inputs, kind, seed)
    except UserError:
        raise
    except Exception as error:  # whatever the team's code raises
        raise failure(_place(name), error) from error
    try:
        transformer, columns = found
        columns = [str(each) for each in columns]
    except (TypeError, ValueError):
        raise UserError(
            f"{_place(name)} returned {type(found).__name__}; let its function return "
            "(transformer, columns)."
        ) from None
    if isinstance(transformer, type) or not all(hasattr(transformer, each) for each in METHODS):
        raise UserError(
            f"{_place(name)} is {_described(transformer)}, not an estimator of scikit-learn's "
            f"kind; it needs {', '.join(METHODS[:-1])} and {METHODS[-1]}: inherit from "
            "BaseEstimator."
        )
    require_columns([str(each) for each in inputs.columns], columns, _place(name))
    return name, transformer, columns


def check_team_steps(
    features: ColumnTransformer, inputs: pd.DataFrame, target: Any, others: pd.DataFrame
) -> None:
    """Find out whether a transformer of custom.py is why a model cannot be fitted or used.

    Args:
        features: Unfitted; see `features.build_features`.
        inputs: Prepared rows of train.
        target: Of these rows.
        others: Prepared rows that it is not fitted on.

    Raises:
        UserError: If one fails, or returns other rows than it got.
    """
    own = [step for step in features.transformers if step[0] in registry.TRANSFORMERS]
    for name, transformer, columns in own:
        try:
            fitted = clone(transformer).fit(inputs[columns], target)
            sizes = [
                (len(rows), _rows(fitted.transform(rows[columns]))) for rows in (inputs, others)
            ]
        except Exception as error:  # whatever the team's code raises
            raise failure(_place(name), error) from error
        _refuse_other_rows(name, sizes)


def _refuse_other_rows(name: str, sizes: Iterable[tuple[int, int]]) -> None:
    """Refuse a transformer that returns fewer rows or more."""
    for given, returned in sizes:
        if returned != given:
            raise UserError(
                f"{_place(name)} turned {given:,} rows into {returned:,}; let it return a row for "
                "every row (drop rows in clean)."
            )


def _rows(found: Any) -> int:
    """Return the number of rows of an array or a table, also of a sparse one."""
    return int(found.shape[0]) if hasattr(found, "shape") else len(found)


def _place(name: str) -> str:
    """Return how a sentence names a transformer."""
    return f"The transformer '{name}' of custom.py"


def _described(value: Any) -> str:
    """Return what a value is, for a sentence."""
    return f"the class {value.__name__}" if isinstance(value, type) else type(value).__name__
