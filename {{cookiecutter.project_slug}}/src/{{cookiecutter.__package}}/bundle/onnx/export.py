"""From a fitted pipeline to ONNX, kept only where it predicts as scikit-learn does.

It takes prepared inputs (the output of `features.prepare`) as two blocks, all numbers and all
words, since thirty inputs take longer to hand over than to compute with. It gives the probabilities
or values before calibration. Several converters are wrong without a word, so each export is
compared on real rows and on rows made to be hard. An estimator may bring its own part, which goes
behind the features' (`models.Weights`), and is compared like any other.

Numbers are float32, which scikit-learn's forests split by as well and which changes a linear model
by next to nothing. Histogram gradient boosting splits by float64, so it gets that (histogram.py).
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from copy import copy
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from sklearn.pipeline import Pipeline

from ...core.errors import UserError
from ...core.registry import load
from ...data.schema import with_columns
from ...evaluation.decision import label_codes, temper
from ...models.persist import weights_of
from ..bundle import task_of
from .histogram import OPSETS, histogram_as_onnx, histogram_trees, is_histogram

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

# Larger forests would take minutes and gigabytes to convert.
MOST_NODES = 300_000
ROWS, HARD_ROWS = 2_000, 1_000
# Probabilities, or values as a share of the largest of them: float32 has 7 digits.
TOLERANCE = 1e-5
# A probability so near to the threshold may end on either side of it in float32.
TIE = 1e-6
NEVER_SEEN = "never seen \u00e9"


@dataclass(frozen=True)
class Export:
    """What came of the attempt.

    Attributes:
        content: The file's bytes; None where the model does not convert or is not equal.
        facts: What onnx.json says about it.
    """

    content: bytes | None
    facts: dict[str, Any]


def export_onnx(model: Any, inputs: pd.DataFrame, document: Mapping[str, Any]) -> Export:
    """Convert a fitted pipeline, and compare the two.

    Args:
        model: The pipeline, from prepared inputs to probabilities or values.
        inputs: Prepared rows that training did not use.
        document: What of bundle.json makes labels, so that they are compared as well.

    Returns:
        The file, if equal; else the reason why there is none.

    Raises:
        UserError: If a package that this needs is not installed.
    """
    nodes = _count_nodes(model[-1])
    if nodes > MOST_NODES:
        return _without(
            f"its trees have {nodes:,} nodes, and more than {MOST_NODES:,} take too long"
        )
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            content = _convert(model, inputs)
            compared = _compare(model, content, inputs, document)
    except ImportError as error:
        raise UserError(
            f"An ONNX form needs {error.name or 'a package'}, which is not installed; run "
            "`make setup`, then this again."
        ) from error
    except Exception as error:  # noqa: BLE001  # converters and runtimes raise all kinds
        return _without(_explain(error, model))
    differ, largest = compared["label_differences"], compared["max_abs_diff"]
    if differ or largest > compared["tolerance"]:
        reason = f"its predictions differ: {differ} labels of {compared['rows']:,} rows differ, "
        return _without(reason + f"and predictions by up to {largest:.2g}", **compared)
    listed = _blocks(model, inputs)
    return Export(content, {"equal": True, "reason": None, **compared, "inputs": listed})


def _without(reason: str, **facts: Any) -> Export:
    """Return the outcome of an export that is not used."""
    nothing = {"max_abs_diff": None, "label_differences": None, "rows": 0}
    return Export(None, {"equal": False, "reason": reason, **nothing, **facts, "inputs": []})


def _explain(error: Exception, model: Any) -> str:
    """Say why a model does not convert."""
    from skl2onnx.common.exceptions import MissingShapeCalculator

    if isinstance(error, MissingShapeCalculator):
        return f"there is no converter for {type(model[-1]).__name__}"
    words = " ".join(str(error).split())
    return f"it does not convert ({type(error).__name__}: {words[:200]})"


def _convert(model: Any, inputs: pd.DataFrame) -> bytes:
    """Return the converted pipeline."""
    from skl2onnx import to_onnx
    from skl2onnx.common.data_types import DoubleTensorType, FloatTensorType, StringTensorType

    tensors = {"double": DoubleTensorType, "float": FloatTensorType, "string": StringTensorType}
    blocks, own = _blocks(model, inputs), _own_part(model[-1])
    pipeline = _by_place(model, blocks)
    converted = to_onnx(
        pipeline if own is None else pipeline[:-1],
        initial_types=[
            (block["name"], tensors[block["type"]]([None, len(block["columns"])]))
            for block in blocks
        ],
        target_opset=OPSETS,
        # An array of probabilities, no list of dicts.
        options={"zipmap": False} if own is None and hasattr(model, "predict_proba") else None,
    )
    if own is not None:
        width = model[:-1].transform(inputs.head(1)).shape[1]
        converted = _join(converted, own(model[-1], width))
    _keep_small_shares(converted)
    # The converter keeps them in a set, so their order, and the file's bytes, would vary.
    converted.opset_import.sort(key=lambda each: each.domain)
    content: bytes = converted.SerializeToString()
    return content


def _own_part(estimator: Any) -> Any:
    """Return what makes an estimator's part of the graph; None where skl2onnx does."""
    if is_histogram(estimator):
        return histogram_as_onnx
    weights = weights_of(estimator)
    return None if weights is None or weights.onnx is None else load(weights.onnx)


