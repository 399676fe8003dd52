"""conf.cfg as typed, validated settings; every default stands here.

A setting comes from, in rising order of precedence: the default below, the rules by which
data/manifest.json says the rows were split so far, `conf.cfg`, and the command line's
`--set section.key=value`. A value `env:NAME` stands for an environment variable and is read
where it is used, so that no secret is ever part of the settings.
"""

import configparser
import json
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    field_validator,
    model_validator,
)

from . import registry
from .errors import UserError
from .files import read_json
from .project import Project


def _split_list(value: Any) -> Any:
    """Turn `a, b` into a tuple; names with a comma in them go in a JSON list."""
    if not isinstance(value, str):
        return value
    if value.startswith("["):
        return tuple(json.loads(value))
    return tuple(part.strip() for part in value.split(",") if part.strip())


Names = Annotated[tuple[str, ...], BeforeValidator(_split_list)]
Share = Annotated[float, Field(gt=0, lt=1)]


class Section(BaseModel):
    """A section of conf.cfg: unknown keys are refused, empty values mean the default."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class DataSettings(Section):
    """Where the data comes from, and what its columns mean."""

    source: str = Field(
        default="sample", description="file, URL, SQL database, sklearn:NAME, example or sample"
    )
    query: str | None = Field(default=None, description="the SQL query, for a database")
    append: Names = Field(
        default=(), description="files of further rows, such as those labelled since"
    )
    target: str | None = Field(default=None, description="the column to predict")
    id: Names = Field(default=(), description="columns that identify a row; never a feature")
    time: str | None = Field(default=None, description="the column that orders the rows in time")
    group: str | None = Field(default=None, description="rows of one group stay in one split")
    sensitive: Names = Field(default=(), description="columns to judge fairness by")
    weight: str | None = Field(
        default=None, description="how much each row counts, from 0 on; never a feature"
    )
    ignore: Names = Field(default=(), description="columns to leave out")
    original: Literal["copy", "reference"] = Field(
        default="copy", description="copy the source's file, or only refer to one too large to copy"
    )
    duplicates: Literal["keep", "drop", "together"] = Field(
        default="keep",
        description="rows equal in every column: keep all, drop all but one, or keep them together "
        "in one split",
    )
    target_missing: Literal["auto", "drop", "refuse"] = Field(
        default="auto",
        description="rows without a target: drop them, or refuse the table; auto drops up to half",
    )
    keep: Names = Field(
        default=(), description="columns to learn from that would be left out as names of the rows"
    )
    missing: Names = Field(default=(), description="further spellings of a missing value")
    text: Names = Field(
        default=(), description="columns to take as text, though they look like numbers or dates"
    )
    months: Names = Field(
        default=(),
        description="names of the twelve months, for dates in a language that is not built in",
    )
    encoding: str = Field(default="utf-8", description="of CSV, TSV and JSON lines")
    delimiter: str = Field(
        default="auto",
        description="of CSV: a character, tab or spaces; auto looks at the first lines",
    )
    header_row: int | None = Field(
        default=None, ge=1, description="of CSV: the line of the column names; auto if not set"
    )
    sheet: str | None = Field(default=None, description="of an Excel file; default: the first")

    @model_validator(mode="after")
    def _months_of_a_year(self) -> "DataSettings":
        if len(self.months) not in (0, 12):
            raise ValueError(f"months has {len(self.months)} names, but has to have 12")
        return self


class SplitSettings(Section):
    """How the rows are divided into train, valid and test."""

    rule: Literal["auto", "random", "stratified", "group", "time"] = Field(
        default="auto",
        description="auto: time if [data] time, group if [data] group, else stratified",
    )
    train: Share = Field(default=0.7, description="share of the rows")
    valid: Share = Field(default=0.15, description="share of the rows")
    test: Share = Field(default=0.15, description="share of the rows")
    seed: int = Field(default=42, ge=0, le=2**31 - 2, description="of every random choice")

    @model_validator(mode="after")
    def _shares_add_up(self) -> "SplitSettings":
        total = self.train + self.valid + self.test
        if abs(total - 1) > 1e-6:
            raise ValueError(f"train + valid + test is {total:g}, but has to be 1")
        return self


class FeatureSettings(Section):
    """How columns become the model's inputs."""

    max_categories: int = Field(
        default=30, ge=2, le=1000, description="above: a high-cardinality column"
    )
    text_words: int | None = Field(
        default=None,
        ge=1,
        le=100_000,
        description="words kept of a free-text column; default: 300 for trees, 5,000 for a linear "
        "model, and as many pairs of words from 3,000 rows on",
    )
    time: bool = Field(
        default=True, description="give the model month, weekday and hour of [data] time"
    )


