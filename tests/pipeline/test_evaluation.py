"""Metrics, intervals, the gate, the ledger, the diagnostics and the page, in depth."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pandas as pd
import pytest
from colours import contrast
from mlproj import evaluate, report
from mlproj.bundle import champion
from mlproj.core import pipeline, registry
from mlproj.core.config import load_settings
from mlproj.core.errors import GateError, UserError
from mlproj.core.files import read_json_lines
from mlproj.core.project import Project, read_report
from mlproj.data.split import load_split
from mlproj.evaluation import curves, diagnostics, ledger
from mlproj.evaluation.predictions import PredictionsWithTruth
from mlproj.models.features import prepare
from mlproj.reporting import plots
from mlproj.reporting import sections as profile
from sklearn.base import clone
from sklearn.metrics import roc_auc_score

Make = Callable[..., Project]
QUICK = {"model": {"candidates": "linear", "folds": 2}, "evaluate": {"bootstrap": 50}}
HOSTILE = '<script>alert("1")</script>'


# ----------------------------------------------------------------------- a project that has run


def messy_table(rows: int = 1000) -> pd.DataFrame:
    """Classes with a hostile name, columns with hostile names, ids, a sensitive column."""
    random = np.random.default_rng(0)
    signal = random.normal(size=rows)
    return pd.DataFrame(
        {
            "key": np.arange(rows),
            HOSTILE: signal,
            "$x_1$ & co": random.normal(size=rows),
            "origin": random.choice(["north", "south"], rows),
            "kind": np.where(signal + random.normal(0, 0.5, rows) > 0, "a<b", 'c"d'),
        }
    )


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory, make_project: Make) -> Project:
    """A project on the messy table in which every stage has run; to be copied."""
    folder = tmp_path_factory.mktemp("finished") / "p"
    folder.mkdir()
    messy_table().to_csv(folder / "table.csv", index=False)
    data = {"source": "table.csv", "target": "kind", "id": "key", "sensitive": "origin"}
    project = make_project(folder, data=data, **QUICK)
    pipeline.run(project, load_settings(project), say=lambda _: None)
    return project


@pytest.fixture
def project(finished: Project, tmp_path: Path) -> Project:
    """A copy of the finished project."""
    shutil.copytree(finished.root, tmp_path / "p")
    return Project(tmp_path / "p")


def run_again(project: Project, *overrides: str) -> None:
    """Run what has changed."""
    pipeline.run(project, load_settings(project, overrides), say=lambda _: None)


def facts(project: Project, name: str = "metrics") -> dict[str, Any]:
    """The facts of a report that has to be there."""
    found = read_report(project, name)
    assert found is not None
    known: dict[str, Any] = found.facts
    return known


OTHER_MODEL = ["model.candidates=forest", "params.forest.n_estimators=20"]


def test_first_run_opens_test_once(project: Project) -> None:
    lines = read_json_lines(project.ledger)
    assert [line["reason"] for line in lines] == ["the first model of this split"]
    assert facts(project)["test"]["metrics"] == lines[0]["metrics"]
    assert facts(project)["test_openings"] == 1


def test_a_sound_score_has_a_green_banner(finished: Project) -> None:
    assert facts(finished)["warnings"] == []
    page = (finished.reports / report.PAGE).read_text(encoding="utf-8")
    assert '<div class="verdict"><strong>Margin met</strong>' in page


def test_the_words_of_a_banner_can_be_read() -> None:
    css = Path(report.__file__).with_name("reporting") / "report.css"
    ways = css.read_text(encoding="utf-8").split("@media (prefers-color-scheme: dark)")
    for colours in (dict(re.findall(r"--([\w-]+): (#\w+)", way)) for way in ways[:2]):
        for kind in ("good", "bad", "check"):
            assert contrast(colours[kind], colours[f"{kind}-tint"]) >= 4.5
            assert contrast(colours["ink"], colours[f"{kind}-tint"]) >= 4.5


def test_a_later_model_leaves_test_closed(project: Project) -> None:
    run_again(project, *OTHER_MODEL)
    assert len(read_json_lines(project.ledger)) == 1
    assert facts(project)["test"] is None
    assert facts(project)["test_openings"] == 1
    assert any("for another model" in note for note in facts(project)["notes"])


def test_a_later_model_opens_test_with_a_reason_alone(project: Project) -> None:
    run_again(project, *OTHER_MODEL)
    settings = load_settings(project, OTHER_MODEL)
    with pytest.raises(UserError, match='opened once already.*--final --again "reason"'):
        evaluate.evaluate(project, settings, final=True)
    evaluate.evaluate(project, settings, final=True, again="the audit asks")
    lines = read_json_lines(project.ledger)
    assert [line["reason"] for line in lines[1:]] == ["the audit asks"]
    assert facts(project)["test_openings"] == 2
    evaluate.evaluate(project, settings, final=True, again="once more")
    assert len(read_json_lines(project.ledger)) == 2


def test_the_first_model_gets_its_record_back(project: Project) -> None:
    before = facts(project)["test"]
    run_again(project, *OTHER_MODEL)
    run_again(project)
    assert facts(project)["test"] == before


def test_an_edited_role_is_no_new_test_split(project: Project) -> None:
    conf = project.conf.read_text(encoding="utf-8")
    changed = conf.replace("sensitive = origin", "sensitive = origin\nignore = origin")
    project.conf.write_text(changed, encoding="utf-8")
    run_again(project)
    assert len(read_json_lines(project.ledger)) == 1
    assert facts(project)["test"] is None


@pytest.mark.parametrize("reason", ["", "  "])
def test_an_empty_reason_is_none(project: Project, reason: str) -> None:
    with pytest.raises(UserError, match="needs a reason in words"):
        evaluate.evaluate(project, load_settings(project), final=True, again=reason)


def test_again_without_final_is_refused(project: Project) -> None:
    with pytest.raises(UserError, match="--again goes with --final"):
        evaluate.evaluate(project, load_settings(project), again="because")


def test_missed_bar_is_reported_before_it_is_raised(project: Project) -> None:
    project.ledger.unlink()
    settings = load_settings(project, ["evaluate.margin=0.999"])
    with pytest.raises(GateError, match=r"a skill of 0\.\d+ where \[evaluate\] margin asks"):
        evaluate.evaluate(project, settings, final=True)
    assert facts(project)["passed"] is False
    assert read_json_lines(project.ledger) == []  # a model that fails on valid is kept from test
    report.report(project, settings)
    assert "Margin missed" in (project.reports / report.PAGE).read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("skill", "margin", "clears"),
    [
        (0.05, 0.05, True),
        (0.04, 0.05, False),
        (0.0, 0.0, False),
        (0.01, 0.0, True),
        (float("nan"), 0.0, False),
    ],
)
def test_the_bar(skill: float, margin: float, clears: bool) -> None:
    assert evaluate._clears(skill, margin) is clears


def test_a_persons_score_stands_in_the_comparison(project: Project) -> None:
    settings = load_settings(project, ["evaluate.human_score=0.6"])
    evaluate.evaluate(project, settings)
    report.report(project, settings)
    human = facts(project)["human"]
    assert human == {"value": 0.6, "skill": pytest.approx(0.2), "reached": True}
    assert "A person&#39;s score" in (project.reports / report.PAGE).read_text(encoding="utf-8")


def test_a_draw_of_rows_is_said(project: Project) -> None:
    evaluate.evaluate(project, load_settings(project, ["evaluate.rows=100"]))
    rows = facts(project)["rows"]
    assert (
        "Intervals of valid come from resampling a draw of 100 rows, and are scaled to its "
        f"{rows:,} rows."
    ) in facts(project)["notes"]


def test_data_that_changed_since_is_refused(project: Project) -> None:
    manifest = json.loads(project.manifest_file.read_text(encoding="utf-8"))
    manifest["fingerprint"] = "0" * 16
    project.manifest_file.write_text(json.dumps(manifest), encoding="utf-8")
    with pytest.raises(UserError, match="run `train` first"):
        evaluate.evaluate(project, load_settings(project))


def test_summary_table_is_none_without_an_evaluation(project: Project) -> None:
    assert evaluate.summary_table(project) is not None
    project.report_file("metrics").unlink()
    assert evaluate.summary_table(project) is None


def test_summary_table_fits_a_terminal(project: Project) -> None:
    from rich.console import Console

    console = Console(width=80, record=True, file=(project.root / "out").open("w"))
    console.print(evaluate.summary_table(project))
    text = console.export_text()
    assert "ROC AUC" in text
    assert "[evaluate] margin" in text
    assert max(map(len, text.splitlines())) <= 80


# --------------------------------------------------------------------------------- diagnostics


def test_curves_agree_with_the_metrics(project: Project) -> None:
    found, scores = facts(project, "diagnostics"), facts(project)
    assert found["roc"][0]["area"] == pytest.approx(scores["metrics"]["roc_auc"]["value"], abs=1e-5)
    assert sum(map(sum, found["confusion"]["counts"])) == scores["rows"]
    assert sum(each["count"] for each in found["calibration"]["bins"]) == scores["rows"]


def test_learning_curve_ends_with_the_model_itself(project: Project) -> None:
    points = facts(project, "diagnostics")["learning_curve"]["points"]
    assert points[-1]["rows"] == len(load_split(project, "train"))
    assert [point["rows"] for point in points] == sorted({point["rows"] for point in points})
    # Calibration of two classes keeps the ranking, so the bundle's score is the pipeline's.
    value = facts(project)["metrics"]["roc_auc"]["value"]
    assert points[-1]["valid"] == pytest.approx(value, abs=1e-5)


def test_learning_curve_fits_three_sizes_of_a_sample(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[int] = []

    def load_sample(*arguments: Any, **options: Any) -> pd.DataFrame:
        frame: pd.DataFrame = load_split(*arguments, **options)
        read.append(len(frame))
        return frame

    for module in (evaluate, diagnostics):
        monkeypatch.setattr(module, "LEARNING_ROWS", 120)
    monkeypatch.setattr(evaluate, "load_split", load_sample)
    evaluate.evaluate(project, load_settings(project, ["model.metric=f1"]))
    found = facts(project, "diagnostics")["learning_curve"]
    every = len(load_split(project, "train"))
    assert [point["rows"] for point in found["points"]] == [30, 60, 120, every]
    assert found["fitted_rows"] == 120
    assert read == [len(load_split(project, "valid")), 120]


def test_learning_curve_judges_train_as_it_was_learnt_from(
    make_project: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A text of two rows is encoded by their own targets, which ranks train wrongly."""
    random = np.random.default_rng(0)
    size = random.normal(size=500)
    table = pd.DataFrame({"size": size, "name": [f"n{at // 2}" for at in random.permutation(500)]})
    label = np.where(size + random.normal(size=500) > 0, "yes", "no")
    table.assign(label=label).to_csv(tmp_path / "t.csv", index=False)
    project = make_project(
        tmp_path,
        data={"source": "t.csv", "target": "label"},
        model={"candidates": "linear", "folds": 0},
    )
    pipeline.run(project, load_settings(project), until="evaluate", say=lambda _: None)
    points = facts(project, "diagnostics")["learning_curve"]["points"]
    assert [point["train"] > 0.7 for point in points] == [True] * len(points)
    # The last point is of the very rows that the model was fitted on, in their order.
    bundle, train = champion.load_champion(project), load_split(project, "train")
    features, target = bundle.model[0], train["label"].to_numpy()
    learnt = clone(features).fit_transform(prepare(train, bundle.schema, bundle.custom), target)
    found = roc_auc_score(target, bundle.model[-1].predict_proba(learnt)[:, 1])
    assert points[-1]["train"] == pytest.approx(found, abs=1e-5)
    # Of a sample of rows, nobody knows by which others its texts were encoded.
    for module in (evaluate, diagnostics):
        monkeypatch.setattr(module, "LEARNING_ROWS", 120)
    evaluate.evaluate(project, load_settings(project, ["model.metric=f1"]))
    *fitted, last = facts(project, "diagnostics")["learning_curve"]["points"]
    assert last["train"] is None
    assert all(point["train"] > 0.5 for point in fitted)