def _join(features: Any, own: Any) -> Any:
    """Return the features' graph with the estimator's own part behind it.

    Raises:
        ValueError: If the part takes anything but one tensor of features.
    """
    from onnx.compose import add_prefix, merge_models

    part = add_prefix(own, "model_")
    part.ir_version = features.ir_version  # the runtime reads what the operators ask for
    for used in features.opset_import:  # skl2onnx lowers them to what its operators need
        used.version = OPSETS.get(used.domain, used.version)
    stored = {each.name for each in part.graph.initializer}
    taken = [each.name for each in part.graph.input if each.name not in stored]
    if len(taken) != 1:
        raise ValueError(f"its own part takes {len(taken)} tensors, not one of features")
    return merge_models(features, part, io_map=[(features.graph.output[-1].name, taken[0])])


def _by_place(model: Any, blocks: list[dict[str, Any]]) -> Any:
    """Return the pipeline with each column named by its place in the blocks, one after another."""
    names = [name for block in blocks for name in block["columns"]]
    places = {name: at for at, name in enumerate(names)}
    features = copy(model[0])
    features.transformers_ = [
        (name, step, places[of] if isinstance(of, str) else [places[each] for each in of])
        for name, step, of in features.transformers_
    ]
    return Pipeline([("features", features), ("model", model[-1])])


def _keep_small_shares(converted: Any) -> None:
    """Let a binary classifier compute both probabilities from its score.

    onnxruntime gives one of them as 1 minus the other, in float32, which leaves nothing of those
    below 1e-7, and little of those above; after calibration by a temperature that shows.
    """
    from onnx.helper import make_node, make_tensor

    graph = converted.graph
    for at, node in enumerate(graph.node):
        ends = {each.name: each for each in node.attribute}
        kind, name = ends.get("post_transform"), graph.output[-1].name
        if kind is None or kind.s != b"LOGISTIC" or name not in node.output:
            continue
        kind.s = b"NONE"
        node.output[list(node.output).index(name)] = "score"
        # exp(s/2) and exp(-s/2), divided by their sum, are the logistic function of s and of -s.
        graph.initializer.append(make_tensor("half", 1, [1], [0.5]))
        graph.node.insert(at + 1, make_node("Mul", ["score", "half"], ["half_score"]))
        graph.node.insert(at + 2, make_node("Softmax", ["half_score"], [name], axis=1))
        return


