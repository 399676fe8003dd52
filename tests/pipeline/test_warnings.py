"""What makes a score doubtful: columns that give the target away, and the checks of a verdict."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from cases import every_case
from mlproj import evaluate
from mlproj.cli import _results_shown
from mlproj.core import pipeline
from mlproj.core.config import load_settings
from mlproj.core.files import write_json
from mlproj.core.project import Project, read_report
from mlproj.core.registry import Stage
from mlproj.data.dates import CALENDAR
from mlproj.data.schema import Column, Schema
from mlproj.evaluation import curves, verdict
from mlproj.evaluation.bootstrap import bootstrap
from mlproj.evaluation.leaks import find_leaks
from mlproj.evaluation.metrics import score, skill
from mlproj.evaluation.predictions import Predictions
from mlproj.tasks.classification import CLASSIFICATION
from mlproj.tasks.regression import REGRESSION
from scipy.stats import norm

Make = Callable[..., Project]


# --------------------------------------------------------------------------------------- leaks


def table(rows: int, classes: bool, seed: int, *, columns: int = 6, share: float = 0.5) -> Any:
    """Rows with one honest column of skill 0.8, and others that tell nothing."""
    random = np.random.default_rng(seed)
    frame = pd.DataFrame({f"x{at}": random.normal(size=rows) for at in range(columns)})
    if classes:
        truth = random.uniform(size=rows) < share
        frame["x0"] += truth * np.sqrt(2) * norm.ppf(0.9)  # an AUC of 0.9
        frame["y"] = np.where(truth, "yes", "no")
    else:
        frame["y"] = frame["x0"] + random.normal(0, np.sqrt(0.04 / 0.96), rows)  # an R² of 0.96
    if columns > 1:
        frame["word"] = random.choice([*"abcdefgh"], rows)
        frame["flag"] = random.uniform(size=rows) < 0.3
        frame["number"] = random.permutation(rows) + 1
        frame["when"] = pd.Timestamp(2024, 1, 1) + pd.to_timedelta(
            random.integers(0, 900, rows), "D"
        )
    return frame


def with_gaps(frame: Any, seed: int, share: float) -> Any:
    """Take values out of all columns but the target, at random."""
    random = np.random.default_rng(seed)
    gaps = random.uniform(size=frame.shape) < share
    gaps[:, frame.columns.get_loc("y")] = False
    return frame.astype(object).mask(gaps).infer_objects()


def leaks(frame: Any, ignore: str = "", time: str = "") -> list[dict[str, Any]]:
    """Look for leaks in a table whose target is y."""
    kinds = {"i": "integer", "f": "number", "b": "boolean", "M": "datetime"}
    roles: dict[str, tuple[str, ...]] = {"y": ("target",), ignore: ("ignore",), time: ("time",)}
    columns = [
        Column(
            name,
            kinds.get(frame[name].dtype.kind, "category"),
            True,
            parts=CALENDAR if name == time else None,
            roles=roles.get(name, ()),
        )
        for name in frame.columns
    ]
    found: list[dict[str, Any]] = find_leaks(
        frame,
        Schema(tuple(columns), "t.csv"),
        "y",
        classes=frame["y"].dtype.kind != "f",
        rows=len(frame) * 10 // 7,
        seed=0,
    )
    return found


CLEAN = [
    (60, 1, True, 0.1, 0.0),
    (60, 6, False, 0.5, 0.0),
    (60, 1, True, 0.5, 0.6),
    (120, 1, True, 0.1, 0.3),
    (300, 6, True, 0.5, 0.3),
    (300, 6, False, 0.5, 0.3),
]


@every_case(("rows", "columns", "classes", "share", "gaps"), CLEAN)
def test_an_honest_column_is_not_taken_for_a_leak(
    rows: int, columns: int, classes: bool, share: float, gaps: float
) -> None:
    warned = 0
    for seed in range(50):
        frame = table(rows, classes, seed, columns=columns, share=share)
        warned += bool(leaks(with_gaps(frame, seed, gaps) if gaps else frame))
    assert warned <= 1  # 2%


def planted(kind: str, classes: bool, seed: int = 0, rows: int = 400) -> Any:
    """A table in which the column `leak` gives the target away."""
    frame, random = table(rows, classes, seed), np.random.default_rng(seed + 99)
    positive = (frame["y"] == "yes") if classes else (frame["y"] > 0)
    noise = pd.Series(random.normal(size=rows))
    often = random.uniform(size=rows) < 0.7
    if kind == "copy":
        frame["leak"] = np.where(positive, "paid", "open") if classes else 1.2 * frame["y"] + 3
    elif kind == "noisy":
        frame["leak"] = positive + noise / 5 if classes else frame["y"] + noise / 20
    elif kind == "half":  # where it is filled it says all
        frame["leak"] = (2 * positive + noise / 10 if classes else frame["y"]).where(noise > 0)
    elif kind == "late":  # where it is filled it says much, and nothing else says anything
        spread = np.sqrt(2) * norm.ppf(0.98) if classes else 0.0
        frame = frame.assign(x0=noise[::-1].to_numpy())
        frame["leak"] = (positive * spread + noise).where(random.uniform(size=rows) < 0.8)
        if not classes:
            frame["leak"] = (frame["y"] + noise * 0.13).where(frame["leak"].notna())
    elif kind == "filled":
        frame["leak"] = pd.Series(np.where(noise > 0, "price", "moved")).where(positive & often)
        frame["leak_when"] = frame["when"].where(frame["leak"].notna())
    elif kind == "missing":
        frame["leak"] = noise.where(~(positive & often))
    elif kind == "zero":
        frame["y"] = frame["y"].where(positive, 0.0)
        frame["leak"] = noise.where(frame["y"] != 0)
    elif kind == "censored":  # who does not have the outcome is watched to the end
        weeks = pd.Series(random.integers(1, 60, rows))
        frame["leak"] = weeks.where(positive, np.where(noise < 2, 52, weeks))
    elif kind == "large":  # no value of its own is frequent
        frame["leak"] = noise.where(positive)
    elif kind == "numbering":
        frame = frame.sort_values("y").reset_index(drop=True)
        frame["leak"] = np.arange(rows) + 1
        frame = frame.sample(frac=0.7, random_state=seed).reset_index(drop=True)
    return frame


PLANTED = [
    ("copy", True, "alone", None),
    ("copy", False, "alone", None),
    ("noisy", True, "alone", None),
    ("noisy", False, "alone", None),
    ("half", True, "alone", None),
    ("half", False, "alone", None),
    ("late", True, "late", None),
    ("late", False, "late", None),
    ("filled", True, "filled", "yes"),
    ("missing", True, "missing", "yes"),
    ("zero", False, "filled", "anything but 0"),
    ("large", False, "filled", None),
    ("censored", True, "value", "no"),
    ("numbering", True, "numbering", None),
    ("numbering", False, "numbering", None),
]


@every_case(("planted_kind", "classes", "kind", "outcome"), PLANTED)
def test_a_planted_leak_is_found_and_nothing_else(
    planted_kind: str, classes: bool, kind: str, outcome: str | None
) -> None:
    for seed in range(3):
        (found,) = leaks(planted(planted_kind, classes, seed))
        assert found["columns"] == ["leak"] + ["leak_when"] * (planted_kind == "filled")
        assert (found["kind"], found["outcome"]) == (kind, outcome)


def test_a_number_that_one_class_shares_is_no_leak() -> None:
    random = np.random.default_rng(0)
    frame = table(400, True, 0)
    no = frame["y"].eq("no")
    numbers = random.integers(1, 60, 400)
    half = no & (random.uniform(size=400) < 0.5)
    assert leaks(frame.assign(points=np.where(half, 52, numbers))) == []  # "no" elsewhere, too
    some = ~no & (random.uniform(size=400) < 0.2)
    assert leaks(frame.assign(points=np.where(no | some, 52, numbers))) == []  # "yes" there, too
    few = np.where(no & (random.uniform(size=400) < 0.95), 8, numbers % 8)
    assert leaks(frame.assign(points=few)) == []  # as a rating or a code may
    closed = planted("zero", False).fillna({"leak": 0.0})
    assert leaks(closed) == []  # a number that is 0 where the target is
    weeks = pd.array(np.where(no, 52, numbers), dtype="Int64")
    weeks[:40] = pd.NA
    (found,) = leaks(frame.assign(points=weeks))
    assert (found["kind"], found["value"], found["outcome"]) == ("value", 52, "no")


def watched(rows: int, seed: int) -> Any:
    """People who are watched until the event or the end of the study, and when that began."""
    random = np.random.default_rng(seed)
    frame = table(rows, True, seed, columns=3).drop(columns=["when", "number"])
    until = random.exponential(900, rows) * np.exp(frame["x1"] / 2)
    end = random.integers(500, 1_200, rows)
    frame["y"] = np.where(until < end, "yes", "no")
    frame["days"] = np.minimum(until, end).round()
    frame["began"] = pd.Timestamp(2020, 1, 1) + pd.to_timedelta(random.integers(0, 900, rows), "D")
    frame["ended"] = frame["began"] + pd.to_timedelta(frame["days"], "D")
    return frame


def test_a_time_that_runs_until_the_event_is_found_by_its_name_and_by_dates() -> None:
    for seed in range(5):
        frame = watched(600, seed)
        (found,) = leaks(frame)
        assert (found["kind"], found["columns"]) == ("duration", ["days", "ended"])
        assert 0.5 <= found["skill"] < 0.98 and found["outcome"] is None
        (found,) = leaks(frame, ignore="days", time="began")
        assert found["columns"] == ["ended"]
        assert leaks(frame, ignore="days", time="ended") == []  # a model gets its calendar only
        (found,) = leaks(frame.drop(columns="days"), ignore="began")  # which is known all the same
        assert found["columns"] == ["ended"]
        assert leaks(frame.drop(columns=["days", "began"])) == []  # one date alone is only a date
    for name in ("survtime", "time", "futime", "T.stop", "followUp", "duration", "length_of_stay"):
        (found,) = leaks(frame[["x0", "y"]].assign(**{name: frame["days"]}))
        assert found["columns"] == [name]
    for name in ("days_since_purchase", "age", "x", "today", "timer", "prior_days"):
        assert leaks(frame[["x0", "y"]].assign(**{name: frame["days"]})) == []
    three = frame.assign(y=frame["y"].where(frame["days"] < 900, "moved"))
    assert leaks(three) == []


def test_a_date_that_ends_something_is_found_by_the_time_since_another_or_by_itself() -> None:
    random = np.random.default_rng(0)
    frame = watched(600, 0)[["x0", "y", "days"]]
    days = pd.to_timedelta(frame.pop("days"), "D")
    # Over forty years of beginnings the date alone tells nothing.
    frame["began"] = pd.Timestamp(1980, 1, 1) + pd.to_timedelta(
        random.integers(0, 15_000, 600), "D"
    )
    frame["ended"] = frame["began"] + days
    (found,) = leaks(frame)
    assert found["columns"] == ["ended"]
    some = frame["ended"].where(frame.index % 10 > 0)
    assert [each["columns"] for each in leaks(frame.assign(ended=some))] == [["ended"]]
    # All began long before, so that the date tells, and the time until then does not.
    event = frame["y"].eq("yes")
    frame["ended"] = pd.Timestamp(2024, 1, 1) - pd.to_timedelta(
        np.where(event, random.integers(0, 900, 600), random.integers(0, 300, 600)), "D"
    )
    frame["began"] -= pd.Timedelta(days=15_000)
    (found,) = leaks(frame)
    assert found["columns"] == ["ended"]
    other = pd.Timestamp(2022, 1, 1) + pd.to_timedelta(random.integers(0, 900, 600), "D")
    assert leaks(frame.assign(began=other)) == []  # it lies after most of them only


def test_a_duration_that_says_little_of_the_event_is_no_leak() -> None:
    warned = 0
    for seed in range(50):
        random = np.random.default_rng(seed)
        rows = [60, 200, 1_000][seed % 3]
        frame = table(rows, True, seed, share=[0.1, 0.5][seed % 2])
        frame["time"] = random.exponential(50, rows)
        frame["days"] = frame["y"].eq("yes") + random.normal(0, 1.83, rows)  # an AUC of 0.65
        frame["later"] = frame["when"] + pd.to_timedelta(random.integers(0, 90, rows), "D")
        warned += bool(leaks(frame))
    assert warned <= 1  # 2%


@every_case(("classes", "rows"), [(False, 60), (False, 300), (True, 300)])
def test_columns_that_tell_only_together_are_no_leak(classes: bool, rows: int) -> None:
    warned = 0
    for seed in range(50):
        frame = table(rows, classes, seed)
        both = (frame["x0"] > 0) ^ (frame["x1"] > 0)
        frame["y"] = np.where(both, "yes", "no") if classes else frame["x0"] * frame["x1"]
        warned += bool(leaks(frame.assign(time=frame["x2"], z=np.where(both, "a", "b")[::-1])))
    assert warned <= 1  # 2%


def test_text_that_holds_the_target_as_a_number_is_a_leak() -> None:
    frame = table(200, False, 0)
    amounts = frame["y"].round(3)
    frame["raw"] = [f"<{each} mg" if each < 0 else f"{each} mg" for each in amounts]
    (found,) = leaks(frame)
    assert (found["columns"], found["kind"]) == (["raw"], "alone")
    some = frame["raw"].where(frame.index % 20 > 0, "unknown")
    some[1] = "5e999 mg"
    assert [each["columns"] for each in leaks(frame.assign(raw=some))] == [["raw"]]
    rarely = np.arange(200) % 5 == 0  # as a text may
    assert leaks(frame.assign(raw=frame["raw"].where(~rarely, "unknown"))) == []
    noise = np.random.default_rng(1).normal(size=200).round(3)
    assert leaks(frame.assign(raw=[f"about {each} of 12" for each in noise])) == []


def test_a_rare_class_is_given_away_too() -> None:
    frame = table(600, True, 1, share=0.05)
    frame["leak"] = np.where(frame["y"] == "yes", "paid", "open")
    assert [each["columns"] for each in leaks(frame)] == [["leak"]]
    assert leaks(frame, ignore="leak") == []


def test_a_column_that_is_merely_good_is_no_leak() -> None:
    whole = table(400, True, 0).drop(columns="x0")
    whole["good"] = whole["x1"] + whole["y"].eq("yes") * 2.7
    assert leaks(whole) == []  # it is filled everywhere
    frame = planted("late", True)
    other = frame["leak"].fillna(0.0) + np.random.default_rng(1).normal(size=len(frame))
    assert leaks(frame.assign(other=other)) == []  # others tell much of it, too


def test_a_gap_that_chance_explains_is_no_leak() -> None:
    frame = table(400, True, 0)
    ten = frame["y"].eq("yes") & frame["y"].eq("yes").cumsum().le(10)
    assert leaks(frame.assign(rare=frame["x1"].where(ten))) == []
    thirty = frame["y"].eq("yes") & frame["y"].eq("yes").cumsum().le(30)
    (found,) = leaks(frame.assign(rare=frame["x1"].where(thirty)))
    assert found["columns"] == ["rare"]


def test_many_classes_and_odd_columns_are_looked_at() -> None:
    random = np.random.default_rng(3)
    signal = random.normal(size=500)
    frame = pd.DataFrame(
        {
            "signal": signal,
            "count": pd.array(random.integers(0, 9, 500), dtype="Int64"),
            "flag": pd.array(random.choice([True, False], 500), dtype="boolean"),
            "note": [f"note {at} of many" for at in range(500)],
            "empty": np.full(500, np.nan),
            "constant": 1,
            "y": np.select([signal > 1, signal + random.normal(size=500) > 0], ["a", "b"], "c"),
        }
    )
    frame.loc[:99, ["count", "flag"]] = pd.NA
    assert leaks(frame) == []
    frame["leak"] = pd.Series(frame["y"].map({"a": 3, "b": 1, "c": 2})).where(signal > -1)
    assert [(each["columns"], each["kind"]) for each in leaks(frame)] == [(["leak"], "alone")]


# --------------------------------------------------------------------------------------- checks


def judged(
    truth: Any,
    told: Any,
    *,
    costs: tuple[float, float] = (1.0, 1.0),
    threshold: float = 0.5,
    test: dict[str, Any] | None = None,
    found: tuple[dict[str, Any], ...] = (),
    project: Project | None = None,
    margin: float = 0.05,
) -> evaluate.Judged:
    """A model that says `told` of each row, as evaluate hands it to the checks.

    Args:
        truth: Flags or numbers.
        told: The probability of True, or numbers.
        costs: Of a false alarm and of a miss.
        threshold: From which probability on True is predicted.
        test: What test says of the model.
        found: Leaks.
        project: With a report of the split.
        margin: Of `[evaluate]`.
    """
    told, classes = np.asarray(told, float), (
        ["no", "yes"] if np.asarray(truth).dtype == bool else []
    )
    if classes:
        task, metric, positive = CLASSIFICATION, "roc_auc", "yes"
        names, shares = np.array(classes, dtype=object), np.column_stack([1 - told, told])
        said = Predictions(labels=names[(told >= threshold).astype(int)], probabilities=shares)
        labelled = task.with_truth(names[np.asarray(truth).astype(int)], said, classes, positive)
        share = float(np.mean(truth))
        constant: dict[str, Any] = {"probabilities": {"no": 1 - share, "yes": share}}
    else:
        task, metric, constant = REGRESSION, "rmse", {"value": float(np.mean(truth))}
        labelled = task.with_truth(truth, Predictions(values=told))
    floor = task.constant_with_truth(labelled, constant, classes)
    intervals, difference = bootstrap(labelled, floor, metric, resamples=100)
    base = score(floor)
    result = {
        "rows": len(labelled),
        "metrics": {
            name: vars(each) | {"baseline": base[name]} for name, each in intervals.items()
        },
        "difference": vars(difference),
        "skill": skill(metric, intervals[metric].value, base[metric]),
    }
    document = {"settings": {"decision": dict(zip(("cost_fp", "cost_fn"), costs, strict=True))}}
    bundle: Any = SimpleNamespace(document=document, classes=classes)
    evaluation: Any = SimpleNamespace(bundle=bundle, metric=metric, target="y", project=project)
    diagnostics = {"leaks": list(found)}
    if classes:
        diagnostics["calibration"] = curves.calibration(
            SimpleNamespace(labelled=labelled, bundle=bundle)
        )
    facts = {"margin": margin, "test": test}
    return evaluate.Judged(evaluation, labelled, result, facts, diagnostics)


def warned(*arguments: Any, **options: Any) -> dict[str, str]:
    """Return the sentence of each check that found something."""
    options.setdefault("project", SimpleNamespace(report_file=lambda name: Path("nowhere")))
    found = evaluate.find_warnings(judged(*arguments, **options))
    assert len({each["check"] for each in found}) == len(found)
    return {each["check"]: each["text"] for each in found}


def classes_and_scores(seed: int, rows: int, share: float, strength: float) -> tuple[Any, Any]:
    """Flags, and calibrated probabilities of them."""
    random = np.random.default_rng(seed)
    logit = random.normal(np.log(share / (1 - share)), strength, rows)
    told = 1 / (1 + np.exp(-logit))
    return random.uniform(size=rows) < told, told


def test_an_honest_model_is_not_doubted() -> None:
    doubted = {
        seed: found
        for seed in range(50)
        if (found := warned(*classes_and_scores(seed, 200, 0.4, 2.0)))
    }
    random = np.random.default_rng(0)
    for seed in range(50):
        truth = random.normal(size=200)
        found = warned(truth, 0.96 * truth + random.normal(0, 0.2, 200))  # a skill of 0.8
        doubted |= {seed + 50: found} if found else {}
    assert len(doubted) <= 2, doubted


def test_decisions_like_the_baselines_are_said_with_the_setting_that_helps() -> None:
    random = np.random.default_rng(0)
    rare, told = classes_and_scores(0, 1000, 0.07, 0.5)
    found = warned(rare, told)
    assert set(found) == {"decision"}
    assert (
        f"no better than always 'no': they find 0 of {rare.sum()} rows of 'yes'"
        in found["decision"]
    )
    assert "set [decision] cost_fn = 5 if" in found["decision"]
    assert "decision" not in warned(rare, told, costs=(1.0, 8.0), threshold=1 / 9)
    common = ~rare
    assert "always 'yes'" in warned(common, 1 - told)["decision"]
    assert "cost_fp = 5 if" in warned(common, 1 - told)["decision"]
    # One that is found costs as much as the false alarm beside it.
    even = np.where(np.arange(1000) == rare.argmax(), 0.9, 0.01)
    even[(~rare).argmax()] = 0.9
    assert "they find 1 of" in warned(rare, even)["decision"]
    found = warned(random.uniform(size=400) < 0.5, random.uniform(size=400))
    assert "probabilities" in found and "few_rows" in found  # it knows nothing


def test_one_of_many_classes_for_every_row_is_said() -> None:
    labelled: Any = SimpleNamespace(labels=np.zeros(9, int), positive=None, names=("a", "b", "c"))
    subject = evaluate.Judged(None, labelled, {}, {}, {})
    assert list(verdict._decision(subject)) == ["The model predicts 'a' for every row."]
    labelled.labels = np.array([0, 1, 0])
    assert list(verdict._decision(subject)) == []


def test_probabilities_that_mislead_are_said() -> None:
    truth, told = classes_and_scores(1, 400, 0.5, 2.0)
    assert warned(truth, told) == {}
    sure = warned(truth, np.where(told > 0.5, 1 - 1e-9, 1e-9))
    assert sure["probabilities"].startswith("Log loss on valid")
    off = warned(truth, 0.35 + 0.3 * told)
    assert off["probabilities"].startswith("Probabilities of yes are off by 1")


def test_a_score_near_perfection_is_doubted() -> None:
    truth = np.arange(200) % 2 == 0
    told = np.where(truth, 0.99, 0.01)
    assert set(warned(truth, told)) == {"near_perfect"}
    assert "near_perfect" not in warned(truth[:40], told[:40])
    numbers = np.random.default_rng(0).normal(size=200)
    assert set(warned(numbers, numbers * 1.01)) == {"near_perfect"}
    assert "near_perfect" in warned(numbers[:10], numbers[:10] * 1.01)
    assert "near_perfect" not in warned(numbers[:9], numbers[:9] * 1.01)


def test_too_few_rows_for_the_margin_are_said() -> None:
    truth, told = classes_and_scores(2, 60, 0.5, 0.7)
    sentence = warned(truth, told)["few_rows"]
    assert "Valid has too few rows, 60, to tell" in sentence
    assert "rows)" in sentence
    many = classes_and_scores(2, 6000, 0.5, 0.7)
    assert "few_rows" not in warned(*many)
    assert "few_rows" in warned(*many, margin=round(judged(*many).result["skill"], 2))
    rare = np.arange(300) < 4
    few = warned(rare, np.where(rare, 0.9, 0.1))["few_rows"]
    assert few.startswith("Valid has only 4 rows of 'yes', so every score may be chance")
    numbers = np.random.default_rng(0).normal(size=20)
    assert "few_rows" not in warned(numbers, numbers * 0.9)
    few = warned(numbers[1:], numbers[1:] * 0.9)["few_rows"]
    assert few.startswith("Valid has only 19 rows, so every score may be chance")


def test_a_test_that_is_far_from_valid_is_said() -> None:
    truth, told = classes_and_scores(3, 600, 0.5, 2.0)

    def of_test(value: float, half: float) -> dict[str, Any]:
        found = {"value": value, "low": value - half, "high": value + half}
        return {"metrics": {"roc_auc": found}, "skill": 2 * value - 1}

    far = warned(truth, told, test=of_test(0.6, 0.03))
    assert "on valid and 0.600 on test, more apart than chance" in far["far_test"]
    assert warned(truth, told, test=of_test(0.85, 0.03)) == {}
    assert warned(truth, told, test=of_test(0.7, 0.3)) == {}
    unknown = {"metrics": {"roc_auc": {"value": None, "low": None, "high": None}}, "skill": 0.0}
    assert warned(truth, told, test=unknown) == {}


@every_case(
    ("copies", "duplicates", "doubted"),
    [(50, "keep", True), (9, "keep", False), (50, "together", False), (0, "keep", False)],
)
def test_copies_in_several_splits_are_said(
    copies: int, duplicates: str, doubted: bool, tmp_path: Path
) -> None:
    facts = {"copies": copies, "duplicates": duplicates, "rows": {"train": 700, "valid": 300}}
    report = {"version": 1, "stage": "preprocess", "facts": facts}
    project = Project(tmp_path)
    write_json(project.report_file("split"), report)
    found = warned(*classes_and_scores(4, 300, 0.5, 2.0), project=project)
    assert set(found) == ({"copies"} if doubted else set())


LEAK = {"columns": ["z"], "skill": 0.99, "outcome": None, "filled": 1.0}
SENTENCES = [
    ({"kind": "alone"}, "'z' alone nearly gives 'y' away (skill 0.990): if it is"),
    ({"kind": "late", "filled": 0.62}, "'z' alone, where it is filled (62% of rows), nearly gives"),
    ({"kind": "numbering"}, "'z' numbers the rows and alone predicts 'y'"),
    ({"kind": "filled", "outcome": "yes"}, "'y' is nearly always 'yes' where 'z' is filled:"),
    ({"kind": "missing", "outcome": "yes"}, "'y' is nearly always 'yes' where 'z' is missing:"),
    (
        {"kind": "value", "outcome": "no", "value": 52},
        "'y' is nearly always 'no' where 'z' is 52, ",
    ),
    (
        {"kind": "duration"},
        "'z' may run until the outcome, or as long as it was waited for, and al",
    ),
    ({"kind": "duration", "columns": ["z", "w"]}, "'z', 'w' may run until the outcome, or as long"),
    ({"kind": "filled", "columns": ["z", "w"]}, "Whether 'z', 'w' are filled already tells most"),
]


@every_case(("leak", "sentence"), SENTENCES)
def test_each_leak_is_said_with_what_to_do(leak: dict[str, Any], sentence: str) -> None:
    found = warned(*classes_and_scores(5, 300, 0.5, 2.0), found=({**LEAK, **leak},))
    assert set(found) == {"leaks"}
    assert found["leaks"].startswith(sentence)
    assert "to [data] ignore" in found["leaks"]


# --------------------------------------------------------------------------------- what was assumed


def stage(name: str, notes: str | None = None) -> Stage:
    """A stage that only has to be named."""
    return Stage(name, "none:none", report=name, notes=notes)


def said(count: int) -> dict[str, Any]:
    """The facts of a stage that says so much."""
    return {"aloud": [f"line {number}" for number in range(count)]}


@every_case(
    ("first", "second", "shown"),
    [
        (0, 0, 0),
        (10, 0, 10),
        (4, 6, 10),
        (30, 2, 10),
        (2, 30, 10),
        (30, 30, 10),
    ],
)
def test_at_most_ten_lines_are_shown_of_what_was_assumed(
    first: int, second: int, shown: int
) -> None:
    found = [(stage("one", "data/one.yaml"), said(first)), (stage("two"), said(second))]
    lines = pipeline.assumed(found)
    assert len(lines) == shown
    counted = {
        line.partition(" more in ")[2]: int(line.split()[0])
        for line in lines
        if " more in " in line
    }
    # Each line is there, or is counted with the file that holds it.
    assert len(lines) - len(counted) + sum(counted.values()) == first + second
    assert set(counted) <= {"data/one.yaml", "reports/two.json"}
    assert (first <= 5 and second <= 5) or first + second <= 10 or counted


# --------------------------------------------------------------------------------------- as a whole


@pytest.fixture(scope="module")
def misled(
    tmp_path_factory: pytest.TempPathFactory, make_project: Make
) -> tuple[Project, list[str]]:
    """A project with a leak and amounts in many units, and what `run` said."""
    folder = tmp_path_factory.mktemp("misled")
    frame = planted("filled", True).drop(columns=["number", "when", "leak_when"])
    units = ["USD", "EUR", "GBP", "kg", "g", "km", "cm", "mm", "hp", "l", "ml", "lb"]
    for number, unit in enumerate(units):
        frame[f"amount{number}"] = [f"{x + number:,.2f} {unit}" for x in frame["x1"] * 100 + 1000]
    frame.to_csv(folder / "t.csv", index=False)
    project = make_project(
        folder / "p",
        data={"source": "../t.csv", "target": "y"},
        model={"candidates": "linear", "folds": 2},
        evaluate={"bootstrap": 50},
    )
    lines: list[str] = []
    pipeline.run(project, load_settings(project), say=lines.append)
    return project, lines


def test_the_page_and_the_terminal_warn(
    misled: tuple[Project, list[str]], capsys: pytest.CaptureFixture[str]
) -> None:
    project, _ = misled
    page = (project.reports / "index.html").read_text(encoding="utf-8")
    banner = page.partition('<div class="verdict check">')[2].partition("<h3>")[0]
    assert "Margin met, but check" in banner
    assert "where &#39;leak&#39; is filled" in banner
    with _results_shown(project):
        pass
    shown = " ".join(capsys.readouterr().out.split())
    assert "Check before you rely on it: - 'y' is nearly always 'yes' where 'leak' is" in shown
    facts = read_report(project, "metrics").facts
    assert [each["check"] for each in facts["warnings"]] == ["leaks"]


def test_what_was_assumed_stands_at_the_head_and_is_said_once(
    misled: tuple[Project, list[str]],
) -> None:
    project, lines = misled
    assert lines[0] == "What was assumed:"
    assert lines[1].startswith("  - the positive class, the one to find, is 'no', the ")
    assert lines[2] == "  - amount0 is read as numbers in USD"
    assert lines[10] == "  - 4 more in data/schema.yaml"
    assert lines[11].startswith("ingest ")
    page = (project.reports / "index.html").read_text(encoding="utf-8")
    block = page.partition("<h3>What was assumed</h3>")[2].partition("</ul>")[0]
    assert block.count("<li>") == 10
    assert "<li>stratified split; classes: each split gets the same share of each</li>" in block
    assert "<li>&#39;no&#39; is the class to find; [decision] positive</li>" in block
    assert "<li>6 more in data/schema.yaml</li>" in block
    assert page.index("What was assumed") < page.index('<dl class="cards">')
    again: list[str] = []
    pipeline.run(project, load_settings(project), say=again.append)
    assert not any("assumed" in line or "amount" in line for line in again)
