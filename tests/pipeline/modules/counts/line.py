"""An estimator whose weights are kept in a file of its own, and its part of the ONNX graph."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from sklearn.linear_model import Ridge

from ..core.files import write_atomic
from ..models import Candidate, configure

FILE = "line.npz"


class Line(Ridge):  # type: ignore[misc]  # scikit-learn has no types
    """Ridge regression; what is registered for this class does not hold for Ridge itself."""


def line(task: str, seed: int, params: dict[str, Any]) -> Candidate:
    """Build the candidate `line`."""
    return Candidate("line", "LINE", "linear", configure(Line, "line", params, random_state=seed))


def save_line(model: Line, folder: Path) -> tuple[list[Path], dict[str, Any]]:
    """Write what was fitted, and leave the parameters to `model.skops`."""
    with write_atomic(folder / FILE) as temporary:
        np.savez(temporary, weights=model.coef_, constant=model.intercept_)
    return [folder / FILE], model.get_params()


def load_line(folder: Path, rest: dict[str, Any]) -> Line:
    """Undo `save_line`."""
    model = Line(**rest)
    with np.load(folder / FILE, allow_pickle=False) as kept:
        model.coef_, model.intercept_ = kept["weights"], float(kept["constant"])
    return model


def line_as_onnx(model: Line, features: int) -> Any:
    """Return the line as a graph of one node."""
    from onnx import TensorProto, helper, numpy_helper

    weights = model.coef_.reshape(-1, 1).astype(np.float32)
    constant = np.array([model.intercept_], dtype=np.float32)
    graph = helper.make_graph(
        [helper.make_node("Gemm", ["X", "weights", "constant"], ["values"])],
        "line",
        [helper.make_tensor_value_info("X", TensorProto.FLOAT, [None, features])],
        [helper.make_tensor_value_info("values", TensorProto.FLOAT, [None, 1])],
        [
            numpy_helper.from_array(weights, "weights"),
            numpy_helper.from_array(constant, "constant"),
        ],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)])
