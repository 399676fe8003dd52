"""Estimators that bring files of their own and their own part of the ONNX graph."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from mlproj.bundle.bundle import load_bundle
from mlproj.bundle.onnx.form import read_onnx
from mlproj.core import config, pipeline
from mlproj.core.errors import UserError
from mlproj.core.files import file_sha256, read_json, write_atomic
from mlproj.core.registry import ESTIMATORS, WEIGHTS
from mlproj.data.split import load_split
from mlproj.models import Candidate, Weights
from mlproj.models.features import prepare
from mlproj.models.persist import MODEL_FILE, load_model, model_files, save_model, weights_of
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin

FILE = "plane.npz"
SAMPLE = {"source": "sample:600", "id": "customer_id"}
TARGETS = {"classification": "churned", "regression": "spend"}


class Plane(BaseEstimator):  # type: ignore[misc]  # scikit-learn has no types
    """Least squares, whose coefficients are kept in a file of numpy's."""

    def fit(self, X: Any, y: Any) -> Plane:
        self.classes_, codes = np.unique(y, return_inverse=True)
        self._solve(X, codes)
        return self

    def _solve(self, X: Any, goal: Any) -> None:
        X = X.toarray() if hasattr(X, "toarray") else X
        rows = np.column_stack([X, np.ones(len(X))])
        penalty = np.eye(rows.shape[1])
        self.plane_ = np.linalg.solve(rows.T @ rows + penalty, rows.T @ goal)

    def _height(self, X: Any) -> Any:
        X = X.toarray() if hasattr(X, "toarray") else X
        return X @ self.plane_[:-1] + self.plane_[-1]


class PlaneClassifier(ClassifierMixin, Plane):  # type: ignore[misc]  # scikit-learn has no types
    """A plane squeezed into probabilities of two classes."""

    def predict_proba(self, X: Any) -> Any:
        shares = 1 / (1 + np.exp(-self._height(X)))
        return np.column_stack([1 - shares, shares])

    def predict(self, X: Any) -> Any:
        return self.classes_[self.predict_proba(X).argmax(axis=1)]


class PlaneRegressor(RegressorMixin, Plane):  # type: ignore[misc]  # scikit-learn has no types
    """A plane as it is."""

    def fit(self, X: Any, y: Any) -> PlaneRegressor:
        self._solve(X, y)
        return self

    def predict(self, X: Any) -> Any:
        return self._height(X)


def build_plane(task: str, seed: int, params: dict[str, Any]) -> Candidate:
    kind = PlaneClassifier if task == "classification" else PlaneRegressor
    return Candidate("plane", "PLANE", "linear", kind())


def save_plane(model: Plane, folder: Path) -> tuple[list[Path], dict[str, Any]]:
    with write_atomic(folder / FILE) as temporary:
        np.savez(temporary, plane=model.plane_)
    return [folder / FILE], {"classes": getattr(model, "classes_", None)}


def load_plane(folder: Path, rest: dict[str, Any]) -> Plane:
    model = PlaneRegressor() if rest["classes"] is None else PlaneClassifier()
    if rest["classes"] is not None:
        model.classes_ = rest["classes"]
    model.plane_ = np.load(folder / FILE, allow_pickle=False)["plane"]
    return model


def plane_as_onnx(model: Plane, features: int, bend: float = 0.0) -> Any:
    """Return the plane as ONNX; names are those of the features' graph, to see them kept apart."""
    from onnx import TensorProto, helper, numpy_helper

    classes = isinstance(model, PlaneClassifier)
    weights = model.plane_[:-1].reshape(-1, 1).astype(np.float32)
    weights += np.float32(bend)
    kept = [
        numpy_helper.from_array(weights, "variable"),
        numpy_helper.from_array(model.plane_[-1:].astype(np.float32), "numbers"),
    ]
    nodes = [helper.make_node("Gemm", ["X", "variable", "numbers"], ["height"])]
    if classes:
        nodes += [
            helper.make_node("Neg", ["height"], ["minus"]),
            helper.make_node("Sigmoid", ["height"], ["second"]),
            helper.make_node("Sigmoid", ["minus"], ["first"]),
            helper.make_node("Concat", ["first", "second"], ["probabilities"], axis=1),
        ]
    name, width = ("probabilities", 2) if classes else ("height", 1)
    graph = helper.make_graph(
        nodes,
        "plane",
        [helper.make_tensor_value_info("X", TensorProto.FLOAT, [None, features])],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, [None, width])],
        kept,
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)])


