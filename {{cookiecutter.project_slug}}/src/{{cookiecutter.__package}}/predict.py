"""Batch scoring: a file in pieces, or a folder of Parquet files by several processes.

Needs a bundle and nothing else of the project. What a kill interrupts goes on where it stopped: a
file from the pieces in `<output>.parts`, a folder from the files that `_predictions.json` names.
"""

from __future__ import annotations

import os
import shutil
import signal
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import asdict, replace
from itertools import chain
from multiprocessing import active_children, get_context, parent_process
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .bundle.batch import MARK, MARKED_BYTES, Job, predictions_of, read_violations, scored
from .bundle.bundle import Bundle, bundle_sha, load_bundle, read_bundle
from .bundle.champion import verify_champion
from .core.errors import UserError
from .core.files import read_json, remove_partial, write_atomic, write_json
from .core.project import Project

if TYPE_CHECKING:
    import pandas as pd

    from .core.config import PredictSettings, Settings
    from .data.cast import Violation

MANIFEST = "_predictions.json"
MANIFEST_VERSION = 1
PART_ROWS = 100_000
SHOWN_VIOLATIONS = 10


def predict(
    project: Project,
    settings: Settings,
    source: Path,
    output: Path,
    *,
    model: str | None = None,
    processes: int = 1,
    progress: bool = True,
    say: Callable[[str], None] = lambda text: None,
) -> int:
    """Score a file or a folder of Parquet files, and return how many rows were scored.

    Args:
        project: Holds the bundle.
        settings: `[predict]`, and how `[data]` reads text.
        source: A table in any format that can be a source, or a folder.
        output: A file whose suffix names its format; for a folder, a folder, in which each file
            stands under the name of its source.
        model: A run id; default: the champion.
        processes: How many score the files of a folder at the same time.
        progress: Whether to show a bar, on a terminal.
        say: Is called with what should be known about the rows that were scored.

    Raises:
        UserError: If source or output cannot be used, no model is there, or a row cannot be scored.
            An earlier output then stays as it was.
    """
    run_id = verify_champion(project) if model is None else model
    read_bundle(project, run_id)
    job = Job(project, run_id, bundle_sha(project, run_id), settings.predict, settings.data)
    if source.is_dir():
        _check_folders(source, output)
        rows, violations = _score_folder(job, source, output, processes, progress)
    else:
        _check_files(source, output)
        rows, violations = _score_file(job, source, output, progress)
    for line in _violation_lines(violations, job.options):
        say(line)
    return rows


def _violation_lines(violations: Sequence[str], options: PredictSettings) -> Iterator[str]:
    """Yield what to say about rows that were scored although they violate the schema."""
    if violations:
        named = f"the column '{MARK}' names them"
        if options.violations != "mark":
            named = "[predict] violations = mark names them row by row"
        yield f"Some rows violate the schema of the model's data, and were scored ({named}):"
        yield from (f"  - {sentence}" for sentence in violations[:SHOWN_VIOLATIONS])
    if len(violations) > SHOWN_VIOLATIONS:
        yield f"  - and {len(violations) - SHOWN_VIOLATIONS} more columns or rules"


# -------------------------------------------------------------------------------------- one file


def _check_files(source: Path, output: Path) -> None:
    """Refuse what cannot be read or written, before any work is done."""
    from .data.readers import format_of

    if not source.exists():
        raise UserError(f"{source} does not exist; name a table, or a folder of Parquet files.")
    format_of(source)
    if output.is_dir():
        raise UserError(
            f"{output} is a folder, but {source} is a file; name a file for the output."
        )
    if output.resolve() == source.resolve() or (output.exists() and output.samefile(source)):
        raise UserError(f"{output} is the source itself; name another file for the output.")
    if output.suffix.lower() == ".json":
        raise UserError(f"{output} would be one JSON object per line; name it .jsonl.")
    if output.suffix.lower() == ".gz":
        raise UserError(
            f"{output} would have to be compressed; leave .gz off, and compress it then."
        )
    format_of(output)


