"""Saving and loading a fitted pipeline: skops, never pickle; an estimator's own files beside it.

`save_model(pipeline, folder)` writes `model.skops` last, so that its presence means a whole model;
`load_model(folder)` gives the pipeline back. The same model gives the same bytes.
"""

import importlib
import io
import json
import re
import zipfile
from collections.abc import Iterable
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any

from ..core import registry
from ..core.errors import UserError, first_line
from ..core.files import remove_partial, write_atomic
from ..core.project import Project
from . import Weights

MODEL_FILE = "model.skops"

# What a file may bring to life besides what skops trusts of its own accord. This list stands in
# code, never in a bundle; custom.py adds what an estimator of its own needs.
TRUSTED = {
    "numpy.dtype",
    "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor",
    "sklearn.model_selection._split.KFold",
    "sklearn.tree._tree.Tree",
}
# Without what custom.py has added: a model of these types alone needs nothing of it.
TRUSTED_HERE = frozenset(TRUSTED)


def save_model(pipeline: Any, folder: Path) -> list[Path]:
    """Write the fitted `Pipeline` below `folder` and return the files, `model.skops` the last.

    Raises:
        UserError: If the pipeline holds what cannot be saved, or loading would refuse.
    """
    from skops.io import dumps, get_untrusted_types

    content, files = _take_weights_out(pipeline, folder)
    try:
        raw = dumps(content)
    except Exception as error:  # skops raises all kinds
        raise UserError(
            f"The model cannot be saved ({type(error).__name__}: {first_line(error)}); let what it "
            "has fitted be numbers, text and numpy arrays, not tables of pandas."
        ) from error
    refused = _refused(get_untrusted_types(data=raw), registry.team())
    if refused:
        raise UserError(
            f"{type(pipeline[-1]).__name__} holds {refused[0]}, a type that is not loaded again "
            "unless you trust it. If you do, write in custom.py: from .models.persist import "
            f"TRUSTED; TRUSTED.add({refused[0]!r}). Else use another estimator."
        )
    with write_atomic(folder / MODEL_FILE) as temporary:
        _write_canonical(raw, temporary)
    return [*files, folder / MODEL_FILE]


def load_model(folder: Path, custom: ModuleType | None = None) -> Any:
    """Return the fitted `Pipeline` saved in `folder`.

    Args:
        folder: Of the model.
        custom: The team's code that its types come from; default: that of today.

    Raises:
        UserError: If there is none, it is damaged, or it holds a type that is neither in `TRUSTED`
            nor declared in the team's code.
    """
    from skops.io import get_untrusted_types, loads
    from skops.io.exceptions import UntrustedTypesFoundException

    path = folder / MODEL_FILE
    if not path.exists():
        raise UserError(f"{path} does not exist; run `train` first.")
    custom = registry.team() if custom is None else custom
    try:
        raw = _with_types_of(path.read_bytes(), custom)
        try:
            content = loads(raw, trusted=sorted(TRUSTED))
        except UntrustedTypesFoundException:
            found = get_untrusted_types(data=raw)
            refused = _refused(found, custom)
            if refused:
                raise UserError(
                    f"{path} is not loaded, since its types are not trusted: {', '.join(refused)}."
                ) from None
            content = loads(raw, trusted=sorted({*TRUSTED, *found}))
    except (zipfile.BadZipFile, KeyError, EOFError) as error:
        raise UserError(f"{path} is damaged ({error}); delete it and run `train`.") from None
    return _put_weights_in(content, folder, custom)


def has_team_types(folder: Path) -> bool:
    """Tell whether the model in `folder` holds types that custom.py declares, or trusts."""
    with zipfile.ZipFile(folder / MODEL_FILE) as archive:
        schema = archive.read("schema.json").decode()
    own = f"{registry.PACKAGE}{registry.TEAM}"
    modules = {each.rpartition(".")[0] for each in TRUSTED - TRUSTED_HERE}
    starts = [f'"__module__": "{own}.', *(f'"__module__": "{each}"' for each in (own, *modules))]
    return any(each in schema for each in starts)


def _refused(types: Iterable[str], custom: ModuleType) -> list[str]:
    """Return those of the types that are neither trusted nor the team's own."""
    return sorted(each for each in set(types) - TRUSTED if not _declares(custom, each))


def _declares(custom: ModuleType, name: str) -> bool:
    """Tell whether a class or function is defined in the team's code, and not imported there."""
    prefix = f"{custom.__name__}."
    if not name.startswith(prefix):
        return False
    module, parts = custom, name.removeprefix(prefix).split(".")
    while len(parts) > 1 and find_spec(f"{module.__name__}.{parts[0]}") is not None:
        module = importlib.import_module(f"{module.__name__}.{parts.pop(0)}")
    found: Any = module
    for part in parts:
        found = getattr(found, part, None)
    return getattr(found, "__module__", None) == module.__name__


def _with_types_of(raw: bytes, custom: ModuleType) -> bytes:
    """Return a model's file with the types of `custom` taken from a bundle's own module."""
    own = f"{registry.PACKAGE}{registry.TEAM}"
    if custom.__name__ in (own, registry.NO_TEAM.__name__):
        return raw
    renamed = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(raw)) as source, zipfile.ZipFile(renamed, "w") as target:
        for entry in source.infolist():
            content = source.read(entry)
            if entry.filename == "schema.json":
                schema = json.loads(content)
                _rename_modules(schema, own, custom.__name__)
                content = json.dumps(schema).encode()
            target.writestr(entry.filename, content)
    return renamed.getvalue()


