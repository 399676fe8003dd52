"""From prepared rows to a fitted model: features, estimators, saved models. Rarely edited.

The estimators that `[model] candidates` can name are functions that build one of them. Light on
purpose, with named tuples for the slower `dataclasses`: the command line imports it at every start.
"""

from collections.abc import Iterable, Mapping
from types import ModuleType
from typing import Any, NamedTuple

from ..core.errors import UserError
from ..core.registry import ESTIMATORS, INPUTS, entries, load, lookup, team


class Candidate(NamedTuple):
    """One estimator that is to be judged.

    Attributes:
        name: As in `[model] candidates` and `[params]`.
        label: As in the names of log files, in capitals.
        kind: Which inputs it gets: "linear" (scaled, one-hot), "tree" (numbers as they are, missing
            ones too) or "filled" (as "tree", missing numbers filled in).
        estimator: Unfitted; has scikit-learn's `fit`, `predict` and, for classes, `predict_proba`.
    """

    name: str
    label: str
    kind: str
    estimator: Any


class Input(NamedTuple):
    """One kind of input: which columns it is for, and what becomes of them.

    Functions are given as `"module:function"`, so that pandas and scikit-learn stay unimported.

    Attributes:
        types: The schema's types whose columns become this kind of input.
        prepare: From a typed column (a Series) to the inputs that it becomes, by name.
        steps: From the names of the inputs and `features.StepOptions` to the steps of a
            ColumnTransformer that are fitted on them. Inputs that do not have the column's own
            name, and all where this is None, count as what they hold: numbers, or categories.
        plain: Whether a service can prepare it without pandas, by models/inputs.py.
    """

    types: tuple[str, ...]
    prepare: Any
    steps: Any = None
    plain: bool = False


class Weights(NamedTuple):
    """How an estimator is kept in files of its own beside `model.skops`, and in ONNX.

    Functions are given as `"module:function"`, so that no library is imported before it is needed.

    Attributes:
        name: What the rest of the estimator is called in `model.skops`; of one kind of weights.
        files: The names of all files that there can be.
        save: From (estimator, folder) to the paths of the files that it wrote there, whole or not
            at all (`core.files.write_atomic`), and the rest of the estimator as plain values.
        load: From (folder, rest) to the estimator.
        onnx: From (estimator, number of features) to an `onnx.ModelProto` of operators 18, from
            features (rows, features) in float32 to probabilities (rows, classes) or values; None
            where skl2onnx knows the estimator, or nothing does.
    """

    name: str
    files: tuple[str, ...]
    save: Any
    load: Any
    onnx: Any = None


# In this order the inputs reach an estimator; those of other folders follow.
OWN_INPUTS = ("number", "category", "string", "text", "datetime")
INPUTS.add(
    number=Input(
        ("integer", "number", "boolean"),
        ".models.features:floats",
        ".models.features:number_steps",
        plain=True,
    ),
    category=Input(
        ("category",), ".models.features:strings", ".models.features:category_steps", plain=True
    ),
    string=Input(
        ("string",), ".models.features:strings", ".models.features:string_steps", plain=True
    ),
    text=Input(("text",), ".models.features:texts", ".models.features:text_steps", plain=True),
    datetime=Input(("datetime",), ".models.features:date_numbers", plain=True),
)
ESTIMATORS.add(
    baseline=".models.baseline:baseline",
    linear=".models.classic:linear",
    forest=".models.classic:forest",
    hgb=".models.classic:hgb",
)


def input_kinds(custom: ModuleType | None = None) -> dict[str, Input]:
    """Return every kind of input by its name, in the order in which estimators get them.

    Args:
        custom: The team's code; default: that of today.
    """
    found = entries("INPUTS", team() if custom is None else custom)
    others = sorted(found.keys() - set(OWN_INPUTS))
    return {name: load(found[name]) for name in (*OWN_INPUTS, *others)}


def kinds_by_type(kinds: Mapping[str, Input]) -> dict[str, str]:
    """Return the kind of input by the schema's type; where two serve one, that of a folder.

    Args:
        kinds: See `input_kinds`.
    """
    return {each: name for name, kind in kinds.items() for each in kind.types}


def are_plain(types: Iterable[str], custom: ModuleType | None = None) -> bool:
    """Tell whether a service can prepare columns of these types without pandas."""
    kinds = input_kinds(custom)
    names = kinds_by_type(kinds)
    return all(kinds[names[each]].plain for each in types)


def make_candidate(name: str, task: str, seed: int, params: dict[str, Any]) -> Candidate:
    """Build the candidate `name` with the parameters that `[params]` gives it.

    Raises:
        UserError: If there is no such candidate, or it has no such parameter.
    """
    build = lookup(ESTIMATORS, name, "A name in [model] candidates")
    try:
        candidate: Candidate = build(task, seed, dict(params))
    except (TypeError, ValueError) as error:
        raise UserError(f"conf.cfg, [params]: '{name}' cannot be built: {error}.") from error
    return candidate


def configure(estimator: type[Any], name: str, params: dict[str, Any], **defaults: Any) -> Any:
    """Return `estimator(**defaults)` as changed by `params`.

    Raises:
        UserError: If `params` has a name that the estimator does not know.
    """
    allowed = estimator().get_params()
    for parameter in params:
        if parameter not in allowed:
            raise UserError(
                f"conf.cfg, [params] {name}.{parameter}: {name} has no parameter '{parameter}'; "
                f"it has: {', '.join(sorted(allowed))}."
            )
    return estimator(**(defaults | params))