def _score_file(job: Job, source: Path, output: Path, progress: bool) -> tuple[int, list[str]]:
    """Score one file; every so many rows are kept at once, so that a kill costs little.

    Returns:
        Its rows, and how some of them violate the schema, in words.
    """
    from .data.cast import merged
    from .data.readers import format_of
    from .data.writers import open_writer

    bundle = load_bundle(job.project, job.run_id)
    parts = _Parts(output.with_name(output.name + ".parts"), job.key(source))
    waiting: list[pd.DataFrame] = []
    violations = parts.violations()
    rows = done = parts.rows()
    with _bar(progress, _about_rows(source), "rows") as advance:
        advance(done)
        for piece, found in scored(bundle, job, source, skip=done):
            waiting.append(piece)
            violations = merged([*violations, *found])
            rows += len(piece)
            advance(len(piece))
            if rows - done >= PART_ROWS:
                parts.add(waiting, violations, done, rows)
                waiting, done = [], rows
    with write_atomic(output) as temporary, open_writer(temporary, format_of(output)) as write:
        for piece in chain(parts.read(), waiting):
            write(piece)
    parts.remove()
    return rows, [each.sentence() for each in violations]


class _Parts:
    """The finished pieces of an output that is not finished, as Arrow files in a folder."""

    def __init__(self, folder: Path, key: str) -> None:
        self._folder = folder
        self._mark = folder / f"{key}.key"
        if folder.exists() and not self._mark.exists():
            self.remove()  # of another source or model

    def _files(self) -> list[Path]:
        """Return the pieces from the first row on, without a gap."""
        found: list[Path] = []
        end = 0
        for path in sorted(self._folder.glob("[!.]*.arrow")):
            first, last = map(int, path.stem.split("-"))
            if first != end:
                break
            found.append(path)
            end = last
        return found

    def rows(self) -> int:
        """Return how many rows are finished."""
        files = self._files()
        return int(files[-1].stem.split("-")[1]) if files else 0

    def violations(self) -> list[Violation]:
        """Return how the finished rows violate the schema."""
        files = self._files()
        return read_violations(read_json(files[-1].with_suffix(".json"))) if files else []

    def add(
        self,
        pieces: Sequence[pd.DataFrame],
        violations: Sequence[Violation],
        first: int,
        last: int,
    ) -> None:
        """Keep the rows from `first` to before `last`, and the violations of all before `last`."""
        import pandas as pd
        import pyarrow.feather

        self._folder.mkdir(parents=True, exist_ok=True)
        self._mark.touch()
        frame = pd.concat(pieces, ignore_index=True)
        target = self._folder / f"{first:015}-{last:015}.arrow"
        write_json(target.with_suffix(".json"), [asdict(each) for each in violations])
        with write_atomic(target) as temporary:
            pyarrow.feather.write_feather(frame, str(temporary), compression="lz4")

    def read(self) -> Iterator[pd.DataFrame]:
        """Yield the pieces in order."""
        import pyarrow.feather

        for path in self._files():
            yield pyarrow.feather.read_feather(str(path))

    def remove(self) -> None:
        """Delete the folder."""
        shutil.rmtree(self._folder, ignore_errors=True)


# -------------------------------------------------------------------------------------- a folder


def _check_folders(source: Path, output: Path) -> None:
    """Refuse folders that cannot be used, before any work is done."""
    if output.exists() and not output.is_dir():
        raise UserError(
            f"{output} is a file, but {source} is a folder; name a folder for the output."
        )
    here, there = source.resolve(), output.resolve()
    if here == there or here in there.parents or there in here.parents:
        raise UserError(
            f"{output} and {source} are the same folder, or one is within the other; name a folder "
            "of its own for the output."
        )
    if output.is_dir() and not (output / MANIFEST).exists() and any(output.iterdir()):
        raise UserError(
            f"{output} holds files that are not predictions (it has no {MANIFEST}); name an "
            "empty or a new folder for the output."
        )


