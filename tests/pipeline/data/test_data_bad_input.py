"""What bad data says: one sentence each, and nothing changes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from mlproj.core.errors import UserError
from mlproj.data import schema
from tables import GOOD, everything, mixed_table, run_data


def long_numbers(rows: int, slip: int) -> str:
    """A CSV whose number column holds a word in one row."""
    lines = [f"{row * 0.5},{row % 2}" for row in range(1, rows + 1)]
    lines[slip - 1] = "oops,1"
    return "x,label\n" + "\n".join(lines) + "\n"


def bad(name: str, table: str | bytes, expected: str, file: str = "t.csv", **data: str) -> Any:
    """A table that is refused, settings of [data], and a part of the sentence."""
    return pytest.param(table, file, data, expected, id=name)


DAYS = "d,label\n" + "".join(f"2024-01-{1 + row % 28:02d},{'ab'[row % 2]}\n" for row in range(200))
PRICES = "x,label\n" + "".join(f"{row},{row}.25\n" for row in range(50))
NAMES = "x,label\n" + "".join(f"{row},name-{row}\n" for row in range(50))
BAD_INPUT = [
    bad("empty file", "", "is empty"),
    bad("header only", "x,label\n", "no row"),
    bad("one row", "x,label\n1,a\n", "has 1 row;"),
    bad("blank header", "\n\n", "no column names"),
    bad("no such target", GOOD.replace("label", "lable"), "close to it: 'lable'"),
    bad("no target set", GOOD, "target is not set", target=""),
    bad("constant target", GOOD.replace("b\n", "a\n"), "is 'a' in all 40 rows"),
    bad(
        "no target", GOOD.replace(",a", ",").replace(",b", ","), "'label' has no value in any of 40"
    ),
    bad("duplicate names", "x,x,label\n1,2,a\n3,4,b\n5,6,a\n", "2 columns named 'x'"),
    bad(
        "all missing", GOOD.replace("x,", "x,z,").replace(".5,", ".5,,"), "'z' has no value", id="z"
    ),
    bad("text in row 70,000", long_numbers(99_999, 70_000), "row 70,000: 'oops'"),
    bad("rare placeholder", GOOD.replace("\n7.5", "\n?"), "'?' is not a finite number"),
    bad("wrong encoding", GOOD.encode() + "é,a\n".encode("latin-1"), "is not utf-8: byte"),
    bad("unknown encoding", GOOD, "not a known encoding", encoding="klingon"),
    bad("long line", GOOD.replace("7.5,b", "7.5,b,c"), "line 9, has 3 fields"),
    bad("long first line", GOOD.replace("0.5,a", "0.5,a,c", 1), "line 2, has 3 fields"),
    bad("short line", GOOD.replace("\n7.5,b", "\n7.5"), "line 9, has 1 fields"),
    bad("open quote", GOOD + '"3,a\n', "quote that it never closes"),
    bad("infinite", GOOD.replace("\n7.5", "\ninf"), "row 8: inf is not a finite number"),
    bad("overflow", GOOD.replace("\n7.5", "\n1e999"), "inf is not a finite number"),
    bad("bad date", DAYS + "2024-02-31,a\n", "row 201: '2024-02-31' is not a date"),
    bad(
        "time is words",
        GOOD.replace("7.5", "x").replace(".5", "st"),
        "cannot be read as dates",
        time="x",
    ),
    bad("many numbers as classes", PRICES, "= regression"),
    bad("ids as classes", NAMES, "too many"),
    bad("reserved name", GOOD.replace("x,", "_row,"), "'_row'"),
    bad("unknown suffix", GOOD, "use one of .csv", file="t.data"),
    bad("no Parquet", b"PAR1 no", "cannot be read as Parquet", file="t.parquet"),
    bad("no Excel", b"PK no", "cannot be read as Excel", file="t.xlsx"),
    bad("not JSON", '{"x": 1, "label": "a"}\n{"x": \n', "line 2, is not JSON", file="t.jsonl"),
    bad("JSON words", '["x", "label"]', "value 1, is not a JSON object", file="t.json"),
    bad("NUL", GOOD.replace("\n7.5", "\n7\0"), "the character NUL, as in '7\\0'"),
    bad("cut-off gzip", b"\x1f\x8b\x08\x00abc", "t.csv.gz", file="t.csv.gz"),
    bad("no such role", GOOD, "[data] group", group="shop"),
    bad("target is id", GOOD, "is also [data] id", id="label"),
    bad("missing file", GOOD, "close to it: 't.csv'", source="tt.csv"),
    bad("unknown scheme word", GOOD, "choose one of", source="pigeon:t"),
    bad("missing secret", GOOD, "NO_SUCH_SECRET_HERE", source="env:NO_SUCH_SECRET_HERE"),
    bad("no such set", GOOD, "use one of breast_cancer", source="sklearn:flowers"),
    bad("bad sample", GOOD, "sample:ROWS", source="sample:many"),
    bad("a folder", GOOD, "is a folder", source="."),
]


@pytest.mark.parametrize(("table", "file", "data", "expected"), BAD_INPUT)
def test_bad_input_is_one_sentence_and_changes_nothing(
    table: str | bytes,
    file: str,
    data: dict[str, str],
    expected: str,
    place: Any,
    tmp_path: Path,
) -> None:
    project = place(mixed_table(60), "good.csv")
    run_data(project)
    before = everything(tmp_path)
    project = place(table, file, data=data)
    with pytest.raises(UserError) as caught:
        run_data(project)
    message = str(caught.value)
    assert expected in message
    assert message.endswith(".") and "\n" not in message and "Traceback" not in message
    assert everything(tmp_path) == before


def test_the_same_violation_everywhere_is_listed_with_count_and_rows(place: Any) -> None:
    table = mixed_table()
    project = place(table)
    run_data(project)
    table.loc[[3, 5, 8], "price"] = 1e9
    table.loc[[2], "colour"] = "mauve"
    table.loc[[9], "size"] = np.nan
    project = place(table)
    with pytest.raises(UserError) as caught:
        run_data(project)
    message = str(caught.value)
    assert "has 3 violations" in message and "`ingest --infer`" in message
    assert "column 'price', row 4: 1000000000 is above" in message
    assert "(3 rows: 4, 6, 9)" in message
    assert "column 'colour', row 3: 'mauve' is not one of blue, green, red" in message
    assert "column 'size', row 10" in message


def test_a_mostly_number_column_can_be_declared_text_or_cleaned(place: Any) -> None:
    text = GOOD.replace("\n7.5", "\n?")
    run_data(place(text, data={"missing": "?"}))
    project = place(text, data={"text": "x"})
    run_data(project)
    assert schema.load_schema(project).column("x").type == "string"