PLANE = Weights("plane", (FILE,), save_plane, load_plane, plane_as_onnx)
KEY = f"{Plane.__module__}:{Plane.__qualname__}"


@pytest.fixture
def plane(monkeypatch: pytest.MonkeyPatch) -> None:
    """Register the estimator and its weights, as a module does."""
    monkeypatch.setitem(ESTIMATORS, "plane", build_plane)
    monkeypatch.setitem(WEIGHTS, KEY, PLANE)


def package_plane(make_project: Any, folder: Path, task: str) -> Any:
    """Train and package a plane; return the project."""
    project = make_project(
        folder,
        data={**SAMPLE, "target": TARGETS[task]},
        model={"task": task, "candidates": "plane", "folds": 0},
    )
    settings = config.load_settings(project)
    pipeline.run(project, settings, until="postprocess", say=lambda _: None)
    return project


@pytest.mark.parametrize("task", TARGETS)
def test_it_is_trained_saved_loaded_and_exported_with_equal_predictions(
    make_project: Any, tmp_path: Path, plane: None, task: str
) -> None:
    project = package_plane(make_project, tmp_path / "project", task)
    report = pipeline.require(project, "postprocess")
    folder = project.bundle_folder(report.run_id)
    document = read_json(folder / "bundle.json")
    assert set(document["files"]) == {MODEL_FILE, FILE, "reference.json"}
    assert document["files"][FILE] == file_sha256(folder / FILE)
    assert model_files(folder) == [folder / MODEL_FILE, folder / FILE]

    bundle = load_bundle(project, report.run_id)
    fitted = load_model(folder)
    inputs = prepare(load_split(project, "valid"), bundle.schema)
    assert type(fitted[-1]).__name__ == f"Plane{'Classifier' if bundle.classes else 'Regressor'}"
    before = bundle_scores(fitted, inputs)
    assert before.std() > 0
    # Saved again elsewhere, it says the same.
    files = save_model(fitted, tmp_path / "again")
    assert files == [tmp_path / "again" / FILE, tmp_path / "again" / MODEL_FILE]
    assert [path.read_bytes() for path in files] == [
        (folder / path.name).read_bytes() for path in files
    ]
    np.testing.assert_array_equal(bundle_scores(load_model(tmp_path / "again"), inputs), before)

    onnx = read_onnx(folder, document)
    assert onnx["equal"], onnx["reason"]
    assert onnx["max_abs_diff"] <= onnx["tolerance"]
    found = run_onnx(folder, onnx, inputs).reshape(before.shape)
    assert np.abs(found - before).max() <= onnx["tolerance"]


def bundle_scores(model: Any, inputs: Any) -> Any:
    """Return probabilities or values."""
    return getattr(model, "predict_proba", model.predict)(inputs)


def run_onnx(folder: Path, facts: dict[str, Any], inputs: Any) -> Any:
    """Score prepared inputs as a service does: by what onnx.json says."""
    import onnxruntime

    session = onnxruntime.InferenceSession(folder / "model.onnx")
    types = {"double": np.float64, "float": np.float32, "string": object}
    feed = {
        block["name"]: inputs[block["columns"]].to_numpy(dtype=types[block["type"]])
        for block in facts["inputs"]
    }
    return session.run([facts["output"]], feed)[0]


def two_tensors(model: Plane, features: int) -> Any:
    made = plane_as_onnx(model, features)
    made.graph.input.append(made.graph.input[0])
    return made