def _compare(
    model: Any,
    content: bytes,
    inputs: pd.DataFrame,
    document: Mapping[str, Any],
) -> dict[str, Any]:
    """Run both on real and on hard rows, and return how far they differ."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    output = session.get_outputs()[-1].name
    blocks, task = _blocks(model, inputs), task_of(document)

    def both(rows: pd.DataFrame) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        expected = task.raw_scores(model, rows, document["classes"])
        feed = {block["name"]: _feed(rows, block) for block in blocks}
        found = session.run([output], feed)[0].reshape(expected.shape)
        return expected, found.astype(np.float64)

    near, nearer = _rows_at_splits(model, inputs)
    if is_histogram(model[-1]):
        near, nearer = near + nearer, []
    rows = pd.concat([_spread(inputs, ROWS), *_hard_rows(inputs), *near], ignore_index=True)
    expected, found = both(rows)
    classes = document["classes"]
    size = 1.0 if classes else max(1.0, float(np.abs(expected).max()))
    facts = {
        "max_abs_diff": _largest(expected, found),
        "label_differences": _label_differences(document, expected, found) if classes else 0,
        "rows": len(rows),
        "tolerance": TOLERANCE * size,
        "opset": OPSETS[""],
        "output": output,
        "nearer_than_float32": None,
    }
    if nearer:  # said, but no reason to refuse: numbers that differ in the 8th digit
        expected, found = both(pd.concat(nearer, ignore_index=True))
        differ = np.abs(expected - found).reshape(len(found), -1).max(axis=1) > TOLERANCE * size
        facts["nearer_than_float32"] = {"rows": len(found), "differ": int(differ.sum())}
    return facts


def _largest(expected: NDArray[np.float64], found: NDArray[np.float64]) -> float:
    """Return the largest difference; infinite where one of the two is not a number."""
    return float(np.nan_to_num(np.abs(found - expected), nan=np.inf).max())


def _label_differences(
    document: Mapping[str, Any], expected: NDArray[np.float64], found: NDArray[np.float64]
) -> int:
    """Count the rows that end in another class; a tie at the threshold within float32 is none."""
    temperature = document["calibration"]["temperature"]
    ours, theirs = temper(expected, temperature), temper(found, temperature)
    if document["threshold"] is None:
        ranked = np.sort(ours, axis=1)
        gap = ranked[:, -1] - ranked[:, -2]
    else:
        positive = document["classes"].index(document["positive"])
        gap = np.abs(ours[:, positive] - document["threshold"])
    differ = label_codes(document, ours) != label_codes(document, theirs)
    return int((differ & (gap > TIE)).sum())


def _hard_rows(inputs: pd.DataFrame) -> Iterator[pd.DataFrame]:
    """Yield rows with missing values, and with strings never seen."""
    random = np.random.default_rng(0)
    empty = {name: np.nan if _is_number(inputs[name]) else "" for name in inputs.columns}
    rows = _spread(inputs, HARD_ROWS)
    missing = random.random((len(rows), len(inputs.columns))) < 0.3
    columns = enumerate(inputs.columns)
    yield pd.DataFrame(
        {name: rows[name].where(~missing[:, at], empty[name]) for at, name in columns}
    )
    yield with_columns(rows.head(5), empty)
    words = [name for name in inputs.columns if not _is_number(inputs[name])][:HARD_ROWS]
    each = min(50, len(rows), HARD_ROWS // max(1, len(words)))
    yield from _with_values(rows, [(name, np.full(each, NEVER_SEEN)) for name in words])


def _rows_at_splits(
    model: Any, inputs: pd.DataFrame
) -> tuple[list[pd.DataFrame], list[pd.DataFrame]]:
    """Return rows with a number at a split of the trees or next to it.

    The first are at the split itself, and at the float32 numbers below and above it; the second are
    nearer to it than float32, which is what ONNX is given, can tell.
    """
    random = np.random.default_rng(0)
    rows = _spread(inputs, HARD_ROWS)
    near: list[tuple[str, NDArray[np.float64]]] = []
    nearer: list[tuple[str, NDArray[np.float64]]] = []
    numbers = [name for name in inputs.columns if _is_number(inputs[name])]
    # Of a table with thousands of columns, not each has its rows.
    for name, splits in list(_splits(model, numbers).items())[: HARD_ROWS // 3]:
        chosen = random.permutation(splits)[: HARD_ROWS // (3 * len(numbers)) + 1]
        rounded = chosen.astype(np.float32)
        beside = [np.nextafter(rounded, np.float32(way)) for way in (-np.inf, np.inf)]
        near.append((name, np.concatenate([chosen, *beside]).astype(np.float64)))
        nearer.append((name, np.nextafter(chosen, np.inf)))
    return _with_values(rows, near), _with_values(rows, nearer)


def _with_values(rows: pd.DataFrame, values: list[tuple[str, NDArray[Any]]]) -> list[pd.DataFrame]:
    """Return for each column the first rows with the given values in it, all in one table."""
    if not values:
        return []
    places = np.concatenate([np.arange(len(each)) % len(rows) for _, each in values])
    table = rows.iloc[places].reset_index(drop=True)
    changed: dict[str, Any] = {}
    start = 0
    for name, each in values:
        column = table[name].to_numpy(copy=True)
        column[start : start + len(each)] = each
        changed[name] = column
        start += len(each)
    # A table made at once: thousands of small ones, or of changed columns, take minutes.
    return [pd.DataFrame({**table, **changed}, copy=False)]


def _splits(model: Any, numbers: list[str]) -> dict[str, NDArray[np.float64]]:
    """Return the values at which the model's trees split each number that reaches them as it is."""
    positions: dict[int, str] = {}
    at = 0
    for name, _, columns in model[0].transformers_:
        if name == "numbers":
            positions = {at + place: column for place, column in enumerate(columns)}
        at += len(columns) if name == "numbers" else 0
    found: dict[str, list[float]] = {}
    for feature, value in _tree_splits(model[-1]):
        if positions.get(feature) in numbers:
            found.setdefault(positions[feature], []).append(value)
    return {name: np.unique(values) for name, values in found.items()}


