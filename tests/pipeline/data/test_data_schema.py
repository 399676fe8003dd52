"""The schema: inferred, edited by people, and held against."""

from __future__ import annotations

import json
from typing import Any

import pandas as pd
import pytest
from mlproj import ingest
from mlproj.core.config import load_settings
from mlproj.core.errors import UserError
from mlproj.data import cast, schema, split
from mlproj.data.infer import widen
from mlproj.data.sample import sample_table
from tables import ROWS, members, mixed_table, run_data


def test_types_are_inferred_from_all_rows(place: Any) -> None:
    project = place(mixed_table(), data={"id": "key", "time": "when"})
    run_data(project)
    types = {column.name: column.type for column in schema.load_schema(project).columns}
    assert types == {
        "key": "string", "when": "datetime", "shop": "string", "size": "integer",
        "price": "number", "colour": "category", "member": "boolean", "note": "text",
        "label": "category",
    }  # fmt: skip
    names = [column.name for column in schema.load_schema(project).features]
    assert names == ["when", "shop", "size", "price", "colour", "member", "note"]


@pytest.mark.parametrize(
    ("written", "type", "format"),
    [
        ("2024-03-{day:02d}", "datetime", None),
        ("2024-03-{day:02d}T10:00:00+02:00", "datetime", None),
        ("{day:02d}.03.2024", "datetime", "%d.%m.%Y"),
        ("03/{day:02d}/2024", "datetime", "%m/%d/%Y"),
        ("{day:02d}/03/2024 12:30", "datetime", "%d/%m/%Y %H:%M"),
        ("{day} Mar 2024", "datetime", "%d %b %Y"),
        ("0{day:02d}", "string", None),
        ("part-{day}", "string", None),
    ],
)
def test_dates_are_read_strictly(written: str, type: str, format: str | None, place: Any) -> None:
    rows = [f"{written.format(day=1 + row % 28)},{row},{'ab'[row % 2]}" for row in range(56)]
    project = place("d,x,label\n" + "\n".join(rows) + "\n")
    run_data(project, "features.max_categories=10")
    column = schema.load_schema(project).column("d")
    assert (column.type, column.format) == (type, format)


def test_the_reading_of_ambiguous_dates_is_changed_in_the_schema(place: Any) -> None:
    rows = [f"{1 + row % 12:02d}/{1 + row % 7:02d}/2024,{'ab'[row % 2]}" for row in range(100)]
    project = place("d,label\n" + "\n".join(rows) + "\n")
    run_data(project)
    text = project.schema_file.read_text(encoding="utf-8")
    assert "set its format to '%m/%d/%Y' in data/schema.yaml" in text
    assert pd.read_parquet(project.typed)["d"][8] == pd.Timestamp("2024-02-09")
    text = text.replace("format: '%d/%m/%Y'", "format: '%m/%d/%Y'")
    project.schema_file.write_text(text, encoding="utf-8", newline="\n")
    run_data(project)
    assert pd.read_parquet(project.typed)["d"][8] == pd.Timestamp("2024-09-02")


def test_codes_with_leading_zeros_stay_text(place: Any) -> None:
    rows = [f"{row % 50:05d},{row},{'ab'[row % 2]}" for row in range(200)]
    project = place("zip,x,label\n" + "\n".join(rows) + "\n")
    run_data(project)
    assert "00007" in members(project, "zip")["train"]


def test_bounds_are_wider_than_what_was_seen() -> None:
    assert widen(18, 90, whole=True) == (0, 162)
    assert widen(-1.0, 1.0, whole=False) == (-3.0, 3.0)
    assert widen(-5.0, 0.0, whole=False) == (-10.0, 0.0)
    assert widen(7, 7, whole=True) == (0, 14)


def test_an_unedited_schema_follows_a_new_source_and_the_old_one_is_kept(place: Any) -> None:
    project = place(mixed_table())
    run_data(project)
    old = project.schema_file.read_text(encoding="utf-8")
    place(sample_table(300), "other.parquet", data={"target": "churned"})
    run_data(project)
    assert schema.load_schema(project).names[0] == "customer_id"
    assert (project.data / "schema.old.yaml").read_text(encoding="utf-8") == old


