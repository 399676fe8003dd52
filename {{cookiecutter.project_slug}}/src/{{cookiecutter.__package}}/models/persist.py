"""Saving and loading a fitted pipeline: skops, never pickle, and a booster's own file beside it.

`save_model(pipeline, folder)` writes `model.skops` last, so that its presence means a whole model;
`load_model(folder)` gives the pipeline back. The same model gives the same bytes.
"""

import io
import json
import re
import zipfile
from pathlib import Path
from typing import Any

from ..core.errors import UserError
from ..core.files import remove_partial, write_atomic
from ..core.project import Project

MODEL_FILE = "model.skops"

# What a file may bring to life besides what skops trusts of its own accord. This list stands in
# code, never in a bundle; custom.py adds what an estimator of its own needs.
TRUSTED = {
    "numpy.dtype",
    "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor",
    "sklearn.model_selection._split.KFold",
    "sklearn.tree._tree.Tree",
}


def save_model(pipeline: Any, folder: Path) -> list[Path]:
    """Write the fitted `Pipeline` below `folder` and return the files, `model.skops` the last.

    Raises:
        UserError: If the pipeline holds a type that loading would refuse.
    """
    from skops.io import dumps, get_untrusted_types

    content, files = _take_booster_out(pipeline, folder)
    raw = dumps(content)
    refused = sorted(set(get_untrusted_types(data=raw)) - TRUSTED)
    if refused:
        raise UserError(
            f"The model holds {refused[0]}, which would not be loaded again; add that name to "
            "TRUSTED of models/persist.py in custom.py if you trust it, or use another estimator."
        )
    with write_atomic(folder / MODEL_FILE) as temporary:
        _write_canonical(raw, temporary)
    return [*files, folder / MODEL_FILE]


def load_model(folder: Path) -> Any:
    """Return the fitted `Pipeline` saved in `folder`.

    Raises:
        UserError: If there is none, it is damaged, or it holds a type that is not in `TRUSTED`.
    """
    from skops.io import load
    from skops.io.exceptions import UntrustedTypesFoundException

    path = folder / MODEL_FILE
    if not path.exists():
        raise UserError(f"{path} does not exist; run `train` first.")
    try:
        content = load(path, trusted=sorted(TRUSTED))
    except UntrustedTypesFoundException as error:
        raise UserError(
            f"{path} is not loaded, since its types are not trusted: {error}."
        ) from None
    except (zipfile.BadZipFile, KeyError, EOFError) as error:
        raise UserError(f"{path} is damaged ({error}); delete it and run `train`.") from None
    return _put_booster_in(content, folder)


def model_files(folder: Path) -> list[Path]:
    """Return the files that make up the model in `folder`, those that are there."""
    names = (MODEL_FILE, "xgboost.json", "lightgbm.txt", "catboost.cbm")
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


def _take_booster_out(pipeline: Any, folder: Path) -> tuple[Any, list[Path]]:
    """Write a booster's own file; return what is left for skops, and the files written."""
    from .boosters import LIBRARIES, BoosterClassifier, BoosterRegressor, save_booster

    model = pipeline[-1]
    if not isinstance(model, BoosterClassifier | BoosterRegressor):
        return pipeline, []
    with write_atomic(folder / LIBRARIES[model.library].file) as temporary:
        rest = save_booster(model, temporary)
    return {"features": pipeline[:-1], "booster": rest}, [folder / LIBRARIES[model.library].file]


def _put_booster_in(content: Any, folder: Path) -> Any:
    """Undo `_take_booster_out`."""
    if not isinstance(content, dict):
        return content
    from .boosters import load_booster

    pipeline = content["features"]
    pipeline.steps.append(("model", load_booster(folder, content["booster"])))
    return pipeline


def _write_canonical(raw: bytes, path: Path) -> None:
    """Write skops' archive compressed, without what differs between two runs of one training.

    skops names objects and files by addresses in memory and dates every entry; numbers in the order
    of appearance and one date for all serve as well. A vectorizer remembers the address of its stop
    words, which it looks up anew where it finds another.
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
