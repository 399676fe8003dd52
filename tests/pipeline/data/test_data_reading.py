"""Tables as people have them: each is read right, or refused with the setting that helps."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from cases import every_case
from mlproj import ingest
from mlproj.core.config import DataSettings, load_settings
from mlproj.core.errors import UserError
from mlproj.data import readers, schema, text_files, writers
from mlproj.data.cast import conform
from tables import mixed_table, run_data

LABELS = ["a", "b"]


def csv(header: str, rows: list[str]) -> str:
    """A CSV file with a label behind each row."""
    lines = [f"{row},{LABELS[at % 2]}" for at, row in enumerate(rows)]
    return "\n".join([f"{header},label", *lines]) + "\n"


def read(project: Any, *overrides: str) -> tuple[dict[str, Any], pd.DataFrame, list[str]]:
    """Ingest; return the columns by name, the typed table, and what was said."""
    report = ingest.ingest(project, load_settings(project, overrides))
    columns = {column.name: column for column in schema.load_schema(project).columns}
    return columns, pd.read_parquet(project.typed), report.facts["aloud"]


def test_money_percent_thousands_and_accounting_are_numbers(place: Any) -> None:
    rows = [
        f'"${row + 1000:,}.98",{row % 30}%,"{row + 35_000:,}",({row}.00)' for row in range(1, 121)
    ]
    columns, typed, aloud = read(place(csv("amount,rate,people,owed", rows)))
    assert [columns[name].type for name in ("amount", "rate", "people", "owed")] == [
        *("number", "number", "integer", "number")
    ]
    assert typed["amount"][0] == 1001.98 and typed["rate"][0] == 1
    assert typed["people"][0] == 35_001 and typed["owed"][0] == -1
    assert (columns["amount"].unit, columns["rate"].unit) == ("$", "%")
    assert "amount is read as numbers in $" in aloud
    assert any(note.startswith("people may be written in two ways") for note in aloud)


@pytest.mark.parametrize(("suffix", "delimiter"), [("csv", ";"), ("tsv", "\t"), ("csv", "|")])
def test_a_decimal_comma_is_found_by_column_under_any_delimiter(
    suffix: str, delimiter: str, place: Any
) -> None:
    rows = [
        delimiter.join((f"{row},5", f"{1 + row % 9}.{row:03d}", f"{row}.25", LABELS[row % 2]))
        for row in range(120)
    ]
    text = delimiter.join(("price", "pieces", "ratio", "label")) + "\n" + "\n".join(rows) + "\n"
    columns, typed, aloud = read(place(text, f"t.{suffix}"))
    assert typed["price"][3] == 3.5 and typed["pieces"][3] == 4003 and typed["ratio"][3] == 3.25
    assert columns["price"].decimal == "," and columns["ratio"].decimal is None
    assert any("pieces may be written in two ways: '1.000' is read as 1000" in n for n in aloud)


def test_a_schema_settles_how_a_column_is_written(place: Any) -> None:
    project = place(csv("x", [f'"{1 + row % 9},{row:03d}"' for row in range(120)]))
    _, typed, _ = read(project)
    assert typed["x"][0] == 1000
    text = project.schema_file.read_text(encoding="utf-8")
    line = next(line for line in text.splitlines() if "name: x" in line)
    edited = line.replace("type: integer", "type: number, decimal: ','").replace(
        "minimum: 0, maximum: 17984", "minimum: 0, maximum: 10"
    )
    assert edited != line
    project.schema_file.write_text(text.replace(line, edited), encoding="utf-8")
    _, typed, _ = read(project)
    assert typed["x"][0] == 1.0 and typed["x"][1] == 2.001


def test_none_and_na_are_values_of_a_column_of_words(place: Any) -> None:
    rows = [f"{('None', 'Minor', 'NA')[row % 3]},{row if row % 4 else ''}" for row in range(120)]
    columns, typed, _ = read(place(csv("damage,size", rows)))
    assert columns["damage"].categories == ("Minor", "NA", "None")
    assert columns["size"].type == "integer" and typed["size"].isna().sum() == 30
    columns, typed, _ = read(place(csv("damage,size", rows), data={"missing": "NA"}))
    assert columns["damage"].categories == ("Minor", "None")


def test_na_is_missing_in_words_where_numbers_or_dates_of_the_table_have_it(place: Any) -> None:
    """As R writes a table: `NA` in a measure, and so in the sex. A country stays a country."""
    rows = [
        f"{('m', 'f', 'NA', '')[row % 4]},{('DE', 'NA')[row % 2]},{('None', 'x')[row % 2]},"
        f"NA{row % 9 or ''},{'2024-01-31' if row > 1 else ('NA', '')[row]}"
        for row in range(120)
    ]
    project = place(csv("sex,country,kind,plate,day", rows))
    columns, typed, aloud = read(project)
    assert columns["sex"].categories == ("f", "m") and columns["sex"].missing == ("NA",)
    assert columns["sex"].nullable and typed["sex"].isna().sum() == 60
    assert columns["country"].categories == ("DE", "NA") and columns["country"].missing is None
    assert columns["kind"].categories == ("None", "x")
    assert "NA" not in columns["plate"].categories and typed["plate"].isna().sum() == 14
    assert [note for note in aloud if "'NA'" in note or "any other" in note] == [
        "sex: 'NA' counts as missing, in 30 rows, as in day; if it is a value, move it from "
        "missing to categories in data/schema.yaml; likewise plate",
        "read as values like any other: 'NA' in country (60 rows), 'None' in kind (60 rows); "
        "where they are missing values, list them in [data] missing in conf.cfg",
    ]
    # The schema that is kept reads the file alike.
    assert read(project)[1].equals(typed)
    exact = read(place(csv("sex,country,kind,plate,day", rows), data={"group": "sex"}))
    assert {*exact[1]["sex"].dropna()} == {"m", "f", "NA"}


def test_a_point_alone_is_missing_among_numbers(place: Any) -> None:
    rows = [f"{row if row % 5 else '.'},{row + 0.5 if row % 7 else '.'}" for row in range(60)]
    columns, typed, aloud = read(place(csv("a,b", rows)))
    assert (columns["a"].type, columns["b"].type) == ("integer", "number")
    assert (typed["a"].isna().sum(), typed["b"].isna().sum()) == (12, 9)
    assert "a: '.' counts as missing, in 12 rows; likewise b" in aloud


def test_what_is_said_of_many_columns_is_one_line_and_one_note_each(place: Any) -> None:
    names = [f"c{at}" for at in range(12)]
    header = f"{','.join(names)},d.1,d,t,u,label"
    rows = [
        f"{','.join(f'{row % 9 + 1}.{at + 100}' for at in range(12))},{row % 9 + 1}/2/24,"
        f"{row % 9 + 1}/3/2024,{row % 5}:30,{row % 7}:20,{LABELS[row % 2]}"
        for row in range(60)
    ]
    project = place("\n".join([header, *rows]) + "\n")
    _, _, aloud = read(project)
    assert [note for note in aloud if "its decimal" in note] == [
        "c0 may be written in two ways: '1.100' is read as 1.1; if it is 1100, set its decimal to "
        "',' in data/schema.yaml; likewise c1, c2, c3 and 8 more"
    ]
    assert len([note for note in aloud if "read as seconds" in note]) == 1
    # Other formats are another thing to say.
    assert len([note for note in aloud if "set its format to '%" in note]) == 2
    notes = schema.read_schema_file(project).notes
    assert len([note for note in notes if "its decimal" in note]) == 12
    assert read(project)[2] == [note for note in aloud if "positive class" not in note]


@every_case(
    ("first", "second"),
    [
        ("has the zone -03:00", "has the zone -04:00"),
        ("is read as of 1937-2036", "is read as of 1969-2068"),
        ("is read as numbers in m2", "is read as numbers in m3"),
        ("holds '?' (3)", "holds '-' (3)"),
        ("needs %d/%m/%Y", "needs %m/%d/%Y"),
    ],
)
def test_what_differs_by_more_than_its_example_stays_two_notes(first: str, second: str) -> None:
    assert ingest._grouped([f"a {first}", f"a b {second}"], {"a", "a b"}) == [
        f"a {first}",
        f"a b {second}",
    ]
    assert ingest._grouped([f"a {first}", f"a b {first}"], {"a", "a b"}) == [
        f"a {first}; likewise a b"
    ]


def test_a_column_that_is_mostly_numbers_is_noted_with_what_is_not(place: Any) -> None:
    odd = ["#DIV/0!", "missing", "n.a.", "?"]
    rows = [odd[row // 8 % 4] if row % 8 == 0 else f"{row}.5" for row in range(160)]
    columns, _, aloud = read(place(csv("x", rows)))
    assert columns["x"].type not in ("integer", "number")
    assert any("x holds numbers in 88% of its rows, but also '#DIV/0!' (" in note for note in aloud)
    assert any('set [data] missing = ["#DIV/0!", "missing", "n.a."]' in note for note in aloud)
    words = {"missing": '["#DIV/0!", "missing", "n.a.", "?"]'}
    columns, typed, _ = read(place(csv("x", rows), data=words))
    assert columns["x"].type == "number" and typed["x"].isna().sum() == 20


DATES = {
    "us": "%m/%d/%Y %I:%M %p",
    "short": "%m/%d/%y",
    "german": "%d.%m.%y",
    "words": "%b %d %Y",
    "long": "%A, %d %B %Y",
    "month": "%b-%y",
    "compact": "%Y%m%d",
    "offset": "%Y-%m-%d %H:%M:%S+02:00",
}


def test_dates_are_found_in_the_forms_that_people_use(place: Any) -> None:
    days = pd.date_range("2021-01-05", periods=120, freq="37h")
    table = pd.DataFrame({name: days.strftime(form) for name, form in DATES.items()})
    table["label"] = LABELS * 60
    columns, typed, _ = read(place(table))
    assert {name: columns[name].type for name in DATES} == dict.fromkeys(DATES, "datetime")
    for name in ("short", "german", "words", "long", "compact"):
        assert typed[name].equals(pd.Series(days.normalize()).astype("datetime64[us]")), name
    assert typed["us"].equals(pd.Series(days.floor("min")).astype("datetime64[us]"))
    assert typed["offset"].equals(pd.Series(days - pd.Timedelta("2h")).astype("datetime64[us]"))


def test_the_table_s_other_dates_settle_which_of_day_and_month_is_first(place: Any) -> None:
    rows = [f"{13 + row % 15}/01/2024,{1 + row % 9:02d}/0{1 + row % 8}/2024" for row in range(120)]
    columns, _, aloud = read(place(csv("sure,open", rows)))
    assert columns["open"].format == "%d/%m/%Y"
    assert any(note.startswith("open may be written in two ways: ") for note in aloud)
    assert any("since the table's other dates begin with the day" in note for note in aloud)


def test_whole_numbers_and_codes_pass_exactly(place: Any) -> None:
    rows = [f"{2**63 + row},{100_000 + row},{row * 7}" for row in range(1100)]
    rows += [f"{2**63 + 5000 + row},0{row:05d},{2**53 + row}" for row in range(60)]
    text = csv("long,zip,wide", rows)
    columns, typed, aloud = read(place(text, data={"id": "long"}))
    assert columns["long"].type == "string" and typed["long"].nunique() == 1160
    assert columns["zip"].type == "string" and typed["zip"][1103] == "000003"
    assert columns["wide"].type == "integer" and typed["wide"][1101] == 2**53 + 1
    _, typed, aloud = read(place(text))
    assert typed["long"].nunique() == 1160
    assert any("long is text, since only that keeps whole numbers" in note for note in aloud)


def test_an_id_that_is_missing_somewhere_leaves_the_others_exact(place: Any) -> None:
    rows = [f"{2**53 + row}" if row != 7 else "" for row in range(120)]
    for table in (
        csv("x", rows),
        pd.DataFrame({"x": pd.array([int(r) if r else None for r in rows], "Int64")}).assign(
            label=LABELS * 60
        ),
    ):
        name = "t.csv" if isinstance(table, str) else "t.parquet"
        columns, typed, _ = read(place(table, name))
        assert columns["x"].type == "integer" and typed["x"].dropna().nunique() == 119


def test_excel_keeps_long_ids_as_text(tmp_path: Path) -> None:
    frame = pd.DataFrame({"id": [2**60 + 1, 12], "prediction": ["a", "b"]})
    with writers.open_writer(tmp_path / "t.xlsx", "xlsx") as write:
        write(frame)
    back = pd.read_excel(tmp_path / "t.xlsx", dtype=object)
    assert list(back["id"]) == [str(2**60 + 1), 12]


def test_titles_comments_and_spaces_are_found_and_said(place: Any) -> None:
    text = "Sales report 2021\n# made by hand\n\n region , x,label \n"
    text += "".join(f"N,{row}.5,{LABELS[row % 2]}\n" for row in range(60)) + "Total,99,a\n"
    columns, typed, aloud = read(place(text))
    assert list(columns) == ["region", "x", "label"] and len(typed) == 61
    assert any("the column names stand in line 4" in note for note in aloud)
    assert any("'region' (written ' region ')" in note for note in aloud)
    assert any("the last row looks like a total ('Total')" in note for note in aloud)
    columns, _, _ = read(place(text, data={"header_row": 4}))
    assert list(columns) == ["region", "x", "label"]


def test_titles_that_delimiters_fill_up_are_no_header(place: Any) -> None:
    rows = [
        f"{row % 28 + 1:02d}.01.2024;1.2{row:02d},50 €;DE;x;{LABELS[row % 2]}" for row in range(60)
    ]
    text = "Report 2024;;;;\nCreated:;1.2.2024;;;\n\nday;price;land;;label\n" + "\n".join(rows)
    columns, typed, _ = read(place(text))
    assert list(columns) == ["day", "price", "land", "unnamed_4", "label"]
    assert typed["price"][1] == 1201.5 and columns["day"].type == "datetime"
    text = ",label\n" + "".join(f"{row}.5,{LABELS[row % 2]}\n" for row in range(60))
    assert list(read(place(text, "u.csv"))[0]) == ["unnamed_1", "label"]


def test_empty_columns_are_left_out_together(place: Any) -> None:
    project = place(csv("x,e1,e2,", [f"{row}.5,,," for row in range(60)]))
    columns, _, aloud = read(project)
    assert list(columns) == ["x", "label"]
    assert "left out, since no row has a value in it: e1, e2, unnamed_4" in aloud
    read(project)
    place(csv("x,e1,e2,", [f"{row}.5,,new," for row in range(60)]))
    with pytest.raises(UserError, match="column 'e2' is not in the schema"):
        read(project)


def test_utf_16_and_accents_in_two_spellings_are_read(place: Any) -> None:
    places = ("cafe\u0301", "caf\u00e9")
    rows = [f"{places[row % 2]},{row}" for row in range(60)]
    columns, _, aloud = read(place(csv("o\u0308rt,x", rows).encode("utf-16")))
    assert list(columns) == ["\u00f6rt", "x", "label"]
    assert columns["\u00f6rt"].categories == ("caf\u00e9",)
    assert "the file is utf-16, by the mark at its start" in aloud


def test_json_lists_of_objects_are_unfolded_and_lists_left_out(place: Any, tmp_path: Path) -> None:
    rows = [
        {"id": 2**60 + row, "home": {"city": "xy"[row % 2]}, "tags": [1], "label": LABELS[row % 2]}
        for row in range(60)
    ]
    rows[3]["id"] = None
    columns, typed, aloud = read(place(json.dumps(rows), "t.json"))
    assert list(columns) == ["id", "home.city", "label"]
    assert typed["id"].nunique() == 59 and typed["id"][4] == 2**60 + 4
    assert "left out, since they hold lists: tags" in aloud
    table = pa.table({"s": [{"a": 1, "l": [1]}] * 60, "label": LABELS * 30})
    pq.write_table(table, tmp_path / "u.parquet")
    columns, _, aloud = read(place((tmp_path / "u.parquet").read_bytes(), "t.parquet"))
    assert list(columns) == ["s.a", "label"] and "left out, since they hold lists: s.l" in aloud


def test_a_sheet_is_chosen_by_name(place: Any, tmp_path: Path) -> None:
    with pd.ExcelWriter(tmp_path / "b.xlsx") as book:
        pd.DataFrame({"note": ["read me"]}).to_excel(book, sheet_name="About", index=False)
        pd.DataFrame({"x": ["1.5"] * 60, "label": LABELS * 30}).to_excel(
            book, sheet_name="Data", index=False
        )
    content = (tmp_path / "b.xlsx").read_bytes()
    columns, _, _ = read(place(content, "t.xlsx", data={"sheet": "Data"}))
    assert columns["x"].type == "number"
    with pytest.raises(UserError, match="has no sheet 'Dada', which .* it has: About, Data"):
        read(place(content, "t.xlsx", data={"sheet": "Dada"}))
    assert readers.reading_notes(tmp_path / "b.xlsx", DataSettings()) == [
        "the sheet 'About' is read; [data] sheet names another: Data"
    ]


def test_every_source_gives_the_same_rows_and_types(place: Any, tmp_path: Path) -> None:
    table = mixed_table(200).drop(columns="when").round({"price": 4})
    table["size"] = table["size"].mask(table.index % 9 == 0).astype("Int64")
    table["money"] = [f"${row + 1000:,}.50" for row in range(200)]
    table["country"] = np.where(table.index % 4 == 0, "NA", "DE")
    with sqlite3.connect(tmp_path / "t.db") as connection:
        table.to_sql("t", connection, index=False)
    records = json.loads(table.to_json(orient="records", double_precision=15))
    sources: dict[str, Any] = {
        "a.csv": table,
        "b.tsv": table,
        "c.csv": table.to_csv(index=False, sep=";"),
        "d.jsonl": table,
        "e.json": json.dumps(records),
        "f.parquet": table,
        "g.xlsx": table,
    }
    found = {}
    for name, content in sources.items():
        found[name] = read(place(content, name))[:2]
    project = place("", data={"source": "sqlite:///t.db", "query": "t"})
    found["sqlite"] = read(project)[:2]
    first = found["a.csv"]
    for name, (columns, typed) in found.items():
        assert columns == first[0], name
        assert typed.drop(columns="_row").equals(first[1].drop(columns="_row")), name
        assert typed["_row"].equals(first[1]["_row"]), name


def test_a_new_time_gets_its_calendar_from_a_schema_that_is_kept_too(place: Any) -> None:
    rows = [f"{row},2024-01-{1 + row % 28:02d},2023-02-{1 + row % 28:02d}" for row in range(60)]
    table = csv("x,sent,paid", rows)
    project = place(table)
    run_data(project)
    text = project.schema_file.read_text(encoding="utf-8")
    edited = text.replace("name: paid, ", "name: paid, parts: [year, month], ") + "# ours\n"
    edited = edited.replace("maximum: 118", "maximum: 200")
    assert edited.count("maximum: 200") == edited.count("parts: [year") == 1
    project.schema_file.write_text(edited, encoding="utf-8")
    columns, _, aloud = read(project)
    assert columns["sent"].parts is None and not any("orders the rows" in note for note in aloud)
    columns, _, aloud = read(place(table, data={"time": "sent"}))
    assert columns["x"].maximum == 200 and columns["sent"].parts == ("month", "weekday", "hour")
    assert [note.split(",")[0] for note in aloud if "calendar" in note or "orders" in note] == [
        "sent orders the rows"
    ]
    columns, _, aloud = read(place(table, data={"time": "paid"}))
    assert columns["paid"].parts == ("month",)  # of what somebody chose
    # A time that was there keeps its rule, and nothing is said of it.
    text = project.schema_file.read_text(encoding="utf-8")
    assert ", parts: [month]" in text
    project.schema_file.write_text(text.replace(", parts: [month]", ""), encoding="utf-8")
    columns, _, aloud = read(place(table, data={"time": "paid"}))
    assert columns["paid"].parts is None and not any("orders the rows" in note for note in aloud)
    columns, _, aloud = read(place(table, data={"time": "x"}))  # numbers have no calendar
    assert columns["x"].parts is None and not any("orders the rows" in note for note in aloud)


def test_a_renamed_source_is_held_against_the_schema_that_is_there(place: Any) -> None:
    table = mixed_table()
    project = place(table, "june.csv")
    run_data(project)
    table.loc[3, "price"] = 9_999
    place(table, "july.csv")
    with pytest.raises(UserError, match="column 'price', row 4: 9999 is above"):
        run_data(project)
    table.loc[3, "price"] = 100
    place(table, "july.csv")
    _, _, aloud = read(project)
    assert any("data/schema.yaml was made for june.csv and is kept" in note for note in aloud)
    other = pd.DataFrame({"weight": range(60), "label": LABELS * 30})
    columns, _, _ = read(place(other, "other.csv"))
    assert list(columns) == ["weight", "label"]


def test_a_column_may_have_any_name(place: Any) -> None:
    rows = [f"e\u0301{row % 3},{row}" for row in range(60)]
    columns, typed, _ = read(place(csv("self,frame", rows)))
    assert columns["self"].categories == ("\u00e90", "\u00e91", "\u00e92")
    assert typed["frame"][7] == 7


def test_spaces_around_values_are_no_part_of_them_nor_are_quotes_behind_spaces(place: Any) -> None:
    rows = [f'{" " * (row % 3)}yes{row % 2} ,   "U""S{row % 2}", {row} ' for row in range(60)]
    columns, typed, _ = read(place(csv("answer,country,size", rows)))
    assert columns["answer"].categories == ("yes0", "yes1")
    assert columns["country"].categories == ('U"S0', 'U"S1')
    assert typed["size"][7] == 7


def test_spaces_alone_are_a_missing_value(place: Any) -> None:
    rows = [f"{'  ' if row % 4 == 0 else f'v{row % 2}'},{row}" for row in range(60)]
    columns, typed, _ = read(place(csv("word,x", rows)))
    assert columns["word"].categories == ("v0", "v1") and typed["word"].isna().sum() == 15


def test_ids_and_groups_keep_spaces(place: Any) -> None:
    rows = [f" k{row} ,{row % 5:>4}" for row in range(60)]
    project = place(csv("key,house", rows), data={"id": "key", "group": "house"})
    _, typed, _ = read(project)
    assert typed["key"][7] == " k7 "


@pytest.mark.parametrize(
    "above",
    [
        "# made by a program\n# on Monday, by night\n",
        "# on Monday, by night, again\n",
        "#one\n#two\n",
    ],
)
def test_comments_above_the_header_are_passed_over_and_said(above: str, place: Any) -> None:
    rows = [f"{row},{row % 3}" for row in range(60)]
    columns, typed, aloud = read(place(above + csv("a,b", rows)))
    assert set(columns) == {"a", "b", "label"} and typed["a"][7] == 7
    assert any("what is above" in note for note in aloud)


def test_a_header_may_begin_with_a_hash(place: Any) -> None:
    rows = [f"{row},{row % 3}" for row in range(60)]
    columns, _, _ = read(place("# comment\n" + csv("#a,b", rows)))
    assert set(columns) == {"#a", "b", "label"}


def test_excel_may_name_the_delimiter_in_a_line_of_its_own(place: Any) -> None:
    # Commas alone would divide each line alike, too.
    rows = [f"{row},5;{row % 3},5;{LABELS[row % 2]}" for row in range(60)]
    text = "\n".join(["sep=;", "a, in kg;b, in cm;label", *rows]) + "\n"
    columns, typed, _ = read(place(text))
    assert columns["b, in cm"].decimal == "," and typed["b, in cm"][1] == 1.5


def test_a_delimiter_at_the_end_of_each_row_is_an_empty_column(place: Any) -> None:
    text = "a,label\n" + "".join(f"{row},{LABELS[row % 2]},\n" for row in range(300))
    columns, typed, aloud = read(place(text))
    assert set(columns) == {"a", "label"} and len(typed) == 300
    assert "left out, since no row has a value in it: unnamed_3" in aloud


def test_a_value_behind_the_last_delimiter_is_refused(place: Any) -> None:
    rows = [f"{row},{LABELS[row % 2]},{'x' if row == 30 else ''}" for row in range(60)]
    with pytest.raises(UserError, match="line 2, has 3 fields, but the header names 2 columns"):
        read(place("a,label\n" + "\n".join(rows) + "\n"))


@pytest.mark.parametrize(
    ("header", "is_said"),
    [("0.5,07,label", True), ("1990,1991,label", False), ("a,0.5,label", False)],
)
def test_a_header_that_looks_like_values_is_said(header: str, is_said: bool, place: Any) -> None:
    rows = "".join(f"{row}.5,0{row % 7},{LABELS[row % 2]}\n" for row in range(60))
    _, _, aloud = read(place(f"{header}\n{rows}"))
    assert any("look like values" in note for note in aloud) is is_said


def test_a_column_of_na_alone_is_empty(place: Any) -> None:
    columns, _, aloud = read(place(csv("a,b", [f"{row},NA" for row in range(60)])))
    assert "b" not in columns
    assert "left out, since no row has a value in it: b" in aloud


def test_a_word_that_may_spell_a_missing_value_is_said_where_it_is_a_value(place: Any) -> None:
    rows = [
        f"{'NA' if row % 6 == 0 else 'm'},{'' if row == 7 else '2024-01-31'}" for row in range(60)
    ]
    columns, _, aloud = read(place(csv("sex,day", rows)))
    assert columns["sex"].categories == ("NA", "m") and columns["day"].type == "datetime"
    assert [note for note in aloud if "values like any other" in note] == [
        "read as values like any other: 'NA' in sex (10 rows); where they are missing values, list "
        "them in [data] missing in conf.cfg"
    ]


@pytest.mark.parametrize("value", ["{0}:{1}", "P", "1.{1}.3", "{0}/10"])
def test_other_marks_between_digits_are_no_times(value: str, place: Any) -> None:
    rows = [value.format(row % 2, row % 10) for row in range(60)]
    columns, _, aloud = read(place(csv("ratio", rows)))
    assert columns["ratio"].format is None and not any("seconds" in note for note in aloud)


@pytest.mark.parametrize("ends", ["\r", "\r\n", "\n"])
def test_every_line_end_is_read(ends: str, place: Any) -> None:
    text = csv("a,b", [f"{row},x{row % 3}" for row in range(60)])
    columns, typed, _ = read(place(text.replace("\n", ends)))
    assert columns["b"].categories == ("x0", "x1", "x2") and typed["a"][59] == 59


def test_one_value_throughout_and_a_very_long_line_are_read(place: Any) -> None:
    long = "z" * 6_000_000
    rows = [f"7,{long if row == 7 else 'z'}" for row in range(100_000)]
    _, typed, _ = read(place(csv("a,b", rows)))
    assert (typed["a"] == 7).all() and len(typed["b"][7]) == 6_000_000


# ----------------------------------------------------------------------------- files in many blocks

FLOATS = [f"{row / 4 - 20}" for row in range(200)]
TYPES = {"float64": "number", "int64": "integer", "Int64": "integer"}
WHOLE = [str(row * 7 - 300) for row in range(200)]


def with_late(values: list[str], late: str, row: int = 150) -> list[str]:
    """The values, with another one in a late row."""
    return [*values[:row], late, *values[row + 1 :]]


@every_case(
    ("values", "kind"),
    [
        (FLOATS, "float64"),
        (WHOLE, "int64"),
        (["", *FLOATS[1:]], "float64"),
        (["", *WHOLE[1:]], "Int64"),
        ([""] * 200, "object"),
        ([*[""] * 100, *FLOATS[100:]], "float64"),
        ([*[""] * 100, *WHOLE[100:]], "Int64"),
        ([*FLOATS[:199], ""], "float64"),
        ([*WHOLE[:199], ""], "Int64"),
        (with_late(FLOATS, "NA"), "str"),
        (with_late(WHOLE, "NA"), "str"),
        (with_late(WHOLE, "007"), "str"),
        (with_late(WHOLE, "-007"), "str"),
        (with_late(WHOLE, "0x10"), "str"),
        (with_late(WHOLE, "1.5"), "float64"),
        (with_late(WHOLE, "9007199254740993"), "int64"),
        (with_late(WHOLE, "9223372036854775808"), "str"),
        (with_late(FLOATS, "9007199254740993"), "str"),
        (with_late(FLOATS, "1e300"), "float64"),
        (with_late(FLOATS, "-9007199254740993"), "str"),
        (["1e300", *with_late(FLOATS, "1234567890123456")], "str"),
        (with_late(FLOATS, "nan"), "float64"),
        (with_late(FLOATS, "007"), "float64"),
        (["1.234"] * 200, "str"),
        (with_late(["1.234"] * 200, "1.5"), "float64"),
        (with_late(["5", "+7"] * 100, "-3"), "str"),
        (["+5000", "3000"] * 100, "str"),
        (["0x10"] * 200, "str"),
        (with_late(["red"] * 200, "1"), "str"),
        ([f"{row}.5" for row in range(200)] * 20, "float64"),
        ([f"{row * 1e9}" for row in range(100)] + ["1.5"] * 4000, "float64"),
    ],
    ids=lambda case: f"{case[0][0]!r} ... {case[0][150]!r} is {case[1]}",
)
def test_every_row_decides_whether_a_column_is_plain_numbers(
    values: list[str], kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "t.csv"
    rows = "".join(f"{row},{value},{row}.5\n" for row, value in enumerate(values))
    path.write_text(f"key,x,other\n{rows}", encoding="utf-8")
    whole = text_files.read_csv(path, "csv", DataSettings(), ())
    monkeypatch.setattr(text_files, "BLOCK", 256)
    frame = text_files.read_csv(path, "csv", DataSettings(), ())
    pd.testing.assert_frame_equal(frame, whole)
    assert frame["x"].dtype == kind
    assert (frame["key"].dtype, frame["other"].dtype) == ("int64", "float64")
    assert frame["key"].tolist() == list(range(len(values)))
    if kind in ("str", "object"):
        assert frame["x"].fillna("").tolist() == values
    else:
        truth = [np.nan if value == "" else float(value) for value in values]
        read = frame["x"].astype("float64").to_numpy(na_value=np.nan)
        np.testing.assert_array_equal(read, truth)
    # Pieces are held against a schema, and come out as the whole does.
    types = {"key": "integer", "x": TYPES.get(kind, "string"), "other": "number"}
    columns = tuple(schema.Column(name, types[name], True) for name in types)
    known = schema.Schema(columns, "t.csv")
    expected = conform(readers.read_table(path, schema=known), known, where="t")
    pieces = readers.iter_tables(path, 30, schema=known)
    conformed = [conform(piece, known, where="t") for piece in pieces]
    pd.testing.assert_frame_equal(
        pd.concat(conformed, ignore_index=True), expected, check_dtype=False
    )


def test_text_columns_of_conf_stay_text_in_every_block(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "t.csv"
    path.write_text("x,y\n" + "".join(f"{row}.50,{row}\n" for row in range(200)), encoding="utf-8")
    monkeypatch.setattr(text_files, "BLOCK", 256)
    frame = text_files.read_csv(path, "csv", DataSettings(), ("x", "y"))
    assert frame["x"].tolist() == [f"{row}.50" for row in range(200)]
    assert frame["y"].tolist() == [str(row) for row in range(200)]


def test_ids_keep_a_plus_and_a_sign_of_hexadecimal(place: Any) -> None:
    rows = [f"+49{row + 100_000},0x{row:04x},+{row + 5000}" for row in range(60)]
    columns, typed, _ = read(place(csv("phone,code,change", rows), data={"id": "phone, code"}))
    assert columns["phone"].type == columns["code"].type == "string"
    assert typed["phone"][1] == "+49100001" and typed["code"][1] == "0x0001"
    assert columns["change"].type == "integer" and typed["change"][1] == 5001


# --------------------------------------------------------------- spaces between columns; row names


def laid_out(header: str, rows: list[str]) -> str:
    """A file of these lines."""
    return "\n".join([header, *rows]) + "\n"


@every_case(
    ("text", "names", "first"),
    [
        (
            laid_out(
                "  id name      x", [f"{row:>4} {LABELS[row % 2]:<8}{row}.25" for row in range(60)]
            ),
            ["id", "name", "x"],
            [0, "a", 0.25],
        ),
        (
            laid_out(
                '"mpg" "kind of car"', [f'"Car {row}" {row}.5 "{row} doors"' for row in range(60)]
            ),
            ["unnamed_1", "mpg", "kind of car"],
            ["Car 0", 0.5, "0 doors"],
        ),
        (
            laid_out('"mpg","n"', [f'"Car {row}",{row}.5,{row}' for row in range(60)]),
            ["unnamed_1", "mpg", "n"],
            ["Car 0", 0.5, 0],
        ),
        (
            laid_out("a b c", [f"{row},5 {row}\t{row},25 " for row in range(60)]),
            ["a", "b", "c"],
            ["0,5", 0, "0,25"],
        ),
        (
            laid_out("id,full name", [f"{row},Ann Lee" for row in range(60)]),
            ["id", "full name"],
            [0, "Ann Lee"],
        ),
        (laid_out("full name", ["Ann Lee", "Bo Ek"] * 30), ["full name"], ["Ann Lee"]),
        (laid_out("text", [f"{row} times" for row in range(60)]), ["text"], ["0 times"]),
        (
            laid_out("a b", ["1 2", "", "3 4"] * 30),
            ["a", "b"],
            [1, 2],
        ),
    ],
    ids=lambda case: repr(case[0][:20]),
)
def test_spaces_between_columns_and_row_names_are_found(
    text: str, names: list[str], first: list[Any], tmp_path: Path
) -> None:
    for encoding, suffix in (("utf-8", "csv"), ("utf-16", "txt")):
        path = tmp_path / f"t.{suffix}"
        path.write_text(text, encoding=encoding)
        frame = readers.read_table(path)
        assert list(frame.columns) == readers.column_names(path) == names
        assert frame.iloc[0].tolist() == first
        pieces = pd.concat(readers.iter_tables(path, 7), ignore_index=True)
        pd.testing.assert_frame_equal(pieces, frame)
        notes = " ".join(readers.reading_notes(path, DataSettings()))
        assert ("row names" in notes) is (names[0] == "unnamed_1")
        assert ("runs of spaces" in notes) is (len(names) > 1 and "," not in text.split("\n")[0])


def test_a_file_that_spaces_divide_may_have_many_lines(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(text_files, "BLOCK", 256)
    path = tmp_path / "t.csv"
    path.write_text(laid_out("a b", [f"{row} {row}.5" for row in range(3000)]), encoding="utf-8")
    frame = readers.read_table(path)
    assert frame["a"].tolist() == list(range(3000)) and frame["b"].sum() == 4_500_000


def test_a_delimiter_that_divides_the_header_goes_before_spaces(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text(laid_out("id,unit price", ["x,per 5", "y,per 6"] * 30), encoding="utf-8")
    assert readers.column_names(path) == ["id", "unit price"]


def test_spaces_divide_what_conf_says_they_do(place: Any) -> None:
    rows = [f"{LABELS[row % 2]}  x  {LABELS[row % 2]}" for row in range(60)]
    text = laid_out("one two label", rows)
    with pytest.raises(UserError, match="no column 'label'"):
        read(place(text))
    columns, _, _ = read(place(text, data={"delimiter": "spaces"}))
    assert set(columns) == {"one", "two", "label"}
    notes = readers.reading_notes(place(text).root / "t.csv", DataSettings())
    assert any("set [data] delimiter = spaces" in note for note in notes)


@every_case(
    ("line", "problem"),
    [
        ("1 2 3", "line 302, has 3 fields, but the header names 2 columns"),
        ("1", "line 302, has 1 fields, but the header names 2 columns"),
        ('1 "x\ny z"', "line 302, opens a quote that it does not close"),
    ],
)
def test_a_line_that_spaces_divide_otherwise_is_refused(
    line: str, problem: str, tmp_path: Path
) -> None:
    path = tmp_path / "t.csv"
    path.write_text(laid_out("a b", [*["1 2"] * 300, line, "1 2"]), encoding="utf-8")
    with pytest.raises(UserError, match=problem):
        readers.read_table(path)


@every_case("row", ["1,2,3", "1,2,", ",2,3"])
def test_a_longer_row_without_a_name_of_its_own_is_refused(row: str, tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text(laid_out("a,b", [row, "1,2,3"]), encoding="utf-8")
    with pytest.raises(UserError, match="line 2, has 3 fields"):
        readers.read_table(path)


def test_what_stands_behind_a_number_is_no_unit_if_it_is_long(place: Any) -> None:
    rows = [f"{row} Stück,{row} abcdefghijkl,{row} abcdefghijklm" for row in range(60)]
    columns, _, _ = read(place(csv("short,just,long", rows)))
    assert [columns[name].unit for name in ("short", "just")] == ["Stück", "abcdefghijkl"]
    assert columns["long"].type == "string"
