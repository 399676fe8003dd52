"""A folder whose predict.html runs a model in any browser: without a server, nothing leaves it."""

from __future__ import annotations

import base64
import gzip
import json
import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..bundle.bundle import answer_of, given_classes, read_bundle
from ..bundle.champion import verify_champion
from ..bundle.onnx.form import ONNX_FILE, read_onnx
from ..core.errors import UserError
from ..data.cast import number_form
from ..data.dates import CLOCK, CLOCKS, DURATION
from ..data.numbers import ALIKE, patterns_of
from ..data.schema import NUMBERS, Column
from ..data.words import EARLIER_MISSING, MISSING
from ..models import input_sources
from .page import local_page
from .rows import Rules
from .runtime import API, LICENCE, LOADER, WASM, runtime_files
from .scoring import Model, load_model

if TYPE_CHECKING:
    from ..core.config import Settings
    from ..core.project import Project

PAGE = "predict.html"
COPIED = ("page.css", "page.js", "inputs.js", "model.js", "table.js")
SCRIPTS = (f"runtime/{API}", "runtime/wasm.js", "bundle.js", *COPIED[1:])
FILES = {PAGE, *COPIED, *SCRIPTS, "runtime/LICENSE"}
# The loader of the WebAssembly is handed over as a blob. Nothing may be asked for by address.
POLICY = (
    "default-src 'none'; script-src 'self' blob: 'wasm-unsafe-eval'; style-src 'self'; "
    "img-src data:; base-uri 'none'; form-action 'none'"
)
# What inputs.js knows of strptime.
DIRECTIVES = "YymbBdHIpMSfz%"
# The kinds of predictions that model.js computes.
KINDS = ("class", "number")


def write_page(
    project: Project,
    settings: Settings,
    folder: Path,
    *,
    model: str | None = None,
    runtime: Path | None = None,
) -> Path:
    """Write the folder again, whole or not at all, and return its page.

    Args:
        project: Holds the model.
        settings: `[predict] strict` and `[serving] bounds` hold for the page as well.
        folder: Is made, or replaced if it holds such a page and nothing else.
        model: A run id; None means the champion.
        runtime: The npm package onnxruntime-web, where it is here already.

    Raises:
        UserError: If the model cannot run in a browser, or something is in the way.
    """
    _check_folder(folder)
    run_id = model or verify_champion(project)
    loaded = _load(project, settings, run_id)
    content = _content(project, settings, loaded)
    wasm = runtime_files(runtime)
    content[f"runtime/{API}"] = wasm[API]
    packed = {"loader": _packed(wasm[LOADER]), "wasm": _packed(wasm[WASM])}
    content["runtime/wasm.js"] = _script(RUNTIME=packed)
    _replace(folder, content)
    return folder / PAGE


def _check_folder(folder: Path) -> None:
    """Refuse a folder with anything that was not written here."""
    if folder.exists() and not folder.is_dir():
        raise UserError(f"{folder} is a file; name a folder.")
    paths = [path for path in folder.rglob("*") if not path.is_dir()]
    strange = [path for path in paths if path.relative_to(folder).as_posix() not in FILES]
    if strange:
        raise UserError(f"{folder} holds {strange[0].name}; name a new folder, or an earlier page.")


def _load(project: Project, settings: Settings, run_id: str) -> Model:
    """Return a model that can run in a browser.

    Raises:
        UserError: If it cannot, and why.
    """
    document = read_bundle(project, run_id)
    kind, onnx = answer_of(document)["kind"], read_onnx(project.bundle_folder(run_id), document)
    if kind not in KINDS:
        raise UserError(
            f"models/{run_id} gives predictions of the kind '{kind}', which only `serve` computes; "
            "a page without a server knows classes and numbers."
        )
    here = "so it cannot run in a browser"
    if not onnx["equal"]:
        raise UserError(f"models/{run_id} has no ONNX form, {here}: {onnx['reason']}.")
    loaded = load_model(project, run_id, None, Rules.of(settings))
    if not loaded.onnx:
        raise UserError(
            f"models/{run_id} needs code of custom.py (add_features, decide) or a module's own "
            "inputs, which no browser runs, or is of an earlier version of the template; train "
            "without them, or use `serve`."
        )
    for column in loaded.reader.columns:
        unknown = set(re.findall("%(.)", column.format or "")) - set(DIRECTIVES)
        if unknown:
            raise UserError(
                f"Column '{column.name}' has dates as {column.format}, and a page cannot read "
                f"%{min(unknown)}; of data/schema.yaml it knows %{', %'.join(DIRECTIVES)}."
            )
    return loaded