class ModelSettings(Section):
    """Which models are compared, and by what."""

    task: str = Field(default="classification", description="classes or numbers")
    candidates: Names = Field(
        default=("linear", "forest", "hgb"), description="from simple to complex"
    )
    metric: str = Field(default="auto", description="auto: roc_auc for classes, rmse for numbers")
    tolerance: float = Field(
        default=0.01,
        ge=0,
        lt=1,
        description="choose the simplest model within this distance of the best skill",
    )
    folds: int = Field(
        default=5, ge=0, le=50, description="of the cross-validation on train; 0 skips it"
    )

    @field_validator("task")
    @classmethod
    def _task_exists(cls, task: str) -> str:
        registry.extend_by_modules()
        if task not in registry.TASKS:
            raise ValueError(f"has to be one of {', '.join(sorted(registry.TASKS))}")
        return task

    @model_validator(mode="after")
    def _folds_divide(self) -> "ModelSettings":
        if self.folds == 1:
            raise ValueError("folds is 1, but a cross-validation needs 2 or more (0 skips it)")
        if not self.candidates:
            raise ValueError("candidates is empty, but has to name at least one model")
        return self


class EvaluateSettings(Section):
    """What a model has to reach."""

    margin: float = Field(
        default=0.05,
        ge=0,
        lt=1,
        description="skill over the baseline: 0 is its equal, 1 is perfect",
    )
    human_score: float | None = Field(
        default=None, description="a person's score in the same metric"
    )
    bootstrap: int = Field(
        default=1000, ge=10, le=100_000, description="resamples behind an interval"
    )
    rows: int = Field(default=20_000, ge=100, description="at most, to resample for intervals")


class DecisionSettings(Section):
    """What a wrong decision costs; sets the threshold of a binary classifier."""

    cost_fp: float = Field(default=1.0, gt=0, description="cost of a false alarm")
    cost_fn: float = Field(default=1.0, gt=0, description="cost of a miss")
    positive: str | None = Field(
        default=None,
        description="the positive class of two, which is to be found; default: the rarer",
    )


class StoreSettings(Section):
    """Where released models lie for other machines."""

    store: str | None = Field(
        default=None,
        description="a folder, s3://BUCKET/FOLDER or gs://BUCKET/FOLDER, for `champion push` and "
        "`champion pull`",
    )


class PredictSettings(Section):
    """How batches are scored."""

    strict: bool = Field(
        default=True, description="refuse columns and categories that training never saw"
    )
    violations: Literal["refuse", "mark", "count"] | None = Field(
        default=None,
        description="what to do with rows beyond the schema's bounds, categories or nullable: "
        "refuse, mark or count them; default: count, but refuse categories if strict",
    )
    chunk_rows: int = Field(default=50_000, ge=1, description="rows in memory at a time")


def _candidate_parameters(values: Any) -> Any:
    """Turn `forest.n_estimators = 500` into {"forest": {"n_estimators": 500}}."""
    if not isinstance(values, dict):
        return values
    nested: dict[str, dict[str, Any]] = {}
    for key, value in values.items():
        if isinstance(value, dict):
            nested[key] = value
            continue
        candidate, dot, parameter = key.partition(".")
        if not (candidate and dot and parameter):
            raise ValueError(f"'{key}' has to be candidate.parameter, such as forest.max_depth")
        nested.setdefault(candidate, {})[parameter] = _literal(value)
    return nested


def _literal(text: str) -> Any:
    """Read a number, true, false, null or a list as JSON does; anything else is text."""
    try:
        return json.loads(text)
    except ValueError:
        return text


Parameters = Annotated[dict[str, dict[str, Any]], BeforeValidator(_candidate_parameters)]


