"""A `run` on a table that nobody here wrote, beside a plain script of scikit-learn.

The script reads the same parts and the same columns, fits a linear model and gradient boosting with
their defaults, and keeps the better of the two on valid, as `run` does.
"""

import json
import os
import re
import resource
import shutil
import subprocess
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml
from measure import configure, project_command
from sklearn.compose import make_column_transformer
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.metrics import r2_score, roc_auc_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder, StandardScaler

SECONDS = 90  # of processor time, after which a run is stopped
WORSE = 0.01
METRICS = {"classification": "roc_auc", "regression": "r2"}  # without a unit
ROLES = {"sensitive"}  # that leave a column in the model


@dataclass(frozen=True)
class Row:
    """What came of one table.

    Attributes:
        name: The table.
        verdict: "green", "amber" with the checks that warn, "red", "refused", or "stopped".
        seconds: Of processor time that `run` took.
        said: The sentences that a user reads.
        task: What was predicted.
        rows: Of valid.
        ours: The score of the packaged model on valid.
        script: The score of the plain script on the same rows.
    """

    name: str
    verdict: str
    seconds: float
    said: tuple[str, ...]
    task: str = ""
    rows: int = 0
    ours: float = np.nan
    script: float = np.nan

    def __str__(self) -> str:
        """Return its line in the printed table."""
        worse = "WORSE" if self.ours < self.script - WORSE else ""
        return (
            f"{self.name[:45]:<45} {self.rows:>6} {self.task[:10]:<10} {self.ours:>7.3f} "
            f"{self.script:>7.3f} {self.ours - self.script:>7.3f} {worse:<5} "
            f"{self.seconds:>5.0f} s  {self.verdict}"
        )


HEADER = (
    f"{'table':<45} {'valid':>6} {'task':<10} {'ours':>7} {'script':>7} {'differ.':>7} {'':<5} "
    f"{'took':>7}  verdict"
)


def run(baked: Path, folder: Path, table: dict[str, Any], name: str, content: bytes) -> Row:
    """Run the pipeline on a table as a user would, in a copy of a baked project.

    Args:
        baked: A project as it was baked.
        folder: Where the copy is made and removed.
        table: Its entry in real_tables.yaml; `run` holds lines of conf.cfg in place of `conf`'s.
        name: As people call it.
        content: The file.
    """
    project = Path(shutil.copytree(baked, folder / "copy"))
    source = re.split("[/!]", table["file"].removesuffix(".zip"))[-1]
    (project / source).write_bytes(content)
    conf = table["conf"] | table.get("run", {})
    task = conf.pop("task")
    data = [f"{key} = {value}" for key, value in {"source": source, **conf}.items()]
    configure(project, "\n".join(["[data]", *data, "[model]", f"task = {task}"]) + "\n")
    try:
        return _run(project, name, task)
    finally:
        shutil.rmtree(project)


def _run(project: Path, name: str, task: str) -> Row:
    """Run a project that is configured, and the script on its parts."""
    command = project_command(project, "run")
    before = _processor_seconds()
    done = subprocess.run(
        [str(each) for each in command.arguments],
        cwd=project,
        env=os.environ | (command.environment or {}),
        capture_output=True,
        encoding="utf-8",
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_CPU, (SECONDS, SECONDS)),
    )
    seconds = _processor_seconds() - before
    if done.returncode < 0:
        return Row(name, "stopped", seconds, ())
    if done.returncode not in (0, 1):
        return Row(name, "refused", seconds, tuple(done.stderr.strip().splitlines()[-3:]), task)
    facts = _report(project, "metrics")
    checks = list(dict.fromkeys(each["check"] for each in facts["warnings"]))
    verdict = "green" if facts["passed"] else "red"
    if checks:
        verdict = f"{'amber' if facts['passed'] else 'red'}: {', '.join(checks)}"
    ours = facts["metrics"][METRICS[task]]["value"]
    script = plain_score(project, task)
    return Row(name, verdict, seconds, tuple(_said(project)), task, facts["rows"], ours, script)


