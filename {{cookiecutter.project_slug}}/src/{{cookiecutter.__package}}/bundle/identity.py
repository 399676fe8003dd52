"""Whether a bundle that was made here is the model in service, which another machine made.

Two clones of a project make the same model, but not the same bytes: a bundle notes the commit it
was made from, and sums differ in their last digits between processors. So champion.json also says
what the model's predictions follow from, its identity, and `reports/champion/predictions.csv` what
it predicts for some rows of valid, named by their keys. Git tracks both; the rows stay out.
"""

from __future__ import annotations

import csv
import io
import math
import shutil
from collections.abc import Mapping
from itertools import zip_longest
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..core.files import append_json_line, fingerprint, read_json_lines, write_atomic
from ..core.project import Project
from ..tracking.runs import read_runs
from .bundle import bundle_sha
from .carried import team_files_in, was_made_here

if TYPE_CHECKING:
    import pandas as pd

    from ..evaluation.predictions import Predictions
    from .bundle import Bundle

# Beside a bundle, and not among the files that its bundle.json lists.
PREDICTIONS_FILE = "predictions.csv"
ROWS = 200
# What two machines may differ by; of numbers above 1, as a share of them.
TOLERANCE = 1e-6
# Cells by lines; the first of a line is the key of its row.
Table = list[list[str]]


