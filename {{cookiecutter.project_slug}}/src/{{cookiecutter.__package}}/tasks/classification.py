"""Classes: two or many, as text, numbers or flags."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..core.errors import UserError, listed
from ..data.cast import as_category, spell
from ..evaluation.decision import fit_temperature, fit_threshold, label_codes, temper
from ..evaluation.predictions import Predictions, PredictionsWithTruth
from .task import Diagnostic, Task

if TYPE_CHECKING:
    import pandas as pd

    from ..core.config import Settings
    from ..data.schema import Column

    Array = NDArray[np.float64]

MOST_CLASSES = 1000
MOST_CLASSES_OF_FRACTIONS = 20
MOST_CLASSES_OF_INTEGERS = 100


class Classification(Task):
    """Classes; of two, one is the class to find."""

    name = "classification"
    metrics = (
        "roc_auc",
        "log_loss",
        "accuracy",
        "balanced_accuracy",
        "f1",
        "precision",
        "recall",
    )
    default_metric = "roc_auc"
    target_types = ("category", "string", "text")
    target_word = "category"
    target_kind = "auto"
    diagnostics = (
        Diagnostic(
            "roc",
            measure=".evaluation.curves:roc",
            draw=".reporting.plots:draw_roc",
            section="curves",
        ),
        Diagnostic(
            "pr",
            measure=".evaluation.curves:precision_recall",
            draw=".reporting.plots:draw_precision_recall",
            section="curves",
        ),
        Diagnostic(
            "calibration",
            measure=".evaluation.curves:calibration",
            draw=".reporting.plots:draw_calibration",
            section="curves",
        ),
        Diagnostic(
            "confusion",
            measure=".evaluation.curves:confusion",
            draw=".reporting.plots:draw_confusion",
            section="errors",
        ),
    )

    # -------------------------------------------------------------------------------- the target

    def infer_target(self, series: pd.Series[Any], kind: str) -> Column:
        """Return a category, whatever the values look like."""
        from ..data.schema import Column

        name, distinct = str(series.name), int(series.nunique())
        fractions = kind == "number" and bool((series.dropna() % 1 != 0).any())
        most = MOST_CLASSES_OF_FRACTIONS if fractions else MOST_CLASSES_OF_INTEGERS
        if kind == "datetime":
            raise UserError(
                f"[data] target = {name} contains dates, not classes; choose another target."
            )
        if kind in ("integer", "number") and distinct > most:
            raise UserError(
                f"[data] target = {name} holds {distinct:,} different numbers, which are not "
                "classes; set [model] task = regression, or name another target."
            )
        if distinct > MOST_CLASSES or (distinct > 20 and distinct > len(series) / 2):
            raise UserError(
                f"[data] target = {name} holds {distinct:,} different values in {len(series):,} "
                "rows, too many for classes; name another target."
            )
        values = {"integer": "integer", "boolean": "boolean"}.get(kind)
        if kind == "number":  # with missing values, pandas has no integers
            values = "number" if fractions else "integer"
        return Column(name, "category", True, values=values)

    def split_rule(self) -> tuple[str, str]:
        """Keep each class's share in every part."""
        return "stratified", "classes: each split gets the same share of each"

    def describe_target(
        self, parts: Mapping[str, pd.Series[Any]], column: Column, rule: str
    ) -> dict[str, dict[str, float]]:
        """Return each class's share; refuse classes that train lacks."""
        classes = {name: set(own.unique()) for name, own in parts.items()}
        learnt = classes["train"]
        unseen = sorted(set().union(*classes.values()) - learnt)
        if unseen or len(learnt) < 2:
            missing = unseen or sorted(set(column.categories or ()) - learnt)
            raise UserError(
                f"[data] target = {column.name}: train has no row of the class "
                f"'{missing[0] if missing else '?'}' under the {rule} rule; choose another "
                "[split] rule or shares, or drop that class in clean of custom.py."
            )
        counted = {name: own.value_counts(normalize=True) for name, own in parts.items()}
        return {
            name: {str(value): round(float(share), 6) for value, share in own.sort_index().items()}
            for name, own in counted.items()
        }

    def target_array(self, values: pd.Series[Any]) -> NDArray[Any]:
        """Return the classes: numbers and flags as such, all else as objects."""
        import pandas as pd

        if pd.api.types.is_float_dtype(values) and not (values % 1 == 0).all():
            raise UserError(
                f"The target '{values.name}' holds numbers with fractions, not classes; set "
                "[model] task = regression, or choose another [data] target."
            )
        plain = pd.api.types.is_numeric_dtype(values) or values.dtype == bool
        return values.to_numpy(dtype=None if plain else object)

    def classes_of(self, target: NDArray[Any]) -> list[Any]:
        """Return the classes in order."""
        import pandas as pd

        # Hashing finds the few classes of many rows faster than sorting them all.
        return list(np.unique(pd.unique(target)).tolist())

    # -------------------------------------------------------------------------------- training

    def folds(self, target: NDArray[Any], wanted: int, seed: int) -> Any:
        """Keep each class's share in every fold."""
        import pandas as pd
        from sklearn.model_selection import StratifiedKFold

        number = min(wanted, int(np.bincount(pd.factorize(target)[0]).max()))
        return StratifiedKFold(number, shuffle=True, random_state=seed) if number >= 2 else None

    def can_learn(self, target: NDArray[Any]) -> bool:
        """Tell whether there are two classes."""
        return bool((target != target[:1]).any())

    def constant(self, baseline: Any, row: pd.DataFrame) -> dict[str, Any]:
        """Return the probability of each class."""
        shares = baseline.predict_proba(row)[0]
        names = baseline[-1].classes_.tolist()
        return {
            "probabilities": {
                str(name): float(share) for name, share in zip(names, shares, strict=True)
            }
        }

    # -------------------------------------------------------------------------------- predicting

    def raw_scores(self, model: Any, inputs: pd.DataFrame, classes: Sequence[Any]) -> Array:
        """Return the probability of each class: 0 of one that the model has not seen."""
        import pandas as pd

        given = np.asarray(model.predict_proba(inputs), np.float64)
        own = model[-1].classes_.tolist()
        if own == list(classes):
            return given
        shares = np.zeros((len(given), len(classes)))
        shares[:, pd.Index(classes).get_indexer(pd.Index(own))] = given
        return shares

    def uncalibrated(self, raw: Array) -> Predictions:
        """Return the probabilities as they are."""
        return Predictions(probabilities=raw)

    def decide(self, document: Mapping[str, Any], raw: Array) -> Predictions:
        """Calibrate, decide by the threshold or for the likeliest class, and name the classes."""
        probabilities = temper(raw, document["calibration"]["temperature"])
        codes = label_codes(document, probabilities)
        words = any(isinstance(name, str) for name in document["classes"])
        names = np.array(document["classes"], dtype=object if words else None)
        return Predictions(labels=names[codes], probabilities=probabilities)

    def columns(self, document: Mapping[str, Any], predictions: Predictions) -> dict[str, Any]:
        """Return `prediction`, and `probability_<class>` for each class."""
        import pandas as pd

        classes = document["classes"]
        probabilities = np.asarray(predictions.probabilities)
        codes = pd.Index(classes).get_indexer(pd.Index(np.asarray(predictions.labels)))
        labels = pd.Series(classes).array.take(codes)
        shares = {f"probability_{name}": probabilities[:, at] for at, name in enumerate(classes)}
        return {"prediction": labels, **shares}

    def read_columns(
        self, document: Mapping[str, Any], frame: pd.DataFrame, numbers: Any
    ) -> Predictions:
        """Return the classes, and the probabilities where the table has all of them."""
        import pandas as pd

        classes = document["classes"]
        names = [str(name) for name in classes]
        # Files hold 1, 1.0 or true where the model has the class `1` or `True`.
        places, distinct = pd.factorize(frame["prediction"])
        words = [as_category(spell(value), names) for value in distinct]
        codes = np.append(pd.Index(names).get_indexer(pd.Index(words)), -1)[places]
        if (codes < 0).any():
            odd = frame["prediction"].iloc[int((codes < 0).argmax())]
            raise UserError(
                f"The prediction '{odd}' is not a class of the model {document['run_id']}, which "
                f"knows {', '.join(names[:10])}; was the file scored by another model?"
            )
        labels = np.array(classes, dtype=object)[codes]
        columns = [f"probability_{name}" for name in names]
        if not set(columns) <= set(frame.columns):
            return Predictions(labels=labels)
        return Predictions(labels=labels, probabilities=numbers(frame, columns))

    def answer_form(self, document: Mapping[str, Any]) -> dict[str, Any]:
        """Return the class, as the source has it, and the probability of each by its name."""
        from ..data.schema import Schema

        column = Schema.from_dict(document["schema"]).column(document["target"])
        classes = [column.as_given(name) for name in document["classes"]]
        share = {"type": "number", "minimum": 0, "maximum": 1}
        names = [str(name) for name in document["classes"]]
        return {
            "kind": "class",
            "prediction": {
                "prediction": {"enum": classes},
                "probability": {
                    "type": "object",
                    "properties": dict.fromkeys(names, share),
                    "required": names,
                    "additionalProperties": False,
                },
            },
            "label": {"enum": classes},
            "reward": "class",
        }

    def explained(self, document: Mapping[str, Any], scores: Array) -> tuple[int | None, str]:
        """Return the class to find, or the predicted one where there is none to find."""
        classes, positive = document["classes"], document["positive"]
        at = label_codes(document, scores)[0] if positive is None else classes.index(positive)
        return int(at), f"probability of {classes[at]}"

    # -------------------------------------------------------------------------------- judging

    def with_truth(
        self,
        truth: Any,
        predictions: Predictions,
        classes: Sequence[Any] = (),
        positive: Any = None,
    ) -> PredictionsWithTruth:
        """Return codes of classes; one that only the truth has is one that is never found."""
        import pandas as pd

        index = pd.Index(classes)
        known, count = index.get_indexer(pd.Index(truth)), len(index)
        unseen = bool((known < 0).any())
        shares = predictions.probabilities
        if predictions.labels is not None:
            codes = index.get_indexer(pd.Index(predictions.labels))
        elif shares is not None:
            codes = np.asarray(shares).argmax(axis=1)
        else:
            raise ValueError("a classification needs labels or probabilities")
        if shares is not None:
            shares = np.asarray(shares, float)
            shares = np.column_stack([shares, np.zeros(len(shares))]) if unseen else shares
        return PredictionsWithTruth(
            np.where(known < 0, count, known),
            self.metrics,
            labels=codes,
            probabilities=shares,
            classes=count + unseen,
            positive=_positive_code(classes, positive),
            names=(*classes, *([np.asarray(truth)[known < 0][0]] if unseen else [])),
        )

    def constant_with_truth(
        self, labelled: PredictionsWithTruth, constant: Mapping[str, Any], classes: Sequence[Any]
    ) -> PredictionsWithTruth:
        """Return the same probabilities for every row."""
        rows = len(labelled)
        by_name = {str(name): share for name, share in constant["probabilities"].items()}
        shares = np.zeros(labelled.classes)
        shares[: len(classes)] = [by_name.get(str(name), 0.0) for name in classes]
        return PredictionsWithTruth(
            labelled.truth,
            labelled.metrics,
            labels=np.full(rows, shares.argmax()),
            probabilities=np.broadcast_to(shares, (rows, len(shares))),
            classes=labelled.classes,
            positive=labelled.positive,
            names=labelled.names,
            weights=labelled.weights,
        )

    def row_errors(self, labelled: PredictionsWithTruth) -> tuple[Array, str]:
        """Return the probability that the true class did not get."""
        given = np.asarray(labelled.probabilities)[np.arange(len(labelled)), labelled.truth]
        return 1 - given, "1 - probability of the true class"

    def predicted(self, labelled: PredictionsWithTruth, classes: Sequence[Any]) -> list[Any]:
        """Return the class of each row."""
        names = [*classes, None]
        return [names[code] for code in np.asarray(labelled.labels)]

    # -------------------------------------------------------------------------------- packaging

    def fit_decision(
        self,
        model: Any,
        raw: Array,
        truth: NDArray[Any],
        settings: Settings,
        weights: Array | None = None,
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """Find the temperature, and of two classes the threshold that costs least."""
        import pandas as pd

        classes, seed = model.classes_.tolist(), settings.split.seed
        positive = _positive_class(classes, settings.decision.positive)
        codes: NDArray[np.intp] = pd.Index(classes).get_indexer(pd.Index(truth))
        known = codes >= 0  # a class that only valid has tells nothing about a probability
        raw, codes = raw[known], codes[known]
        weights = None if weights is None else weights[known]
        calibration = fit_temperature(raw, codes, seed, weights)
        temperature = calibration["temperature"]
        threshold = None
        if positive is not None:
            at = classes.index(positive)
            threshold = fit_threshold(
                temper(raw, temperature)[:, at],
                codes == at,
                settings.decision.cost_fp,
                settings.decision.cost_fn,
                seed,
                weights,
            )
        fields = {
            "classes": classes,
            "positive": positive,
            "threshold": threshold and threshold["value"],
            "interval": None,
            "calibration": {"temperature": temperature},
        }
        return fields, {"calibration": calibration, "threshold": threshold, "interval": None}

    # -------------------------------------------------------------------------------- in words

    def predicts(self, document: Mapping[str, Any]) -> str:
        """Name the classes, the first ones of many."""
        return f"one of {listed([f'`{name}`' for name in document['classes']], 10)}"

    def explain_decision(self, document: Mapping[str, Any]) -> list[str]:
        """Explain temperature and threshold."""
        temperature = document["calibration"]["temperature"]
        if temperature == 1:
            calibrated = (
                "Probabilities are the model's own; calibration did not improve log loss on valid."
            )
        else:
            calibrated = (
                f"Probabilities are calibrated by the temperature {temperature:.4g} "
                "(Guo et al., 2017), found on valid."
            )
        if document["threshold"] is None:
            return [calibrated, "The prediction is the likeliest class."]
        costs = document["settings"]["decision"]
        return [
            calibrated,
            f"The prediction is `{document['positive']}` from a probability of "
            f"{document['threshold']:.4g} on, where a false alarm costs {costs['cost_fp']:g} and a "
            f"miss {costs['cost_fn']:g} ([decision] in conf.cfg).",
        ]

    def summarise_decision(self, document: Mapping[str, Any]) -> str:
        """Name threshold and temperature."""
        threshold = document["threshold"]
        decided = "likeliest class"
        if threshold is not None:
            decided = f"threshold {threshold:.3g} for '{document['positive']}'"
        temperature = document["calibration"]["temperature"]
        return decided if temperature == 1 else f"{decided}, temperature {temperature:.3g}"


def _positive_class(classes: Sequence[Any], wanted: str | None) -> Any:
    """Return the class to find; None unless there are two classes.

    Raises:
        UserError: If the wanted one is not a class.
    """
    by_name = {str(name): name for name in classes}
    if wanted is not None and str(wanted) not in by_name:
        allowed = ", ".join(by_name)
        raise UserError(f"conf.cfg, [decision] positive = {wanted}: the classes are {allowed}.")
    if len(classes) != 2:
        return None
    return classes[-1] if wanted is None else by_name[str(wanted)]


def _positive_code(classes: Sequence[Any], wanted: Any) -> int | None:
    """Return the place of the class to find; None unless there are two classes."""
    if len(classes) != 2:
        return None
    return list(classes).index(_positive_class(classes, wanted))


CLASSIFICATION = Classification()
