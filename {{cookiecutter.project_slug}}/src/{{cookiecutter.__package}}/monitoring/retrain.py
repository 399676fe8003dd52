"""Train on the data as it is now, and let the result replace the champion only if it is better."""

from __future__ import annotations

import copy
import shutil
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ..bundle.bundle import Bundle, baseline_of_split, load_bundle
from ..bundle.carried import carries_code, is_of_today
from ..bundle.champion import load_champion, read_champion
from ..bundle.champion import promote as put_into_service
from ..core.errors import GateError, UserError
from ..core.files import file_sha256, write_atomic, write_json
from ..core.pipeline import require
from ..core.project import REPORT_VERSION, SPLITS, Project, Report
from ..data.cast import conform
from ..data.earlier_files import upgraded
from ..data.keys import BY_COLUMN, NEWEST, row_keys
from ..data.readers import read_table
from ..data.schema import INFER_AGAIN, load_schema, row_weights
from ..data.split import choose_rule, load_manifest, load_split
from ..evaluate import evaluate
from ..evaluation.bootstrap import Interval, bootstrap, in_words
from ..evaluation.metrics import choose_metric, find_metric, score, show
from ..evaluation.predictions import PredictionsWithTruth
from ..ingest import ingest
from ..models.persist import load_model
from ..models.training_data import Rows, TrainingData, WarmStart, weights_for
from ..postprocess import postprocess
from ..preprocess import preprocess
from ..train import train
from .settings import monitor_settings

if TYPE_CHECKING:
    from rich.table import Table
    from sklearn.pipeline import Pipeline

    from ..core.config import Settings

LEAST_NEW = 30
GROWTH = 0.25
KNOWN = "champion-rows-"
# What an ensemble grows by when it goes on.
SIZES = ("n_estimators", "max_iter")


@dataclass(frozen=True)
class KnownRows:
    """The rows that a champion was made from.

    Attributes:
        keys: One per row; shape (rows,).
        splits: 0, 1 or 2 for train, valid or test, in which each row was; None if nobody noted it.
        version: Of the keys: those of other rows have to be of the same.
    """

    keys: NDArray[np.int64]
    splits: NDArray[np.int64] | None = None
    version: int = NEWEST


@dataclass(frozen=True)
class Comparison:
    """Champion and challenger on the same rows.

    Attributes:
        champion: The run id of the model that was in service.
        challenger: That of the new one.
        metric: What decides.
        rows: How many rows both were judged on.
        about: Which rows those are.
        scores: By metric, the champion's and the challenger's.
        gain: By how much the challenger is better, with its interval; below 0 it is worse.
        needed: What the lower bound of the gain has to be above.
        better: Whether it is.
        promoted: Whether the challenger was put into service.
        verdict: The sentence.
    """

    champion: str
    challenger: str
    metric: str
    rows: int
    about: str
    scores: dict[str, tuple[float, float]]
    gain: Interval
    needed: float
    better: bool
    promoted: bool
    verdict: str


def retrain(
    project: Project,
    settings: Settings,
    *,
    data: Path | None = None,
    warm: bool = False,
    promote: bool = False,
    say: Callable[[str], None] = print,
) -> Comparison:
    """Train a challenger and compare it with the champion on the newest rows of valid.

    Args:
        project: The project.
        settings: Its settings; `[monitor] better` says by how much a challenger has to be ahead.
        data: A file of new labelled rows, kept in data/original and added to the source.
        warm: Go on from the champion rather than from nothing.
        promote: Put the challenger into service if it is better.
        say: What tells of each step.

    Raises:
        UserError: If there is no champion, no new row, or the champion cannot go on.
        GateError: If the challenger does not beat the baseline; the champion stays.
    """
    champion = load_champion(project)
    if warm:
        _require_warm(champion)
    known = _known_rows(project, champion)
    if data is not None:
        settings = _with_file(project, settings, data, say)
    manifest = _bring_in(project, settings, champion, data, say)
    warm_start = None
    if warm:
        settings, warm_start = _warm_start(project, settings, champion, known)
    say(f"train        {train(project, settings, warm_start=warm_start).facts['summary']}")
    postprocess(project, settings)
    challenger = load_bundle(project, str(require(project, "postprocess").run_id))
    if challenger.run_id == champion.run_id:
        raise UserError("Training gave the champion again; there is nothing to compare.")
    missed = _judge_alone(project, settings)
    result = _compare(project, settings, champion, challenger, known)
    if missed is not None:
        _write(project, result, manifest)
        raise missed
    if promote and result.better:
        _require_still(project, champion)
        put_into_service(project, challenger.run_id)
        result = _with_verdict(result, promoted=True)
    _write(project, result, manifest)
    return result