def of_other_operators(model: Plane, features: int) -> Any:
    made = plane_as_onnx(model, features)
    made.opset_import[0].version = 17
    return made


def fails(model: Plane, features: int) -> Any:
    raise RuntimeError("no graph today")


@pytest.mark.parametrize(
    ("part", "reason"),
    [
        (
            lambda model, features: plane_as_onnx(model, features, bend=0.02),
            "its predictions differ",
        ),
        (of_other_operators, "it does not convert ("),
        (two_tensors, "its own part takes 2 tensors, not one of features"),
        (fails, "it does not convert (RuntimeError: no graph today)"),
        (None, "there is no converter for PlaneClassifier"),
    ],
    ids=["other weights", "other operators", "two inputs", "an error", "none"],
)
def test_a_part_that_is_not_equal_is_left_out_with_the_reason(
    make_project: Any,
    tmp_path: Path,
    plane: None,
    monkeypatch: pytest.MonkeyPatch,
    part: Any,
    reason: str,
) -> None:
    monkeypatch.setitem(WEIGHTS, KEY, Weights("plane", (FILE,), save_plane, load_plane, part))
    project = package_plane(make_project, tmp_path, "classification")
    report = pipeline.require(project, "postprocess")
    assert reason in report.facts["onnx"]["reason"]
    folder = project.bundle_folder(report.run_id)
    assert not (folder / "model.onnx").exists()
    assert (folder / FILE).exists()


def test_a_model_whose_module_is_gone_is_named(
    make_project: Any, tmp_path: Path, plane: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = package_plane(make_project, tmp_path, "regression")
    folder = project.bundle_folder(pipeline.require(project, "postprocess").run_id)
    monkeypatch.delitem(WEIGHTS, KEY)
    with pytest.raises(UserError, match=r"of the kind 'plane', which no part of this project"):
        load_model(folder)


def test_weights_hold_for_a_class_and_for_those_that_inherit(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(WEIGHTS, ".custom:Net", PLANE)
    net = type("Net", (), {"__module__": "mlproj.custom"})
    deeper = type("Deeper", (net,), {"__module__": "elsewhere"})
    assert weights_of(net()) is weights_of(deeper()) is PLANE
    assert weights_of(type("Net", (), {"__module__": "mlprojects.custom"})()) is None
    assert weights_of(object()) is None


@pytest.fixture
def bare(tmp_path: Path, package_environment: dict[str, str]) -> Iterator[dict[str, str]]:
    """An environment whose package is a copy, to which a test may add."""
    source = Path(package_environment["PYTHONPATH"])
    shutil.copytree(source / "mlproj", tmp_path / "copy" / "mlproj")
    yield {**package_environment, "PYTHONPATH": str(tmp_path / "copy")}


MODULE = """
from ..core.registry import WEIGHTS
from ..models import Weights

WEIGHTS.update({".extra.net:Net": Weights("net", ("net.bin",), ".extra.net:s", ".extra.net:l")})
"""


def test_a_folder_adds_weights_and_nothing_heavy_is_imported(
    tmp_path: Path, bare: dict[str, str]
) -> None:
    extra = tmp_path / "copy" / "mlproj" / "extra"
    extra.mkdir()
    (extra / "__init__.py").write_text(f'"""Extra."""\n{MODULE}', encoding="utf-8")
    (tmp_path / "net.bin").touch()
    (tmp_path / "xgboost.json").touch()
    code = (
        "import sys; from pathlib import Path; from mlproj.models.persist import model_files\n"
        "print([path.name for path in model_files(Path(sys.argv[1]))])\n"
        "own = {'mlproj.models.boosters.estimators', 'mlproj.extra.net'}\n"
        "heavy = {'numpy', 'pandas', 'sklearn', 'skops'} | own\n"
        "print(sorted(heavy & set(sys.modules)))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)], env=bare, capture_output=True, text=True
    )
    assert done.stdout.splitlines() == ["['net.bin', 'xgboost.json']", "[]"], done.stderr
