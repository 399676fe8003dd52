"""What `serve.py` compares with: run in the peers' environment, it saves the models they serve.

`python serve_peers.py FOLDER` writes an MLflow model to FOLDER/mlflow and the same scikit-learn
pipeline into BentoML's store; `bentoml serve serve_peers:Sklearn` and `:Onnx` serve it.
"""

# mypy: ignore-errors

import os
import sys
from pathlib import Path


def fit():
    """Return a fitted pipeline as a user would write it, and its data."""
    from sklearn.datasets import load_breast_cancer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    data = load_breast_cancer(as_frame=True)
    model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
    return model.fit(data.data, data.target), data.data


def save(folder):
    """Save the pipeline for MLflow and for BentoML."""
    import bentoml
    import mlflow.sklearn
    from mlflow.models import infer_signature

    model, rows = fit()
    mlflow.sklearn.save_model(
        model,
        folder / "mlflow",
        signature=infer_signature(rows, model.predict(rows)),
        pyfunc_predict_fn="predict_proba",
        skops_trusted_types=["numpy.dtype"],
    )
    bentoml.sklearn.save_model("peer", model, signatures={"predict_proba": {"batchable": False}})


if __name__ == "__main__":
    save(Path(sys.argv[1]))
else:
    import bentoml
    import pandas as pd

    @bentoml.service(workers=1)
    class Sklearn:
        """The scikit-learn pipeline."""

        def __init__(self) -> None:
            """Load it."""
            self.model = bentoml.sklearn.load_model("peer:latest")

        @bentoml.api
        def predict(self, rows: list[dict[str, float]]) -> list[list[float]]:
            """Return the probabilities."""
            return self.model.predict_proba(pd.DataFrame(rows)).tolist()

    @bentoml.service(workers=1)
    class Onnx:
        """The bundle's own ONNX."""

        def __init__(self) -> None:
            """Load it."""
            import onnxruntime

            options = onnxruntime.SessionOptions()
            options.intra_op_num_threads = 1
            self.session = onnxruntime.InferenceSession(os.environ["MODEL_ONNX"], options)

        @bentoml.api
        def predict(self, rows: list[dict[str, float]]) -> list[list[float]]:
            """Return the probabilities."""
            import numpy as np

            block = np.array([list(row.values()) for row in rows], dtype=np.float32)
            return self.session.run(["probabilities"], {"numbers": block})[0].tolist()
