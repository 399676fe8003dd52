"""Stage: calibrate the trained model, set its threshold by the costs, and package it as a bundle.

All that is chosen here is chosen on valid. A bundle that is or was in service is never changed:
what would change it goes into a bundle of its own.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .bundle.bundle import (
    BUNDLE_FILE,
    BUNDLE_VERSION,
    CARD_FILE,
    REFERENCE_FILE,
    REPORTS_FILE,
    Bundle,
    baseline_of_split,
    is_packaged,
    read_document,
    task_of,
    with_truth,
)
from .bundle.card import write_card
from .bundle.carried import (
    files_to_carry,
    has_rule,
    helpers,
    is_plain,
    note_made_here,
)
from .bundle.champion import promoted_runs, read_champion
from .bundle.identity import (
    PREDICTIONS_FILE,
    identity_of,
    is_same_model,
    some_predictions,
    write_predictions,
)
from .bundle.rule import check_alone
from .core import registry
from .core.errors import UserError
from .core.files import file_sha256, fingerprint, read_json, write_atomic, write_json
from .core.pipeline import require, write_report
from .core.project import Project, Report
from .core.registry import announce
from .data.clean import count_copies
from .data.schema import load_schema, row_weights, with_positive
from .data.split import load_manifest, load_split
from .evaluation.metrics import score, skill
from .evaluation.reference import ROWS as REFERENCE_ROWS
from .evaluation.reference import make_reference
from .models.features import prepare
from .models.persist import has_team_types, load_model, model_files
from .models.training_data import with_parts
from .tracking.runs import git_commit, versions

if TYPE_CHECKING:
    import pandas as pd

    from .core.config import Settings
    from .data.schema import Schema
    from .evaluation.predictions import Predictions, PredictionsWithTruth
    from .tasks.task import Task

Floats = NDArray[np.float64]
# The same numbers make the same bundle, wherever and whenever it was made.
CIRCUMSTANCES = ("run_id", "git_commit")
# Rows of valid by which another form of the model is compared with it.
FORM_ROWS = 2_000


def postprocess(project: Project, settings: Settings) -> Report:
    """Calibrate, set the threshold, write the bundle.

    Packages the winner of `train` as `models/<run id>` and writes `reports/release.json`.

    Raises:
        UserError: If nothing was trained on this data, or `[decision] positive` is no class.
    """
    trained = require(project, "train")
    schema = with_parts(load_schema(project), trained.facts.get("parts"))
    manifest = load_manifest(project)
    if trained.data != manifest["fingerprint"]:
        raise UserError(
            f"Run {trained.run_id} was trained on other data than data/train holds now; "
            "run `train` first."
        )
    run_id, target = str(trained.run_id), schema.target
    if target is None:
        raise UserError("data/schema.yaml names no target; set [data] target and run `ingest`.")
    task: Task = registry.task(trained.facts["task"])
    model, custom = load_model(project.bundle_folder(run_id)), registry.team()
    valid = load_split(project, "valid")
    inputs, truth = prepare(valid, schema), valid[target.name].to_numpy()
    weights = row_weights(valid, schema)
    raw = task.raw_scores(model, inputs, trained.facts["classes"])
    document = _describe(project, settings, trained, schema, target.name, manifest)
    weighing = {} if weights is None else {"weights": weights}
    positive = with_positive(settings, schema)
    decision, facts = task.fit_decision(model, raw, truth, positive, **weighing)
    document |= decision
    document["answer"] = task.answer_form(document)
    bundle = Bundle(project.bundle_folder(run_id), document, model, custom)
    predictions = _decide(bundle, valid, raw)
    labelled = with_truth(document, truth, predictions).weighted(weights)
    baseline = {key: trained.facts["baseline"].get(key) for key in ("constant", "naive")}
    floor = baseline_of_split(project, {**document, "baseline": baseline}, "valid", truth, labelled)
    document |= _judge(document, baseline, labelled, score(floor))
    sample = valid.iloc[np.arange(0, len(valid), -(-len(valid) // FORM_ROWS))]
    copies = count_copies(project, settings, schema, valid)
    held = np.repeat(np.arange(len(valid)), copies)
    labelled, floor = labelled.take(held), floor.take(held)
    table = some_predictions(bundle, valid, predictions)
    del valid, inputs

    train = load_split(project, "train", rows=REFERENCE_ROWS, seed=settings.split.seed)
    copies = count_copies(project, settings, schema, train)
    reference = make_reference(schema, document, train, copies, labelled, floor)
    bundle_id = _write_bundle(project, document, reference, table)
    folder = project.bundle_folder(bundle_id)
    facts |= {
        key: document[key] for key in ("trained_as", "classes", "positive", "metrics", "skill")
    }
    facts |= _write_forms(project, Bundle(folder, document, model, custom), sample)
    made = [name for name in _files_of_forms() if (folder / name).exists()]
    kept = [folder / name for name in (*document["files"], BUNDLE_FILE, *made)]
    report = write_report(
        project,
        settings,
        "postprocess",
        {**facts, "files": project.sizes(*kept), "summary": _summary(bundle_id, document, facts)},
        name="release",
        run_id=bundle_id,
        data=trained.data,
        model=fingerprint(_content(document)),
    )
    announce("bundle", project, **report.facts, run_id=report.run_id, model=report.model)
    return report


def _describe(
    project: Project,
    settings: Settings,
    trained: Report,
    schema: Schema,
    target: str,
    manifest: Mapping[str, Any],
) -> dict[str, Any]:
    """Return what is known of the model before it is judged, in the order of bundle.json."""
    facts = trained.facts
    winner = next(run for run in facts["candidates"] if run["run_id"] == trained.run_id)
    sections = ("data", "split", "features", "model", "decision")
    chosen: dict[str, Any] = {name: settings.section(name) for name in sections}
    for column in schema.ids:
        if column.name in ("prediction", "lower", "upper") or "probability_" in column.name[:12]:
            raise UserError(
                f"The id column '{column.name}' has the name of a column that predictions get; "
                "rename it in the source, or take it out of [data] id."
            )
    return {
        "version": BUNDLE_VERSION,
        "run_id": trained.run_id,
        "trained_as": trained.run_id,
        "task": facts["task"],
        "target": target,
        **({"weight": schema.weight.name} if schema.weight else {}),
        "schema": schema.to_dict(),
        "estimator": {key: winner.get(key) for key in ("name", "label", "kind", "params")},
        "metric": facts["metric"],
        "data": manifest["fingerprint"],
        "split": manifest["split"]["fingerprint"],
        "rows": facts["rows"],
        "settings": {**chosen, "params": settings.params.get(winner["name"], {})},
        "git_commit": git_commit(project),
        "versions": versions(["skops", winner["name"]]),
        "seed": settings.split.seed,
    }


def _decide(bundle: Bundle, valid: pd.DataFrame, raw: Floats) -> Predictions:
    """Return the predictions for valid, of which no row may depend on the others."""
    typed = valid[bundle.columns_to_read(list(valid.columns))]
    predictions = bundle.decide(typed, raw)
    if hasattr(bundle.custom, "decide"):
        check_alone(bundle, typed, predictions)
    return predictions


def _judge(
    document: Mapping[str, Any],
    baseline: Mapping[str, Any],
    labelled: PredictionsWithTruth,
    naive: Mapping[str, float],
) -> dict[str, Any]:
    """Return what bundle.json says of how good the packaged model is on valid, and `naive`."""
    found, metric = score(labelled), document["metric"]
    return {
        "metrics": found,
        "baseline": {
            **{key: value for key, value in baseline.items() if value is not None},
            "metrics": naive,
        },
        "skill": skill(metric, found[metric], naive[metric]),
    }


def _write_bundle(
    project: Project,
    document: dict[str, Any],
    reference: Mapping[str, Any],
    table: pd.DataFrame,
) -> str:
    """Write the bundle and return its id; one of the same model already there stays as it is.

    Sets `files` and `run_id` of `document`.
    """
    source = project.bundle_folder(document["trained_as"])
    staging = project.models / f".partial-{source.name}"
    shutil.rmtree(staging, ignore_errors=True)
    staging.mkdir(parents=True)
    try:
        write_json(staging / REFERENCE_FILE, reference)
        made = [*model_files(source), staging / REFERENCE_FILE]
        files = {path.name: path for path in made} | _carry(source, document)
        document["files"] = {name: file_sha256(path) for name, path in files.items()}
        # As it will be read: with lists for tuples and null for what is no number.
        write_json(staging / BUNDLE_FILE, document)
        content = _content(read_json(staging / BUNDLE_FILE))
        document["run_id"] = _choose_id(project, source.name, content, table)
        folder = project.bundle_folder(document["run_id"])
        same = _holds(project, folder.name, content, table)
        if not same:
            _fill(folder, files, document)
        if not same or not (folder / PREDICTIONS_FILE).exists():
            write_predictions(folder, table)
        if not same or not (folder / CARD_FILE).exists():
            write_card(project, document)
        note_made_here(project, folder.name)
    finally:
        shutil.rmtree(staging, ignore_errors=True)
    return folder.name


def _content(document: Mapping[str, Any]) -> dict[str, Any]:
    """Return what bundle.json says, apart from the circumstances under which it was made."""
    return {key: value for key, value in document.items() if key not in CIRCUMSTANCES}


def _holds(project: Project, run_id: str, content: Mapping[str, Any], table: pd.DataFrame) -> bool:
    """Tell whether a whole bundle with this content is there, or, once promoted, the same model."""
    try:
        there = read_document(project, run_id)
    except UserError:
        return False
    if _content(there) == content:
        return True
    promoted = run_id in promoted_runs(project)
    return promoted and is_same_model(project, there, content, table)


def _choose_id(
    project: Project, run_id: str, content: Mapping[str, Any], table: pd.DataFrame
) -> str:
    """Return the run's own id, or another one where that names a different model once promoted."""
    if run_id not in promoted_runs(project) or _holds(project, run_id, content, table):
        return run_id
    if not is_packaged(project, run_id):  # promoted in another clone
        champion = read_champion(project) or {}
        known = champion.get("identity") if champion.get("run_id") == run_id else None
        if known is None or known == identity_of(project, content):
            return run_id
    return fingerprint(content)[:8]