def test_learning_curve_is_not_fitted_twice(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any) -> None:
        raise AssertionError("fitted again")

    monkeypatch.setattr(evaluate, "learning_curve", refuse)
    evaluate.evaluate(project, load_settings(project))
    with pytest.raises(AssertionError, match="fitted again"):
        evaluate.evaluate(project, load_settings(project, ["model.metric=f1"]))


def test_importance_finds_the_signal(project: Project) -> None:
    ranks = facts(project, "diagnostics")["importance"]["features"]
    assert ranks[0]["feature"] == HOSTILE
    assert ranks[0]["mean"] > 0.1


def test_worst_rows_name_their_id_and_hide_what_is_sensitive(project: Project) -> None:
    rows = read_json_lines(project.worst_rows)
    assert "rows" not in facts(project, "diagnostics")["worst"]
    keys = set(load_split(project, "valid")["key"])
    assert {row["id"]["key"] for row in rows} <= keys
    assert all("origin" not in row["features"] and HOSTILE in row["features"] for row in rows)
    errors = [row["error"] for row in rows]
    assert errors == sorted(errors, reverse=True)


def test_evaluation_is_the_same_twice(project: Project) -> None:
    first = project.report_file("diagnostics").read_bytes()
    project.report_file("diagnostics").unlink()
    evaluate.evaluate(project, load_settings(project))
    assert project.report_file("diagnostics").read_bytes() == first


