"""Packaging: calibration, threshold, interval, ONNX, what a bundle holds, and which one serves."""

from __future__ import annotations

import json
import math
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from asking import promote_copy
from mlproj import postprocess
from mlproj.bundle import bundle, card, champion, promotion
from mlproj.bundle.onnx import export as onnx
from mlproj.core import config, pipeline, registry
from mlproj.core.errors import GateError, UserError
from mlproj.core.files import write_json
from mlproj.core.project import Project
from mlproj.data.schema import Column, Schema
from mlproj.evaluation import decision, reference
from mlproj.models import make_candidate
from mlproj.models.features import build_features, prepare
from sklearn.pipeline import Pipeline

SAMPLE = {"source": "sample:1500", "target": "churned", "id": "customer_id"}


def run_until_packaged(project: Any, *overrides: str) -> Any:
    """Run the stages up to postprocess; return the facts and the run id of reports/release.json."""
    settings = config.load_settings(project, overrides)
    pipeline.run(project, settings, until="postprocess", say=lambda text: None)
    return pipeline.require(project, "postprocess")


def offer(project: Any, run_id: str) -> str:
    """Offer a model as `run` does, with the settings of conf.cfg."""
    return str(promotion.offer(project, config.load_settings(project), run_id))


@pytest.fixture(scope="module")
def packaged(tmp_path_factory: pytest.TempPathFactory, make_project: Any) -> Any:
    """Return a project whose model is packaged; leave it unchanged."""
    folder = tmp_path_factory.mktemp("bundle")
    project = make_project(folder, data=SAMPLE, model={"candidates": "linear", "folds": 0})
    run_until_packaged(project)
    return project


@pytest.fixture
def project(packaged: Any, tmp_path: Path) -> Any:
    """Return a copy of that project."""
    shutil.copytree(packaged.root, tmp_path / "project")
    return type(packaged)(tmp_path / "project")


def files_of(folder: Path) -> dict[str, bytes]:
    """Return the content of each file of a folder."""
    return {path.name: path.read_bytes() for path in folder.iterdir()}


# ---------------------------------------------------------- calibration, threshold, interval


def test_the_temperature_that_was_put_in_is_found() -> None:
    random = np.random.default_rng(0)
    honest = random.beta(0.5, 0.5, 20_000)
    codes = (random.random(len(honest)) < honest).astype(int)
    honest = np.column_stack([1 - honest, honest])
    bold = decision.temper(honest, 0.5)
    found = decision.fit_temperature(bold, codes, seed=1)
    assert found["kept"]
    assert found["rows"] == 10_000
    assert found["temperature"] == pytest.approx(2, rel=0.05)
    assert found["after"] < found["before"]
    assert np.abs(decision.temper(bold, found["temperature"]) - honest).max() < 0.02


def test_honest_probabilities_are_left_alone() -> None:
    random = np.random.default_rng(3)
    honest = random.dirichlet([1, 1, 1], 5_000)
    codes = np.array([random.choice(3, p=shares) for shares in honest])
    found = decision.fit_temperature(honest, codes, seed=1)
    assert found["temperature"] == pytest.approx(1, abs=0.03)
    few = decision.fit_temperature(honest[:20], codes[:20], seed=1)
    assert few["temperature"] == 1
    assert "too few rows" in few["reason"]


