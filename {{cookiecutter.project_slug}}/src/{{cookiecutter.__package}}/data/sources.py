"""Where data comes from, and the original: kept untouched under data/original, verified later.

There is one function per scheme, found in the registry `SOURCES`.

A source is `fetch(location, folder, data) -> Path`: it puts the original into `folder` and returns
the file. Adding one is a function and an entry (custom.py shows how).
"""

from __future__ import annotations

import base64
import re
import shutil
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from http.client import HTTPException
from pathlib import Path, PurePosixPath
from typing import IO, TYPE_CHECKING, Any
from urllib.error import HTTPError, URLError

from ..core import registry
from ..core.config import DataSettings, bucket_errors, redact, resolve_secret
from ..core.errors import UserError
from ..core.files import file_sha256, write_atomic, write_text
from .readers import SUFFIXES
from .schema import close_names, refuse_names, with_columns
from .writers import write_parquet

if TYPE_CHECKING:
    import pandas as pd

    from ..core.config import Settings
    from ..core.project import Project, Report

Fetch = Callable[[str, Path, DataSettings], Path]

FETCHED = ".fetched"
TIMEOUT_SECONDS = 60
BLOCK = 1 << 20
MEDIA_TYPES = {
    "text/csv": ".csv",
    "text/tab-separated-values": ".tsv",
    "application/x-ndjson": ".jsonl",
    "application/jsonl": ".jsonl",
    "application/vnd.apache.parquet": ".parquet",
    "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet": ".xlsx",
}
# Name -> the column to predict. All ship inside scikit-learn, so that they need no network.
SKLEARN = {
    "breast_cancer": "diagnosis",
    "diabetes": "progression",
    "digits": "target",
    "iris": "target",
    "wine": "target",
}
# The last column of the example.
EXAMPLE_TARGET = "died"


def parse_source(source: str) -> tuple[str, str]:
    r"""Split a source into its scheme and its location.

    `sales.csv` and `C:\sales.csv` are ("file", path), `sklearn:iris` is ("sklearn", "iris"), and
    a URL stays whole: ("https", "https://...").
    """
    url = re.match(r"([A-Za-z][A-Za-z0-9]*)(\+[A-Za-z0-9_]+)?://", source)
    if url and url[1].lower() == "file":
        return "file", urllib.request.url2pathname(urllib.parse.urlsplit(source).path)
    if url:
        return url[1].lower(), source
    scheme, colon, rest = source.partition(":")
    # A single letter is a drive of Windows.
    if colon and len(scheme) > 1 and re.fullmatch(r"[A-Za-z][A-Za-z0-9_]*", scheme):
        return scheme.lower(), rest
    return (source, "") if source in ("example", "sample") else ("file", source)


def locate(source: str, root: Path) -> tuple[str, str]:
    """Return scheme and location of a source, its secrets filled in and paths made absolute.

    Raises:
        UserError: If a secret is not set.
    """
    scheme, location = parse_source(resolve_secret(source))
    if scheme == "file":
        location = str(root / Path(location).expanduser())
    elif scheme == "sqlite":
        prefix, _, path = location.partition(":///")
        if path and not path.startswith(("/", ":memory:")) and Path(path).drive == "":
            location = f"{prefix}:///{(root / path).as_posix()}"
    return scheme, location


def fetch(source: str, root: Path, folder: Path, data: DataSettings) -> Path:
    """Bring a source's original into `folder` and return the file.

    Raises:
        UserError: If the scheme is unknown or the source cannot be read.
    """
    scheme, location = locate(source, root)
    if scheme not in registry.SOURCES and (root / source).exists():
        scheme, location = "file", str(root / source)
    function: Fetch = registry.lookup(registry.SOURCES, scheme, "The scheme of [data] source")
    folder.mkdir(parents=True, exist_ok=True)
    return function(location, folder, data)


def save_table(frame: pd.DataFrame, folder: Path, name: str) -> Path:
    """Write a source's table to `folder` as Parquet and return the file."""
    stem = re.sub(r"[^A-Za-z0-9._-]+", "-", name).strip("-.") or "table"
    path = folder / f"{stem}.parquet"
    write_parquet(frame, path)
    return path


def fetch_file(location: str, folder: Path, data: DataSettings) -> Path:
    """Copy a local file."""
    path = local_file(location)
    return Path(shutil.copyfile(path, folder / path.name))