def _tree_splits(estimator: Any) -> Iterator[tuple[int, float]]:
    """Yield the feature's position and the value of each split of scikit-learn's tree ensembles."""
    for tree in histogram_trees(estimator):
        inner = tree.nodes[tree.nodes["is_leaf"] == 0]
        yield from zip(inner["feature_idx"].tolist(), inner["num_threshold"].tolist(), strict=True)
    for each in getattr(estimator, "estimators_", []):
        tree = getattr(each, "tree_", None)
        if tree is not None:
            inner = tree.children_left >= 0
            yield from zip(
                tree.feature[inner].tolist(), tree.threshold[inner].tolist(), strict=True
            )


def _count_nodes(estimator: Any) -> int:
    """Return how many nodes the trees have, 0 for other models."""
    count = sum(len(tree.nodes) for tree in histogram_trees(estimator))
    trees = (getattr(each, "tree_", None) for each in getattr(estimator, "estimators_", []))
    return count + sum(int(tree.node_count) for tree in trees if tree is not None)


def _blocks(model: Any, inputs: pd.DataFrame) -> list[dict[str, Any]]:
    """Return what ONNX takes: name, type (double, float or string) and columns of each tensor."""
    numbers = [name for name in inputs.columns if _is_number(inputs[name])]
    words = [name for name in inputs.columns if not _is_number(inputs[name])]
    kind = "double" if is_histogram(model[-1]) else "float"
    blocks = [
        {"name": "numbers", "type": kind, "columns": numbers},
        {"name": "words", "type": "string", "columns": words},
    ]
    return [block for block in blocks if block["columns"]]


def _is_number(values: pd.Series[Any]) -> bool:
    """Tell numbers from strings."""
    return pd.api.types.is_float_dtype(values)


def _feed(rows: pd.DataFrame, block: dict[str, Any]) -> NDArray[Any]:
    """Return a block as onnxruntime takes it, (rows, columns)."""
    types: dict[str, Any] = {"double": np.float64, "float": np.float32, "string": object}
    values: NDArray[Any] = rows[block["columns"]].to_numpy(dtype=types[block["type"]])
    return values


def _spread(frame: pd.DataFrame, rows: int) -> pd.DataFrame:
    """Return at most so many rows, evenly spread over the table."""
    return frame.iloc[:: -(-len(frame) // rows)] if len(frame) > rows else frame
