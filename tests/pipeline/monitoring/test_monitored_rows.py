"""Which rows are watched: those of files, and those of the log with the labels that came."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from mlproj.core import config
from mlproj.core.errors import UserError
from mlproj.monitoring import monitor, window
from watching import NOON, POLICY, ROWS, found, piece, scaled

# ------------------------------------------------------------------------ files


def test_bad_values_are_counted_by_column_and_rule_and_hide_nothing(
    model: Any, rows: pd.DataFrame, tmp_path: Path
) -> None:
    frame = scaled(piece(rows, 0)).astype({"age": object, "plan": object, "visits": object})
    frame.loc[:9, "age"] = "old"
    frame.loc[10:14, "visits"] = 2.5
    frame.loc[:4, "plan"] = "platinum"
    frame.loc[5:7, "income"] = np.inf
    frame.loc[20:21, "visits"] = 10_000
    frame.loc[30:36, "gender"] = None
    seen = window.window_of(model, frame, "rows")
    faults = {(fault.column, fault.rule): fault.rows for fault in seen.faults}
    assert faults == {
        ("age", "type"): 10,
        ("visits", "type"): 5,
        ("plan", "categories"): 5,
        ("income", "type"): 3,
        ("visits", "maximum"): 2,
        ("gender", "nullable"): 7,
    }
    assert seen.predictions is not None
    assert np.isfinite(seen.predictions.probabilities).all()
    assert "feature:income" in found(model, frame)


def test_a_missing_column_is_a_problem_and_the_others_are_watched(
    model: Any, rows: pd.DataFrame
) -> None:
    seen = window.window_of(model, scaled(piece(rows, 0)).drop(columns="age"), "rows")
    known = monitor.read_reference(model)
    findings, _ = monitor.inspect(model, known, seen, POLICY)
    problems = {each.key for each in monitor.find_problems(findings, seen, POLICY)}
    assert {"quality:age:there", "feature:income"} <= problems


def test_scored_rows_are_not_scored_again(model: Any, rows: pd.DataFrame) -> None:
    frame = piece(rows, 0).drop(columns="age")
    frame["prediction"], frame["probability_no"], frame["probability_yes"] = "yes", 0.01, 0.99
    seen = window.window_of(model, frame, "rows")
    assert set(seen.predictions.labels) == {"yes"}
    assert seen.absent == ("age",)
    assert seen.faults == ()
    assert "prediction:class" in found(model, frame)
    with pytest.raises(UserError, match="'maybe' is not a class"):
        window.window_of(model, frame.assign(prediction="maybe"), "rows")
    frame.loc[[3, 7], "prediction"] = None
    with pytest.raises(UserError, match="'prediction' is empty in row 4; leave"):
        window.window_of(model, frame, "rows")


@pytest.mark.parametrize(("value", "shown"), [("x", "'x'"), (np.nan, "'nan'"), (np.inf, "'inf'")])
def test_predictions_that_are_no_numbers_are_refused(
    model: Any, rows: pd.DataFrame, value: Any, shown: str
) -> None:
    frame = piece(rows, 0).assign(prediction="yes", probability_no=0.1, probability_yes=0.9)
    frame["probability_no"] = frame["probability_no"].astype(object).where(frame.index != 3, value)
    with pytest.raises(UserError, match=f"'probability_no' holds {shown}"):
        window.window_of(model, frame, "rows")


def test_a_table_of_something_else_is_refused(model: Any) -> None:
    with pytest.raises(UserError, match="has no feature of the model"):
        window.window_of(model, pd.DataFrame({"prediction": ["yes"]}), "scored.csv")


def test_more_rows_than_asked_for_are_thinned_evenly(model: Any, rows: pd.DataFrame) -> None:
    frame = piece(rows, 0).assign(age=200)
    frame["churned"] = frame["churned"].astype(object).where(np.arange(ROWS) < 60, None)
    seen = window.window_of(model, frame, "rows", 100)
    assert seen.frame.index.tolist() == list(range(0, ROWS, 5))
    assert len(seen.predictions.labels) == 100
    assert (
        len(seen.truth) == len(seen.labelled_predictions.labels) == 60
    )  # labels are few: all of them
    assert seen.rows == seen.faults[0].rows == ROWS


# ------------------------------------------------------------------------ the log


def write_log(project: Any, model: Any, frame: pd.DataFrame, when: datetime, name: str) -> None:
    """Write predictions the way the service does."""
    said = model.predict(frame, strict=False)
    own = {
        "time": [when] * len(frame),
        "request_id": [f"{name}-{at // 5}" for at in range(len(frame))],
        "row": [at % 5 for at in range(len(frame))],
        "run_id": model.run_id,
        "role": "champion",
    }
    features = frame[[column.name for column in model.schema.features]]
    table = pd.concat([pd.DataFrame(own, index=frame.index), features, said], axis=1)
    folder = project.logs / "predictions"
    folder.mkdir(parents=True, exist_ok=True)
    table.to_parquet(folder / f"{name}.parquet")


def test_the_log_is_watched_with_the_labels_that_came(
    project: Any, model: Any, rows: pd.DataFrame
) -> None:
    frame = piece(rows, 0)
    write_log(project, model, frame, NOON - timedelta(days=3), "new")
    write_log(project, model, scaled(frame), NOON - timedelta(days=30), "old")
    (project.logs / "predictions" / "cut.parquet").write_bytes(b"PAR1")
    lines = [
        {"request_id": f"new-{at // 5}", "row": at % 5, "label": str(label),
         "time": (NOON - timedelta(days=1)).isoformat()}
        for at, label in enumerate(frame["churned"][:200])
    ]  # fmt: skip
    wrong = {**lines[0], "label": "no" if lines[0]["label"] == "yes" else "yes"}
    broken = {**wrong, "row": "first"}
    text = "".join(json.dumps(line) + "\n" for line in [wrong, broken, *lines])
    content = b"\xff\n" + text.encode() + b'{"request_id": "cut'
    (project.logs / "feedback.jsonl").write_bytes(content)
    seen = window.open_log(project, model, days=7, label_days=2, now=NOON)
    assert seen.rows == ROWS
    assert seen.truth.tolist() == frame["churned"][:200].tolist()
    delay = seen.delay
    assert (delay.labelled, delay.unlabelled, delay.due, delay.due_labelled) == (200, 300, 500, 200)
    assert delay.median == pytest.approx(2)
    assert seen.notes == ("1 file of the log could not be read",)
    options = ("monitor.label_days=2",)
    check = monitor.monitor(project, config.load_settings(project, options), now=NOON)
    assert [each["key"] for each in check.facts["problems"]] == ["delay"]


def test_a_row_that_was_asked_twice_counts_once(
    project: Any, model: Any, rows: pd.DataFrame
) -> None:
    frame = piece(rows, 0)
    write_log(project, model, frame, NOON, "new")
    path = project.logs / "predictions" / "new.parquet"
    logged = pd.read_parquet(path)
    hour = timedelta(hours=1)
    earlier = logged.assign(time=NOON - hour, age=99.0)
    earlier[:100].to_parquet(path.with_name("tried.parquet"))
    shadow = logged.assign(time=NOON + hour, run_id="00000000", role="shadow", age=1.0)
    shadow.to_parquet(path.with_name("shadow.parquet"))
    frame.to_parquet(path.with_name("a_copy.parquet"))  # not of the log: it has no such columns
    seen = window.open_log(project, model, days=7, label_days=0, now=NOON + 2 * hour)
    assert seen.rows == ROWS
    pd.testing.assert_series_equal(seen.frame["age"], frame["age"], check_dtype=False)
    assert seen.notes == ("1 file of the log could not be read",)


def test_times_of_each_kind_are_read_for_themselves() -> None:
    given = [NOON.isoformat(), NOON.timestamp(), str(NOON.timestamp()), "soon", None, 1e300]
    read = window._as_times(pd.Series(given, dtype=object))
    assert read[:3].tolist() == [pd.Timestamp(NOON)] * 3
    assert read[3:].isna().all()
    assert window._as_times(pd.Series([NOON.timestamp()] * 2)).eq(pd.Timestamp(NOON)).all()


def test_labels_that_could_never_be_late_are_refused(project: Any) -> None:
    with pytest.raises(UserError, match=r"label_days is 7, but has to be below days, 7: only"):
        config.load_settings(project, ("monitor.label_days=7",))
    assert config.load_settings(project, ("monitor.label_days=7", "monitor.days=14"))


def test_another_models_rows_are_not_this_ones(
    project: Any, model: Any, rows: pd.DataFrame
) -> None:
    write_log(project, model, piece(rows, 0), NOON, "new")
    path = project.logs / "predictions" / "new.parquet"
    pd.read_parquet(path).assign(run_id="00000000").to_parquet(path)
    with pytest.raises(UserError, match="no prediction of the model"):
        window.open_log(project, model, days=7, label_days=0, now=NOON)


def test_without_a_log_a_file_is_asked_for(project: Any) -> None:
    with pytest.raises(UserError, match="takes a file"):
        monitor.monitor(project, config.load_settings(project))
