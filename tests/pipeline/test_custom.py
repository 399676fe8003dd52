"""The worked examples in `custom.py` work once their `#` is taken away."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

CONF = """[data]
source = warehouse:houses
target = dear
[model]
candidates = extra_trees
folds = 2
[params]
extra_trees.n_estimators = 20
[evaluate]
bootstrap = 50
"""
WAREHOUSE = """

def read_from_your_warehouse(name: str) -> "pd.DataFrame":
    import numpy as np
    import pandas as pd

    random = np.random.default_rng(1)
    frame = pd.DataFrame({"price": random.uniform(1, 9, 300), "rooms": random.integers(1, 9, 300)})
    frame["age"] = [300] * 10 + [40] * 290
    return frame.assign(dear=np.where(frame["price"] / frame["rooms"] > 1.2, "yes", "no"))
"""


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory, package_environment: dict[str, str]) -> Path:
    """Return a project that ran with every example of custom.py taken at its word."""
    root = tmp_path_factory.mktemp("custom")
    source = Path(package_environment["PYTHONPATH"]) / "mlproj"
    package = Path(shutil.copytree(source, root / "src" / "mlproj"))
    custom = package / "custom.py"
    text = custom.read_text(encoding="utf-8")
    # Lines of code open with one of these words; the others in a comment are prose.
    words = "import|from|if|frame|def|classes|kind|estimator|return|ESTIMATORS|SOURCES"
    examples = re.sub(
        rf'^( *)# ?((?:    )*(?:{words})\b.*|"\w+": \w+,|)$',
        r"\1\2",
        text,
        flags=re.MULTILINE,
    )
    custom.write_text(examples + WAREHOUSE, encoding="utf-8")
    (root / "conf.cfg").write_text(CONF, encoding="utf-8")
    subprocess.run(
        [sys.executable, "-m", "mlproj", "run", "--until", "evaluate"],
        cwd=root,
        env=package_environment | {"PYTHONPATH": str(root / "src")},
        check=True,
        timeout=300,
    )
    return root


def report(project: Path, name: str) -> dict[str, object]:
    """Return the facts of one report."""
    text = (project / "reports" / f"{name}.json").read_text(encoding="utf-8")
    facts: dict[str, object] = json.loads(text)["facts"]
    return facts


def test_the_own_source_is_read(project: Path) -> None:
    """All rows of the warehouse arrive, as an original of their own."""
    assert report(project, "ingest")["rows"] == 300
    assert (project / "data" / "original" / "houses.parquet").is_file()


def test_the_own_rule_drops_rows_before_the_split(project: Path) -> None:
    """The ten rows whose age is impossible are in no part."""
    parts = [pd.read_parquet(path) for path in (project / "data").glob("*/part-*.parquet")]
    assert sum(map(len, parts)) == 290
    assert all((part["age"] < 120).all() for part in parts)


def test_the_own_estimator_and_feature_win(project: Path) -> None:
    """The estimator is packaged, and the added column makes the target easy."""
    facts = report(project, "train")
    assert facts["winner"] == "extra_trees"
    bundle = json.loads(next((project / "models").glob("*/bundle.json")).read_text("utf-8"))
    inputs = [name for block in bundle["onnx"]["inputs"] for name in block["columns"]]
    assert "price_per_room" in inputs
