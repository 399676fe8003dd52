"""A bundle's `model.onnx`, and `onnx.json`, which says of which bundle it is and what was tested.

Neither is part of the bundle's identity, so they can be added to the model in service. `onnx.json`
holds the checksums of both `model.onnx` and `bundle.json`, and is written last.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ...core.errors import UserError
from ...core.files import file_sha256, read_json
from ..bundle import BUNDLE_FILE

ONNX_FILE = "model.onnx"
FACTS_FILE = "onnx.json"
MISSING = "`postprocess` has not made it yet"
FOREIGN = "onnx.json is about another bundle.json, and `postprocess` has not made it again yet"


def read_onnx(folder: Path, document: Mapping[str, Any]) -> dict[str, Any]:
    """Return what is known of a bundle's ONNX form, verified.

    `equal` says whether there is one, else `reason` why not; `sha256` is the file's checksum.
    In earlier versions bundle.json held all this, and listed the file among its own.

    Raises:
        UserError: If a file is not what it was.
    """
    if "onnx" in document:
        listed = document["files"].get(ONNX_FILE)
        facts = dict(document["onnx"])
        return {**facts, "equal": facts["equal"] and listed is not None, "sha256": listed}
    path = folder / FACTS_FILE
    if not path.is_file():
        return {"equal": False, "reason": MISSING}
    facts = read_json(path)
    if not isinstance(facts, dict) or facts.get("bundle") != file_sha256(folder / BUNDLE_FILE):
        return {"equal": False, "reason": FOREIGN}
    file = folder / ONNX_FILE
    if facts["equal"] and not (file.is_file() and file_sha256(file) == facts["sha256"]):
        state = "has changed" if file.is_file() else "is missing"
        raise UserError(
            f"models/{folder.name}/{ONNX_FILE} {state} since it was made; bring it back, or delete "
            f"models/{folder.name}/{FACTS_FILE} and run `postprocess`."
        )
    return facts