def _content(project: Project, settings: Settings, model: Model) -> dict[str, bytes]:
    """Return all files but the runtime's binaries."""
    here = Path(__file__).parent
    content = {name: (here / name).read_bytes() for name in COPIED}
    onnx = (project.bundle_folder(model.run_id) / ONNX_FILE).read_bytes()
    absent = settings.data.missing
    missing = EARLIER_MISSING if model.schema.is_earlier else MISSING
    bundle = {**_facts(model), "missing": missing, "absent": absent, "alike": ALIKE}
    content[PAGE] = local_page(model, POLICY, SCRIPTS).encode()
    content["bundle.js"] = _script(BUNDLE=bundle, ONNX=_packed(onnx))
    content["runtime/LICENSE"] = LICENCE.encode()
    return content


def _facts(model: Model) -> dict[str, Any]:
    """Return what the scripts need to know of a bundle."""
    document, rules = model.document, model.reader.rules
    names = ("target", "classes", "positive", "threshold")
    sources = input_sources(model.schema)
    onnx = model.onnx_facts
    return {
        "kind": model.answer_form["kind"],
        **{name: document[name] for name in names},
        "given": given_classes(document),
        "temperature": document["calibration"]["temperature"],
        "half": (document["interval"] or {}).get("half_width"),
        "columns": [_column(column, rules) for column in model.reader.columns],
        "needed": [column.name for column in model.schema.needed],
        "known": model.schema.names,
        "ids": [column.name for column in model.schema.ids],
        "strict": rules.strict,
        "earlier": model.schema.is_earlier,
        "example": model.example,
        "inputs": [
            {
                "name": block["name"],
                "type": block["type"],
                "places": [sources[name] for name in block["columns"]],
            }
            for block in onnx["inputs"]
        ],
        "output": onnx["output"],
    }


def _column(column: Column, rules: Rules) -> dict[str, Any]:
    """Return what the scripts need to know of a column."""
    least, most = rules.limits(column)
    patterns: tuple[str, ...] | None = None
    if column.type in NUMBERS:
        timed = column.format in CLOCKS
        patterns = (CLOCK, DURATION) if timed else patterns_of(number_form(column))
    return {
        "name": column.name,
        "type": column.type,
        "categories": column.categories,
        "format": column.format,
        # JavaScript names groups in its own way.
        "patterns": patterns and [each.replace("?P<", "?<") for each in patterns],
        "months": column.months,
        "lastYear": column.last_year,
        "zone": column.zone,
        "missing": column.missing or (),
        "exact": bool(column.exact),
        "minimum": least,
        "maximum": most,
    }


def _packed(content: bytes) -> str:
    """Return bytes as text that a script may hold; the same bytes give the same text."""
    return base64.b64encode(gzip.compress(content, mtime=0)).decode()


def _script(**constants: Any) -> bytes:
    """Return a script that defines constants."""
    lines = (f"const {name} = {json.dumps(value)};\n" for name, value in constants.items())
    return ('"use strict";\n' + "".join(lines)).encode()


def _replace(folder: Path, content: Mapping[str, bytes]) -> None:
    """Put files in place of a folder's."""
    folder = folder.resolve()
    temporary = folder.with_name(f".partial-{folder.name}")
    earlier = folder.with_name(f".earlier-{folder.name}")
    try:
        for name, each in content.items():
            (temporary / name).parent.mkdir(parents=True, exist_ok=True)
            (temporary / name).write_bytes(each)
        shutil.rmtree(earlier, ignore_errors=True)
        if folder.exists():
            folder.rename(earlier)
        temporary.rename(folder)
        shutil.rmtree(earlier, ignore_errors=True)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