def _score_folder(
    job: Job, source: Path, output: Path, processes: int, progress: bool
) -> tuple[int, list[str]]:
    """Score every Parquet file of a folder that is not finished yet; return as `_score_file`."""
    files = [
        path.relative_to(source)
        for path in sorted(source.rglob("*.parquet"))
        if path.is_file() and not any(part[0] in "._" for part in path.relative_to(source).parts)
    ]
    if not files:
        raise UserError(f"{source} holds no Parquet file (*.parquet); name a folder that does.")
    before = _read_manifest(output)
    keys = {path.as_posix(): job.key(source / path) for path in files}
    parts = {
        name: before[name]
        for name, key in keys.items()
        if name in before and _is_finished(output / name, before[name], key)
    }
    todo = [path for path in files if path.as_posix() not in parts]
    # Those of an earlier model stay listed until they are replaced, or their source is gone.
    _write_manifest(output, job, {**before, **parts}, complete=False)
    _remove_partial(output, files)
    written = time.monotonic()
    with _bar(progress, len(files), "files") as advance:
        advance(len(parts))
        for path, rows, violations in _score_parts(job, source, output, todo, processes):
            name = path.as_posix()
            size = (output / path).stat().st_size
            found = [asdict(each) for each in violations]
            parts[name] = {"key": keys[name], "rows": rows, "size": size, "violations": found}
            advance(1)
            if time.monotonic() - written > 1:
                _write_manifest(output, job, {**before, **parts}, complete=False)
                written = time.monotonic()
    for name in before.keys() - parts.keys():
        (output / name).unlink(missing_ok=True)
    parts = {path.as_posix(): parts[path.as_posix()] for path in files}
    _write_manifest(output, job, parts)
    return sum(part["rows"] for part in parts.values()), _in_folder(parts)


def _in_folder(parts: dict[str, Any]) -> list[str]:
    """Return the violations of all files in words, each with the first file that has it."""
    from .data.cast import merged

    first_file: dict[tuple[str, str], str] = {}
    found: list[Violation] = []
    for name, part in parts.items():
        for each in read_violations(part["violations"]):
            known = first_file.setdefault((each.column, each.rule), name)
            found.append(each if known == name else replace(each, rows=()))
    return [f"{first_file[each.column, each.rule]}, {each.sentence()}" for each in merged(found)]


def _is_finished(target: Path, part: dict[str, Any], key: str) -> bool:
    """Tell whether a file holds what would be written again."""
    return part["key"] == key and target.is_file() and target.stat().st_size == part["size"]


def _read_manifest(output: Path) -> dict[str, Any]:
    """Return what is known of each file of an output folder, by its name."""
    path = output / MANIFEST
    if not path.exists():
        return {}
    manifest = read_json(path)
    if not isinstance(manifest, dict) or manifest.get("version") != MANIFEST_VERSION:
        raise UserError(
            f"{path} is not of version {MANIFEST_VERSION}; name a new folder for the output."
        )
    inside = output.resolve()
    return {
        name: part
        for name, part in manifest["parts"].items()
        if inside in (output / name).resolve().parents
    }


def _write_manifest(
    output: Path, job: Job, parts: dict[str, Any], *, complete: bool = True
) -> None:
    """Write down which files are finished, and by which model."""
    manifest = {
        "version": MANIFEST_VERSION,
        "model": job.run_id,
        "sha256": job.sha256,
        "complete": complete,
        "parts": parts,
    }
    write_json(output / MANIFEST, manifest)


def _score_parts(
    job: Job, source: Path, output: Path, todo: Sequence[Path], processes: int
) -> Iterator[tuple[Path, int, list[Violation]]]:
    """Score files and yield each with its rows and violations as it is finished."""
    processes = min(processes, len(todo))
    if processes > 1:
        yield from _in_processes(job, source, output, todo, processes)
    elif todo:
        bundle = load_bundle(job.project, job.run_id)
        for path in todo:
            yield path, *_score_part(bundle, job, source / path, output / path)