def test_thinned_curve_keeps_its_ends() -> None:
    line = np.linspace(0, 1, 10_000)
    points = curves._thin(line, line**2)
    assert len(points) <= curves.POINTS
    assert points[0] == [0, 0]
    assert points[-1] == [1, 1]


def test_every_beginning_of_the_learning_rows_has_each_class() -> None:
    target = pd.Series(["a"] * 900 + ["b"] * 90 + ["c"] * 10)
    order = diagnostics._mixed_order(target, True, 0)
    assert sorted(order) == list(range(1000))
    first = target.iloc[order[:100]].value_counts()
    assert first.to_dict() == {"a": 90, "b": 9, "c": 1}


# -------------------------------------------------------------------------------------- the page


class Outline(HTMLParser):
    """Collects what matters of a page: tags with attributes, ids, text outside of scripts."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def values(self, attribute: str) -> list[str]:
        return [found[attribute] or "" for _, found in self.tags if attribute in found]


@pytest.fixture(scope="module")
def outline(finished: Project) -> Outline:
    """The page of the finished project."""
    return Outline((finished.reports / report.PAGE).read_text(encoding="utf-8"))


def test_names_from_the_data_do_not_become_html(finished: Project, outline: Outline) -> None:
    assert not [tag for tag, _ in outline.tags if tag == "script"]
    page = (finished.reports / report.PAGE).read_text(encoding="utf-8")
    assert HOSTILE not in page
    assert "&lt;script&gt;alert" in page


def test_the_page_refers_to_nothing_but_itself(outline: Outline) -> None:
    assert all(link.startswith("#") for link in outline.values("href") + outline.values("src"))
    links = {link[1:] for link in outline.values("href") if link != "#"}
    assert links <= set(outline.values("id"))


def test_ids_are_unique(outline: Outline) -> None:
    ids = outline.values("id")
    assert len(ids) == len(set(ids))


def test_the_page_can_be_heard(outline: Outline) -> None:
    drawings = [found for tag, found in outline.tags if tag == "svg"]
    assert len(drawings) >= 7
    assert all(found.get("role") == "img" and found.get("aria-label") for found in drawings)
    levels = [int(tag[1]) for tag, _ in outline.tags if re.fullmatch("h[1-6]", tag)]
    assert levels.count(1) == 1
    assert all(after - before <= 1 for before, after in zip(levels, levels[1:], strict=False))


def test_the_page_is_small(finished: Project) -> None:
    assert (finished.reports / report.PAGE).stat().st_size < 2_500_000


def test_drawings_take_their_colours_from_the_page(finished: Project) -> None:
    page = re.sub(r'srcdoc="[^"]*"', "", (finished.reports / report.PAGE).read_text("utf-8"))
    drawn = "".join(re.findall(r"<svg.*?</svg>", page, flags=re.S))
    assert set(re.findall(r"(?:fill|stroke): (#[0-9a-f]{6})", drawn)) <= {"#ffffff"}
    assert "var(--c1)" in drawn


def test_the_page_is_the_same_twice(project: Project) -> None:
    before = (project.reports / report.PAGE).read_bytes()
    report.report(project, load_settings(project))
    assert (project.reports / report.PAGE).read_bytes() == before


def test_the_profile_is_made_once_for_the_data(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any) -> None:
        raise AssertionError("profiled again")

    monkeypatch.setattr(profile, "_make_profile", refuse)
    report.report(project, load_settings(project))
    (project.reports / profile.PROFILE).unlink()
    with pytest.raises(AssertionError, match="profiled again"):
        report.report(project, load_settings(project))


def test_the_profile_shows_no_ids_and_at_most_so_many_rows(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    (project.reports / profile.PROFILE).unlink()
    monkeypatch.setattr(profile, "PROFILE_ROWS", 100)
    report.report(project, load_settings(project))
    found = facts(project, "profile")
    assert "key" not in [column["name"] for column in found["columns"]]
    assert found["about"].startswith("A draw of 100 of the ")


@pytest.mark.parametrize(
    ("missing", "stage"),
    [
        ("split", "preprocess"),
        ("train", "train"),
        ("metrics", "evaluate"),
        ("diagnostics", "evaluate"),
        ("schema", "ingest"),
    ],
)
def test_a_missing_report_names_its_stage(project: Project, missing: str, stage: str) -> None:
    project.report_file(missing).unlink()
    with pytest.raises(UserError, match=f"no reports/{missing}.json; run `{stage}` first"):
        report.report(project, load_settings(project))


def own_section(project: Project, settings: Any) -> report.Section:
    """A section as custom.py may add one."""
    return report.Section("Costs", "<p>Rather high.</p>")


def test_own_sections_stand_before_the_last_ones(
    project: Project, package: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(registry.REPORT_SECTIONS, "costs", f"{__name__}:own_section")
    report.report(project, load_settings(project))
    page = (project.reports / report.PAGE).read_text(encoding="utf-8")
    assert "<p>Rather high.</p>" in page
    ids = re.findall(r'<section id="(\w+)"', page)
    assert ids == [
        "summary",
        "data",
        "split",
        "models",
        "curves",
        "errors",
        "costs",
        "test",
        "card",
    ]


def test_numbers_get_their_own_plots(tmp_path: Path, make_project: Make) -> None:
    data = {"source": "sklearn:diabetes", "target": "progression"}
    model = {"task": "regression", "candidates": "linear", "folds": 2}
    project = make_project(tmp_path / "p", data=data, model=model, evaluate={"bootstrap": 50})
    run_again(project)
    found = facts(project, "diagnostics")
    assert "confusion" not in found
    assert found["residuals"]["points"]
    assert 0.8 <= facts(project)["interval"]["coverage"] <= 1
    page = (project.reports / report.PAGE).read_text(encoding="utf-8")
    assert "True over predicted" in page
    assert "The 90% interval around each prediction holds" in page


def test_many_classes_are_drawn(tmp_path: Path, make_project: Make) -> None:
    data = {"source": "sklearn:digits", "target": "target"}
    project = make_project(tmp_path / "p", data=data, **QUICK)
    run_again(project)
    found = facts(project, "diagnostics")
    assert len(found["confusion"]["classes"]) == 10
    assert len(found["roc"]) == curves.CURVES
    page = (project.reports / report.PAGE).read_text(encoding="utf-8")
    assert "ROC of each class against the rest" in page


def test_confusion_of_very_many_classes_is_folded() -> None:
    truth = np.arange(1000) % 30
    labelled = PredictionsWithTruth(truth, (), labels=truth, classes=30)
    bundle = type("B", (), {"classes": list(range(30))})
    found = curves.confusion(type("S", (), {"labelled": labelled, "bundle": bundle}))
    assert len(found["classes"]) == curves.MATRIX + 1
    assert found["classes"][-1] == "(other)"
    assert sum(map(sum, found["counts"])) == 1000
    assert "var(--c1)" in plots.draw_confusion(found).svg


def test_ledger_survives_a_cut_off_line(project: Project) -> None:
    with project.ledger.open("a", encoding="utf-8") as file:
        file.write('{"split": "')
    state = ledger.state_of_test(project)
    ledger.record_opening(
        project, split=state, model="m", run_id="r", reason="why", result={"metric": "f1"}
    )
    assert [line["reason"] for line in ledger.openings(project, state)] == [
        "the first model of this split",
        "why",
    ]
