"""The team's code that a bundle's predictions need: carried in the bundle, and run from there.

So a change of `custom` changes no prediction of a bundle that is there. Carried code runs only
where its hash follows from `models/champion.json`, or the bundle was made in this checkout. Of its
files only those that bundle.json lists are run, under a module name of the bundle's own.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Mapping, Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.util import spec_from_loader
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from ..core import registry
from ..core.code_fingerprint import PACKAGE, digest, place_of, relative
from ..core.errors import UserError, first_line
from ..core.files import append_json_line, file_sha256, read_json, read_json_lines
from ..core.pipeline import team_reaches

if TYPE_CHECKING:
    from ..core.project import Project

# In a bundle the code is called as it is in the package.
FILE, FOLDER = "custom.py", "custom/"
# What the template keeps in every package; folders that come with an answer add themselves to
# `registry.PARTS`. What else `custom` imports is the team's, and is not
# carried: a bundle notes its state.
TEMPLATE = frozenset(
    {
        *("__init__", "__main__", "cli"),
        *("ingest", "preprocess", "train", "postprocess", "evaluate", "predict", "report"),
        *("bundle", "core", "data", "evaluation", "models", "reporting", "tasks", "tracking"),
    }
)


def carries_code(document: Mapping[str, Any]) -> bool:
    """Tell whether a bundle holds code of the team."""
    return any(map(_is_team, document["files"]))


def has_rule(document: Mapping[str, Any]) -> bool:
    """Tell whether a bundle's code has the last word on its predictions: `decide`."""
    return bool(document.get("custom", {}).get("rule"))


def _is_team(name: str) -> bool:
    """Tell whether a file of a bundle is the team's."""
    return name == FILE or name.startswith(FOLDER)


# ------------------------------------------------------------------------------------- packaging


def is_plain(custom: ModuleType) -> bool:
    """Tell whether `custom` hands rows and predictions back as they are, whatever they hold."""
    if hasattr(custom, "decide") or any(
        registry.declared(name, custom) for name in ("INPUTS", "WEIGHTS")
    ):
        return False
    add, probe = getattr(custom, "add_features", None), object()
    try:
        return add is None or add(probe) is probe
    except Exception:  # noqa: BLE001  # it looked at the rows, which this probe has none of
        return False


def files_to_carry(custom: ModuleType) -> dict[str, Path]:
    """Return the files of the team's code by their names in a bundle.

    Raises:
        UserError: If one has changed since this process imported it.
    """
    found = registry.team_files(custom)
    if found != registry.imported_files():
        raise UserError(
            "The code of custom changed while this command ran, so the model does not belong to "
            "the code that is there now; `run` again."
        )
    return {name: path for name, (path, *_) in found.items()}


def helpers() -> dict[str, str]:
    """Return the team's files outside `custom` that it builds on, each with its fingerprint."""
    found = {}
    for path in sorted(team_reaches()):
        name = relative(path, PACKAGE)
        top = Path(name).parts[0].removesuffix(".py")
        if top not in TEMPLATE | registry.PARTS and top != registry.TEAM[1:]:
            found[name] = digest(path, PACKAGE)
    return found


def team_files_in(document: Mapping[str, Any]) -> dict[str, str]:
    """Return the checksums of the team's files that a bundle carries, by their names."""
    return {name: sha for name, sha in document["files"].items() if _is_team(name)}


def is_of_today(document: Mapping[str, Any]) -> bool:
    """Tell whether the code that a bundle carries, if any, is that of today's `custom`."""
    carried = team_files_in(document)
    if not carried:
        return True
    today = files_to_carry(registry.team())
    return carried == {name: file_sha256(path) for name, path in today.items()}


def note_made_here(project: Project, run_id: str) -> None:
    """Note that a bundle was made in this checkout, so that its code may run here."""
    if not was_made_here(project, run_id):
        append_json_line(project.made_here, _line_of(project, run_id))


def was_made_here(project: Project, run_id: str) -> bool:
    """Tell whether a bundle, as it is, was made in this checkout."""
    return _line_of(project, run_id) in read_json_lines(project.made_here)


