"""Rows in order of time: what the model gets of it, and what it has to beat."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from cases import every_case
from mlproj import ingest, train
from mlproj.bundle.bundle import Bundle, baseline_of_split, load_bundle
from mlproj.core.config import load_settings
from mlproj.core.errors import GateError, UserError
from mlproj.core.files import read_json
from mlproj.core.project import Project, read_report
from mlproj.data.keys import NEWEST
from mlproj.data.schema import Column, Schema, columns_fingerprint, load_schema
from mlproj.data.split import load_split
from mlproj.evaluate import evaluate
from mlproj.evaluation.naive import SHARE, Timeline
from mlproj.models.training_data import covered_parts
from mlproj.monitoring import retrain
from mlproj.monitoring.monitor import monitor
from mlproj.monitoring.retrain import LEAST_NEW
from mlproj.postprocess import postprocess
from mlproj.predict import predict
from mlproj.preprocess import preprocess
from mlproj.serving.rows import Refusal, Rules
from mlproj.serving.scoring import load_model

DAYS = 420
RULES = Rules(strict=True, bounds=False, most_rows=10)


# ------------------------------------------------------------------------------- parts of the time


@every_case(
    ("times", "parts"),
    [
        (pd.date_range("2023-01-01", "2024-03-01", freq="D"), ["month", "weekday"]),
        (pd.date_range("2023-01-01", "2023-09-01", freq="D"), ["weekday"]),
        (pd.date_range("2023-01-02", "2023-01-07", freq="D"), []),
        (pd.date_range("2023-01-02", "2023-01-08", freq="D"), ["weekday"]),
        (pd.date_range("2023-01-01", "2023-03-01", freq="B"), ["weekday"]),
        (pd.date_range("2023-01-01", "2023-01-04", freq="h"), ["hour"]),
        (pd.date_range("2023-01-01", "2023-01-01 15:00", freq="h"), []),
        (pd.date_range("2023-01-01", "2023-12-01", freq="MS"), ["month"]),
        (pd.date_range("2023-01-01", "2023-11-01", freq="MS"), []),
        (pd.date_range("2020-01-01", "2024-01-01", freq="QS"), ["month"]),
        (pd.date_range("2023-01-02", "2024-06-01", freq="7D"), ["month"]),
    ],
    ids=lambda case: f"{len(case[0])} from {case[0][0]}, {case[0].freqstr}",
)
def test_a_part_is_given_where_the_rows_cover_its_cycle(
    times: pd.DatetimeIndex, parts: list[str]
) -> None:
    shuffled = pd.Series(times).sample(frac=1, random_state=0)
    assert covered_parts(pd.concat([shuffled, shuffled[:5]])) == parts


# ------------------------------------------------------------------------------------ the baseline


def timeline(times: Any, values: Any, groups: Any = None, constant: Any = (0.0,)) -> Timeline:
    """Return rows as a timeline."""
    series = pd.Series(times)
    codes = np.zeros(len(series), dtype=np.int64) if groups is None else np.asarray(groups)
    table = np.asarray(values, dtype=float)
    table = table[:, None] if table.ndim == 1 else table
    return Timeline(series, series, codes, table, np.asarray(constant, dtype=float))


@every_case(
    ("step", "season"),
    [
        (pd.Timedelta(minutes=15), ["24 hours before", "168 hours before"]),
        (pd.Timedelta(hours=1), ["24 hours before", "168 hours before"]),
        (pd.Timedelta(days=1), ["7 days before"]),
        (pd.offsets.BusinessDay(), ["7 days before"]),
        (pd.Timedelta(days=7), ["52 weeks before"]),
        (pd.offsets.MonthEnd(), ["12 months before"]),
        (pd.offsets.QuarterBegin(), ["12 months before"]),
        (pd.offsets.YearBegin(), []),
    ],
)
def test_the_season_follows_from_the_distance_of_the_rows(step: Any, season: list[str]) -> None:
    times = pd.date_range("2020-01-01", periods=800, freq=step)
    both = np.concatenate([times, times])  # two series, whose times are the same
    line = timeline(both, np.arange(1600), np.repeat([0, 1], 800))
    assert line.rules() == ["last value", *season]
    for rule in season:
        back = np.arange(1600) - line.predict(rule)[:, 0]
        assert back[-1] > 1 and (np.delete(back, [0, 800]) > 0).all()  # two first rows


def test_numbers_as_times_have_a_last_value_alone() -> None:
    line = timeline([3, 1, 2, 2], [30.0, 10.0, 20.0, 40.0], constant=[7.0])
    assert line.rules() == ["last value"]
    assert line.predict("last value")[:, 0].tolist() == [30.0, 7.0, 10.0, 10.0]


def test_each_row_is_predicted_from_earlier_rows_of_its_series_alone() -> None:
    random = np.random.default_rng(0)
    days, groups = random.integers(0, 40, 300), random.integers(0, 3, 300)
    times, values = pd.Timestamp("2024-01-01") + pd.to_timedelta(days, "D"), random.random(300)
    line = timeline(times, values, groups, constant=[-1.0])
    for rule, back in (("last value", None), ("7 days before", 7)):
        found = line.predict(rule)
        for row in range(300):
            own = (groups == groups[row]) & (days < days[row])
            latest = days[own].max() if own.any() else None
            day = days[row] - back if back else latest
            meant = own & (days == day)
            meant = meant if meant.any() else own & (days == latest)
            expected = values[meant].mean() if meant.any() else -1.0
            assert found[row, 0] == pytest.approx(expected)


def test_classes_get_their_share_so_far_or_half_of_the_last_one() -> None:
    flags = [[1, 0], [0, 1], [0, 1], [1, 0]]
    line = timeline(pd.date_range("2024-01-01", periods=4), flags, constant=[0.5, 0.5])
    assert line.rules()[0] == SHARE
    assert np.allclose(line.predict(SHARE)[:, 0], [0.5, 0.75, 0.5, 0.375])
    assert np.allclose(line.predict("last value")[:, 0], [0.5, 0.75, 0.25, 0.25])


def test_months_of_different_length_have_the_same_month_before() -> None:
    times = pd.date_range("2023-01-31", periods=30, freq="ME")
    found = timeline(times, np.arange(30)).predict("12 months before")
    assert found[12:, 0].tolist() == list(range(18))


def test_of_several_times_of_a_day_the_last_stands_for_the_day_a_week_before() -> None:
    times = pd.date_range("2024-01-01", periods=20, freq="12h")
    found = timeline(times, np.arange(20)).predict("7 days before")
    assert found[14:, 0].tolist() == [1, 1, 3, 3, 5, 5]


def test_a_row_may_lack_its_time_unless_it_has_nothing_else() -> None:
    time = Column("at", "datetime", True, parts=("hour",), roles=("time",))
    target = Column("y", "number", False, roles=("target",))
    alone, beside = Schema((time, target), "t"), Schema(
        (time, target, Column("x", "number", True)), "t"
    )
    assert [column.name for column in alone.needed] == ["at"]
    assert [column.name for column in beside.needed] == ["x"]


# -------------------------------------------------------------------------------- a whole pipeline


def sales() -> pd.DataFrame:
    """Return daily sales that follow the weekday, and a column of noise."""
    random = np.random.default_rng(0)
    days = pd.date_range("2023-01-01", periods=DAYS)
    week = np.array([5.0, 6.0, 7.0, 9.0, 14.0, 20.0, 11.0])[days.day_of_week]
    return pd.DataFrame(
        {
            "day": days.strftime("%Y-%m-%d"),
            "noise": random.normal(size=DAYS).round(3),
            "sales": (3 * week + random.normal(size=DAYS)).round(3),
            "sold_out": np.where(week + random.normal(size=DAYS) > 10, "yes", "no"),
        }
    )


Place = Callable[..., Project]


@pytest.fixture(scope="module")
def place(make_project: Callable[..., Project], tmp_path_factory: pytest.TempPathFactory) -> Place:
    """Return a function that makes a project of the sales, trained by `candidates`."""

    def place(target: str = "sales", task: str = "regression", **features: Any) -> Project:
        folder = tmp_path_factory.mktemp("sales")
        sales().to_csv(folder / "t.csv", index=False)
        other = {"sales": "sold_out", "sold_out": "sales"}[target]
        return make_project(
            folder,
            data={"source": "t.csv", "target": target, "time": "day", "ignore": other},
            features=features,
            model={"task": task, "candidates": "hgb", "folds": 2},
            params={"hgb.max_iter": 15},
        )

    return place


def package(project: Project) -> Bundle:
    """Run all stages up to the packaged model, and return it."""
    settings = load_settings(project)
    for stage in (ingest.ingest, preprocess, train.train, postprocess):
        stage(project, settings)
    return packaged(project)


@pytest.fixture(scope="module")
def project(place: Place) -> Project:
    """Return the project, with a packaged model that is judged."""
    made = place()
    package(made)
    with contextlib.suppress(GateError):
        evaluate(made, load_settings(made))
    return made


def packaged(project: Project) -> Bundle:
    """Return the packaged model."""
    report = read_report(project, "release")
    assert report is not None and report.run_id is not None
    return load_bundle(project, report.run_id)


def test_the_baseline_is_the_value_of_a_week_before(project: Project) -> None:
    report, trained = read_report(project, "metrics"), read_report(project, "train")
    assert report is not None and trained is not None
    whole = pd.concat([load_split(project, name) for name in ("train", "valid")])
    errors = (whole["sales"] - whole["sales"].shift(7))[-report.facts["rows"] :]
    expected = float(np.sqrt((errors**2).mean()))
    assert report.facts["metrics"]["rmse"]["baseline"] == pytest.approx(expected)
    assert "beats the baseline" in report.facts["verdict"] or not report.facts["passed"]
    assert "the baseline (the value 7 days before)" in report.facts["verdict"]
    assert any(
        "from the true targets of all times before" in note for note in report.facts["notes"]
    )
    assert report.facts["difference"]["low"] < report.facts["difference"]["high"]
    baseline = trained.facts["baseline"]
    assert baseline["naive"] == "7 days before" and "the value 7 days" in trained.facts["summary"]
    assert baseline["valid"]["rmse"] == pytest.approx(expected)
    assert baseline["cv"]["mean"] < 2 < trained.facts["baseline"]["constant"]["value"]
    assert "predicts the value 7 days before, of each row" in (
        project.bundle_folder(packaged(project).run_id) / "card.md"
    ).read_text(encoding="utf-8")


def test_the_baseline_of_test_follows_from_the_bundle_and_all_earlier_rows(
    project: Project,
) -> None:
    bundle = packaged(project)
    parts = [load_split(project, name)["sales"] for name in ("train", "valid", "test")]
    test = load_split(project, "test")
    baseline = baseline_of_split(
        project, bundle.document, "test", parts[2].to_numpy(), bundle.evaluate(test)
    )
    expected = pd.concat(parts, ignore_index=True).shift(7).to_numpy()[-len(test) :]
    assert np.allclose(np.asarray(baseline.values), expected)


def test_the_model_gets_the_weekday_of_the_time_and_takes_rows_without_one(
    project: Project,
) -> None:
    bundle = packaged(project)
    when = bundle.schema.column("day")
    assert when.parts == ("weekday",) and when.nullable  # train covers 9 months, and days alone
    trained = read_report(project, "train")
    assert trained is not None and trained.facts["aloud"] == ["of day the model gets: weekday"]
    rows = pd.DataFrame({"noise": [0.0] * 3, "day": ["2025-01-04", "2025-01-07", None]})
    saturday, tuesday, unknown = bundle.predict(rows)["prediction"]
    assert saturday > 45 and tuesday < 25 and np.isfinite(unknown)
    without = bundle.predict(rows[["noise"]])["prediction"]
    assert without.tolist() == [unknown] * 3


def test_the_service_takes_the_time_as_batches_do_and_does_not_ask_for_it(
    project: Project,
) -> None:
    bundle = packaged(project)
    model = load_model(project, bundle.run_id, None, RULES)
    assert model.onnx and [column.name for column in model.schema.needed] == ["noise"]
    rows = [{"noise": 0.5, "day": "2025-01-04"}, {"noise": 0.5, "day": None}, {"noise": 0.5}]
    scores = model.score(model.table(model.reader.read(json.dumps({"rows": rows}).encode())))
    expected = bundle.predict(pd.DataFrame(rows))["prediction"]
    assert np.allclose(scores, expected) and scores[1] == scores[2] != scores[0]
    with pytest.raises(Refusal) as refused:
        model.reader.read(json.dumps({"rows": [{"day": "soon"}, {"noise": "much"}]}).encode())
    assert [dict(fault)["field"] for fault in refused.value.detail] == ["day", "noise", "noise"]


@every_case(
    ("violations", "text", "lines"),
    [
        (violations, *rows)
        for violations in ("count", "mark", "refuse")
        for rows in (("noise\n0.5\n0.1\n", 2), ("noise,day\n0.5,\n0.1,2025-01-04\n", 0))
    ],
)
def test_a_batch_without_the_time_is_scored_and_says_so(
    project: Project, tmp_path: Path, violations: str, text: str, lines: int
) -> None:
    (tmp_path / "rows.csv").write_text(text, encoding="utf-8")
    said: list[str] = []
    settings = load_settings(project, [f"predict.violations={violations}"])
    scored = tmp_path / "scored.csv"
    predict(
        project,
        settings,
        tmp_path / "rows.csv",
        scored,
        model=packaged(project).run_id,
        progress=False,
        say=said.append,
    )
    assert pd.read_csv(scored)["prediction"].notna().all()
    assert len(said) == lines and all(
        "column 'day' is not in the table" in each for each in said[1:]
    )


def test_the_baseline_is_weighted_as_the_model_is(place: Place) -> None:
    project = place()
    counts = np.resize([1, 2, 5, 1], DAYS)
    sales().assign(counts=counts).to_csv(project.root / "t.csv", index=False)
    text = (project.root / "conf.cfg").read_text(encoding="utf-8")
    conf = text.replace("time = day", "time = day\nweight = counts")
    (project.root / "conf.cfg").write_text(conf, encoding="utf-8")
    bundle = package(project)
    baseline = bundle.document["baseline"]
    whole = pd.concat([load_split(project, name) for name in ("train", "valid")])
    errors = ((whole["sales"] - whole["sales"].shift(7)) ** 2).to_numpy()
    rows = len(load_split(project, "valid"))
    expected = np.average(errors[-rows:], weights=whole["counts"].to_numpy()[-rows:]) ** 0.5
    assert baseline["naive"] == "7 days before"
    assert baseline["metrics"]["rmse"] == pytest.approx(expected)
    # Later rows may come without weights.
    reference = read_json(bundle.folder / "reference.json")["unweighted"]
    plain = errors[-rows:].mean() ** 0.5
    assert reference["baseline"]["rmse"] == pytest.approx(plain) != expected


def test_a_challenger_is_held_against_the_value_of_a_week_before(project: Project) -> None:
    bundle = packaged(project)
    settings = load_settings(project, ["monitor.better=0.5"])
    keys, splits = retrain._present_keys(project, bundle, NEWEST)
    known = slice(None, len(keys) - np.count_nonzero(splits == 2) - LEAST_NEW)
    found = retrain._compare(
        project, settings, bundle, bundle, retrain.KnownRows(keys[known], splits[known])
    )
    whole = pd.concat([load_split(project, name)["sales"] for name in ("train", "valid")])
    errors = (whole - whole.shift(7))[-LEAST_NEW:]
    assert found.rows == LEAST_NEW
    assert found.needed == pytest.approx(0.5 * float(np.sqrt((errors**2).mean())))


def test_the_monitor_says_which_baseline_skill_is_counted_from(project: Project) -> None:
    load_split(project, "test").to_csv(project.root / "later.csv", index=False)
    facts = monitor(
        project, load_settings(project), project.root / "later.csv", model=packaged(project).run_id
    ).facts
    assert "skill_lost" in facts["performance"]
    assert [note for note in facts["notes"] if "baseline" in note] == [
        "skill is counted from the score of the baseline (the value 7 days before) on valid, "
        "since the values before these rows are not known"
    ]


def test_the_time_can_be_taken_from_the_model(place: Place) -> None:
    project = place(time="no")
    bundle = package(project)
    assert [column.name for column in bundle.schema.features] == ["noise"]
    assert bundle.document["baseline"]["naive"] == "7 days before"
    assert bundle.document["skill"] < 0


def test_classes_in_order_of_time_are_compared_with_earlier_ones(place: Place) -> None:
    project = place("sold_out", "classification")
    document = package(project).document
    baseline, found = document["baseline"]["metrics"], document["metrics"]
    assert document["baseline"]["naive"] == "7 days before"
    assert 0.7 < baseline["roc_auc"] < found["roc_auc"] and baseline["log_loss"] < 0.7


def test_a_schema_from_before_keeps_its_time_and_its_baseline(place: Place) -> None:
    project = place()
    settings = load_settings(project)
    ingest.ingest(project, settings)
    text = project.schema_file.read_text(encoding="utf-8")
    old = Schema(
        tuple(Column(**{**vars(column), "parts": None}) for column in load_schema(project).columns),
        "t.csv",
    )
    before = text.replace("parts: [month, weekday, hour], ", "")
    now = columns_fingerprint(load_schema(project))
    project.schema_file.write_text(before.replace(now, columns_fingerprint(old)), encoding="utf-8")
    bundle = package(project)
    assert [column.name for column in bundle.schema.features] == ["noise"]
    assert "naive" not in bundle.document["baseline"]
    assert bundle.document["baseline"]["metrics"]["rmse"] > 10
    ingest.ingest(project, settings, infer=True)
    assert load_schema(project).column("day").parts == ("month", "weekday", "hour")


def test_times_that_are_all_the_same_are_refused(place: Place) -> None:
    project = place()
    table = sales().assign(day="2023-01-01")
    table.to_csv(project.root / "t.csv", index=False)
    settings = load_settings(project)
    ingest.ingest(project, settings)
    with pytest.raises(UserError, match="day is the same in all 420 rows"):
        preprocess(project, settings)


@every_case(
    ("parts", "said"),
    [
        ("[year]", "parts has to be a list of month, weekday, hour"),
        ("week", "parts has to be a list"),
    ],
)
def test_wrong_parts_are_refused(project: Project, parts: str, said: str) -> None:
    schema = load_schema(project).to_dict()
    schema["columns"][0]["parts"] = [parts.strip("[]")] if "[" in parts else parts
    with pytest.raises(UserError, match=said):
        Schema.from_dict(schema)
