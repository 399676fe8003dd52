"""CSV and TSV: text in any encoding, read as tables of text.

A line that is broken is refused by its number, a byte of another encoding by its place.
"""

from __future__ import annotations

import codecs
import csv
import gzip
import io
import itertools
import re
import zlib
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, cast

import pandas as pd

from ..core.config import DataSettings
from ..core.errors import UserError
from .numbers import ColumnBlocks, first_type, plain_numbers, to_pandas
from .schema import plain_names, refuse_names

if TYPE_CHECKING:
    import pyarrow as pa

# So many lines at the start of a file show how it is written.
HEAD_LINES = 200
# So many rows of title and comments may stand above the column names.
MOST_TITLES = 20
# Of a table with so many columns, a header names more than two.
WIDE = 5
BLOCK = 1 << 22
# So many lines at a time go from Python to Arrow.
LINES = 1000
# What Arrow says of a value that is not of the type of its column.
CONVERSION = "CSV conversion error"
DELIMITERS = ",;\t|"
# As a delimiter it stands for a run of spaces and tabs, of any length.
SPACES = " "
# What lies between such runs; a value in quotes may hold spaces.
GAP = re.compile(r"\S(?: {2,}|\t+)\S")
FIELD = re.compile(r'"(?:[^"]|"")*"(?=\s|$)|\S+')
# Excel names the delimiter in a first line of its own.
MARKED = re.compile(r'^"?sep=(.)"?\s*$')
# 1990 may be a column's name; 14.23 and 007 are values.
NUMBER = re.compile(r"^[+-]?[\d.,]*\d$")
VALUE = re.compile(r"^[+-]?(?:\d*[.,]\d+|0\d+)$")


# -------------------------------------------------------------------------------------- CSV and TSV


@dataclass(frozen=True)
class Layout:
    """How a CSV file is written, as its first rows show.

    Attributes:
        names: The column names; a column without one is called unnamed_<position>.
        delimiter: One character; a space stands for a run of spaces and tabs.
        encoding: That of conf.cfg, or what the file's first bytes mark.
        skipped: Lines up to the header, itself included.
        notes: What was passed over or changed, in half sentences.
    """

    names: tuple[str, ...]
    delimiter: str
    encoding: str
    skipped: int
    notes: tuple[str, ...] = ()


