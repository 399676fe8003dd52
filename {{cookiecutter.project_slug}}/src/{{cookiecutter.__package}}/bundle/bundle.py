"""The packaged model: what a bundle holds, how it is verified and loaded, how it predicts.

A bundle is a folder of models/: the fitted pipeline, `bundle.json` with all that is needed to use
it, reference.json and card.md. `bundle.json` is written last, so a folder without it is no bundle.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from ..core import registry
from ..core.errors import UserError
from ..core.files import file_sha256, read_json
from .carried import carries_code, load_code

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray

    from ..core.project import Project
    from ..data.schema import Schema
    from ..evaluation.predictions import Predictions, PredictionsWithTruth
    from ..tasks.task import Task

BUNDLE_VERSION = 1
BUNDLE_FILE = "bundle.json"
REFERENCE_FILE = "reference.json"
CARD_FILE = "card.md"
# What the stages found about the model; beside the bundle, and outside its identity.
REPORTS_FILE = "reports.json"
LENIENT = "correct the data, or let it pass with [predict] strict = no"


@dataclass(frozen=True)
class Bundle:
    """A verified model, ready to predict.

    Attributes:
        folder: Where it was loaded from.
        document: The content of its `bundle.json`.
        model: The fitted pipeline, from prepared inputs to probabilities or values.
        custom: The team's code that its predictions follow from.
    """

    folder: Path
    document: Mapping[str, Any] = field(repr=False)
    model: Any = field(repr=False)
    custom: ModuleType = field(repr=False)

    @property
    def run_id(self) -> str:
        """The bundle's name, 8 hexadecimal digits."""
        return str(self.document["run_id"])

    @property
    def task(self) -> Task:
        """What it predicts, and all that follows from that."""
        return task_of(self.document)

    @property
    def classes(self) -> list[Any]:
        """The classes in the order of the probabilities; empty where none are predicted."""
        return list(self.document["classes"])

    @cached_property
    def schema(self) -> Schema:
        """The columns of the data that the model was trained on."""
        from ..data.schema import Schema

        return Schema.from_dict(self.document["schema"], f"{self.run_id}/{BUNDLE_FILE}")

    @cached_property
    def _read_schema(self) -> Schema:
        """The columns that prediction reads: the features, and what names a row."""
        names = {column.name for column in (*self.schema.features, *self.schema.ids)}
        columns = tuple(column for column in self.schema.columns if column.name in names)
        return replace(self.schema, columns=columns)

    @cached_property
    def feature_schema(self) -> Schema:
        """The features alone."""
        return replace(self.schema, columns=self.schema.features)

    def columns_to_read(self, names: list[str]) -> list[str]:
        """Return those of a table's columns that prediction reads, in the table's order."""
        read = set(self._read_schema.names)
        return [name for name in names if name in read]

    def check_columns(self, names: list[str], where: str, *, strict: bool) -> None:
        """Refuse a table by its columns' names alone.

        Raises:
            UserError: If a feature is missing, or (strict) a column was not there in training.
        """
        from ..data.cast import Violation, refuse
        from ..data.schema import require_columns

        if len(set(names)) < len(names):
            twice = next(name for name in names if names.count(name) > 1)
            raise UserError(f"{where} has the column '{twice}' twice; rename one of them.")
        require_columns(names, [column.name for column in self.schema.needed], where)
        if strict:
            trained = {*self.schema.names}
            new = [
                Violation(name, "was not there in training")
                for name in names
                if name not in trained
            ]
            refuse(new, where, LENIENT)

    def conform(
        self,
        frame: pd.DataFrame,
        *,
        strict: bool = True,
        where: str = "The table",
        first_row: int = 1,
    ) -> pd.DataFrame:
        """Return what prediction reads of the rows, with the schema's types.

        Raises:
            UserError: As in `predict`.
        """
        from ..data.cast import check_table, refuse

        typed = self.typed(frame, strict=strict, where=where, first_row=first_row)
        if strict:
            found = check_table(typed, self.feature_schema, first_row)
            refuse([each for each in found if each.rule == "categories"], where, LENIENT)
        return typed

    def typed(
        self, frame: pd.DataFrame, *, strict: bool, where: str, first_row: int = 1
    ) -> pd.DataFrame:
        """Return what `conform` does, whatever the categories; `strict` is for columns alone.

        Where the rows do not say their time, it is unknown.
        """
        import pandas as pd

        from ..data.cast import conform
        from ..data.schema import with_columns

        names = [str(name) for name in frame.columns]
        self.check_columns(names, where, strict=strict)
        read = self.columns_to_read(names)
        chosen = frame if read == names else frame[read]
        typed = conform(chosen, self._read_schema, where=where, first_row=first_row, target=False)
        unknown = [each.name for each in self.schema.features if each.name not in typed.columns]
        return with_columns(typed, dict.fromkeys(unknown, pd.NaT)) if unknown else typed

    def predict(
        self,
        frame: pd.DataFrame,
        *,
        strict: bool = True,
        where: str = "The table",
        first_row: int = 1,
    ) -> pd.DataFrame:
        """Score rows.

        Args:
            frame: Rows with the model's features; whether the target is there does not matter.
            strict: Refuse columns and categories that training never saw; else such columns are
                left out, and such categories count as unknown.
            where: What the table is called in an error.
            first_row: The number of its first row in an error.

        Returns:
            The id columns that `frame` has, `prediction` (a class as the source has it: 1 and true
            not as text), and `probability_<class>` for classes or `lower` and `upper` for numbers;
            a row per row of `frame`, under its index.

        Raises:
            UserError: With column, row and value, for what the model cannot take.
        """
        return self.predict_table(
            self.conform(frame, strict=strict, where=where, first_row=first_row)
        )

    def predict_table(self, typed: pd.DataFrame) -> pd.DataFrame:
        """Score conformed rows and return a table; see `predict`."""
        import pandas as pd

        columns: dict[str, Any] = {
            column.name: typed[column.name]
            for column in self.schema.ids
            if column.name in typed.columns
        }
        columns |= self.task.columns(self.document, self.predict_typed(typed))
        given = given_classes(self.document)
        if given != self.classes:
            codes = pd.Index(self.classes).get_indexer(pd.Index(columns["prediction"]))
            columns["prediction"] = pd.Series(given).array.take(codes)
        return pd.DataFrame(columns, index=typed.index, copy=False)

    def predict_arrays(self, frame: pd.DataFrame, *, strict: bool = False) -> Predictions:
        """Score rows and return arrays; see `predict`."""
        return self.predict_typed(self.conform(frame, strict=strict))

    def predict_typed(self, typed: pd.DataFrame) -> Predictions:
        """Score conformed rows and return arrays; see `predict`."""
        return self.decide(typed, self.score(typed))

    def decide(self, typed: pd.DataFrame, raw: NDArray[np.float64]) -> Predictions:
        """Turn the model's own output for conformed rows into predictions.

        Raises:
            UserError: If the team's rule fails, or returns what it must not.
        """
        predictions = self.task.decide(self.document, raw)
        if typed.empty or not hasattr(self.custom, "decide"):
            return predictions
        from .rule import apply_rule

        return apply_rule(self.custom.decide, self.task, self.document, typed, predictions)

    def evaluate(self, frame: pd.DataFrame) -> PredictionsWithTruth:
        """Score rows whose target is known, and return predictions beside the truth.

        Where the model's data has weights and `frame` has them too, rows of weight 0 are left out.
        """
        from ..data.schema import row_weights

        truth = frame[self.document["target"]].to_numpy()
        labelled = with_truth(self.document, truth, self.predict_arrays(frame))
        return labelled.weighted(row_weights(frame, self.schema))

    def evaluate_for(self, frame: pd.DataFrame, positive: Any) -> PredictionsWithTruth:
        """Do the same with another model's class to find, without weights, to compare the two."""
        truth = frame[self.document["target"]].to_numpy()
        return self.task.with_truth(truth, self.predict_arrays(frame), self.classes, positive)

    def score(self, typed: pd.DataFrame) -> NDArray[np.float64]:
        """Return the model's own output for conformed rows, before calibration.

        That is probabilities (rows, classes) or values (rows,).
        """
        import numpy as np

        from ..models.features import prepare

        if typed.empty:  # which scikit-learn refuses
            return np.empty((0, len(self.classes)) if self.classes else 0)
        inputs = prepare(typed, self.schema, self.custom)
        return self.task.raw_scores(self.model, inputs, self.classes)