class Settings(BaseModel):
    """All settings of a project, one attribute per section of conf.cfg."""

    model_config = ConfigDict(extra="allow", frozen=True)

    data: DataSettings = DataSettings()
    split: SplitSettings = SplitSettings()
    features: FeatureSettings = FeatureSettings()
    model: ModelSettings = ModelSettings()
    params: Parameters = Field(
        default={}, description="of an estimator, such as forest.n_estimators = 500"
    )
    evaluate: EvaluateSettings = EvaluateSettings()
    decision: DecisionSettings = DecisionSettings()
    predict: PredictSettings = PredictSettings()
    models: StoreSettings = StoreSettings()

    def section(self, name: str) -> dict[str, Any]:
        """Return one section as plain values, with credentials blotted out."""
        value = getattr(self, name)
        plain = value.model_dump(mode="json") if isinstance(value, BaseModel) else value
        return {key: redact(item) if isinstance(item, str) else item for key, item in plain.items()}


# Settings by which the rows of a project go on being treated until `ingest --infer`, whatever the
# default becomes; with what held before a manifest named them.
RULES = {"duplicates": "drop"}


def kept_rules(project: Project) -> dict[str, str]:
    """Return the keys of [data] that hold where conf.cfg is silent, since rows were split by them.

    Empty where nothing was split yet.
    """
    if not project.manifest_file.exists():
        return {}
    try:
        manifest = read_json(project.manifest_file)
    except UserError:  # the stage that needs it says so
        return {}
    recorded = manifest.get("rules") if isinstance(manifest, dict) else None
    return RULES | (recorded if isinstance(recorded, dict) else {})


def newest_rules() -> dict[str, str]:
    """Return the rules of a project whose rows were never split: the defaults."""
    return {key: DataSettings.model_fields[key].default for key in RULES}


def load_settings(project: Project, overrides: Sequence[str] = ()) -> Settings:
    """Return the validated settings of a project.

    Raises:
        UserError: With section, key, value and what is allowed, for the first wrong one.
    """
    values = _read_file(project)
    values["data"] = kept_rules(project) | values.get("data", {})
    for section, key, value in map(_parse_override, overrides):
        values.setdefault(section, {})[key] = value
    models = _section_models()
    unknown = [name for name in values if name != "params" and name not in models]
    if unknown:
        raise UserError(
            f"conf.cfg has an unknown section [{unknown[0]}]; the sections are: "
            f"{', '.join([*models, 'params'])}."
        )
    try:
        parameters = Settings.model_validate({"params": values.pop("params", {})}).params
    except ValidationError as error:
        raise UserError(f"conf.cfg, [params]: {_reason(error.errors()[0])}.") from None
    sections = {name: _section(name, model, values) for name, model in models.items()}
    return Settings.model_validate({**sections, "params": parameters})


@dataclass(frozen=True)
class Explained:
    """One setting as `config show` prints it; the values are written as conf.cfg takes them."""

    section: str
    key: str
    value: str
    default: str
    origin: str
    about: str


def explain_settings(project: Project, overrides: Sequence[str] = ()) -> list[Explained]:
    """Return every setting with its value, default, origin and description."""
    settings = load_settings(project, overrides)
    written = {(name, key) for name, values in _read_file(project).items() for key in values}
    commanded = {(section, key) for section, key, _ in map(_parse_override, overrides)}
    kept = {("data", key): value for key, value in kept_rules(project).items()}

    def origin(name: str, key: str) -> str:
        if (name, key) in commanded:
            return "--set"
        if (name, key) in written:
            return "conf.cfg"
        default = models[name].model_fields[key].default
        return "data/manifest.json" if kept.get((name, key), default) != default else "default"

    rows, models = [], _section_models()
    for name, model in models.items():
        defaults = model().model_dump()
        for key, value in settings.section(name).items():
            about = model.model_fields[key].description or ""
            row = (name, key, _show(value), _show(defaults[key]), origin(name, key), about)
            rows.append(Explained(*row))
    for candidate, parameters in settings.params.items():
        for parameter, value in parameters.items():
            key = f"{candidate}.{parameter}"
            about, default = f"of {candidate}", "the candidate's own"
            rows.append(
                Explained("params", key, _show(value), default, origin("params", key), about)
            )
    return rows


def resolve_secret(value: str) -> str:
    """Return the value, or what the environment variable holds where it is `env:NAME`.

    Raises:
        UserError: If that variable is not set.
    """
    prefix, _, name = value.partition(":")
    if prefix != "env":
        return value
    if name not in os.environ:
        raise UserError(f"conf.cfg asks for the environment variable {name}, which is not set.")
    return os.environ[name]