def _line_of(project: Project, run_id: str) -> dict[str, str]:
    """Return what is noted of a bundle that was made here."""
    sha256 = file_sha256(project.bundle_folder(run_id) / "bundle.json")
    return {"run_id": run_id, "sha256": sha256}


# --------------------------------------------------------------------------------------- loading


def load_code(project: Project, document: Mapping[str, Any]) -> ModuleType:
    """Return the code that a verified bundle carries, as a module of its own.

    Raises:
        UserError: If nothing here vouches for it, it fails, or what it builds on has changed.
    """
    run_id = str(document["run_id"])
    _check_trust(project, run_id)
    _check_helpers(run_id, document.get("helpers", {}))
    folder = project.bundle_folder(run_id)
    name = f"{registry.PACKAGE}{registry.TEAM}_{run_id}"
    hashes = team_files_in(document)
    loaded = sys.modules.get(name)
    if loaded is not None and getattr(loaded, "__hashes__", None) == hashes:
        return loaded
    for each in [key for key in sys.modules if key == name or key.startswith(f"{name}.")]:
        del sys.modules[each]
    sys.meta_path[:] = [each for each in sys.meta_path if getattr(each, "name", None) != name]
    modules = [each for each in hashes if each.endswith(".py")]
    sys.meta_path.append(_Finder(name, folder, modules))
    try:
        module = importlib.import_module(name)
    except Exception as error:  # whatever the team's code raises
        raise UserError(
            f"The code of custom that models/{run_id} carries fails here with "
            f"{type(error).__name__}: {first_line(error)}; install what it imports, or train again."
        ) from error
    module.__dict__["__hashes__"] = hashes
    return module


class _Finder(MetaPathFinder, Loader):
    """Finds the modules of one bundle's code, and runs them from their source alone."""

    def __init__(self, name: str, folder: Path, files: Sequence[str]) -> None:
        """Give each file its module's name, below the bundle's own."""
        self.name = name
        self._files: dict[str, Path] = {}
        for each in files:
            below = [] if each == FILE else list(Path(each).with_suffix("").parts[1:])
            if below[-1:] == ["__init__"]:
                below.pop()
            self._files[".".join([name, *below])] = folder / each

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Return where a module of the bundle is; None for all others."""
        file = self._files.get(fullname)
        if file is None:
            return None
        is_package = file.name == "__init__.py"
        spec = spec_from_loader(fullname, self, origin=str(file), is_package=is_package)
        if spec is not None:
            spec.has_location = True
        return spec

    def exec_module(self, module: ModuleType) -> None:
        """Run a module; byte code, which nobody has verified, is neither read nor written."""
        file = self._files[module.__name__]
        code = compile(file.read_bytes(), str(file), "exec", dont_inherit=True)
        exec(code, module.__dict__)  # noqa: S102  # its hash was verified


def _check_trust(project: Project, run_id: str) -> None:
    """Refuse code for which neither champion.json nor this checkout vouches."""
    champion = read_json(project.champion_file) if project.champion_file.exists() else {}
    known = [champion, *champion.get("challengers", [])]
    known += [*read_json_lines(project.made_here), *read_json_lines(project.same_models)]
    line = _line_of(project, run_id)
    if not any({key: each.get(key) for key in line} == line for each in known):
        raise UserError(
            f"models/{run_id} carries code of its team, and is neither in service "
            "(models/champion.json) nor made in this checkout, so the code is not run; if you "
            f"trust that folder, `champion promote {run_id}`, else train the model here."
        )


def _check_helpers(run_id: str, recorded: Mapping[str, str]) -> None:
    """Refuse a bundle whose code builds on a file that is not what it was."""
    for name, before in recorded.items():
        path = PACKAGE / name
        if not path.is_file() or digest(path, PACKAGE) != before:
            state = "has changed" if path.is_file() else "is gone"
            raise UserError(
                f"The code of custom that models/{run_id} carries builds on "
                f"{place_of(path, PACKAGE)}, which {state} since; bring it back, or move it into "
                "the folder custom/, which a bundle carries, and train again."
            )