def local_file(location: str) -> Path:
    """Return a local file that is there.

    Raises:
        UserError: If it is not; names the files close to it.
    """
    path = Path(location)
    if path.is_dir():
        raise UserError(f"[data] source = {path} is a folder; name the file with the table in it.")
    if not path.exists():
        near = [other.name for other in path.parent.iterdir()] if path.parent.is_dir() else []
        tables = [name for name in near if Path(name).suffix.lower() in SUFFIXES]
        hint = f"; {close_names(path.name, tables)}" if tables else ""
        hint = hint.replace("its columns are", "its folder holds")
        raise UserError(f"[data] source = {path} does not exist{hint}.")
    return path


def fetch_http(location: str, folder: Path, data: DataSettings) -> Path:
    """Download `http://` and `https://`; a name and password in the URL go as basic auth."""
    parts = urllib.parse.urlsplit(location)
    host = parts.netloc.rpartition("@")[2]
    request = urllib.request.Request(  # noqa: S310  # the registry calls this for http alone
        urllib.parse.urlunsplit(parts._replace(netloc=host, fragment="")),
        headers={"User-Agent": "ml-preflight"},
    )
    if parts.username:
        pair = [urllib.parse.unquote(part or "") for part in (parts.username, parts.password)]
        token = base64.b64encode(":".join(pair).encode()).decode()
        # Not to be sent on to where a redirect leads.
        request.add_unredirected_header("Authorization", f"Basic {token}")
    shown = redact(location)
    try:
        with urllib.request.urlopen(request, timeout=TIMEOUT_SECONDS) as answer:  # noqa: S310
            kind = answer.headers.get_content_type()
            path = folder / _remote_name(parts.path, MEDIA_TYPES.get(kind, ""))
            expected = int(answer.headers.get("Content-Length") or 0)
            with path.open("wb") as file:
                _pour(answer, file, expected, shown)
    except HTTPError as error:
        raise UserError(f"{shown} answers {error.code} ({error.reason}).") from None
    except (URLError, HTTPException, TimeoutError, ConnectionError) as error:
        reason = getattr(error, "reason", error)
        raise UserError(f"{shown} cannot be reached: {reason}.") from None
    if expected and path.stat().st_size != expected:
        raise UserError(
            f"{shown} broke off after {path.stat().st_size:,} of {expected:,} bytes; try again."
        )
    return path


def fetch_bucket(location: str, folder: Path, data: DataSettings) -> Path:
    """Download an object of `s3://` or `gs://`, with the credentials of the environment."""
    with bucket_errors(location, "read"):
        import fsspec

        with fsspec.open(location, "rb") as remote:
            path = folder / _remote_name(urllib.parse.urlsplit(location).path, "")
            with path.open("wb") as file:
                _pour(remote, file, int(getattr(remote, "size", 0) or 0), redact(location))
    return path


def _pour(remote: Any, file: IO[bytes], expected: int, shown: str) -> None:
    """Copy a stream to a file, with a progress bar."""
    from rich.console import Console
    from rich.progress import wrap_file

    console = Console(stderr=True)
    with wrap_file(remote, expected, description=shown, console=console, transient=True) as counted:
        shutil.copyfileobj(counted, file, BLOCK)


def _remote_name(path: str, suffix: str) -> str:
    """Return a file name for what a URL gives; `suffix` where the URL has none we know."""
    name = PurePosixPath(urllib.parse.unquote(path)).name
    name = re.sub(r"[^\w.-]+", "-", name).lstrip(".") or "download"
    known = any(part.lower() in SUFFIXES for part in Path(name).suffixes[-2:])
    return name if known else f"{name}{suffix or '.csv'}"


def fetch_sql(location: str, folder: Path, data: DataSettings) -> Path:
    """Run `[data] query` (SQL, or a table's name) on a database and keep what it returns."""
    import pandas as pd

    if not data.query:
        raise UserError("[data] source is a database, so [data] query has to hold SQL or a table.")
    with _sql_errors(location), _connect(location) as connection:
        import sqlalchemy

        if re.search(r"\s", data.query.strip()):
            # A single colon would be taken for a parameter.
            query = re.sub(r"(?<!:):(?!:)", r"\\:", data.query)
            statement: Any = sqlalchemy.text(query)
        else:
            statement = sqlalchemy.select(sqlalchemy.text("*")).select_from(
                sqlalchemy.table(data.query.strip())
            )
        # Read-only where the driver knows the idea; nothing is ever committed.
        result = connection.execution_options(stream_results=True).execute(statement)
        names = list(map(str, result.keys()))
        frame = pd.DataFrame.from_records(result.fetchall(), columns=names, coerce_float=True)
    refuse_names("[data] query", names)
    if frame.empty:
        raise UserError("[data] query returns no row.")
    database = PurePosixPath(urllib.parse.urlsplit(location).path).stem
    return save_table(_one_type_each(frame), folder, database or "query")


