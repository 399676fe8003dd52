"""A run is recorded, resumed after a kill, written into the diary, and compared."""

from __future__ import annotations

import io
import os
import shutil
from pathlib import Path
from typing import Any

import pytest
from baking import run_git
from mlproj import train
from mlproj.core.errors import UserError
from mlproj.core.project import Project
from mlproj.models.persist import MODEL_FILE, load_model
from mlproj.tracking import runs
from trained import ROWS, lines, trained


def test_a_run_id_follows_from_what_the_run_follows_from(project: Project) -> None:
    first = trained(project)
    again = trained(project, "model.tolerance=0.5", "model.candidates=hgb, linear")
    assert {each["run_id"] for each in first["candidates"]} == {
        each["run_id"] for each in again["candidates"]
    }
    ids = {first["run_id"]}
    for override in ("params.linear.C=0.5", "split.seed=7", "features.text_words=5"):
        ids.add(trained(project, override, "model.candidates=linear")["candidates"][0]["run_id"])
    assert len(ids) == 4


def test_a_killed_training_goes_on_where_it_stopped(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    fit, fitted = train.fit, []

    def killed(candidate: Any, *arguments: Any) -> Any:
        fitted.append(candidate.name)
        if candidate.name == "hgb":
            raise KeyboardInterrupt
        return fit(candidate, *arguments)

    monkeypatch.setattr(train, "fit", killed)
    with pytest.raises(KeyboardInterrupt):
        trained(project)
    assert [each["name"] for each in lines(project)] == ["baseline", "linear"]
    assert not project.report_file("train").exists()

    monkeypatch.setattr(train, "fit", fit)
    facts = trained(project)
    assert [each["name"] for each in lines(project)] == ["baseline", "linear", "hgb"]
    assert [each["number"] for each in lines(project)] == [1, 2, 3]
    names = sorted(path.name for path in project.logs.glob("*.log"))
    assert len(names) == 3
    assert names[2] == f"run_3_HGB_ID_{facts['candidates'][1]['run_id']}.log"


def test_a_lost_model_is_fitted_again_to_the_same_bytes(project: Project) -> None:
    facts = trained(project)
    path = project.bundle_folder(facts["run_id"]) / MODEL_FILE
    before, recorded = path.read_bytes(), lines(project)
    shutil.rmtree(project.models)
    assert trained(project) == facts
    assert path.read_bytes() == before
    assert lines(project) == recorded


def test_models_that_lost_are_removed_and_bundles_stay(project: Project) -> None:
    bundle = project.models / "0123abcd"
    bundle.mkdir(parents=True)
    for name in (MODEL_FILE, "bundle.json"):
        (bundle / name).write_text("{}", encoding="utf-8")
    facts = trained(project)
    kept = {path.name for path in project.models.iterdir()}
    assert kept == {"0123abcd", facts["run_id"]}
    assert (bundle / MODEL_FILE).exists()


def test_a_run_records_what_it_follows_from(project: Project) -> None:
    trained(project)
    run = lines(project)[1]
    assert run["params"] == {"max_iter": 1000, "random_state": 42}
    assert run["versions"]["scikit-learn"]
    assert run["seed"] == 42
    assert run["fit_seconds"] > 0
    assert run["peak_memory_mb"] > 10
    assert len(run["data"]) == len(run["split"]) == 16
    assert run["rows"]["train"] + run["rows"]["valid"] < ROWS


def test_warnings_of_libraries_go_to_the_log(
    project: Project, recwarn: pytest.WarningsRecorder
) -> None:
    trained(project, "params.linear.max_iter=1", "model.candidates=linear")
    log = next(project.logs.glob("*LOGISTIC*")).read_text(encoding="utf-8")
    assert "ConvergenceWarning" in log
    assert not recwarn.list


def test_the_log_of_a_failed_run_holds_the_reason(project: Project) -> None:
    with pytest.raises(UserError):
        trained(project, "params.linear.C=-1", "model.candidates=linear")
    log = next(project.logs.glob("*LOGISTIC*")).read_text(encoding="utf-8")
    assert "InvalidParameterError" in log


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs the device /dev/full")
def test_a_full_disk_is_an_error_of_the_run(tmp_path: Path) -> None:
    path = tmp_path / "run.log"
    path.symlink_to("/dev/full")
    with pytest.raises(OSError, match="No space left"), runs.run_log(path) as log:
        log.info("anything")


def diary(project: Project) -> str:
    """Return docs/experiments.md with its line ends."""
    return str((project.docs / "experiments.md").read_bytes(), "utf-8")


def test_a_training_adds_one_line_to_the_diary_and_none_when_nothing_is_new(
    project: Project,
) -> None:
    facts = trained(project)
    trained(project)
    entries = [line for line in diary(project).splitlines() if line.startswith("- ")]
    assert len(entries) == 1
    assert f"`{facts['run_id']}`" in entries[0]
    assert entries[0].endswith("Why:")


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_the_diary_keeps_a_persons_words(project: Project, end: str) -> None:
    mine = f"# Mine{end}{end}{runs.MARKER}{end}{end}- older: because{end}  of this{end}{end}End"
    project.docs.mkdir()
    (project.docs / "experiments.md").write_bytes(mine.encode())
    runs.add_experiment(project, "sooner")
    runs.add_experiment(project, "later")
    text = diary(project)
    assert text.startswith(f"# Mine{end}{end}{runs.MARKER}{end}{end}- ")
    assert text.index("later") < text.index("sooner") < text.index("older")
    assert text.endswith(f"- older: because{end}  of this{end}{end}End")
    assert text.replace("\r\n", "").count("\r") == 0
    assert text.count("\n") == text.count(end)


def test_a_diary_without_the_marker_gets_it_at_its_end(project: Project) -> None:
    project.docs.mkdir()
    (project.docs / "experiments.md").write_text("My own notes.\n", encoding="utf-8")
    runs.add_experiment(project, "first")
    assert diary(project).startswith(f"My own notes.\n\n{runs.MARKER}\n\n- ")


def test_two_runs_are_compared(project: Project) -> None:
    one = trained(project, "model.candidates=linear")
    two = trained(project, "model.candidates=linear", "params.linear.C=0.01")
    comparison = runs.compare_runs(project, one["run_id"], two["run_id"][:6])
    assert comparison.differences == {("model", "params.C"): (None, 0.01)}
    before, after, change = comparison.metrics["roc_auc"]
    assert before == one["candidates"][0]["valid"]["roc_auc"]
    assert change == pytest.approx((after or 0) - (before or 0))


def test_an_unknown_run_is_named(project: Project) -> None:
    with pytest.raises(UserError, match="There is no run 'ffff'"):
        runs.compare_runs(project, "ffff", "eeee")


def shown(renderable: object) -> str:
    """Return what the terminal would show."""
    from rich.console import Console

    console = Console(width=200, file=io.StringIO(), record=True)
    console.print(renderable)
    return console.export_text()


def test_what_a_killed_run_left_of_its_model_goes(project: Project) -> None:
    left = project.bundle_folder("0badcafe") / ".partial-01234567-model.skops"
    left.parent.mkdir(parents=True)
    left.touch()
    os.utime(left, (0, 0))
    trained(project)
    assert not left.parent.exists()


def test_tables_show_the_runs(project: Project) -> None:
    assert "no runs yet" in shown(runs.list_table(project))
    facts = trained(project)
    listed = shown(runs.list_table(project))
    assert all(each["run_id"] in listed for each in facts["candidates"])
    one, two = (each["run_id"] for each in facts["candidates"])
    compared = shown(runs.compare_table(project, one, two))
    assert "roc_auc on valid" in compared
    assert "linear" in compared and "hgb" in compared


def test_why_git_names_no_commit_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    project = Project(tmp_path)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert runs.why_no_commit(project).startswith("this is not a git repository; `git init`")
    run_git(tmp_path, "init", "--quiet")
    assert runs.why_no_commit(project).startswith("nothing is committed yet")
    run_git(tmp_path, "commit", "--quiet", "--allow-empty", "--message", "one")
    assert runs.git_commit(project) == run_git(tmp_path, "rev-parse", "HEAD").strip()
    with monkeypatch.context() as patched:
        patched.setenv("GIT_TEST_ASSUME_DIFFERENT_OWNER", "1")
        trust = f'git config --global --add safe.directory "{tmp_path.as_posix()}"'
        assert f"another user; trust it with `{trust}`" in runs.why_no_commit(project)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert runs.why_no_commit(project) == "git was not found; install it"
    assert runs.git_commit(project) is None


def test_how_many_cores_fitted_a_model_is_not_kept(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = "sklearn.ensemble._hist_gradient_boosting.gradient_boosting"
    monkeypatch.setattr(f"{module}._openmp_effective_n_threads", lambda *_: 2)
    facts = trained(project, "model.candidates=hgb", "model.folds=0")
    assert load_model(project.bundle_folder(facts["run_id"]))[-1]._bin_mapper.n_threads == 1