def read_csv(path: Path, kind: str, data: DataSettings, kept: Collection[str]) -> pd.DataFrame:
    """Read a whole CSV or TSV file; an empty cell is a missing value.

    A column is text unless each of its values is a number as computers write it; those in `kept`
    always are.
    """
    import pyarrow as pa

    layout = csv_layout(path, kind, data)
    refuse_names(path, layout.names)
    with _csv_errors(path, layout):
        blocks = _batches(path, layout, data, dict.fromkeys(layout.names, pa.string()))
        first = next(blocks, None)
        if first is None:
            return pd.DataFrame(columns=list(layout.names))
        if next(blocks, None) is None:
            _refuse_open_quote(path, layout, first)
            return _to_frame(pa.Table.from_batches([first]), kept)
        given = dict(zip(layout.names, first.columns, strict=True))
        types = {name: pa.string() if name in kept else first_type(given[name]) for name in given}
        rows = first.num_rows * (path.stat().st_size // BLOCK + 1)
        # Their memory serves the blocks to come.
        del blocks, first, given
        columns = _read_columns(path, layout, data, types, rows)
    series = {name: columns[name].to_series(worded=name in kept) for name in layout.names}
    return pd.DataFrame(series, copy=False)


def _read_columns(
    path: Path, layout: Layout, data: DataSettings, types: dict[str, pa.DataType], rows: int
) -> dict[str, ColumnBlocks]:
    """Read a whole file: numbers where the first block suggests so and all others agree."""
    import pyarrow as pa

    try:
        columns = _read_blocks(path, layout, data, types, rows)
        failed = [name for name in types if columns[name].failed]
    except pa.ArrowInvalid as error:
        if CONVERSION not in str(error):
            raise
        columns, failed = {}, list(types)
    again = dict.fromkeys(failed, pa.string())
    return columns | (_read_blocks(path, layout, data, again) if again else {})


def _read_blocks(
    path: Path, layout: Layout, data: DataSettings, types: dict[str, pa.DataType], rows: int = 0
) -> dict[str, ColumnBlocks]:
    """Read some columns of a whole file, block by block."""
    columns = {name: ColumnBlocks(types[name], rows) for name in types}
    last = None
    for last in _batches(path, layout, data, types):
        for column, array in zip(columns.values(), last.columns, strict=True):
            column.add(array)
    if last is not None:
        _refuse_open_quote(path, layout, last)
    return columns


def iter_csv(
    path: Path,
    kind: str,
    data: DataSettings,
    kept: Collection[str],
    chunk_rows: int,
    columns: Sequence[str] | None,
) -> Iterator[pd.DataFrame]:
    """Read a CSV or TSV file in pieces of `chunk_rows` rows; see `read_csv`."""
    import pyarrow as pa

    layout = csv_layout(path, kind, data)
    with _csv_errors(path, layout):
        waiting: list[pa.Table] = []
        types = dict.fromkeys(columns or layout.names, pa.string())
        for batch in _batches(path, layout, data, types):
            waiting.append(pa.Table.from_batches([batch]))
            if sum(table.num_rows for table in waiting) < chunk_rows:
                continue
            whole = pa.concat_tables(waiting)
            full = whole.num_rows - whole.num_rows % chunk_rows
            for start in range(0, full, chunk_rows):
                yield _to_frame(whole.slice(start, chunk_rows), kept)
            waiting = [whole.slice(full)]
        rest = pa.concat_tables(waiting) if waiting else None
        if rest is not None and rest.num_rows:
            _refuse_open_quote(path, layout, rest)
            yield _to_frame(rest, kept)


def _batches(
    path: Path, layout: Layout, data: DataSettings, types: dict[str, pa.DataType]
) -> Iterator[pa.RecordBatch]:
    """Yield some columns of a file block by block, as text or float64."""
    import pyarrow as pa
    import pyarrow.csv

    kinds = {name: kind if kind == pa.float64() else pa.string() for name, kind in types.items()}
    with _input(path, layout) as stream:
        yield from pyarrow.csv.open_csv(stream, **_arrow_options(layout, data, kinds))


def csv_layout(path: Path, kind: str, data: DataSettings) -> Layout:
    """Find out from the first rows how a file is written.

    Raises:
        UserError: If it has no header, or no row below it.
    """
    csv.field_size_limit(1 << 30)
    encoding = _marked_encoding(path) or data.encoding
    with open_text(path, encoding) as file, text_errors(path, encoding):
        head = list(itertools.islice(file, HEAD_LINES))
        try:
            delimiter = _delimiter(kind, data, head)
            at = _header_row(head, delimiter, data)
            file.seek(0)
            rows = _rows(file, delimiter)
            passed: list[list[str]] = [next(rows, []) for _ in range(at + 1)]
            header, skipped = passed[-1], rows.line_num
            first = next((row for row in rows if row), None)
        except csv.Error as error:
            raise UserError(f"{path} cannot be read as {kind.upper()}: {error}.") from None
    if not any(name.strip() for name in header):
        raise UserError(f"{path} has no column names in its first line.")
    if first is None:
        raise UserError(f"{path} holds column names, but no row.")
    notes = []
    if encoding != data.encoding:
        notes.append(f"the file is {encoding}, by the mark at its start")
    longer = _longer_rows(head, delimiter, at)
    if longer and not any(row[-1].strip() for row in longer):
        header = [*header, ""]
    elif _has_row_names(longer):
        header = ["", *header]
        notes.append(
            "the header has one name fewer than there are columns, so the first column is taken "
            "for row names, without a name of its own"
        )
    if delimiter == SPACES and known_delimiter(kind, data) is None:
        notes.append(
            "runs of spaces divide the columns; if that is wrong, set [data] delimiter in conf.cfg"
        )
    elif len(header) == 1 and _is_aligned(head):
        notes.append(
            "each line is read as one value; if spaces divide the columns, set [data] delimiter = "
            "spaces in conf.cfg, and fill the empty cells"
        )
    titles = [" ".join(row).strip() for row in passed[:-1]]
    if any(titles):
        shown = next(title for title in titles if title)
        notes.append(
            f"the column names stand in line {skipped}; what is above (such as '{shown[:40]}') is "
            "left out; if that is wrong, set [data] header_row in conf.cfg"
        )
    names, changed = plain_names(header)
    notes += _header_notes(names)
    return Layout(tuple(names), delimiter, encoding, skipped, (*notes, *changed))


def _delimiter(kind: str, data: DataSettings, head: Sequence[str]) -> str:
    """Return the delimiter that is known, or that divides most lines alike."""
    if known := known_delimiter(kind, data):
        return known
    if marked := MARKED.match(head[0] if head else ""):
        return marked[1]

    def divided(delimiter: str) -> tuple[float, int]:
        width, share = _usual_width(head, delimiter)
        return (share, width) if width > 1 else (0.0, 0)

    found = max(DELIMITERS, key=divided)
    header: list[str] = next((row for row in _rows(head, found) if row), [])
    return SPACES if len(header) < 2 and _is_spaced(head) else found


def _is_spaced(head: Sequence[str]) -> bool:
    """Tell whether runs of spaces divide each line alike, the header perhaps one name short.

    One column at least has to hold numbers: words alone may be sentences.
    """
    lines = [line for line in head if line.strip() and not line.startswith("#")]
    header, *rows = [FIELD.findall(line) for line in lines] or [[]]
    widths = {len(row) for row in rows}
    alike = widths in ({len(header)}, {len(header) + 1})
    whole = not any(line.count('"') % 2 for line in lines)
    return (
        len(header) > 1
        and alike
        and whole
        and any(all(map(NUMBER.match, column)) for column in zip(*rows, strict=True))
    )


def _is_aligned(head: Sequence[str]) -> bool:
    """Tell whether most lines hold wide gaps, as in columns of a fixed width."""
    gaps = [bool(GAP.search(line)) for line in head if line.strip()]
    return sum(gaps) > len(gaps) / 2


def known_delimiter(kind: str, data: DataSettings) -> str | None:
    """Return the delimiter that conf.cfg or the format names, or None.

    Raises:
        UserError: If it is not one character.
    """
    if data.delimiter == "auto":
        return "\t" if kind == "tsv" else None
    names = {"tab": "\t", "\\t": "\t", "spaces": SPACES}
    delimiter = names.get(data.delimiter, data.delimiter)
    if len(delimiter) != 1:
        raise UserError(
            f"[data] delimiter = {data.delimiter} has to be auto, tab, spaces or one character."
        )
    return delimiter


def _rows(lines: Iterable[str], delimiter: str, *, strict: bool = False) -> Any:
    """Return Python's reader of CSV lines."""
    if delimiter == SPACES:
        lines, delimiter = map(_tabbed, lines), "\t"
    return csv.reader(lines, delimiter=delimiter, strict=strict)


def _tabbed(line: str) -> str:
    """Return a line with one tab in place of each run of spaces and tabs outside quotes."""
    return "\t".join(FIELD.findall(line)) + "\n"


def _usual_width(head: Sequence[str], delimiter: str) -> tuple[int, float]:
    """Return how many fields most of the first lines have, and the share of these lines."""
    widths = Counter(len(row) for row in _rows(head, delimiter) if row)
    if not widths:
        return 0, 0.0
    width, count = max(widths.items(), key=lambda pair: (pair[1], pair[0]))
    return width, count / widths.total()


def _header_row(head: Sequence[str], delimiter: str, data: DataSettings) -> int:
    """Return the position of the header among the rows, those of a title above it counted.

    A title is narrower than the table: the header is the first row as wide as the rows below it.
    """
    rows = list(_rows(head, delimiter))
    if data.header_row is not None:
        return min(data.header_row, len(rows)) - 1
    width = _usual_width(head, delimiter)[0]
    first = _comments(rows, width)
    filled = [at for at, row in enumerate(rows) if any(field.strip() for field in row)]
    filled = [at for at in filled if at >= first]
    if not filled:
        return 0
    above = [at for at in filled if len(rows[at]) >= width and not _is_title(rows[at], width)]
    named = above[0] if above and above[0] <= MOST_TITLES else filled[0]
    # A narrow first row above rows that are all as wide as each other is a title; a header that
    # lacks one name is not.
    return named if len(_fields(rows[filled[0]])) <= max(width // 2, 1) else filled[0]


def _is_title(row: Sequence[str], width: int) -> bool:
    """Tell whether a row of a wide table holds a title, and then delimiters, as Excel writes it."""
    few = 1 if width < WIDE else 2  # such as `Created:;2024-01-31;;;`
    return width > 1 and bool(row[0].strip()) and len(_fields(row)) <= few


def _comments(rows: Sequence[Sequence[str]], width: int) -> int:
    """Return how many rows of comments begin the file: those behind `#`.

    The last of them may be the header, which some programs write as `#id,name`.
    """
    count = 0
    while count < len(rows) and "".join(rows[count][:1]).lstrip().startswith("#"):
        count += 1
    last = rows[count - 1] if count else []
    named = len(last) == width and width > 1 and not last[0].startswith("# ")
    return count - 1 if named else count


def _longer_rows(head: Sequence[str], delimiter: str, at: int) -> list[list[str]]:
    """Return the rows below the header if each has one field more than it, else none."""
    header, *rows = [row for row in list(_rows(head, delimiter))[at:] if row]
    complete = rows[:-1] if len(head) == HEAD_LINES else rows
    return complete if all(len(row) == len(header) + 1 for row in complete) else []


def _has_row_names(longer: Sequence[Sequence[str]]) -> bool:
    """Tell whether rows with one field more than the header begin with names, as R writes them."""
    names = {row[0] for row in longer if row[0].strip() and row[-1].strip()}
    return 1 < len(names) == len(longer)


def _header_notes(names: Sequence[str]) -> list[str]:
    """Note column names that look like values: the file may have no header."""
    numbers = [name for name in names if NUMBER.match(name)]
    if len(numbers) < len(names) / 2 or not any(VALUE.match(name) for name in names):
        return []
    shown = ", ".join(f"'{name}'" for name in numbers[:3])
    return [
        f"the column names look like values ({shown}): if the file has no header, put a line with "
        "the names above its first row"
    ]


def _fields(row: Sequence[str]) -> list[str]:
    """Return the fields that hold something."""
    return [field for field in row if field.strip()]


def _arrow_options(
    layout: Layout, data: DataSettings, types: dict[str, pa.DataType]
) -> dict[str, Any]:
    """Return the arguments that Arrow's reader gets."""
    from pyarrow import csv as arrow_csv

    def keep_blank(row: Any) -> str:
        return "skip" if not row.text.strip() else "error"

    spaced = layout.delimiter == SPACES
    return {
        "read_options": arrow_csv.ReadOptions(
            use_threads=False,
            block_size=BLOCK,
            column_names=list(layout.names),
            skip_rows=layout.skipped,
            encoding="utf8" if spaced or layout.encoding == "utf-8" else layout.encoding,
        ),
        "parse_options": arrow_csv.ParseOptions(
            delimiter="\t" if spaced else layout.delimiter,
            newlines_in_values=True,
            invalid_row_handler=keep_blank,
        ),
        "convert_options": arrow_csv.ConvertOptions(
            column_types=types,
            strings_can_be_null=True,
            null_values=["", *data.missing],
            include_columns=list(types),
        ),
    }


def _input(path: Path, layout: Layout) -> Any:
    """Open a file for Arrow, unzipped, and with tabs for runs of spaces."""
    import pyarrow as pa

    if layout.delimiter == SPACES:
        return pa.PythonFile(_Lines(_tabbed_lines(path, layout.encoding)), mode="r")
    return pa.input_stream(path, compression="gzip" if path.suffix.lower() == ".gz" else None)


def _tabbed_lines(path: Path, encoding: str) -> Iterator[bytes]:
    """Yield a file's lines with tabs for runs of spaces, in UTF-8.

    Raises:
        UserError: If a quoted value goes on in the next line, where runs of spaces belong to it.
    """
    with open_text(path, encoding) as file:
        for number, line in enumerate(file, start=1):
            if line.count('"') % 2:
                raise UserError(
                    f"{path}, line {number}, opens a quote that it does not close; mend that line, "
                    "or write the file with commas or tabs between its columns."
                )
            yield _tabbed(line).encode()


class _Lines(io.RawIOBase):
    """Lines as a file that is read once, for Arrow."""

    def __init__(self, lines: Iterator[bytes]) -> None:
        self._lines = lines
        self._rest = b""

    def readable(self) -> bool:
        """Whether it can be read."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Fill a buffer as far as the next lines go; return the number of bytes."""
        if not self._rest:
            self._rest = b"".join(itertools.islice(self._lines, LINES))
        count = min(len(buffer), len(self._rest))
        buffer[:count], self._rest = self._rest[:count], self._rest[count:]
        return count


def _to_frame(table: pa.Table, kept: Collection[str]) -> pd.DataFrame:
    """Return a table of text as a frame, with plain numbers as such; its memory is given back."""
    names, columns = table.column_names, table.columns
    del table
    series = {}
    for at, name in enumerate(names):
        array, columns[at] = columns[at], None
        numbers = None if name in kept else plain_numbers(array)
        series[name] = to_pandas(array if numbers is None else numbers)
    return pd.DataFrame(series, copy=False)


@contextmanager
def _csv_errors(path: Path, layout: Layout) -> Iterator[None]:
    """Turn Arrow's errors for a broken CSV file into one sentence."""
    import pyarrow as pa

    with text_errors(path, layout.encoding):
        try:
            yield
        except pa.ArrowInvalid as error:
            reason = " ".join(str(error).split())
            if "invalid UTF8" in reason:
                raise UserError(_encoding_sentence(path, layout.encoding)) from None
            _refuse_ragged(path, layout)
            raise UserError(f"{path} cannot be read as a table: {reason.rstrip('.')}.") from None


def _refuse_ragged(path: Path, layout: Layout) -> None:
    """Refuse the first row with more or fewer fields than the header names, by its line."""
    width = len(layout.names)
    with open_text(path, layout.encoding) as text:
        for _ in range(layout.skipped):
            next(text)
        rows = _rows(text, layout.delimiter)
        for row in rows:
            if len(row) == width or not any(field.strip() for field in row[:1]) and len(row) < 2:
                continue
            line = rows.line_num + layout.skipped
            if line > layout.skipped + 1 and _is_open(path, layout):
                raise UserError(f"{path} opens a quote that it never closes.")
            few, many = "a missing value still needs its", "a field with the delimiter in it needs"
            why = f"{few} delimiter" if len(row) < width else f"{many} quotes"
            raise UserError(
                f"{path}, line {line}, has {len(row)} fields, but the header names {width} "
                f"columns; mend that line ({why})."
            )


def _refuse_open_quote(path: Path, layout: Layout, table: pa.Table | pa.RecordBatch) -> None:
    """Refuse a file whose last value goes on to the end because a quote is never closed."""
    last = table.slice(table.num_rows - 1).to_pylist()[0].values() if table.num_rows else ()
    open_ended = any(isinstance(value, str) and "\n" in value for value in last)
    if open_ended and _is_open(path, layout):
        raise UserError(f"{path} opens a quote that it never closes.")


def _is_open(path: Path, layout: Layout) -> bool:
    """Tell whether a file ends within a quoted value."""
    with open_text(path, layout.encoding) as text:
        try:
            for _ in _rows(text, layout.delimiter, strict=True):
                pass
        except csv.Error as error:
            return "unexpected end" in str(error)
    return False


# ----------------------------------------------------------------------------- text in any encoding


def open_text(path: Path, encoding: str) -> IO[str]:
    """Open a file for reading text; a byte order mark is passed over."""
    with text_errors(path, encoding):
        name = codecs.lookup(encoding).name
        name = "utf-8-sig" if name == "utf-8" else name
        return io.TextIOWrapper(open_bytes(path), encoding=name, newline="")


def open_bytes(path: Path) -> IO[bytes]:
    """Open a file for reading its bytes, unzipped."""
    return cast("IO[bytes]", gzip.open(path) if path.suffix.lower() == ".gz" else path.open("rb"))


@contextmanager
def text_errors(path: Path, encoding: str) -> Iterator[None]:
    """Turn errors of decoding into a sentence with the byte."""
    try:
        yield
    except LookupError as error:
        if "encoding" not in str(error):
            raise
        raise UserError(
            f"[data] encoding = {encoding} is not a known encoding; try utf-8, cp1252 or utf-16."
        ) from None
    except UnicodeError:
        raise UserError(_encoding_sentence(path, encoding)) from None
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise UserError(f"{path} is not a complete gzip file: {str(error).rstrip('.')}.") from None


def _encoding_sentence(path: Path, encoding: str) -> str:
    """Say at which byte and line a file stops being text in `encoding`."""
    decoder = codecs.getincrementaldecoder(encoding)()
    at, line = 0, 1
    with open_bytes(path) as file:
        while block := file.read(1 << 20):
            pending = len(decoder.getstate()[0])
            try:
                decoder.decode(block)
            except UnicodeDecodeError as error:
                place = max(error.start - pending, 0)
                line += block[:place].count(b"\n")
                likely = _marked_encoding(path) or "cp1252"  # of Windows in the West
                return (
                    f"{path} is not {encoding}: byte {at + place} (line {line}) is "
                    f"0x{block[place]:02x}; set [data] encoding, for instance to {likely}."
                )
            at += len(block)
            line += block.count(b"\n")
    return f"{path} is not {encoding}: it ends within a character; is it cut off?"


def _marked_encoding(path: Path) -> str | None:
    """Return the encoding that a byte order mark of UTF-16 names, or None."""
    try:
        with open_bytes(path) as file:
            mark = file.read(2)
    except (EOFError, gzip.BadGzipFile, zlib.error):
        return None
    return "utf-16" if mark in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE) else None