def test_few_rows_hardly_make_a_model_surer_and_many_decide_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Rows told apart without an error would make a temperature of nearly 0, and so 1e-41."""
    shares = np.repeat([0.93, 0.08], [26, 25])
    apart = np.column_stack([1 - shares, shares])
    codes = (shares > 0.5).astype(int)
    found = decision.fit_temperature(apart, codes, seed=0)
    assert found["kept"]
    assert 0.3 < found["temperature"] < 0.9
    assert decision.temper(apart, found["temperature"]).min() > 1e-3
    random = np.random.default_rng(0)
    honest = random.beta(0.5, 0.5, 10_000)
    codes = (random.random(10_000) < honest).astype(int)
    bold = decision.temper(np.column_stack([1 - honest, honest]), 0.5)
    shrunk = decision.fit_temperature(bold, codes, seed=1)["temperature"]
    monkeypatch.setattr(decision, "SPREAD", math.inf)
    free = decision.fit_temperature(bold, codes, seed=1)["temperature"]
    assert free != shrunk
    assert np.abs(decision.temper(bold, shrunk) - decision.temper(bold, free)).max() < 1e-3


def test_a_temperature_keeps_the_order_and_the_sum() -> None:
    shares = np.random.default_rng(0).dirichlet([1, 1, 1, 1], 100)
    shares[0] = [0, 0, 0, 1]
    changed = decision.temper(shares, 3.0)
    assert np.allclose(changed.sum(axis=1), 1)
    assert (changed.argsort(axis=1)[1:] == shares.argsort(axis=1)[1:]).all()
    assert decision.temper(shares, 1.0) is shares


@pytest.mark.parametrize(("cost_fp", "cost_fn"), [(1, 1), (1, 9), (4, 1)])
def test_honest_probabilities_get_the_threshold_of_theory(cost_fp: float, cost_fn: float) -> None:
    random = np.random.default_rng(0)
    shares = random.random(5_000)
    truth = random.random(5_000) < shares
    found = decision.fit_threshold(shares, truth, cost_fp, cost_fn, seed=0)
    assert found["theory"] == cost_fp / (cost_fp + cost_fn)
    assert found["value"] == pytest.approx(found["theory"], abs=0.05)


def test_probabilities_that_are_off_get_another_threshold() -> None:
    random = np.random.default_rng(0)
    honest = random.random(20_000)
    truth = random.random(20_000) < honest
    found = decision.fit_threshold(honest / 2, truth, 1, 1, seed=0)
    assert found["kept"]
    assert found["value"] == pytest.approx(0.25, abs=0.02)
    assert found["cost"] < found["cost_of_theory"]


def test_the_cheapest_threshold_is_that_of_a_search() -> None:
    random = np.random.default_rng(5)
    for _ in range(20):
        shares = random.random(40).round(1)
        truth = random.random(40) < 0.4
        value = decision.cheapest_threshold(shares, truth, 1, 3)

        def cost(threshold: float, shares: Any = shares, truth: Any = truth) -> int:
            found = shares >= threshold
            return int((found & ~truth).sum() + 3 * (~found & truth).sum())

        assert cost(value) == min(map(cost, [*np.linspace(0, 1.1, 221), 0.25]))


def test_the_interval_covers_new_rows() -> None:
    random = np.random.default_rng(0)
    held, new = np.abs(random.standard_t(3, 2_000)), np.abs(random.standard_t(3, 20_000))
    half = decision.conformal_interval(held, 0.9)["half_width"]
    assert (new <= half).mean() == pytest.approx(0.9, abs=0.02)
    # With 9 rows the largest error is the 90 % bound; with 8 there is none.
    assert decision.conformal_interval(np.arange(9.0), 0.9)["half_width"] == 8
    assert decision.conformal_interval(np.arange(8.0), 0.9)["half_width"] is None


# ----------------------------------------------------------------------------------------- ONNX


def table(rows: int = 600, *, text: bool = False) -> tuple[pd.DataFrame, Any]:
    """Return inputs with awkward names, and a schema for them."""
    random = np.random.default_rng(0)
    frame = pd.DataFrame(
        {
            "a b": random.normal(size=rows),
            "amount (\u20ac)": np.exp(random.normal(size=rows) * 4),
            "p:q": random.choice(["u", "v", "it's"], rows),
        }
    )
    frame.loc[::7, "a b"] = np.nan
    columns = [
        Column("a b", "number", True),
        Column("amount (\u20ac)", "number", False),
        Column("p:q", "category", False, categories=("it's", "u", "v")),
    ]
    return frame, Schema(tuple(columns), "test")


def fitted(
    name: str, task: str, classes: int = 2, columns: Any = None
) -> tuple[Any, pd.DataFrame, dict[str, Any]]:
    """Return a pipeline, inputs, and what of bundle.json the comparison needs."""
    frame, schema = table()
    if columns is not None:
        schema = Schema(tuple(each for each in schema.columns if each.name in columns), "test")
    inputs = prepare(frame, schema)
    score = frame["a b"].fillna(0) + (frame["p:q"] == "u") + np.log(frame["amount (\u20ac)"]) / 4
    target = score.to_numpy() if task == "regression" else np.where(score > 0.5, "yes", "no")
    if classes == 3:
        target = np.select([score > 1, score > 0], ["high", "middle"], "low")
    params = {"forest": {"n_estimators": 10}, "hgb": {"max_iter": 20}}.get(name, {})
    candidate = make_candidate(name, task, 0, params)
    options = config.Settings().features
    features = build_features(
        inputs,
        schema,
        candidate.kind,
        target_kind=registry.task(task).target_kind,
        seed=0,
        settings=options,
    )
    model = Pipeline([("features", features), ("model", candidate.estimator)]).fit(inputs, target)
    document: dict[str, Any] = {"task": task, "classes": [], "threshold": None, "positive": None}
    if task == "classification":
        document |= {"classes": ["no", "yes"], "positive": "yes", "threshold": 0.4}
        document["calibration"] = {"temperature": 1.5}
    if classes == 3:
        document |= {"classes": ["high", "low", "middle"], "positive": None, "threshold": None}
    return model, inputs, document


@pytest.mark.parametrize("task", ["classification", "regression"])
@pytest.mark.parametrize("name", ["linear", "forest", "hgb"])
def test_onnx_predicts_the_same(name: str, task: str) -> None:
    import onnxruntime

    model, inputs, document = fitted(name, task)
    export = onnx.export_onnx(model, inputs, document)
    assert export.content is not None, export.facts["reason"]
    assert export.facts["equal"]
    assert export.facts["rows"] > len(inputs)
    assert [block["name"] for block in export.facts["inputs"]] == ["numbers", "words"]
    # As a service does: by what onnx.json says, without scikit-learn.
    session = onnxruntime.InferenceSession(export.content)
    types = {"double": np.float64, "float": np.float32, "string": object}
    feed = {
        block["name"]: inputs[block["columns"]].to_numpy(dtype=types[block["type"]])
        for block in export.facts["inputs"]
    }
    found = session.run([export.facts["output"]], feed)[0]
    expected = bundle.task_of(document).raw_scores(model, inputs, document["classes"])
    assert np.abs(found.reshape(expected.shape) - expected).max() <= export.facts["tolerance"]


def test_histogram_trees_agree_however_near_a_split_is() -> None:
    model, inputs, document = fitted("hgb", "classification")
    assert onnx.export_onnx(model, inputs, document).facts["nearer_than_float32"] is None
    forest = onnx.export_onnx(*fitted("forest", "classification")).facts
    assert forest["nearer_than_float32"]["rows"] > 0


@pytest.mark.parametrize("task", ["two classes", "three classes", "numbers"])
@pytest.mark.parametrize("columns", [["a b"], ["p:q"]], ids=["numbers", "words"])
def test_histogram_trees_convert_whatever_they_predict_and_get(
    columns: list[str], task: str
) -> None:
    kind, classes = ("regression", 0) if task == "numbers" else ("classification", 2)
    classes = 3 if task == "three classes" else classes
    facts = onnx.export_onnx(*fitted("hgb", kind, classes, columns)).facts
    assert facts["equal"], facts["reason"]
    assert facts["max_abs_diff"] < 1e-6


def test_a_wrong_conversion_is_found_and_said(monkeypatch: pytest.MonkeyPatch) -> None:
    model, inputs, document = fitted("linear", "classification")
    other, *_ = fitted("linear", "classification")
    other[-1].coef_ = other[-1].coef_ * 1.01
    convert = onnx._convert
    monkeypatch.setattr(onnx, "_convert", lambda model, inputs: convert(other, inputs))
    export = onnx.export_onnx(model, inputs, document)
    assert export.content is None
    assert not export.facts["equal"]
    assert "its predictions differ" in export.facts["reason"]
    assert export.facts["max_abs_diff"] > 1e-5


def test_what_does_not_convert_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    model, inputs, document = fitted("forest", "regression")
    monkeypatch.setattr(onnx, "MOST_NODES", 10)
    assert "nodes" in onnx.export_onnx(model, inputs, document).facts["reason"]
    model, inputs, document = fitted("linear", "regression")
    monkeypatch.setitem(onnx.OPSETS, "", 10_000)
    export = onnx.export_onnx(model, inputs, document)
    assert export.content is None
    assert export.facts["reason"].startswith("it does not convert (")


# ------------------------------------------------------------------------------------- the bundle


def test_a_bundle_holds_what_serving_needs(packaged: Any) -> None:
    run_id = pipeline.require(packaged, "postprocess").run_id
    folder = packaged.bundle_folder(run_id)
    assert set(files_of(folder)) == {
        "bundle.json",
        "card.md",
        "model.onnx",
        "model.skops",
        "onnx.json",
        "predictions.csv",
        "reference.json",
    }
    document = json.loads((folder / "bundle.json").read_text(encoding="utf-8"))
    assert document["run_id"] == run_id
    assert set(document["files"]) == {"model.skops", "reference.json"}
    assert document["classes"] == ["no", "yes"]
    assert document["skill"] > 0.2
    assert document["metrics"].keys() == document["baseline"]["metrics"].keys()
    assert {"data", "split", "seed", "versions", "schema", "git_commit"} <= document.keys()
    assert str(packaged.root) not in (folder / "bundle.json").read_text(encoding="utf-8")


def test_the_reference_describes_a_sample_of_many_rows(
    project: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = pipeline.require(project, "preprocess").facts["rows"]["train"]
    monkeypatch.setattr(postprocess, "REFERENCE_ROWS", 100)
    report = postprocess.postprocess(project, config.load_settings(project))
    text = (project.bundle_folder(report.run_id) / "reference.json").read_text(encoding="utf-8")
    found = json.loads(text)
    assert (found["rows"], found["sampled"]) == (rows, 100)
    assert sum(found["features"]["age"]["counts"]) < 100 < rows


def test_the_reference_counts_every_sampled_row(packaged: Any) -> None:
    run_id = pipeline.require(packaged, "postprocess").run_id
    text = (packaged.bundle_folder(run_id) / "reference.json").read_text(encoding="utf-8")
    found = json.loads(text)
    for name, facts in found["features"].items():
        counts = facts["counts"]
        total = sum(counts.values() if isinstance(counts, dict) else counts)
        assert total == round(found["sampled"] * (1 - facts["missing"])), name
        if "edges" in facts:
            assert len(counts) == len(facts["edges"]) + 1
            assert facts["edges"] == sorted(set(facts["edges"]))
    assert found["features"]["age"]["missing"] > 0
    assert set(found["features"]["gender"]["counts"]) >= {"female", "male"}
    assert "city-0" not in text  # a column of many values may name people
    said = found["prediction"]
    assert said["rows"] == pipeline.require(packaged, "preprocess").facts["rows"]["valid"]
    assert all(sum(bins["counts"]) == said["rows"] for bins in said["classes"].values())
    assert sum(map(sum, said["confusion"])) == sum(said["labels"]["counts"].values())
    metrics = json.loads(text.replace("NaN", "null"))["metrics"]
    assert metrics["roc_auc"]["low"] < metrics["roc_auc"]["value"] < metrics["roc_auc"]["high"]
    assert len(text) < 50_000


def test_bins_of_constant_and_empty_numbers() -> None:
    assert reference.describe_numbers(np.full(7, 3.0))["counts"] == [0, 7, 0]
    assert reference.describe_numbers(np.array([]))["counts"] == [0]


def test_the_card_says_what_people_wrote_and_what_was_measured(project: Any) -> None:
    run_id = pipeline.require(project, "postprocess").run_id
    path, written = project.bundle_folder(run_id) / "card.md", project.docs / "card.md"
    text = path.read_text(encoding="utf-8")
    assert "Not filled in yet" in text
    assert "| roc_auc |" in text
    words = written.read_text(encoding="utf-8")
    written.write_text(words.replace("Not filled in yet: who", "The call centre. Who"), "utf-8")
    champion.promote(project, run_id)
    other = run_until_packaged(project, "decision.cost_fn=5").run_id
    assert other != run_id
    carried = (project.bundle_folder(other) / "card.md").read_text(encoding="utf-8")
    assert "The call centre. Who uses the predictions" in carried
    assert "a miss 5" in carried
    # The model in service gets the words at the next run, and nothing else of its card changes.
    offer(project, other)
    fresh = path.read_text(encoding="utf-8")
    assert fresh == text.replace("Not filled in yet: who", "The call centre. Who")
    path.write_text("Our own card.", encoding="utf-8")
    card.refresh_card(project, run_id)
    assert path.read_text(encoding="utf-8") == "Our own card."


def test_the_words_for_the_card_begin_with_the_answers_or_an_earlier_card(tmp_path: Path) -> None:
    project = Project(tmp_path)
    answers = {"description": "Finds who leaves.", "author_name": "Team Ada"}
    project.answers_file.write_text(json.dumps({"context": {"cookiecutter": answers}}), "utf-8")
    words = card.words_of_people(project, "0badcafe")
    assert words.startswith("## Intended use\nFinds who leaves.\n\nNot filled in yet: who uses")
    assert words.endswith(
        "## Owner\nTeam Ada answers questions and decides when the model is withdrawn."
    )
    (project.docs / "card.md").unlink()
    folder = project.bundle_folder("0badcafe")
    folder.mkdir(parents=True)
    earlier = (
        "<!-- people: begin (kept when the card is written anew) -->\nOurs.\n\n<!-- people: end -->"
    )
    (folder / "card.md").write_text(f"# Model\n\n{earlier}\n\nRest", encoding="utf-8")
    assert card.words_of_people(project, "0badcafe") == "Ours."
    assert "Ours." in (project.docs / "card.md").read_text(encoding="utf-8")
    (project.docs / "card.md").write_text("# Title\n", encoding="utf-8")
    assert card.words_of_people(project, "0badcafe") == card.TO_FILL


def test_packaging_again_changes_nothing(project: Any) -> None:
    before = pipeline.require(project, "postprocess")
    folder = project.bundle_folder(before.run_id)
    content = files_of(folder)
    (folder / "card.md").write_text("ours", encoding="utf-8")
    pipeline.run_stage(project, config.load_settings(project), "postprocess")
    assert files_of(folder) == {**content, "card.md": b"ours"}
    assert pipeline.require(project, "postprocess") == before


def test_a_bundle_cut_off_half_way_is_made_whole(project: Any) -> None:
    run_id = pipeline.require(project, "postprocess").run_id
    folder = project.bundle_folder(run_id)
    content = files_of(folder)
    for name in ("bundle.json", "reference.json"):
        (folder / name).unlink()
    (folder / "model.onnx").write_bytes(b"cut off")
    with pytest.raises(UserError, match="not a complete bundle"):
        bundle.load_bundle(project, run_id)
    run_until_packaged(project)
    assert files_of(folder) == content


def test_other_costs_change_a_bundle_that_never_served(project: Any) -> None:
    run_id = pipeline.require(project, "postprocess").run_id
    release = run_until_packaged(project, "decision.cost_fn=5")
    assert release.run_id == run_id
    assert bundle.read_bundle(project, run_id)["threshold"] < 0.3


def test_a_bundle_in_service_never_changes(project: Any) -> None:
    run_id = pipeline.require(project, "postprocess").run_id
    champion.promote(project, run_id)
    content = files_of(project.bundle_folder(run_id))
    other = run_until_packaged(project, "decision.cost_fn=5").run_id
    assert other != run_id
    assert files_of(project.bundle_folder(run_id)) == content
    assert champion.load_champion(project).run_id == run_id
    document = bundle.read_bundle(project, other)
    assert document["trained_as"] == run_id
    assert run_until_packaged(project, "decision.cost_fn=5").run_id == other
    assert "stays in service" in offer(project, other)
    champion.promote(project, other)
    assert champion.load_champion(project).document["threshold"] < 0.3
    assert run_until_packaged(project).run_id == run_id


def test_a_whole_run_judges_the_new_bundle_and_keeps_the_champion(project: Any) -> None:
    first = pipeline.require(project, "postprocess").run_id
    champion.promote(project, first)
    said: list[str] = []
    settings = config.load_settings(project, ["decision.cost_fn=5", "evaluate.bootstrap=20"])
    pipeline.run(project, settings, until="evaluate", say=said.append)
    judged = pipeline.require(project, "evaluate").run_id
    assert judged not in (first, None)
    assert f"{first} stays in service; `champion promote {judged}` changes that" in said[-1]


def test_what_is_no_bundle_is_refused(project: Any) -> None:
    run_id = pipeline.require(project, "postprocess").run_id
    folder = project.bundle_folder(run_id)
    for name in ("../models", "", "zzz", "00000000"):
        with pytest.raises(UserError, match="There is no model"):
            bundle.load_bundle(project, name)
    for name in ("model.skops", "model.onnx", "reference.json"):
        content = (folder / name).read_bytes()
        (folder / name).write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
        with pytest.raises(UserError, match=f"{name} has changed"):
            bundle.load_bundle(project, run_id)
        (folder / name).unlink()
        with pytest.raises(UserError, match=f"{name} is missing"):
            bundle.load_bundle(project, run_id)
        (folder / name).write_bytes(content)
    marker = (folder / "bundle.json").read_text(encoding="utf-8")
    (folder / "bundle.json").write_text(marker[:-20], encoding="utf-8")
    with pytest.raises(UserError, match="not complete JSON"):
        bundle.load_bundle(project, run_id)


def test_a_class_that_is_none(project: Any) -> None:
    with pytest.raises(UserError, match="positive = maybe: the classes are no, yes"):
        run_until_packaged(project, "decision.positive=maybe")


def test_the_class_to_find_can_be_the_first(project: Any) -> None:
    run_id = run_until_packaged(project, "decision.positive=no", "decision.cost_fn=9").run_id
    loaded = bundle.load_bundle(project, run_id)
    raw = np.array([[0.2, 0.8], [0.05, 0.95]])
    document = {**loaded.document, "calibration": {"temperature": 1.0}, "threshold": 0.1}
    assert bundle.task_of(document).decide(document, raw).labels.tolist() == ["no", "yes"]
    assert loaded.document["positive"] == "no"


def test_an_empty_frame_gives_an_empty_prediction(packaged: Any) -> None:
    run_id = pipeline.require(packaged, "postprocess").run_id
    loaded = bundle.load_bundle(packaged, run_id)
    rows = pd.read_parquet(packaged.typed).head(0)
    found = loaded.predict(rows, strict=False)
    assert list(found) == ["customer_id", "prediction", "probability_no", "probability_yes"]
    assert found.empty


# ------------------------------------------------------------------------------------ the champion


def challengers(project: Any) -> list[str]:
    """Return the run ids of the challengers."""
    return [each["run_id"] for each in champion.read_champion(project)["challengers"]]


def test_a_model_that_does_not_beat_the_baseline_is_not_promoted(project: Any) -> None:
    run_id = pipeline.require(project, "postprocess").run_id
    text = project.conf.read_text(encoding="utf-8")
    project.conf.write_text(text + "[evaluate]\nmargin = 0.99\n", encoding="utf-8")
    with pytest.raises(UserError, match=r"not promoted: its skill .* margin asks for 0.99"):
        champion.promote(project, run_id)
    assert champion.read_champion(project) is None


def test_the_first_model_serves_and_the_next_is_only_offered(project: Any) -> None:
    first = pipeline.require(project, "postprocess").run_id
    assert offer(project, first) == f"{first} is in service"
    assert offer(project, first) == f"{first} is in service"
    second = run_until_packaged(project, "decision.cost_fn=5").run_id
    assert offer(project, second) == (
        f"{first} stays in service; `champion promote {second}` changes that"
    )
    shutil.rmtree(project.bundle_folder(first))
    with pytest.raises(GateError, match=f"and {second}, .* differs from it in settings; `champion"):
        offer(project, second)
    entry = champion.read_champion(project)
    write_json(project.champion_file, {name: entry[name] for name in ("run_id", "sha256")})
    assert "not whole here" in offer(project, second)  # of before there was an identity
    with pytest.raises(UserError, match="not in models/ on this machine"):
        champion.load_champion(project)


def test_another_target_gets_its_own_champion(project: Any) -> None:
    first = pipeline.require(project, "postprocess").run_id
    champion.promote(project, first)
    second = run_until_packaged(project, "decision.cost_fn=5").run_id
    champion.challenge(project, second, 0.3)
    text = project.conf.read_text(encoding="utf-8").replace("churned", "plan")
    project.conf.write_text(text, encoding="utf-8")
    other = run_until_packaged(project).run_id
    assert "made for another source or target" in offer(project, other)
    assert champion.load_champion(project).classes == ["basic", "business", "family", "plus"]
    assert challengers(project) == []
    with pytest.raises(UserError, match="predicts churned, not plan"):
        champion.challenge(project, second, 0.3)
    champion.challenge(project, promote_copy(project, other, "0badcafe"), 0.2)
    assert champion.rollback(project) == first
    assert challengers(project) == []


def test_a_kill_between_champion_and_history_loses_nothing(project: Any) -> None:
    first = pipeline.require(project, "postprocess").run_id
    champion.promote(project, first)
    second = run_until_packaged(project, "decision.cost_fn=5").run_id
    champion.promote(project, second)
    history = project.models / "champion_history.jsonl"
    lines = history.read_text(encoding="utf-8").splitlines(keepends=True)
    history.write_text("".join(lines[:1]) + lines[1][:20], encoding="utf-8")
    assert champion.rollback(project) == first
    with pytest.raises(UserError, match="no earlier champion"):
        champion.rollback(project)
    champion.promote(project, second)
    assert champion.rollback(project) == first


def test_a_champion_whose_bundle_was_exchanged_is_refused(project: Any) -> None:
    run_id = pipeline.require(project, "postprocess").run_id
    champion.promote(project, run_id)
    marker = project.bundle_folder(run_id) / "bundle.json"
    text = marker.read_text(encoding="utf-8")
    marker.write_text(text.replace('"seed": 42', '"seed": 43'), encoding="utf-8")
    with pytest.raises(UserError, match="not the bundle that was promoted"):
        champion.load_champion(project)
    assert "Problem" in champion.describe(project)
    champion.promote(project, run_id)
    assert champion.load_champion(project).document["seed"] == 43


def test_what_a_challenger_answered_is_kept_with_the_champion_that_it_became(project: Any) -> None:
    first = pipeline.require(project, "postprocess").run_id
    champion.promote(project, first)
    second = run_until_packaged(project, "decision.cost_fn=5").run_id
    champion.challenge(project, second, 0.2)
    log = project.logs / "predictions"
    log.mkdir(parents=True)
    (log / ".partial-01234567-c.parquet").write_bytes(b"PAR1")  # being written
    answered = {"run_id": [first] * 4 + [second] * 3, "role": ["champion"] * 5 + ["challenger"] * 2}
    pd.DataFrame(answered).to_parquet(log / "a.parquet")
    pd.DataFrame(answered).assign(more=1).to_parquet(log / "b.parquet")
    champion.promote(project, second)
    trial = {"weight": 0.2, "rows": 4}
    assert champion.read_champion(project)["trial"] == trial
    champion.promote(project, first)
    assert "trial" not in champion.read_champion(project)
    assert champion.rollback(project) == second
    assert champion.read_champion(project)["trial"] == trial
    assert champion.rollback(project) == first
    assert "trial" not in champion.read_champion(project)
    champion.promote(project, second)
    assert "trial" not in champion.read_champion(project)  # this time nothing was tried


@pytest.mark.parametrize("content", [None, b"PAR1 cut off"])
def test_without_a_log_that_can_be_read_a_challenger_is_promoted_and_nothing_claimed(
    project: Any, content: bytes | None
) -> None:
    first = pipeline.require(project, "postprocess").run_id
    champion.promote(project, first)
    second = run_until_packaged(project, "decision.cost_fn=5").run_id
    champion.challenge(project, second, 0.2)
    if content is not None:
        (project.logs / "predictions").mkdir(parents=True)
        (project.logs / "predictions" / "a.parquet").write_bytes(content)
    champion.promote(project, second)
    champion.promote(project, second)  # again, which takes nothing away
    assert champion.read_champion(project)["trial"] == {"weight": 0.2, "rows": 0}


def test_a_shadow_answers_nothing_and_so_is_no_trial(project: Any) -> None:
    first = pipeline.require(project, "postprocess").run_id
    champion.promote(project, first)
    second = run_until_packaged(project, "decision.cost_fn=5").run_id
    champion.challenge(project, second, 0)
    champion.promote(project, second)
    assert "trial" not in champion.read_champion(project)


def test_challengers_are_kept_and_protected(project: Any) -> None:
    run_id = pipeline.require(project, "postprocess").run_id
    champion.promote(project, run_id)
    for copy in ("0123abcd", "0badcafe"):
        champion.challenge(project, promote_copy(project, run_id, copy), 0.1)
    assert champion.promoted_runs(project) == {run_id, "0123abcd", "0badcafe"}
    champion.promote(project, run_id)
    assert challengers(project) == ["0123abcd", "0badcafe"]
    (project.bundle_folder("0badcafe") / "bundle.json").unlink()
    champion.promote(project, run_id)
    assert challengers(project) == ["0123abcd"]