def comparison_table(result: Comparison) -> Table:
    """Return champion and challenger side by side, for the terminal."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    table = Table(title=f"{result.rows:,} rows: {result.about}", box=SIMPLE_HEAD)
    table.add_column("metric")
    for heading in (f"champion {result.champion}", f"challenger {result.challenger}", "gain"):
        table.add_column(heading, justify="right")
    for name, (old, new) in result.scores.items():
        chosen = name == result.metric
        gain = new - old if find_metric(name).greater_is_better else old - new
        shown = f"{gain:+.4f}"
        if chosen:
            shown += f" ({in_words(result.gain.low, result.gain.high)})"
        style = "bold" if chosen else None
        table.add_row(find_metric(name).title, show(old), show(new), shown, style=style)
    return table


def paired_gain(
    challenger: PredictionsWithTruth,
    champion: PredictionsWithTruth,
    metric: str,
    *,
    resamples: int,
    seed: int,
    rows: int,
) -> Interval:
    """Return by how much the challenger is better on the same rows, with its bootstrap interval.

    Both are scored on the same resamples of the rows (paired bootstrap; Efron and Tibshirani,
    1993), so that what makes a row hard for both does not blur the difference.

    Args:
        challenger: Truth and the challenger's predictions.
        champion: The same truth and the champion's.
        metric: Its name; the gain is above 0 where the challenger is better.
        resamples: How many are drawn.
        seed: Of the draws.
        rows: Above so many, a seeded draw of them is resampled; see `bootstrap`.
    """
    new, old = (replace(each, metrics=(metric,)) for each in (challenger, champion))
    _, found = bootstrap(new, old, metric, resamples=resamples, seed=seed, rows=rows)
    if find_metric(metric).greater_is_better:
        return found
    return Interval(-found.value, -found.high, -found.low)


# ------------------------------------------------------------------------------------ the new rows


def _with_file(
    project: Project, settings: Settings, path: Path, say: Callable[[str], None]
) -> Settings:
    """Keep a file of new rows beside the original, and return settings that append it."""
    if not path.is_file():
        raise UserError(f"{path} does not exist; name a file of new labelled rows.")
    kept = path.resolve()
    if kept.parent != project.original.resolve():
        kept = project.original / f"{path.stem}-{file_sha256(path)[:8]}{path.suffix}"
        if not kept.exists():
            with write_atomic(kept) as temporary:
                shutil.copyfile(path, temporary)
    place = f"data/original/{kept.name}"
    already = [Path(each).name for each in settings.data.append]
    append = settings.data.append if kept.name in already else (*settings.data.append, place)
    if kept.name not in already:
        say(f"append       {place}; to keep its rows: [data] append = {', '.join(append)}")
    data = settings.data.model_copy(update={"append": append})
    return settings.model_copy(update={"data": data})


def _bring_in(
    project: Project,
    settings: Settings,
    champion: Bundle,
    data: Path | None,
    say: Callable[[str], None],
) -> dict[str, Any]:
    """Ingest and split the source as it is now, and return the manifest.

    Raises:
        UserError: If it holds what the champion was made from, and nothing else.
    """
    if settings.data.target != champion.document["target"]:
        raise UserError(
            f"[data] target is {settings.data.target}, but the champion predicts "
            f"{champion.document['target']}; run `run` for another target."
        )
    try:
        say(f"ingest       {ingest(project, settings).facts['summary']}")
    except UserError:
        if data is not None and project.schema_file.exists():  # its rows stand below the source's
            schema = upgraded(load_schema(project), [data], settings.data, INFER_AGAIN)
            rows = read_table(data, settings.data, schema)
            conform(rows, schema, where=data.name, values=True, advice=INFER_AGAIN)
        raise
    # Under the time rule, thresholds that are kept would make all new rows test.
    refit = choose_rule(load_schema(project), settings).name == "time"
    facts = preprocess(project, settings, refit=refit).facts
    say(f"preprocess   {facts['summary']}")
    for note in facts["aloud"]:
        say(f"{'':<12} - {note}")
    manifest = load_manifest(project)
    if manifest["fingerprint"] == champion.document["data"]:
        raise UserError(
            f"There is no new row: the source holds what the champion {champion.run_id} was made "
            "from; let it grow, or name new rows with --data."
        )
    return manifest


def _known_rows(project: Project, champion: Bundle) -> KnownRows | None:
    """Return the keys of the rows that the champion was made from; None if they are not here.

    They are kept beside the split, which a retraining replaces whether or not the champion stays:
    the next one has to tell old rows from new ones as well.
    """
    folder = project.manifest_file.parent
    earlier = folder / f"{KNOWN}{champion.document['data']}.npy"
    kept = earlier.with_stem(f"{earlier.stem}-keys{NEWEST}")
    for path, version in ((kept, NEWEST), (earlier, BY_COLUMN)):
        if path.exists():
            held = np.atleast_2d(np.load(path))  # earlier versions did not note the splits
            return KnownRows(held[0], held[1] if len(held) > 1 else None, version)
    if not project.manifest_file.exists():
        return None
    if load_manifest(project)["fingerprint"] != champion.document["data"]:
        return None
    keys, splits = _present_keys(project, champion, NEWEST)
    with write_atomic(kept) as temporary:
        np.save(temporary, np.stack([keys, splits]))
    for path in folder.glob(f"{KNOWN}*.npy"):
        if path != kept:
            path.unlink()
    return KnownRows(keys, splits)


def _present_keys(
    project: Project, champion: Bundle, version: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the key of each row as it is split now, and the number of its split."""
    frames = (load_split(project, name) for name in SPLITS)
    keys = [row_keys(frame, champion.schema, version) for frame in frames]
    return np.concatenate(keys), np.repeat(np.arange(len(keys)), [len(each) for each in keys])