def redact(text: str) -> str:
    """Blot out the credentials of a URL: `postgresql://me:secret@host` loses `me:secret`."""
    text = re.sub(r"(?<=://)[^/@\s]+@", "***@", text)
    credential = r"(?i)([?&][^=&\s]*(?:token|key|secret|sig|password|credential)[^=&\s]*=)[^&#\s]+"
    return re.sub(credential, r"\1***", text)


@contextmanager
def bucket_errors(location: str, done: str) -> Iterator[None]:
    """Turn errors of fsspec and the clouds into one sentence without credentials.

    Args:
        location: The URL.
        done: What was to be done: "read", "written to".
    """
    scheme, shown = location.partition("://")[0], redact(location)
    try:
        yield
    except UserError:
        raise
    except ImportError:
        package = {"s3": "s3fs", "gs": "gcsfs"}.get(scheme, scheme)
        raise UserError(f"{scheme}:// needs the package {package}; install it.") from None
    except FileNotFoundError:
        raise UserError(f"{shown} does not exist.") from None
    except PermissionError:
        raise UserError(f"{shown} may not be {done} with the credentials at hand.") from None
    except Exception as error:  # each cloud raises its own kinds
        if isinstance(error, OSError) and error.errno is not None:
            raise
        reason = redact(" ".join(str(error).split())).rstrip(".")
        raise UserError(f"{shown} cannot be {done}: {reason}.") from None


def _section_models() -> dict[str, type[Section]]:
    """Return the pydantic model of each section, those of the modules among them."""
    registry.extend_by_modules()
    own = {
        name: field.annotation
        for name, field in Settings.model_fields.items()
        if isinstance(field.annotation, type) and issubclass(field.annotation, Section)
    }
    taken = next((name for name in registry.SETTINGS if name in own), None)
    if taken is not None:
        raise UserError(
            f"The section [{taken}] of conf.cfg is the pipeline's own, and a module adds it too: "
            f"{registry.SETTINGS[taken]}; rename that one."
        )
    return own | {name: registry.load(entry) for name, entry in registry.SETTINGS.items()}


def _read_file(project: Project) -> dict[str, dict[str, str]]:
    """Read conf.cfg; keys without a value fall back to their default."""
    parser = configparser.ConfigParser(
        interpolation=None, inline_comment_prefixes=("#",), strict=True
    )
    parser.optionxform = str  # type: ignore[assignment, method-assign]  # keys keep their case
    try:
        parser.read_string(project.conf.read_text(encoding="utf-8-sig"), source="conf.cfg")
    except configparser.Error as error:
        raise UserError(f"conf.cfg cannot be read: {' '.join(str(error).split())}.") from None
    except UnicodeDecodeError as error:
        raise UserError(f"conf.cfg is not UTF-8 (byte {error.start}); save it as UTF-8.") from None
    return {
        name: {key: value for key, value in parser.items(name) if value}
        for name in parser.sections()
    }


def _parse_override(text: str) -> tuple[str, str, str]:
    """Split `section.key=value`."""
    path, equals, value = text.partition("=")
    section, dot, key = path.strip().partition(".")
    if not (section and dot and key and equals):
        raise UserError(f"--set {text}: has to be section.key=value, such as split.seed=7.")
    return section, key, value.strip()


def _section(name: str, model: type[Section], values: dict[str, dict[str, str]]) -> Section:
    """Validate one section; an empty override means the default."""
    given = {key: value for key, value in values.get(name, {}).items() if value != ""}
    try:
        return model.model_validate(given)
    except ValidationError as error:
        raise UserError(_sentence(name, model, error)) from None


def _sentence(name: str, model: type[Section], error: ValidationError) -> str:
    """Say in one sentence which setting is wrong, and what is allowed."""
    first = error.errors()[0]
    if not first["loc"]:
        return f"conf.cfg, [{name}]: {_reason(first)}."
    key = str(first["loc"][0])
    if first["type"] == "extra_forbidden":
        known = ", ".join(model.model_fields)
        return f"conf.cfg, [{name}] has no setting '{key}'; it has: {known}."
    return f"conf.cfg, [{name}] {key} = {redact(str(first['input']))}: {_reason(first)}."


def _reason(error: Any) -> str:
    """Return pydantic's message as the middle of a sentence."""
    message = str(error["msg"]).removeprefix("Value error, ").rstrip(".")
    return message[0].lower() + message[1:]


def _show(value: Any) -> str:
    """Write a value the way conf.cfg takes it."""
    if value is None or value == ():
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Iterable) and not isinstance(value, str):
        return ", ".join(map(str, value))
    return str(value)
