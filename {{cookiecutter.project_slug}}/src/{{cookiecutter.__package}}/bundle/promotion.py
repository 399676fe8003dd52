"""Which model `run` puts into service by itself (`offer`): the first, and at `poc` a better one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from ..core.errors import GateError, UserError
from ..core.project import Project, read_answers
from ..tracking.runs import read_runs
from .bundle import is_packaged, load_bundle, read_bundle
from .card import refresh_card
from .champion import (
    AUTO,
    keep_reports,
    one_at_a_time,
    read_champion,
    read_promoted,
    release,
    source_and_target,
)
from .identity import differences, identity_of

if TYPE_CHECKING:
    from ..core.config import Settings
    from .bundle import Bundle

# Scores that differ by less are equal.
EQUAL = 1e-9


@one_at_a_time
def offer(project: Project, settings: Settings, run_id: str) -> str:
    """Put a model into service where no person has to decide; return what to say about it.

    The first model goes into service, and one for another source or target. At the stage `poc` a
    better one does so, too, while `run` chose the champion by the settings of conf.cfg.

    Args:
        project: Holds the bundle, which passed its gate.
        settings: What it was made with.
        run_id: Its name.

    Raises:
        UserError: If there is no such bundle.
        GateError: If the model in service is not here, and the new one is another.
    """
    from ..core.config import load_settings

    document, champion = read_bundle(project, run_id), read_champion(project)
    keep_reports(project, run_id)
    refresh_card(project, run_id)
    if champion is None:
        release(project, run_id, AUTO)
        return f"{run_id} is in service"
    current = str(champion["run_id"])
    keep_reports(project, current)
    refresh_card(project, current)
    choice = f"`champion promote {run_id}` changes that"
    try:
        serving = _read_serving(project, champion, document)
    except UserError:
        return f"{current} stays in service, though its bundle is not whole here; {choice}"
    if current == run_id:
        return f"{run_id} is in service"
    other = source_and_target(serving) != source_and_target(document)
    tried = settings != load_settings(project)
    if other and not tried:
        release(project, run_id, AUTO)
        return f"{run_id} is in service; {current} was made for another source or target"
    if not other and read_answers(project).get("stage") != "poc":
        return f"{current} stays in service; {choice}"
    if tried:
        return f"{current} stays in service, since --set is for trying out; {choice}"
    if not champion.get(AUTO):
        return f"{current}, which a person promoted, stays in service; {choice}"
    better, reason = _is_better(project, settings, current, run_id)
    if not better:
        return f"{current} stays in service: {reason}; {choice}"
    release(project, run_id, AUTO)
    return f"{run_id} is in service: {reason}"


def _is_better(project: Project, settings: Settings, current: str, run_id: str) -> tuple[bool, str]:
    """Tell whether a model replaces the champion, and why, with both scores on the same rows.

    Of equal ones the newer replaces it where data or code changed, so that what serves is what the
    project would make today.
    """
    from ..evaluation.metrics import choose_metric, find_metric

    new = load_bundle(project, run_id)
    metric = choose_metric(new.task, settings.model.metric)
    try:
        old = load_bundle(project, current)
        if _has_seen_valid(old, new):
            moved = f"rows that {current} was trained on may be in valid now"
            return True, f"{moved}, so it cannot stay"
        before, after = _scores_on_valid(project, metric, old, new)
    except UserError as error:
        fault = str(error).rstrip(".")
        return True, f"{current} cannot predict the data of today ({fault}), so it cannot stay"
    shown = _tell_apart(before, after)
    gain = find_metric(metric).sign * (after - before)
    if gain > EQUAL:
        return True, f"{metric} {shown[1]} on valid is better than {shown[0]} of {current}"
    if not abs(gain) <= EQUAL:
        return False, f"{metric} {shown[0]} on valid is better than {shown[1]} of {run_id}"
    changed = _what_changed(project, old.document, new.document)
    if changed:
        return True, f"{metric} {shown[1]} on valid equals that of {current}, and {changed} changed"
    return False, f"{metric} {shown[0]} on valid equals that of {run_id}"


def _has_seen_valid(old: Bundle, new: Bundle) -> bool:
    """Tell whether rows may have moved from train to valid since a model was trained.

    A row's place follows from its key and the rule: from its id, else from all of its typed values.
    """
    from ..data.schema import types_fingerprint

    def rule(bundle: Bundle) -> Any:
        columns = (*bundle.schema.ids, bundle.schema.group, bundle.schema.time)
        return bundle.document["settings"]["split"], [column and column.name for column in columns]

    if old.document["split"] == new.document["split"]:
        return False
    if rule(old) != rule(new):
        return True
    return not new.schema.ids and types_fingerprint(old.schema) != types_fingerprint(new.schema)


def _scores_on_valid(
    project: Project, metric: str, old: Bundle, new: Bundle
) -> tuple[float, float]:
    """Return the metric of two models on the rows of valid, by the weights and class of the newer.

    Raises:
        UserError: If one of them cannot predict these rows.
    """
    from ..data.schema import row_weights
    from ..data.split import load_split
    from ..evaluation.metrics import score

    frame, positive = load_split(project, "valid"), new.document["positive"]
    weights = row_weights(frame, new.schema)
    labelled = (each.evaluate_for(frame, positive).weighted(weights) for each in (old, new))
    before, after = (score(replace(each, metrics=(metric,)))[metric] for each in labelled)
    return before, after


def _what_changed(project: Project, old: Mapping[str, Any], new: Mapping[str, Any]) -> str | None:
    """Return which of data and code two models differ in; None where settings alone do."""
    if old["data"] != new["data"]:
        return "the data"
    codes = {run["run_id"]: run.get("code") for run in read_runs(project)}
    before, after = (codes.get(each["trained_as"]) for each in (old, new))
    return "the code" if before and after and before != after else None


def _tell_apart(first: float, second: float) -> tuple[str, str]:
    """Return two scores with as many digits as show which one is higher."""
    from ..evaluation.metrics import show

    pair = show(first), show(second)
    return pair if pair[0] != pair[1] or first == second else (f"{first:.6g}", f"{second:.6g}")


def _read_serving(
    project: Project, champion: dict[str, Any], document: dict[str, Any]
) -> dict[str, Any]:
    """Return the bundle.json of the model in service, beside that of one that was just made.

    Raises:
        UserError: If it is not whole here, and champion.json does not say what it follows from.
        GateError: If it is not here, or what is here is another model.
    """
    current, run_id = str(champion["run_id"]), str(document["run_id"])
    if "identity" not in champion:
        return read_bundle(project, current)
    if is_packaged(project, current):
        try:
            return read_promoted(project, current, champion["sha256"])
        except UserError as error:
            raise GateError(str(error)) from None
    found = differences(identity_of(project, document), champion["identity"])
    raise GateError(
        f"{current}, in service, is not in models/ on this machine, and {run_id}, which this run "
        f"made, differs from it in {', '.join(found) or 'its settings'}; `champion pull` brings "
        f"{current}, `champion promote {run_id}` puts the new model into service."
    )