def _rename_modules(node: Any, old: str, new: str) -> None:
    """Replace a module, and those below it, wherever a type names its module; in place."""
    for item in node.values() if isinstance(node, dict) else node if isinstance(node, list) else ():
        _rename_modules(item, old, new)
    module = node.get("__module__") if isinstance(node, dict) else None
    if isinstance(module, str) and (module == old or module.startswith(f"{old}.")):
        node["__module__"] = new + module[len(old) :]


def model_files(folder: Path) -> list[Path]:
    """Return the files that make up the model in `folder`, those that are there."""
    names = (MODEL_FILE, *(name for weights in _all_weights() for name in weights.files))
    return [folder / name for name in names if (folder / name).is_file()]


def remove_unused(project: Project, kept: str) -> None:
    """Remove models that no bundle was made of; their results stay in `logs/runs.jsonl`.

    Args:
        project: The project.
        kept: The run whose model is about to be packaged.
    """
    for folder in project.models.iterdir():
        remove_partial(folder)  # of a killed run, whose folder nothing else may ever write to
        unused = folder.name != kept and not (folder / "bundle.json").exists()
        if unused and re.fullmatch(r"[0-9a-f]{8}", folder.name) and folder.is_dir():
            for path in model_files(folder):
                path.unlink()
            if not any(folder.iterdir()):
                folder.rmdir()


def weights_of(estimator: Any) -> Weights | None:
    """Return how an estimator is kept in files of its own; None where `model.skops` holds it all.

    What is registered for a class holds for those that inherit from it.
    """
    registry.team()
    for kind in type(estimator).__mro__:
        below = kind.__module__.startswith(f"{registry.PACKAGE}.")
        module = kind.__module__[len(registry.PACKAGE) :] if below else kind.__module__
        entry = registry.WEIGHTS.get(f"{module}:{kind.__qualname__}")
        if entry is not None:
            found: Weights = registry.load(entry)
            return found
    return None


def _all_weights() -> list[Weights]:
    """Return every way to keep an estimator in files of its own, once."""
    registry.team()
    return list(dict.fromkeys(registry.load(entry) for entry in registry.WEIGHTS.values()))


def _take_weights_out(pipeline: Any, folder: Path) -> tuple[Any, list[Path]]:
    """Write an estimator's own files; return what is left for skops, and the files written."""
    weights = weights_of(pipeline[-1])
    if weights is None:
        return pipeline, []
    files, rest = registry.load(weights.save)(pipeline[-1], folder)
    return {"features": pipeline[:-1], weights.name: rest}, files


def _put_weights_in(content: Any, folder: Path, custom: ModuleType) -> Any:
    """Undo `_take_weights_out`.

    Raises:
        UserError: If nothing here knows the estimator's own files.
    """
    if not isinstance(content, dict):
        return content
    pipeline = content.pop("features")
    for weights in map(registry.load, registry.entries("WEIGHTS", custom).values()):
        if weights.name in content:
            estimator = registry.load(weights.load)(folder, content[weights.name])
            pipeline.steps.append(("model", estimator))
            return pipeline
    raise UserError(
        f"{folder / MODEL_FILE} holds a model of the kind '{', '.join(content)}', which no part of "
        "this project can load; add the module that wrote it, or train another model."
    )


def _write_canonical(raw: bytes, path: Path) -> None:
    """Write skops' archive compressed, without what differs between two runs of one training.

    skops names objects and files by addresses in memory and dates every entry; numbers in the order
    of appearance and one date for all serve as well. A vectorizer remembers the address of its stop
    words, which it looks up again where it finds another.
    """
    with (
        zipfile.ZipFile(io.BytesIO(raw)) as source,
        zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as target,
    ):
        schema = json.loads(source.read("schema.json"))
        names: dict[str, str] = {}
        _renumber(schema, {}, names)
        for old, new in names.items():
            _add(target, new, source.read(old))
        _add(target, "schema.json", json.dumps(schema).encode())


def _add(archive: zipfile.ZipFile, name: str, content: bytes) -> None:
    """Add one entry under the archive format's first date."""
    entry = zipfile.ZipInfo(name)
    entry.compress_type = zipfile.ZIP_DEFLATED
    archive.writestr(entry, content)


def _renumber(node: Any, ids: dict[int, int], names: dict[str, str]) -> None:
    """Replace ids and file names below `node`, in place, and note which became which."""
    if isinstance(node, list):
        for item in node:
            _renumber(item, ids, names)
    elif isinstance(node, dict):
        if isinstance(node.get("__id__"), int):
            node["__id__"] = ids.setdefault(node["__id__"], len(ids) + 1)
        if isinstance(node.get("file"), str) and "__loader__" in node:
            suffix = Path(node["file"]).suffix
            node["file"] = names.setdefault(node["file"], f"{len(names) + 1}{suffix}")
        if "_stop_words_id" in node:
            node["_stop_words_id"]["content"] = "0"
        for item in node.values():
            _renumber(item, ids, names)