def test_an_edited_schema_is_never_replaced_unasked(place: Any) -> None:
    project = place(mixed_table())
    run_data(project)
    edited = project.schema_file.read_text(encoding="utf-8").replace("type: text", "type: string")
    edited += "# Notes are short: Ada\n"
    project.schema_file.write_text(edited, encoding="utf-8")
    run_data(project)
    assert schema.load_schema(project).column("note").type == "string"
    assert project.schema_file.read_text(encoding="utf-8") == edited
    place(sample_table(300), "other.parquet", data={"target": "churned"})
    with pytest.raises(UserError, match="ingest --infer"):
        ingest.ingest(project, load_settings(project))
    assert project.schema_file.read_text(encoding="utf-8") == edited
    ingest.ingest(project, load_settings(project), infer=True)
    assert schema.load_schema(project).target.name == "churned"
    assert (project.data / "schema.old.yaml").read_text(encoding="utf-8") == edited


def test_columns_that_name_the_rows_are_left_out_and_said(place: Any) -> None:
    project = place(mixed_table().assign(number=range(ROWS)))
    run_data(project)
    text = project.schema_file.read_text(encoding="utf-8")
    assert "# Note: left out, since each row has another value: key, number; " in text
    found = schema.load_schema(project)
    assert [column.name for column in found.having("name")] == ["key", "number"]
    assert not {"key", "number"} & {column.name for column in found.features}
    run_data(project, "data.id=key", "data.keep=number")
    found = schema.load_schema(project)
    assert found.column("key").roles == ("id",) and found.column("number") in found.features
    assert "left out" not in project.schema_file.read_text(encoding="utf-8")


def test_an_edited_schema_keeps_what_names_the_rows_unless_it_is_to_be_learnt(place: Any) -> None:
    project = place(mixed_table().assign(number=range(ROWS)))
    run_data(project)
    text = project.schema_file.read_text(encoding="utf-8").replace("type: text", "type: string")
    project.schema_file.write_text(text, encoding="utf-8")
    run_data(project, "data.sensitive=key")
    assert schema.load_schema(project).column("key").roles == ("sensitive", "ignore", "name")
    run_data(project, "data.keep=key")
    assert schema.load_schema(project).column("key").roles == ()
    taken_back = text.replace(", roles: [ignore, name]", "")
    project.schema_file.write_text(taken_back, encoding="utf-8")
    run_data(project)
    assert schema.load_schema(project).having("name") == ()


def test_roles_follow_the_settings_even_in_an_edited_schema(place: Any) -> None:
    project = place(mixed_table())
    run_data(project)
    edited = project.schema_file.read_text(encoding="utf-8").replace("type: text", "type: string")
    project.schema_file.write_text(edited, encoding="utf-8")
    run_data(project, "data.sensitive=colour", "data.ignore=note")
    columns = schema.load_schema(project)
    assert columns.column("colour").roles == ("sensitive",)
    assert columns.column("note").roles == ("ignore",)


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("type: text", "type: novel", "type is 'novel'"),
        ("nullable: false", "nullable: perhaps", "nullable has to be"),
        ("['no', 'yes']", "[no, yes]", "into quotes"),
        ("columns:", "colums:", "no list of columns"),
        ("{name: size", "{name: price", "2 columns named 'price'"),
        ("{name: size", "{name: [size", "cannot be read"),
        ("type: text", "type: text, colour: red", "'colour' is unknown"),
        ("type: text", "type: text, minimum: 1", "for integer or number"),
        ("type: text", "type: number, maximum: yes", "maximum is 'True'"),
    ],
)
def test_a_broken_schema_is_one_sentence(old: str, new: str, expected: str, place: Any) -> None:
    project = place(mixed_table())
    run_data(project)
    text = project.schema_file.read_text(encoding="utf-8")
    assert old in text
    project.schema_file.write_text(text.replace(old, new), encoding="utf-8")
    with pytest.raises(UserError, match="schema.yaml") as caught:
        run_data(project)
    assert expected in str(caught.value)