def identity_of(project: Project, document: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a model's predictions follow from: versions as such, all else as fingerprints.

    Args:
        project: Its `logs/runs.jsonl` knows the code that trained the model.
        document: The content of its bundle.json.
    """
    runs = {run["run_id"]: run for run in read_runs(project)}
    trained = runs.get(document["trained_as"], {})
    chosen = ("task", "target", "weight", "metric", "estimator", "seed", "settings")
    code = [trained.get(name) for name in ("code", "onwards_from")]
    return {
        "data": document["data"],
        "split": document["split"],
        "schema": fingerprint(document["schema"]),
        "settings": fingerprint([document.get(name) for name in chosen]),
        "code": fingerprint(code, team_files_in(document), document.get("helpers")),
        "versions": document["versions"],
    }


def differences(here: Mapping[str, Any], there: Mapping[str, Any]) -> list[str]:
    """Return in what the identity of a model here differs from that of another, in words."""
    found = [part for part in here if part != "versions" and here[part] != there.get(part)]
    ours, theirs = here["versions"], there.get("versions", {})
    for name in sorted({*ours, *theirs}):
        pair = [str(each.get(name, "not used")) for each in (ours, theirs)]
        if pair[0] != pair[1]:
            found.append(f"{name} ({pair[0]} here, {pair[1]} there)")
    return found


def why_another(
    project: Project, champion: Mapping[str, Any], document: Mapping[str, Any]
) -> str | None:
    """Return why a bundle here is not the model in service; None where it is, which is noted.

    Args:
        project: Holds the bundle.
        champion: The content of champion.json.
        document: The content of the bundle's bundle.json, whose files were verified.
    """
    run_id, sha256 = str(document["run_id"]), champion["sha256"]
    if is_promoted(project, run_id, sha256):
        return None
    if "identity" not in champion or not was_made_here(project, run_id):
        return "its bundle.json has changed"
    found = differences(identity_of(project, document), champion["identity"])
    if found:
        return f"it differs in {', '.join(found)}"
    shown, own = shown_predictions(project), project.bundle_folder(run_id) / PREDICTIONS_FILE
    if not shown.is_file() or not own.is_file():
        lacking = next(path for path in (shown, own) if not path.is_file())
        return f"its bundle.json differs, and there is no {project.relative(lacking)} to compare"
    largest = _largest_difference(_read_table(own), _read_table(shown))
    if not largest <= TOLERANCE:
        size = "" if math.isinf(largest) else f", by up to {largest:.2g}"
        return f"it predicts other values than {project.relative(shown)} holds{size}"
    line = {"run_id": run_id, "sha256": bundle_sha(project, run_id), "promoted_as": sha256}
    append_json_line(project.same_models, line)
    return None


def is_same_model(
    project: Project, first: Mapping[str, Any], second: Mapping[str, Any], table: pd.DataFrame
) -> bool:
    """Tell whether a bundle that is there is the model that was just made again.

    Args:
        project: Holds the bundle.
        first: The content of its bundle.json.
        second: What bundle.json would say of the other.
        table: Some predictions of the other.
    """
    path = project.bundle_folder(str(first["run_id"])) / PREDICTIONS_FILE
    if not path.is_file() or identity_of(project, first) != identity_of(project, second):
        return False
    made = list(csv.reader(io.StringIO(table.to_csv(index=False), newline="")))
    return _largest_difference(_read_table(path), made) <= TOLERANCE


def is_promoted(project: Project, run_id: str, sha256: str | None) -> bool:
    """Tell whether a bundle has the bytes that were promoted, or was found to be the same model."""
    return sha256 in (bundle_sha(project, run_id), promoted_sha(project, run_id))


def promoted_sha(project: Project, run_id: str) -> str:
    """Return the checksum under which a bundle goes into service: the first that it was known by.

    So a promotion in another clone names the same bytes, which are those in the store.
    """
    own = bundle_sha(project, run_id)
    for line in read_json_lines(project.same_models):
        if (line.get("run_id"), line.get("sha256")) == (run_id, own):
            return str(line["promoted_as"])
    return own


def some_predictions(bundle: Bundle, valid: pd.DataFrame, predictions: Predictions) -> pd.DataFrame:
    """Return what a model predicts for some rows of valid, named by their keys.

    The rows are those with the smallest keys, whatever the order of valid. Rows that share their
    key are left out.
    """
    import pandas as pd

    from ..data.keys import BY_VALUE, row_keys

    keys = pd.Series(row_keys(valid, bundle.schema, BY_VALUE))
    chosen = keys[~keys.duplicated(keep=False)].sort_values().head(ROWS)
    columns = bundle.task.columns(bundle.document, predictions.take(chosen.index.to_numpy()))
    return pd.DataFrame({"key": chosen.to_numpy(), **columns})


def write_predictions(folder: Path, table: pd.DataFrame) -> None:
    """Write the predictions of `some_predictions` beside a bundle."""
    with write_atomic(folder / PREDICTIONS_FILE) as temporary:
        table.to_csv(temporary, index=False, encoding="utf-8", lineterminator="\n")


def show_predictions(project: Project, run_id: str) -> None:
    """Let git see the predictions of a model that goes into service, and none of another."""
    own, shown = project.bundle_folder(run_id) / PREDICTIONS_FILE, shown_predictions(project)
    if not own.is_file():  # packaged by an earlier version
        shown.unlink(missing_ok=True)
        return
    with write_atomic(shown) as temporary:
        shutil.copyfile(own, temporary)


def shown_predictions(project: Project) -> Path:
    """Return the file with predictions of the model in service."""
    return project.reports / "champion" / PREDICTIONS_FILE


def _largest_difference(first: Table, second: Table) -> float:
    """Return the largest difference between two tables; infinite where rows or classes differ."""
    if [line[0] for line in first] != [line[0] for line in second]:
        return math.inf
    pairs = [pair for lines in zip(first, second, strict=True) for pair in zip_longest(*lines)]
    return max((_difference(*pair) for pair in pairs if pair[0] != pair[1]), default=0.0)


def _read_table(path: Path) -> Table:
    """Return the cells of a CSV file."""
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.reader(file))


def _difference(first: str | None, second: str | None) -> float:
    """Return how far two different cells are apart; infinite where one is not a number."""
    try:
        here, there = float(first or ""), float(second or "")
    except ValueError:
        return math.inf
    distance = abs(here - there) / max(1.0, abs(there))
    return distance if math.isfinite(distance) else math.inf