def load_bundle(project: Project, run_id: str) -> Bundle:
    """Load `models/<run_id>`.

    Raises:
        UserError: If there is no such bundle, it is not whole, or a file is not what it was.
    """
    from ..models.persist import load_model

    document = read_bundle(project, run_id)
    folder = project.bundle_folder(run_id)
    if carries_code(document):
        custom = load_code(project, document)
        return Bundle(folder, document, load_model(folder, custom), custom)
    return _load_without_code(folder, document)


def _load_without_code(folder: Path, document: Mapping[str, Any]) -> Bundle:
    """Load a bundle that needs no code of the team, or was made before bundles carried it.

    The latter do not say how an answer looks, either. As ever, they get features and types from
    today's custom.py.
    """
    from ..models.persist import load_model

    custom = registry.NO_TEAM
    if "answer" in document:
        return Bundle(folder, document, load_model(folder, custom), custom)
    custom = ModuleType("custom_of_before")
    custom.__dict__.update(
        {name: getattr(registry.team(), name, {}) for name in ("add_features", "INPUTS")}
    )
    return Bundle(folder, document, load_model(folder), custom)


def read_bundle(project: Project, run_id: str) -> dict[str, Any]:
    """Return the verified `bundle.json` of a run, without loading the model.

    Raises:
        UserError: If there is no such bundle, it is not whole, or a file has changed, also one of
            its other forms.
    """
    document = read_document(project, run_id)
    read_forms(project.bundle_folder(run_id), document)
    return document