@contextmanager
def _connect(location: str) -> Iterator[Any]:
    """Open a connection; an SQLite file that is not there is refused rather than made."""
    import sqlalchemy

    url = sqlalchemy.make_url(location)
    if url.get_backend_name() == "sqlite" and url.database and url.database != ":memory:":
        local_file(url.database)
    engine = sqlalchemy.create_engine(url)
    try:
        with engine.connect() as connection:
            yield connection
    finally:
        engine.dispose()


@contextmanager
def _sql_errors(location: str) -> Iterator[None]:
    """Turn errors of SQLAlchemy and the drivers into one sentence without credentials."""
    try:
        import sqlalchemy.exc
    except ImportError:
        raise UserError("A database as [data] source needs the package sqlalchemy.") from None
    try:
        yield
    except sqlalchemy.exc.NoSuchModuleError:
        scheme = location.partition(":")[0]
        raise UserError(
            f"[data] source: {scheme} is not a database that SQLAlchemy knows here."
        ) from None
    except ModuleNotFoundError as error:
        raise UserError(
            f"[data] source: this database needs the package {error.name}; install it."
        ) from None
    except sqlalchemy.exc.SQLAlchemyError as error:
        cause = getattr(error, "orig", None) or error
        reason = _without_password(" ".join(str(cause).split()).rstrip("."), location)
        raise UserError(f"[data] source, {redact(location)}: {reason}.") from None


def _without_password(text: str, location: str) -> str:
    """Blot out the password, in whatever form a driver repeats it."""
    password = urllib.parse.urlsplit(location).password
    for form in filter(None, (password, urllib.parse.unquote(password or ""))):
        text = text.replace(form, "***")
    return redact(text)


def _one_type_each(frame: pd.DataFrame) -> pd.DataFrame:
    """Make columns that hold several Python types (SQLite allows it) fit for Parquet: as text."""
    import pandas as pd

    def mend(column: pd.Series[Any]) -> pd.Series[Any]:
        kind = pd.api.types.infer_dtype(column, skipna=True)
        if kind == "decimal":
            return column.astype("float64")
        if kind in ("mixed", "mixed-integer"):
            return column.map(str, na_action="ignore")
        return column

    objects = [str(name) for name in frame if frame[name].dtype == object]
    return with_columns(frame, {name: mend(frame[name]) for name in objects})


def fetch_sklearn(location: str, folder: Path, data: DataSettings) -> Path:
    """Take one of the real data sets that ship with scikit-learn."""
    import sklearn.datasets

    if location not in SKLEARN:
        raise UserError(
            f"[data] source = sklearn:{location} is not a data set that ships with "
            f"scikit-learn; use one of {', '.join(SKLEARN)}."
        )
    loaded = getattr(sklearn.datasets, f"load_{location}")(as_frame=True)
    target = loaded.target
    if "target_names" in loaded:
        names = [str(name) for name in loaded.target_names]
        target = target.map(lambda code: names[int(code)])
    frame = loaded.data.assign(**{SKLEARN[location]: target})
    return save_table(frame, folder, location)


def fetch_example(location: str, folder: Path, data: DataSettings) -> Path:
    """Take the real table that lies beside this file; example.md has its source and licence.

    Who had died was seen 20 years after the rest, so that column comes only as the target.
    """
    path = Path(__file__).with_name("example.csv")
    if data.target == EXAMPLE_TARGET:
        return fetch_file(str(path), folder, data)
    lines = path.read_text(encoding="utf-8").splitlines()
    write_text(folder / path.name, "".join(f"{line.rpartition(',')[0]}\n" for line in lines))
    return folder / path.name


