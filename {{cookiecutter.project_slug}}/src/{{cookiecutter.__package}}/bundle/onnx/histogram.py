"""Histogram gradient boosting as ONNX, with splits in float64, by which scikit-learn compares.

skl2onnx writes them as float32, and passes booleans where onnx insists on integers.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


# The newest operators that the oldest supported onnxruntime knows.
OPSETS = {"": 18, "ai.onnx.ml": 3}


def histogram_trees(estimator: Any) -> Iterator[Any]:
    """Yield the trees of histogram gradient boosting; none of other estimators."""
    for stage in getattr(estimator, "_predictors", []):
        yield from stage


def is_histogram(estimator: Any) -> bool:
    """Tell whether an estimator is histogram gradient boosting."""
    return any(True for _ in histogram_trees(estimator))


def histogram_as_onnx(estimator: Any, features: int) -> Any:
    """Return the estimator as a graph from features (rows, features) to probabilities or values."""
    from onnx import TensorProto, helper

    targets = len(estimator._predictors[0])
    nodes = [
        helper.make_node("Cast", ["features"], ["numbers"], to=TensorProto.DOUBLE),
        helper.make_node(
            "TreeEnsembleRegressor",
            ["numbers"],
            ["scores"],
            domain="ai.onnx.ml",
            n_targets=targets,
            **_nodes(list(histogram_trees(estimator))),
            **_leaves(list(histogram_trees(estimator)), targets),
            **_doubles("base_values", np.ravel(estimator._baseline_prediction)),
        ),
    ]
    stored = []
    classes = len(getattr(estimator, "classes_", ()))
    if classes == 2:  # of one score s: exp(-s/2) and exp(s/2), divided by their sum
        stored.append(helper.make_tensor("halves", TensorProto.FLOAT, [1, 2], [-0.5, 0.5]))
        nodes.append(helper.make_node("Mul", ["scores", "halves"], ["halved"]))
    if classes:
        last = nodes[-1].output[0]
        nodes.append(helper.make_node("Softmax", [last], ["probabilities"], axis=1))
    taken = helper.make_tensor_value_info("features", TensorProto.DOUBLE, [None, features])
    given = helper.make_tensor_value_info(
        nodes[-1].output[0], TensorProto.FLOAT, [None, classes or targets]
    )
    graph = helper.make_graph(nodes, "trees", [taken], [given], initializer=stored)
    return helper.make_model(
        graph, opset_imports=[helper.make_opsetid(*each) for each in OPSETS.items()]
    )


def _nodes(trees: list[Any]) -> dict[str, Any]:
    """Return the attributes that describe the nodes of all trees, one tree after another."""
    nodes = np.concatenate([tree.nodes for tree in trees])
    inner = nodes["is_leaf"] == 0
    return {
        "nodes_treeids": np.repeat(np.arange(len(trees)), [len(t.nodes) for t in trees]).tolist(),
        "nodes_nodeids": np.concatenate([np.arange(len(tree.nodes)) for tree in trees]).tolist(),
        "nodes_modes": np.where(inner, "BRANCH_LEQ", "LEAF").tolist(),
        "nodes_featureids": np.where(inner, nodes["feature_idx"], 0).tolist(),
        "nodes_truenodeids": np.where(inner, nodes["left"], 0).tolist(),
        "nodes_falsenodeids": np.where(inner, nodes["right"], 0).tolist(),
        "nodes_missing_value_tracks_true": (inner * nodes["missing_go_to_left"]).tolist(),
        **_doubles("nodes_values", np.where(inner, nodes["num_threshold"], 0.0)),
    }


def _leaves(trees: list[Any], targets: int) -> dict[str, Any]:
    """Return the attributes that say what each leaf adds to which target."""
    leaves = [np.flatnonzero(tree.nodes["is_leaf"]) for tree in trees]
    of_tree = np.repeat(np.arange(len(trees)), [len(each) for each in leaves])
    values = [tree.nodes["value"][each] for tree, each in zip(trees, leaves, strict=True)]
    return {
        "target_treeids": of_tree.tolist(),
        "target_nodeids": np.concatenate(leaves).tolist(),
        "target_ids": (of_tree % targets).tolist(),
        **_doubles("target_weights", np.concatenate(values)),
    }


def _doubles(name: str, values: NDArray[np.float64]) -> dict[str, Any]:
    """Return an attribute of float64, which only a tensor can be."""
    from onnx import TensorProto, helper

    name = f"{name}_as_tensor"
    return {name: helper.make_tensor(name, TensorProto.DOUBLE, [len(values)], values)}
