"""Making the ONNX form of what was packaged, and of what is in service without one."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ...core.errors import UserError
from ...core.files import file_sha256, read_json, write_atomic, write_json, write_text
from ...models.features import prepare
from ...tracking.runs import versions
from ..bundle import BUNDLE_FILE, CARD_FILE, Bundle, load_bundle, read_bundle
from ..card import END
from ..champion import in_service, promoted_runs
from .export import export_onnx
from .form import FACTS_FILE, ONNX_FILE, read_onnx

if TYPE_CHECKING:
    from pathlib import Path

    import pandas as pd

    from ...core.project import Project

PACKAGES = ("onnx", "onnxruntime", "skl2onnx")
# What comes after the limits in a card.
LOADING = "## How to load it"


def write_onnx(project: Project, bundle: Bundle, rows: pd.DataFrame) -> dict[str, Any]:
    """Write the ONNX form of a bundle, and of those in service that have none; return its facts.

    One that is or was in service keeps the form that it has.

    Args:
        project: Holds the bundles.
        bundle: What was just packaged.
        rows: Rows that training did not use, by which the two are compared.

    Raises:
        UserError: If a package that this needs is not installed.
    """
    served = bundle.run_id in promoted_runs(project)
    kept = _existing(bundle.folder, bundle.document) if served else None
    facts = kept or _write(bundle, rows)
    _note_in_card(bundle, facts)
    for run_id in {str(each.get("run_id")) for each in in_service(project)} - {bundle.run_id}:
        try:
            if _existing(project.bundle_folder(run_id), read_bundle(project, run_id)) is None:
                other = load_bundle(project, run_id)
                _note_in_card(other, _write(other, rows))
        except Exception as error:  # noqa: BLE001  # such as what code that it carries raises
            print(f"Warning: {run_id}, in service, gets no ONNX form: {error}", file=sys.stderr)
    return facts


def _existing(folder: Path, document: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return the facts of the form that a bundle has; None where it has none, or a damaged one."""
    try:
        facts = read_onnx(folder, document)
    except UserError:
        return None
    return facts if facts["equal"] or "onnx" in document else None


def _write(bundle: Bundle, rows: pd.DataFrame) -> dict[str, Any]:
    """Convert a bundle, and write what came of it."""
    typed = bundle.conform(rows, strict=False)
    inputs = prepare(typed, bundle.schema, bundle.custom)
    export = export_onnx(bundle.model, inputs, bundle.document)
    file, path = bundle.folder / ONNX_FILE, bundle.folder / FACTS_FILE
    path.unlink(missing_ok=True)
    if export.content is None:
        file.unlink(missing_ok=True)
    else:
        with write_atomic(file) as temporary:
            temporary.write_bytes(export.content)
    used = versions(PACKAGES)
    facts = {
        "bundle": file_sha256(bundle.folder / BUNDLE_FILE),
        "sha256": None if export.content is None else file_sha256(file),
        **export.facts,
        "versions": {name: used[name] for name in PACKAGES if name in used},
    }
    write_json(path, facts)
    return dict(read_json(path))


def _note_in_card(bundle: Bundle, facts: Mapping[str, Any]) -> None:
    """Make the state of the ONNX form the last of the limits in a bundle's card."""
    path = bundle.folder / CARD_FILE
    text = path.read_text(encoding="utf-8") if path.is_file() else ""
    people, mark, rest = text.partition(END)
    lines = [line for line in rest.split("\n") if not line.startswith("- ONNX: ")]
    if LOADING in lines:  # else people wrote the card
        lines.insert(lines.index(LOADING) - 1, f"- ONNX: {_in_words(facts)}")
        write_text(path, people + mark + "\n".join(lines))


def _in_words(facts: Mapping[str, Any]) -> str:
    """Return the state of the ONNX form as the card says it."""
    if not facts["equal"]:
        return f"there is none, since {facts['reason']}; scikit-learn serves."
    nearer = facts["nearer_than_float32"]
    limit = ""
    if nearer:
        limit = (
            " It computes in float32: a value nearer to a split than that can tell may fall on its "
            f"other side ({nearer['differ']} of {nearer['rows']:,} such rows did)."
        )
    return (
        f"model.onnx predicts the same on {facts['rows']:,} rows, with missing, unseen and "
        f"near-split values among them (largest difference {facts['max_abs_diff']:.2g}).{limit}"
    )
