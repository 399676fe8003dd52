"""Tables that nobody here wrote: do they get the types that a careful reader would give?

`real_tables.yaml` names tables that ship with packages of the registries. Of each that is
installed, in this environment or in a folder of packages (`real_tables.py .../site-packages`), the
columns with the right type are counted, and what was said and what differs is printed. Each CSV
file is also written with semicolons and decimal commas, which has to give the same types and
numbers. Fails if less than nine in ten tables are all right. Nothing is measured.

With `--run` the whole pipeline runs on each, beside a plain script of scikit-learn (`real_runs`):
printed are both scores on valid and the verdict, and what was said. Fails if less than nine in ten
verdicts are those that a careful reader gives. `--only WORD` picks tables.
"""

import argparse
import csv
import gzip
import importlib
import importlib.util
import io
import re
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pandas as pd
import yaml
from measure import bake, configure
from real_runs import HEADER, Row, run

KINDS = ("integer", "number", "boolean", "datetime", "words", "empty")
WORDS = ("category", "string", "text")
PLAIN = re.compile(r"\s*[+-]?\d*\.\d*(?:[eE][+-]?\d+)?\s*")
ENOUGH = 0.9


def main() -> None:
    """Read every table that is installed, or run on it; print what came out."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folders", nargs="*", help="of installed packages")
    parser.add_argument("--run", action="store_true", help="the pipeline, beside a plain script")
    parser.add_argument("--only", nargs="+", default=[""], help="parts of names of tables")
    arguments = parser.parse_args()
    sys.path += arguments.folders
    tables = yaml.safe_load(Path(__file__).with_suffix(".yaml").read_text(encoding="utf-8"))
    installed = []
    for table in tables:
        content = content_of(table)
        if content is None:
            print(f"{name_of(table)}: not installed")
        elif any(word in name_of(table) for word in arguments.only):
            installed.append((table, content))
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        work = run_all if arguments.run else check_all
        work(bake(folder), folder, installed)


def run_all(project: Path, folder: Path, tables: list[tuple[dict[str, Any], bytes]]) -> None:
    """Run the pipeline on each table; print what was said, and at the end the table of scores.

    Raises:
        SystemExit: If too few verdicts are as expected.
    """
    rows: list[Row] = []
    right = 0
    for table, content in tables:
        if table.get("run") == {}:
            continue
        row = run(project, folder, table, name_of(table), content)
        rows.append(row)
        print(row, flush=True)
        for line in row.said:
            print(f"    {line}", flush=True)
        right += row.verdict == table["verdict"]
        if row.verdict != table["verdict"]:
            print(f"    WRONG: {row.verdict} instead of {table['verdict']}", flush=True)
    print("\n".join([HEADER, *map(str, rows)]))
    print(f"{right} of {len(rows)} verdicts are as expected")
    if right < ENOUGH * len(rows):
        raise SystemExit(1)


def check_all(project: Path, _: Path, tables: list[tuple[dict[str, Any], bytes]]) -> None:
    """Read each table and hold its types against the expected ones.

    Raises:
        SystemExit: If too few tables are right.
    """
    sys.path.insert(0, str(project / "src"))
    package = next(path.name for path in (project / "src").iterdir() if path.is_dir())
    right = sum(check(package, project, table, content) for table, content in tables)
    print(f"{right} of {len(tables)} tables have the right types")
    if right < ENOUGH * len(tables):
        raise SystemExit(1)


def name_of(table: dict[str, Any]) -> str:
    """Return the package and the file's name."""
    return f"{table['package']} {re.split('[/!]', table['file'])[-1]}"


def content_of(table: dict[str, Any]) -> bytes | None:
    """Return a table's file as its package ships it, or None if that is not installed."""
    try:
        found = importlib.util.find_spec(table["package"])
    except ImportError:
        return None
    for folder in (found.submodule_search_locations or []) if found else []:
        archive, _, member = str(table["file"]).partition("!")
        path = Path(folder) / archive
        if not path.is_file():
            continue
        if not member:
            return bytes(path.read_bytes())
        if path.suffix == ".zip":
            with zipfile.ZipFile(path) as zipped:
                return bytes(zipped.read(member))
        with tarfile.open(path) as tar:
            file = tar.extractfile(member)
            return file.read() if file else None
    return None