def _score_part(
    bundle: Bundle, job: Job, source: Path, target: Path
) -> tuple[int, list[Violation]]:
    """Score one file of a folder and return its rows and violations."""
    from .data.arrow import read_parquet
    from .data.cast import merged
    from .data.writers import open_writer

    rows = 0
    violations: list[Violation] = []
    pieces: Iterable[tuple[pd.DataFrame, list[Violation]]] = scored(bundle, job, source)
    if _about_rows(source) == 0:  # engines write such files for partitions without a row
        strict = job.options.strict
        typed = bundle.typed(read_parquet(source), strict=strict, where=str(source))
        pieces = [(predictions_of(bundle, job, typed), [])]
    with write_atomic(target) as temporary, open_writer(temporary, "parquet") as write:
        for piece, found in pieces:
            write(piece)
            rows += len(piece)
            violations = merged([*violations, *found])
    return rows, violations


def _remove_partial(output: Path, files: Iterable[Path]) -> None:
    """Delete what killed processes left among the files of a folder that is scored by one run."""
    for folder in {(output / path).parent for path in files}:
        remove_partial(folder, 0)


def _in_processes(
    job: Job, source: Path, output: Path, todo: Sequence[Path], processes: int
) -> Iterator[tuple[Path, int, list[Violation]]]:
    """Score files in processes of their own; when one fails, the others are stopped."""
    threads = max(1, (os.cpu_count() or 1) // processes)
    others = set(active_children())
    pool = ProcessPoolExecutor(
        processes, get_context("spawn"), initializer=_start_worker, initargs=(job, threads)
    )
    try:
        futures: dict[Future[tuple[int, list[Violation]]], Path] = {
            pool.submit(_score_in_worker, source / path, output / path): path for path in todo
        }
        for future in as_completed(futures):
            yield futures[future], *future.result()
        pool.shutdown()
    except BaseException as error:
        pool.shutdown(wait=False, cancel_futures=True)
        for child in set(active_children()) - others:
            child.terminate()
            child.join()
        _remove_partial(output, todo)  # what the stopped ones were writing
        if isinstance(error, BrokenProcessPool):
            raise UserError(
                "A scoring process was killed, most likely because memory ran out; lower "
                "--processes or [predict] chunk_rows and run the same command again: finished "
                "files are kept."
            ) from None
        raise


# The bundle of this process, where it is one of several: at most one entry.
_WORKER: list[tuple[Bundle, Job]] = []


def _start_worker(job: Job, threads: int) -> None:
    """Prepare a process: share the cores, leave Ctrl-C to the parent, end with it, load the bundle.

    This module imports nothing that counts cores at its top, so that the variable is in time.
    """
    os.environ.setdefault("OMP_NUM_THREADS", str(threads))
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    _WORKER.append((load_bundle(job.project, job.run_id), job))


def _end_with_parent() -> None:
    """Wait until the parent is gone, killed perhaps, and go as well."""
    parent = parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _score_in_worker(source: Path, target: Path) -> tuple[int, list[Violation]]:
    """Score one file of a folder in this process."""
    return _score_part(*_WORKER[0], source, target)


# -------------------------------------------------------------------------------------- progress


@contextmanager
def _bar(show: bool, total: int | None, unit: str) -> Iterator[Callable[[int], None]]:
    """Show a progress bar on a terminal's standard error; yield what advances it."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    console = Console(stderr=True)
    count = TextColumn("{task.completed:,.0f} " + unit)
    columns = (TextColumn("predict"), BarColumn(), count, TimeElapsedColumn())
    hidden = not (show and console.is_terminal)
    with Progress(*columns, console=console, transient=True, disable=hidden) as bar:
        task = bar.add_task("predict", total=total)
        yield lambda done: bar.update(task, advance=done)


def _about_rows(source: Path) -> int | None:
    """Return how many rows a file has: of text, as its first megabyte suggests; None if unknown."""
    from .data.readers import format_of

    kind = format_of(source)
    if kind == "parquet":
        import pyarrow as pa
        import pyarrow.parquet as pq

        try:
            return int(pq.read_metadata(source).num_rows)
        except (pa.ArrowInvalid, OSError):  # the reader says what is wrong
            return None
    if kind == "xlsx" or source.suffix == ".gz":
        return None
    with source.open("rb") as file:
        start = file.read(MARKED_BYTES)
    return round(source.stat().st_size * start.count(b"\n") / max(len(start), 1))