def test_conform_returns_a_fitting_table_as_it_is(place: Any) -> None:
    project = place(mixed_table())
    run_data(project)
    train = split.load_split(project, "train")
    known = schema.load_schema(project)
    assert cast.conform(train, known, where="t") is train
    assert schema.Schema.from_dict(json.loads(json.dumps(known.to_dict()))) == known


def test_conform_for_prediction_needs_only_features(place: Any) -> None:
    project = place(mixed_table(), data={"id": "key", "time": "when"})
    run_data(project)
    known = schema.load_schema(project)
    frame = split.load_split(project, "test").drop(columns=["label", "when", "key"])
    assert list(cast.conform(frame, known, where="t", target=False)) == list(frame)
    words = frame.assign(size=frame["size"].astype(str), member=frame["member"].map(str))
    typed = cast.conform(words, known, where="t", target=False)
    pd.testing.assert_frame_equal(typed, frame)
    with pytest.raises(UserError, match="column 'size', row 103: 'much' is not a whole number"):
        words.iloc[2, words.columns.get_loc("size")] = "much"
        cast.conform(words, known, where="t", target=False, first_row=101)
    with pytest.raises(UserError, match="column 'extra' is not in the schema"):
        cast.conform(frame.assign(extra=1), known, where="t", target=False)


def test_all_that_cannot_be_cast_is_one_violation_and_becomes_missing() -> None:
    given = pd.Series(["7", "x", None, "1.5", "inf"], name="size", dtype="str")
    typed, violation = cast.cast_column(given, schema.Column("size", "integer", True), 101)
    assert typed.isna().tolist() == [False, True, True, True, True]
    assert (typed.dtype, typed[0]) == ("Int64", 7)
    assert (violation.rule, violation.rows, violation.example) == ("type", (102, 104, 105), "'x'")
    ignored = schema.Column("size", "number", True, roles=("ignore",))
    typed, violation = cast.cast_column(given, ignored)
    assert violation is None and typed[4] == float("inf")  # as it is, so that its row never moves


def test_each_broken_rule_is_a_violation_with_its_rows() -> None:
    columns = (
        schema.Column("size", "integer", False, minimum=1, maximum=9),
        schema.Column("colour", "category", True, categories=("blue", "red")),
        schema.Column("left_out", "integer", False, minimum=1, roles=("ignore",)),
    )
    frame = pd.DataFrame(
        {
            "size": pd.array([0, None, 5, 10, 11], dtype="Int64"),
            "colour": pd.Series(["red", None, "green", "blue", "red"], dtype="str"),
            "left_out": [0, 0, 0, 0, 0],
        }
    )
    found = cast.check_table(frame, schema.Schema(columns, "t"), first_row=10)
    assert [(each.rule, each.rows, each.sentence()) for each in found] == [
        (
            "nullable",
            (11,),
            "column 'size', row 11: the value is missing, but the schema says nullable: false",
        ),
        ("minimum", (10,), "column 'size', row 10: 0 is below 1"),
        ("maximum", (13, 14), "column 'size', row 13: 10 is above 9 (2 rows: 13, 14)"),
        ("categories", (12,), "column 'colour', row 12: 'green' is not one of blue, red"),
    ]


def test_a_value_that_cannot_be_cast_does_not_count_as_missing_as_well() -> None:
    known = schema.Schema((schema.Column("size", "integer", False),), "t")
    frame = pd.DataFrame({"size": ["1", "x"]})
    with pytest.raises(UserError) as caught:
        cast.conform(frame, known, where="t.csv", values=True)
    assert str(caught.value) == (
        "t.csv, column 'size', row 2: 'x' is not a whole number (for fractions: type: number); "
        "correct the data."
    )