def _processor_seconds() -> float:
    """Return what the processes that were waited for have taken so far."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def _report(project: Path, name: str) -> dict[str, Any]:
    """Return the facts of a report."""
    text = (project / "reports" / f"{name}.json").read_text(encoding="utf-8")
    facts: dict[str, Any] = json.loads(text)["facts"]
    return facts


def _said(project: Path) -> Iterator[str]:
    """Yield what was assumed, the verdict, the warnings and which model won."""
    for stage in ("ingest", "split"):
        for note in _report(project, stage).get("aloud", ()):
            yield f"assumed: {note}"
    facts = _report(project, "metrics")
    yield _report(project, "train")["summary"]
    yield facts["verdict"]
    for warning in facts["warnings"]:
        yield f"check: {warning['text']}"


# --------------------------------------------------------------------------------- the plain script


def plain_score(project: Path, task: str) -> float:
    """Return the better score of two plain models on valid: ROC AUC of classes, R² of numbers."""
    columns = yaml.safe_load((project / "data" / "schema.yaml").read_text(encoding="utf-8"))
    roles = {each["name"]: set(each.get("roles", ())) for each in columns["columns"]}
    target = next(name for name, of in roles.items() if "target" in of)
    used = [name for name, of in roles.items() if of <= ROLES]
    if not used:  # a series alone: a plain script has nothing to learn from
        return np.nan
    train, valid = (_read(project, part) for part in ("train", "valid"))
    numbers: list[str] = []
    words: list[str] = []
    for name in used:
        kept = numbers if _as_numbers(train, valid, name) else words
        kept.append(name)
    fill = make_pipeline(SimpleImputer(keep_empty_features=True), StandardScaler())
    one_hot = OneHotEncoder(handle_unknown="ignore")
    codes = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1)
    linear, boosting = (
        (LogisticRegression(max_iter=1000), HistGradientBoostingClassifier(random_state=0))
        if task == "classification"
        else (Ridge(), HistGradientBoostingRegressor(random_state=0))
    )
    models = [
        make_pipeline(make_column_transformer((fill, numbers), (one_hot, words)), linear),
        make_pipeline(
            make_column_transformer(("passthrough", numbers), (codes, words), sparse_threshold=0),
            boosting,
        ),
    ]
    scores = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for model in models:
            model.fit(train[used], train[target])
            scores.append(_score(model, valid[used], valid[target]))
    return max(scores)


def _read(project: Path, part: str) -> pd.DataFrame:
    """Return the rows of a part."""
    files = sorted((project / "data" / part).glob("*.parquet"))
    return pd.concat(map(pd.read_parquet, files), ignore_index=True)


def _as_numbers(train: pd.DataFrame, valid: pd.DataFrame, name: str) -> bool:
    """Turn a column into numbers (a date into days) or words; return whether it has numbers."""
    dtype = train[name].dtype
    is_number = pd.api.types.is_numeric_dtype(dtype) or pd.api.types.is_datetime64_any_dtype(dtype)
    for part in (train, valid):
        values = part[name]
        if pd.api.types.is_datetime64_any_dtype(dtype):
            zero = pd.Timestamp(0, tz=getattr(dtype, "tz", None))
            values = (values - zero) / pd.Timedelta(days=1)
        if is_number:
            part[name] = values.astype("Float64").to_numpy(float, na_value=np.nan)
        else:
            part[name] = values.astype(object).where(values.notna(), "").astype(str)
    return bool(is_number)


def _score(model: Any, inputs: pd.DataFrame, truth: pd.Series) -> float:
    """Return ROC AUC, of many classes the mean of each against the rest, or R²."""
    if not hasattr(model, "predict_proba"):
        return float(r2_score(truth, model.predict(inputs)))
    shares, classes = model.predict_proba(inputs), model.classes_
    if len(classes) == 2:
        return float(roc_auc_score(truth == classes[1], shares[:, 1]))
    each = [
        roc_auc_score(truth == name, shares[:, place])
        for place, name in enumerate(classes)
        if 0 < (truth == name).sum() < len(truth)
    ]
    return float(np.mean(each))