def _is_new(
    project: Project, name: str, champion: Bundle, known: KnownRows | None
) -> NDArray[np.bool_]:
    """Tell which rows of a split the champion was not made from; all where that is not known.

    Of equal rows without an id, as many are known as were there: none of them moves to another
    split, unless all do.
    """
    present, splits = _present_keys(project, champion, known.version if known else NEWEST)
    keys = present[splits == SPLITS.index(name)]
    if known is None:
        return np.ones(len(keys), dtype=bool)
    held = _count(keys, known.keys)
    if champion.schema.ids or not pd.Series(present).duplicated().any():
        return ~held.astype(bool)
    here = known.keys if known.splits is None else known.keys[known.splits == SPLITS.index(name)]
    added = np.maximum(_count(keys, present) - held, 0)
    known_here = np.maximum(_count(keys, here), _count(keys, keys) - added)
    new: NDArray[np.bool_] = pd.Series(keys).groupby(keys).cumcount().to_numpy() >= known_here
    return new


def _count(keys: NDArray[np.int64], among: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return how often each key is among others; shape (keys,)."""
    values, counts = np.unique(among, return_counts=True)
    if not len(values):
        return np.zeros(len(keys), dtype=np.int64)
    at = np.minimum(np.searchsorted(values, keys), len(values) - 1)
    return np.where(values[at] == keys, counts[at], 0)


def _require_still(project: Project, champion: Bundle) -> None:
    """Refuse to replace another model than the one that the challenger was compared with.

    Raises:
        UserError: If it is not in service any more.
    """
    current = (read_champion(project) or {}).get("run_id")
    if current != champion.run_id:
        raise UserError(
            f"{champion.run_id} was replaced by {current} while the challenger was trained; run "
            "`retrain` again to compare with that one."
        )


# --------------------------------------------------------------------------------------- going on


def _require_warm(champion: Bundle) -> None:
    """Refuse to go on from a model that can only start from nothing.

    Raises:
        UserError: With what to do instead.
    """
    estimator = champion.model[-1]
    can = hasattr(estimator, "partial_fit") or "warm_start" in estimator.get_params(deep=False)
    if not can:
        label = champion.document["estimator"]["label"]
        raise UserError(
            f"{label} cannot go on from where it is: it has neither partial_fit nor warm_start; "
            "run `retrain` without --warm."
        )
    if not is_of_today(champion.document):
        raise UserError(
            f"{champion.run_id} was trained with other code than custom holds now; run `retrain` "
            "without --warm."
        )


def _warm_start(
    project: Project, settings: Settings, champion: Bundle, known: KnownRows | None
) -> tuple[Settings, WarmStart]:
    """Return settings with the champion's kind as the only candidate, and how it goes on."""
    name = champion.document["estimator"]["name"]
    fitted = load_model(champion.folder) if carries_code(champion.document) else champion.model
    model = settings.model.model_copy(update={"candidates": (name,), "folds": 0})

    def fit(data: TrainingData, rows: Rows | None) -> Pipeline:
        new = _is_new(project, "train", champion, known)
        if rows is None:
            return go_on(fitted, data, new)
        return go_on(fitted, data.take(rows), new[rows])

    return settings.model_copy(update={"model": model}), WarmStart(champion.run_id, fit)


def go_on(pipeline: Pipeline, data: TrainingData, new: NDArray[np.bool_]) -> Pipeline:
    """Return a copy of a fitted pipeline, fitted further; its features stay as they were fitted.

    An estimator with `partial_fit` sees the new rows only. One with `warm_start` starts from what
    it is and sees all of train; an ensemble grows by a quarter.

    Args:
        pipeline: The champion's.
        data: Train as it is now.
        new: Which rows of train the champion has not seen.

    Raises:
        UserError: If the new data has other inputs or classes.
    """
    went_on = copy.deepcopy(pipeline)
    features, estimator = went_on[:-1], went_on[-1]
    names = [str(name) for name in features[0].feature_names_in_]
    if names != [str(name) for name in data.inputs.columns]:
        raise UserError("The inputs changed since the champion; run `retrain` without --warm.")
    classes = getattr(estimator, "classes_", None)
    if classes is not None and set(data.classes) - set(np.asarray(classes).tolist()):
        raise UserError("There is a class that the champion lacks; run `retrain` without --warm.")
    inputs = features.transform(data.inputs)
    if hasattr(estimator, "partial_fit"):
        if not new.any():
            raise UserError("Train has no new row to go on with; run `retrain` without --warm.")
        weighing = weights_for(estimator.partial_fit, data.weights_of(np.flatnonzero(new)))
        estimator.partial_fit(inputs[new], data.target[new], **weighing)
        return went_on
    given = estimator.get_params(deep=False)
    # Of a linear model max_iter is a limit, not a size.
    size = next((name for name in SIZES if name in given and not hasattr(estimator, "coef_")), None)
    if size is not None:
        estimator.set_params(**{size: given[size] + max(1, int(given[size] * GROWTH))})
    estimator.set_params(warm_start=True)
    estimator.fit(inputs, data.target, **weights_for(estimator.fit, data.weights))
    return went_on


# ------------------------------------------------------------------------------------- comparing


def _judge_alone(project: Project, settings: Settings) -> GateError | None:
    """Measure the challenger as every model is, on valid; return the bar that it misses."""
    try:
        evaluate(project, settings)
    except GateError as error:
        return error
    return None


def _rows_to_judge(
    project: Project, champion: Bundle, known: KnownRows | None
) -> tuple[NDArray[np.bool_], str]:
    """Return which rows of valid champion and challenger are judged on, and say which they are."""
    new = _is_new(project, "valid", champion, known)
    if known is None:
        return new, "all of valid"
    if new.sum() >= LEAST_NEW:
        return new, "the rows of valid that are new since the champion"
    return np.ones_like(new), f"all of valid, since only {int(new.sum())} of its rows are new"


def _compare(
    project: Project,
    settings: Settings,
    champion: Bundle,
    challenger: Bundle,
    known: KnownRows | None,
) -> Comparison:
    """Judge both on the rows of valid that the champion was not made from."""
    judged, about = _rows_to_judge(project, champion, known)
    frame = load_split(project, "valid")[judged]
    metric = choose_metric(challenger.task, settings.model.metric)
    # By the weights of today, which the champion may not have had.
    weights = row_weights(frame, challenger.schema)
    old, fresh = (
        bundle.evaluate_for(frame, challenger.document["positive"]).weighted(weights)
        for bundle in (champion, challenger)
    )
    options = settings.evaluate
    gain = paired_gain(
        fresh,
        old,
        metric,
        resamples=options.bootstrap,
        seed=settings.split.seed,
        rows=options.rows,
    )
    truth = frame[challenger.document["target"]].to_numpy()
    floor = baseline_of_split(project, challenger.document, "valid", truth, fresh, judged)
    reach = abs(find_metric(metric).perfect - score(floor)[metric])
    needed = monitor_settings(settings).better * reach
    before, after = score(old), score(fresh)
    result = Comparison(
        champion=champion.run_id,
        challenger=challenger.run_id,
        metric=metric,
        rows=len(frame),
        about=about,
        scores={name: (before[name], after[name]) for name in after if name in before},
        gain=gain,
        needed=needed,
        better=bool(gain.low > needed),
        promoted=False,
        verdict="",
    )
    return _with_verdict(result, promoted=False)


def _with_verdict(result: Comparison, *, promoted: bool) -> Comparison:
    """Return the result with its verdict."""
    title, spread = find_metric(result.metric).title, in_words(result.gain.low, result.gain.high)
    gain = f"by {show(result.gain.value)} {title} ({spread})"
    bar = f"for sure by {show(result.needed)} or more" if result.needed else "for sure"
    if promoted:
        verdict = f"{result.challenger} is in service: better {gain}."
    elif result.better:
        choice = f"`champion promote {result.challenger}` puts it into service"
        verdict = f"{result.challenger} is better {gain}; {choice}."
    else:
        verdict = f"{result.champion} stays: {result.challenger} is not better {bar}, {gain}."
    return Comparison(**{**vars(result), "promoted": promoted, "verdict": verdict})


def _write(project: Project, result: Comparison, manifest: dict[str, Any]) -> None:
    """Write `reports/retrain.json`."""
    report = Report("retrain", result.challenger, manifest["fingerprint"], facts=asdict(result))
    document = {"version": REPORT_VERSION, **vars(report)}
    write_json(project.report_file("retrain"), document)
