"""The model's inputs: what follows from a row alone (`prepare`), and what is fitted on train.

The encoders are those that ONNX converts with equal predictions. What it converts wrongly without a
word (missing numbers in forests, encoders fed with None, `min_frequency`) is avoided here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
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
from ..core.errors import UserError
from .inputs import DATE_PARTS, words

if TYPE_CHECKING:
    from ..core.config import FeatureSettings
    from ..data.schema import Schema

NUMBERS = ("integer", "number", "boolean")
# Stands for a missing number where an estimator cannot take one: below all that data holds, so
# that a tree can split it off, and within float32, in which ONNX computes.
MISSING = -1e30


def prepare(frame: pd.DataFrame, schema: Schema) -> pd.DataFrame:
    """Turn typed rows into the model's inputs, each row by itself.

    Numbers and flags become float64 with NaN, a date becomes six numbers (the last, `__days`, is
    counted from 1970), strings keep their text with "" for a missing one, and a text becomes its
    words in lower case. Columns that need no change are not copied.

    Args:
        frame: Rows that conform to `schema`; columns beside its features are left out.
        schema: The types of the columns.

    Returns:
        The inputs, in the order of the schema's features, then those that `custom.py` added.

    Raises:
        UserError: If `add_features` of custom.py returns other rows, or a column that is neither
            of numbers, flags, dates nor text.
    """
    types = {column.name: column.type for column in schema.features}
    given = frame if list(frame.columns) == list(types) else frame[list(types)]
    rows = _add_own_features(given)
    inputs: dict[str, Any] = {}
    changed = False
    for name in rows.columns:
        values = rows[name]
        columns = _prepare_column(values, name, types.get(name) or _own_type(values))
        changed = changed or columns.get(name) is not values
        inputs |= columns
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
    types = input_types(inputs, schema, settings)
    numbers = [name for name, kind in types.items() if kind == "number"]
    categories = [name for name, kind in types.items() if kind == "category"]
    strings = [name for name, kind in types.items() if kind == "string"]
    texts = [name for name, kind in types.items() if kind == "text"]
    if kind == "constant":  # the baseline looks at no column
        return ColumnTransformer([("none", "drop", [])])

    steps: list[tuple[str, Any, Any]] = []
    if numbers:
        steps += _number_steps(kind, numbers, [name for name in numbers if _lacks(inputs[name])])
    if categories:
        steps.append(("categories", _category_step(kind), categories))
    if strings:
        steps.append(("strings", _string_step(kind, target_kind, seed), strings))
    steps += [(f"text {name}", _text_step(kind, settings.text_words), name) for name in texts]
    # Trees take dense input only; a linear model is faster on sparse columns of zeros.
    return ColumnTransformer(steps, sparse_threshold=0.3 if kind == "linear" else 0)


def input_types(inputs: pd.DataFrame, schema: Schema, settings: FeatureSettings) -> dict[str, str]:
    """Return what each input is: number, category, string (high-cardinality) or text."""
    strings = {
        column.name: column.type
        for column in schema.features
        if column.type in ("category", "string", "text")
    }
    types = {}
    for name in inputs.columns:
        if pd.api.types.is_float_dtype(inputs[name]):
            types[name] = "number"
        elif name in strings:
            types[name] = strings[name]
        else:  # a column of custom.py
            few = inputs[name].nunique() <= settings.max_categories
            types[name] = "category" if few else "string"
    return types


def _add_own_features(given: pd.DataFrame) -> pd.DataFrame:
    """Apply custom.py to the rows; it may add columns, not rows."""
    rows = registry.team().add_features(given)
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


def _prepare_column(values: pd.Series[Any], name: str, kind: str) -> dict[str, Any]:
    """Return the inputs that one column becomes."""
    if kind in NUMBERS:
        return {name: _floats(values)}
    if kind == "datetime":
        return _date_parts(values, name)
    if kind == "text":
        return {name: _strings(values).map(words).astype(object)}
    return {name: _strings(values)}


def _floats(values: pd.Series[Any]) -> pd.Series[Any]:
    """Return numbers or flags as float64 with NaN for a missing one."""
    if values.dtype == np.float64:
        return values
    if values.dtype == object:  # flags with None among them
        values = values.astype("boolean")
    floats = values.to_numpy(dtype=np.float64, na_value=np.nan)
    return pd.Series(floats, index=values.index, name=values.name, copy=False)


def _strings(values: pd.Series[Any]) -> pd.Series[Any]:
    """Return strings with "" for a missing one, as Python objects, which the encoders expect."""
    values = values.astype(object)
    missing = values.isna()
    return values.where(~missing, "") if missing.any() else values


def _date_parts(values: pd.Series[Any], name: str) -> dict[str, Any]:
    """Return the six numbers that stand for a date."""
    dates = pd.DatetimeIndex(values)
    if dates.tz is not None:
        dates = dates.tz_convert("UTC").tz_localize(None)
    days = (dates - pd.Timestamp(1970, 1, 1)) / pd.Timedelta(days=1)
    parts = [dates.year, dates.month, dates.day, dates.day_of_week, dates.hour, days]
    return {
        f"{name}__{part}": pd.Series(np.asarray(numbers, dtype=np.float64), index=values.index)
        for part, numbers in zip(DATE_PARTS, parts, strict=True)
    }


def _lacks(values: pd.Series[Any]) -> bool:
    """Tell whether a number is missing."""
    return bool(values.isna().any())


def _number_steps(
    kind: str, numbers: list[str], lacking: list[str]
) -> list[tuple[str, Any, list[str]]]:
    """Return the steps for numbers."""
    if kind == "tree":
        return [("numbers", "passthrough", numbers)]
    if kind == "filled":
        return [("numbers", _fill(), numbers)]
    median = SimpleImputer(strategy="median", keep_empty_features=True)
    steps = [("numbers", Pipeline([("fill", median), ("scale", StandardScaler())]), numbers)]
    if lacking:  # scikit-learn's own indicator has no equal in ONNX
        flags = Pipeline([("fill", _fill()), ("flag", Binarizer(threshold=MISSING / 10))])
        steps.append(("present", flags, lacking))
    return steps


def _fill() -> SimpleImputer:
    """Return the step that puts `MISSING` in place of a missing number."""
    return SimpleImputer(strategy="constant", fill_value=MISSING, keep_empty_features=True)


def _category_step(kind: str) -> Any:
    """Return the step for columns of few categories; unknown ones count as none of them."""
    if kind == "linear":
        return OneHotEncoder(handle_unknown="ignore")
    return OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1)


def _string_step(kind: str, target_kind: str, seed: int) -> Any:
    """Return the step for high-cardinality columns: the target's mean (Micci-Barreca, 2001).

    On train each row gets the mean of other folds, so that its own target does not leak.
    """
    encoder = TargetEncoder(
        target_type=target_kind,
        cv=KFold(5, shuffle=True, random_state=seed),
    )
    if kind == "linear":
        return Pipeline([("encode", encoder), ("scale", StandardScaler())])
    return encoder


def _text_step(kind: str, words: int) -> TfidfVectorizer:
    """Return the step for a column of texts: its most frequent words, weighed by rarity or counted.

    A tree gains nothing from weights, and can split between two that differ in their last digit
    only, which is lost in ONNX's float32; counts are exact.
    """
    weighed = kind == "linear"
    return TfidfVectorizer(
        max_features=words,
        lowercase=False,
        token_pattern=r"\S+",  # noqa: S106  # no password
        use_idf=weighed,
        norm="l2" if weighed else None,
    )