def _carry(source: Path, document: dict[str, Any]) -> dict[str, Path]:
    """Return the files of the team's code that the predictions need, by their names in the bundle.

    Sets `custom` of `document`, what of that code the model holds, and `helpers` where the code
    builds on files that are not carried.
    """
    custom = registry.team()
    if is_plain(custom) and not has_team_types(source):
        return {}
    document["custom"] = {
        "transformers": sorted(registry.declared("TRANSFORMERS", custom)),
        "rule": hasattr(custom, "decide"),
    }
    others = helpers()
    if others:
        document["helpers"] = others
    return files_to_carry(custom)


def _fill(folder: Path, files: Mapping[str, Path], document: Mapping[str, Any]) -> None:
    """Put the files into the folder, and bundle.json last."""
    # Those are of the bundle that was here.
    for name in (BUNDLE_FILE, PREDICTIONS_FILE, REPORTS_FILE, *_files_of_forms()):
        (folder / name).unlink(missing_ok=True)
    for name, path in files.items():
        if path != folder / name:
            (folder / name).parent.mkdir(exist_ok=True, parents=True)
            with write_atomic(folder / name) as temporary:
                shutil.copyfile(path, temporary)
    write_json(folder / BUNDLE_FILE, document)


def _write_forms(project: Project, bundle: Bundle, rows: pd.DataFrame) -> dict[str, Any]:
    """Write the other forms of the model, and return the facts of each."""
    made: dict[str, Any] = {"onnx": {"equal": False, "reason": "not installed"}}
    for name, form in registry.FORMS.items():
        made[name] = registry.load(form.write)(project, bundle, rows)
    return made


def _files_of_forms() -> list[str]:
    """Return the names of the files that the other forms of a model may have."""
    return [name for form in registry.FORMS.values() for name in form.files]


def _summary(run_id: str, document: Mapping[str, Any], facts: Mapping[str, Any]) -> str:
    """Return the phrase that the command line prints."""
    decision = task_of(document).summarise_decision(document)
    if has_rule(document):
        decision += ", decide of custom.py"
    for name, form in registry.FORMS.items():
        decision += f", {'with' if facts[name]['equal'] else 'without'} {form.label}"
    return f"models/{run_id}: {decision}"