def fetch_sample(location: str, folder: Path, data: DataSettings) -> Path:
    """Generate the messy table of `sample[:rows[:seed]]`."""
    from .sample import ROWS, SEED, sample_table

    numbers = location.split(":") if location else []
    if len(numbers) > 2 or not all(re.fullmatch(r"\d{1,9}", number) for number in numbers):
        raise UserError(
            f"[data] source = sample:{location} has to be sample, sample:ROWS or sample:ROWS:SEED."
        )
    rows, seed = (*map(int, numbers), *(ROWS, SEED)[len(numbers) :])
    if rows < 1:
        raise UserError("[data] source: sample needs at least 1 row.")
    return save_table(sample_table(rows, seed), folder, f"sample-{rows}-{seed}")


@dataclass(frozen=True)
class Original:
    """The untouched source.

    Attributes:
        path: The file to read.
        name: What it is called in errors: as people know it.
        sha256: Of its bytes.
        size: In bytes.
        modified: When it was changed last, in nanoseconds.
        keep: Where a copy belongs; None where the file is only referred to, or is there already.
        appended: The files of `[data] append`, whose rows stand below its own.
    """

    path: Path
    name: str
    sha256: str
    size: int
    modified: int
    keep: Path | None
    appended: list[Path]

    def has_changed(self) -> bool:
        """Tell whether the file was changed since it was found."""
        return (self.size, self.modified) != _stat(self.path)


def find_original(project: Project, settings: Settings) -> Original:
    """Find a local file, or fetch what is elsewhere into a folder of its own."""
    data = settings.data
    scheme, location = locate(data.source, project.root)
    if scheme == "file":
        path = local_file(location)
        there = path.parent.resolve() == project.original.resolve()
        name = project.relative(path) if path.is_relative_to(project.root) else str(path)
    else:
        folder = project.original / FETCHED
        shutil.rmtree(folder, ignore_errors=True)
        path = fetch(data.source, project.root, folder, data)
        there, name = False, redact(data.source)
    size, modified = _stat(path)
    sha256 = sha256_of(path)
    keep = None
    if data.original == "copy" and not there:
        keep = _place(project.original, path.name, sha256)
    return Original(path, name, sha256, size, modified, keep, appended_files(project, settings))


def appended_files(project: Project, settings: Settings) -> list[Path]:
    """Return the files of `[data] append`.

    Raises:
        UserError: If one of them is not a file, or does not exist.
    """
    files = []
    for named in settings.data.append:
        scheme, location = locate(named, project.root)
        if scheme != "file":
            raise UserError(f"[data] append = {redact(named)}: has to be a file.")
        files.append(local_file(location))
    return files


def keep_original(original: Original) -> Path:
    """Put the original where it belongs, unless it is there, and return where it is."""
    target = original.keep
    if target is None:
        return original.path
    if not target.exists():
        with write_atomic(target) as temporary:
            if FETCHED in original.path.parts:
                original.path.replace(temporary)
            else:
                shutil.copyfile(original.path, temporary)
            if temporary.stat().st_size != original.size:
                raise UserError(f"{original.name} changed while it was copied; try again.")
    return target


def verify_original(project: Project, report: Report) -> None:
    """Check that an original that is only referred to is still the one that was ingested.

    Raises:
        UserError: If its content changed.
    """
    original = report.facts["original"]
    path = project.root / original["path"]
    if original["mode"] == "reference" and path.is_file() and sha256_of(path) != original["sha256"]:
        raise UserError(f"{original['path']} changed since it was ingested; run `ingest` again.")


def sha256_of(path: Path) -> str:
    """Return a file's SHA-256, computed once per process as long as the file stays the same."""
    return _sha256_of_version(path, *_stat(path))


def _place(folder: Path, name: str, sha256: str) -> Path:
    """Return where content belongs: its own name, or name-<sha8> beside other content."""
    path = folder / name
    if not path.exists() or sha256_of(path) == sha256:
        return path
    stem, dot, suffixes = name.partition(".")
    beside = folder / f"{stem}-{sha256[:8]}{dot}{suffixes}"
    if beside.exists() and sha256_of(beside) != sha256:
        raise UserError(f"{beside} was changed since it was brought in; take it away first.")
    return beside


@lru_cache(maxsize=64)
def _sha256_of_version(path: Path, size: int, modified: int) -> str:
    """Return a file's SHA-256; size and time are there to tell versions apart."""
    return file_sha256(path)


def _stat(path: Path) -> tuple[int, int]:
    """Return what shows that a file was changed while in use."""
    stat = path.stat()
    return stat.st_size, stat.st_mtime_ns