def read_forms(folder: Path, document: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Return what is known of a bundle's other forms by their labels, verified; see `Form`."""
    registry.extend_by_modules()
    return {
        form.label: registry.load(form.read)(folder, document) for form in registry.FORMS.values()
    }


def read_document(project: Project, run_id: str) -> dict[str, Any]:
    """Return `bundle.json` as `read_bundle` does, whatever the state of the other forms.

    Raises:
        UserError: As `read_bundle`, but for the files that `bundle.json` lists.
    """
    folder = project.bundle_folder(run_id)
    if not re.fullmatch(r"[0-9a-f]{8}", run_id) or not folder.is_dir():
        raise UserError(
            f"There is no model '{run_id}' in models/; `runs list` shows those there are."
        )
    if not is_packaged(project, run_id):
        raise UserError(
            f"models/{run_id} is not a complete bundle: it has no {BUNDLE_FILE}; if it is the "
            "last run's, run `postprocess`."
        )
    document = read_json(folder / BUNDLE_FILE)
    version = document.get("version") if isinstance(document, dict) else None
    if version != BUNDLE_VERSION or document.get("run_id") != run_id:
        raise UserError(
            f"models/{run_id}/{BUNDLE_FILE} is not of run {run_id} and version {BUNDLE_VERSION}; "
            "train the model again."
        )
    for name, sha256 in document["files"].items():
        path = Path(os.path.normpath(folder / name))
        there = path.is_relative_to(folder) and path.is_file()
        if not there or file_sha256(path) != sha256:
            state = "has changed" if there else "is missing"
            raise UserError(
                f"models/{run_id}/{name} {state} since the bundle was made; bring it back, or "
                f"delete models/{run_id} and run `train` and `postprocess`."
            )
    return dict(document)


def is_packaged(project: Project, run_id: str) -> bool:
    """Tell whether models/ holds a bundle of this name; what `train` alone leaves is none."""
    return (project.bundle_folder(run_id) / BUNDLE_FILE).is_file()


def bundle_sha(project: Project, run_id: str) -> str:
    """Return the SHA-256 of a bundle's `bundle.json`, which holds those of all its other files."""
    return file_sha256(project.bundle_folder(run_id) / BUNDLE_FILE)


def task_of(document: Mapping[str, Any]) -> Task:
    """Return the task of a model, by its bundle.json."""
    found: Task = registry.lookup(registry.TASKS, document["task"], "The task of the model")
    return found


def answer_of(document: Mapping[str, Any]) -> dict[str, Any]:
    """Return how a model's predictions look in JSON; see `Task.answer_form`.

    Bundles of earlier versions do not say it; then it follows from their task.
    """
    return dict(document.get("answer") or task_of(document).answer_form(document))


def given_classes(document: Mapping[str, Any]) -> list[Any]:
    """Return `classes` of bundle.json as the source has them, and answers give them.

    Such as 0 and 1 where the model has `0` and `1`. Bundles of before there was `values` in
    data/schema.yaml answer by text.
    """
    answer = answer_of(document)
    return list(answer["label"]["enum"] if answer["kind"] == "class" else document["classes"])


def with_truth(
    document: Mapping[str, Any], truth: Any, predictions: Predictions
) -> PredictionsWithTruth:
    """Return a model's predictions beside the truth.

    Args:
        document: The content of its bundle.json.
        truth: Classes, or values; (rows,).
        predictions: Of the same rows.
    """
    return task_of(document).with_truth(
        truth, predictions, document["classes"], document["positive"]
    )


def baseline_of_split(
    project: Project,
    document: Mapping[str, Any],
    split: str,
    truth: Any,
    labelled: PredictionsWithTruth,
    rows: NDArray[np.bool_] | None = None,
) -> PredictionsWithTruth:
    """Return the baseline's predictions of a split beside the truth.

    Args:
        project: Whose data it is.
        document: The content of bundle.json.
        split: "valid" or "test".
        truth: The target of its rows.
        labelled: The model's predictions of these rows.
        rows: Which of the split's rows these are; None: all.
    """
    from ..evaluation.naive import naive_predictions

    naive = naive_predictions(project, document, split)
    if naive is None:
        constant = document["baseline"]["constant"]
        return task_of(document).constant_with_truth(labelled, constant, document["classes"])
    chosen = naive if rows is None else naive.take(rows)
    return with_truth(document, truth, chosen).weighted(labelled.weights)