def check(package: str, project: Path, table: dict[str, Any], content: bytes) -> bool:
    """Read one table, print what came out, and tell whether all of it is right."""
    name = re.split("[/!]", table["file"].removesuffix(".zip"))[-1]
    (project / name).write_bytes(content)
    given = read(package, project, name, table["conf"])
    expected = {column: kind for kind in KINDS for column in table.get(kind, [])}
    if isinstance(given, str):
        print(f"{name_of(table)}: 0 of {len(expected)} columns, refused: {given}")
        return False
    types, typed, said = given
    place = _module(package, "core.project").Project(project)
    notes = _module(package, "data.schema").read_schema_file(place).notes
    open_ones = {
        note.split(" may be written")[0] for note in notes if "written in two ways" in note
    }
    wrong = list(differences(expected, types, typed, table))
    count = sum(types.get(column, "empty") == kind for column, kind in expected.items())
    if re.search(r"\.csv(\.gz)?$", name):
        wrong += as_semicolons(package, project, table, content, (types, typed), open_ones)
    print(f"{name_of(table)}: {count} of {len(expected)} columns")
    for line in wrong:
        print(f"    WRONG: {line}")
    for note in said:
        if "differs in every row" not in note:
            print(f"    said: {note[:160]}")
    return not wrong


def read(
    package: str, project: Path, source: str, conf: dict[str, str]
) -> tuple[dict[str, str], pd.DataFrame, list[str]] | str:
    """Ingest; return the types, the table and what was said, or why the table is refused."""
    data = [f"{key} = {value}" for key, value in conf.items() if key != "task"]
    lines = ["[data]", f"source = {source}", *data, "[model]", f"task = {conf['task']}"]
    configure(project, "\n".join(lines) + "\n")
    core = _module(package, "core.project"), _module(package, "core.config")
    place = core[0].Project(project)
    try:
        report = _module(package, "ingest").ingest(
            place, core[1].load_settings(place, ()), infer=True
        )
    except _module(package, "core.errors").UserError as error:
        return str(error)
    columns = _module(package, "data.schema").load_schema(place).columns
    types = {each.name: "words" if each.type in WORDS else each.type for each in columns}
    return types, pd.read_parquet(place.typed), report.facts["aloud"]


def _module(package: str, name: str) -> ModuleType:
    """Import a module of the project."""
    return importlib.import_module(f"{package}.{name}")


def differences(
    expected: dict[str, str], types: dict[str, str], typed: pd.DataFrame, table: dict[str, Any]
) -> Iterator[str]:
    """Yield what is not as a careful reader has it."""
    if len(typed) != table["rows"]:
        yield f"{len(typed)} rows instead of {table['rows']}"
    for column, kind in expected.items():
        if types.get(column, "empty") != kind:
            yield f"{column} is {types.get(column, 'empty')} instead of {kind}"
    for column in types.keys() - expected.keys():
        yield f"{column} is a column that nobody expects"
    for column, first in table.get("first", {}).items():
        value = str(typed[column].iloc[0]).removesuffix(" 00:00:00")
        if value != first:
            yield f"{column} begins with {value} instead of {first}"


def as_semicolons(
    package: str,
    project: Path,
    table: dict[str, Any],
    content: bytes,
    before: tuple[dict[str, str], pd.DataFrame],
    open_ones: set[str],
) -> Iterator[str]:
    """Yield what differs once the file has semicolons and decimal commas.

    Apart from columns of which each value may be meant in two ways (`open_ones`): that was said.
    """
    text = (gzip.decompress(content) if content[:2] == b"\x1f\x8b" else content).decode()
    delimiter = ";" if ";" in text.partition("\n")[0] else ","
    rows = csv.reader(io.StringIO(text), delimiter=delimiter)
    types, typed = before
    with (project / "semicolons.csv").open("w", encoding="utf-8", newline="") as file:
        csv.writer(file, delimiter=";").writerows(map(_with_commas, rows))
    after = read(package, project, "semicolons.csv", table["conf"])
    if isinstance(after, str):
        yield f"with semicolons: {after}"
        return
    for column in sorted((types.keys() | after[0].keys()) - open_ones):
        kinds = types.get(column, "empty"), after[0].get(column, "empty")
        if kinds[0] != kinds[1]:
            yield f"with semicolons, {column} is {kinds[1]} instead of {kinds[0]}"
        elif kinds[0] not in ("words", "empty") and not typed[column].equals(after[1][column]):
            yield f"with semicolons, {column} has other values"


def _with_commas(row: list[str]) -> list[str]:
    """Return a row's fields with the comma as decimal sign."""
    return [field.replace(".", ",") if PLAIN.fullmatch(field) else field for field in row]


if __name__ == "__main__":
    main()
