"""Dates in their zones, in languages and in two orders; times of day and durations as seconds."""

from __future__ import annotations

import datetime as dt
import sqlite3
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from asking import Asked, make_model
from cases import every_case
from mlproj.bundle import champion
from mlproj.core.config import load_settings
from mlproj.core.errors import UserError
from mlproj.data.cast import cast_column, conform
from mlproj.data.dates import LANGUAGES, USUAL_ZONES, in_english, read_seconds
from mlproj.data.infer import infer_schema
from mlproj.data.readers import read_table
from mlproj.data.schema import Column, Schema
from mlproj.data.words import read_words
from mlproj.models import read_date
from mlproj.models.features import prepare
from mlproj.reporting.sections import in_local_time
from mlproj.serving.rows import Rules
from mlproj.serving.scoring import load_model
from tables import write_source

ROWS = 60
# A time every six days and seven hours, through both of a year's changes of the clock.
TIMES = [dt.datetime(2021, 1, 3, 22) + at * dt.timedelta(days=6, hours=7) for at in range(ROWS)]
# Of these times.
WITHOUT_SUMMER = {"America/Sao_Paulo": "-03:00", "Africa/Cairo": "+02:00", "UTC": None}
LABELS = ["a", "b"] * (ROWS // 2)


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory, make_project: Any) -> Any:
    """The settings of a project with a label."""
    data = {"source": "t.csv", "target": "label"}
    return load_settings(make_project(tmp_path_factory.mktemp("dates"), data=data), ())


# What is said of every column of dates, unless the rows are split by one.
LATER = "if rows are to be predicted for later"


def infer(settings: Any, values: Any, **others: Any) -> tuple[Column, pd.Series[Any], list[str]]:
    """Return a column's schema, its typed values, and the notes on it."""
    frame = pd.DataFrame({"x": values, **others, "label": (LABELS * 2)[: len(values)]})
    reading = read_words(frame, settings.data)
    file = infer_schema(reading, settings)
    typed = conform(reading.frame, file.schema, where="t", values=True)
    notes = [note for note in file.notes if note.startswith("x ") and LATER not in note]
    return file.schema.column("x"), typed["x"], notes


def changed(settings: Any, **data: Any) -> Any:
    """Return settings with others in [data]."""
    return settings.model_copy(update={"data": settings.data.model_copy(update=data)})


def at(zone: str) -> list[dt.datetime]:
    """Return the times in a zone."""
    return list(pd.Series(TIMES).dt.tz_localize("UTC").dt.tz_convert(zone))


# ----------------------------------------------------------------------------------- two digits


@every_case(
    ("years", "expected"),
    [
        ([1964, 1980, 1966], [1964, 1980, 1966]),  # of birth
        ([-1, -80, -60, -57, -99], [-1, -80, -60, -57, -99]),
        ([2067, 2063], [1967, 1963]),
        ([-2, 0, 2], [-2, 0, 2]),  # planned
        ([1, 3], [1, 3]),
        ([0, 2056, 12], [0, 2056, 12]),
        ([1990, 2010], [1990, 2010]),
    ],
)
def test_years_of_two_digits_are_past_where_that_keeps_the_dates_together(
    settings: Any, years: list[int], expected: list[int]
) -> None:
    """Years below 1000 are counted from this one on."""
    today = dt.date.today().year
    written, meant = (
        [each if each > 1000 else today + each for each in some] for some in (years, expected)
    )
    words = [f"{1 + row % 28}/5/{written[row % len(written)] % 100:02d}" for row in range(60)]
    column, typed, (note,) = infer(settings, words)
    assert column.format == "%d/%m/%y"
    assert typed.dt.year.tolist()[: len(meant)] == meant
    last = column.last_year or 2068
    assert f"read as of {last - 99}-{last}: " in note
    assert f"set its last_year to {2068 if column.last_year else today} in" in note
    # As the service reads them.
    assert [read_date(each, column.format, None, column.last_year) for each in words] == [*typed]


def test_the_schema_names_the_last_of_a_hundred_years_and_refuses_others(settings: Any) -> None:
    words = pd.Series(["29/02/00", "01/01/40", "31/12/39"], name="x")
    for last, years in ((2099, [2000, 2040, 2039]), (2039, [2000, 1940, 2039])):
        column = Column("x", "datetime", False, format="%d/%m/%y", last_year=last)
        typed = cast_column(words, column)[0]
        assert typed.dt.year.tolist() == years
        assert [read_date(each, column.format, None, last) for each in words] == [*typed]
        document = {"version": 2, "source": "t", "columns": [column.to_dict()]}
        assert Schema.from_dict(document).columns == (column,)
    for wrong in ({"last_year": 1999}, {"last_year": "2030"}, {"format": "%d/%m/%Y"}):
        document["columns"] = [column.to_dict() | wrong]
        with pytest.raises(UserError, match="last_year is '.*', but has to be a year from 2000"):
            Schema.from_dict(document)


def test_two_digits_of_months_in_a_language_have_a_century_too(settings: Any) -> None:
    column, typed, notes = infer(
        settings, [f"{1 + row % 28}-Mrz-{60 + row % 9}" for row in range(60)]
    )
    assert column.months == LANGUAGES["German"] and typed.dt.year.max() == 1968
    assert any("'1-Mrz-60' is in 1960" in note for note in notes)


# -------------------------------------------------------------------------------------- time zones


@every_case(
    ("name", "zone"),
    [
        *((zone, zone) for zone in USUAL_ZONES if zone not in WITHOUT_SUMMER),
        *((zone, WITHOUT_SUMMER[zone]) for zone in WITHOUT_SUMMER),
        ("Europe/Lisbon", "Europe/London"),
        ("Europe/Rome", "Europe/Berlin"),
        ("Asia/Tehran", "Asia/Tehran"),
        ("Asia/Kolkata", "+05:30"),
    ],
)
def test_offsets_belong_to_a_zone(settings: Any, name: str, zone: str | None) -> None:
    for form in ("%Y-%m-%dT%H:%M:%S%z", "%d/%m/%Y %H:%M%z"):
        column, typed, notes = infer(settings, [time.strftime(form) for time in at(name)])
        assert (column.type, column.zone) == ("datetime", zone)
        assert typed.tolist() == TIMES
        assert len([note for note in notes if f"zone {zone}," in note]) == (zone is not None)


def test_offsets_of_several_places_are_read_in_utc_and_said(settings: Any) -> None:
    tokyo, rome = at("Asia/Tokyo"), at("Europe/Rome")
    mixed = [(rome if row % 2 else tokyo)[row].isoformat() for row in range(ROWS)]
    column, typed, notes = infer(settings, mixed)
    assert column.zone is None and typed.tolist() == TIMES
    assert "offsets of several time zones (+01:00, +02:00, +09:00)" in notes[0]
    # One value without an offset is not of the zone of the others.
    some = [time.isoformat() for time in at("Asia/Tokyo")]
    some[7] = some[7].removesuffix("+09:00")
    column, typed, notes = infer(settings, some)
    assert column.zone is None and typed[7] == TIMES[7] + dt.timedelta(hours=9)
    assert "offsets of several time zones (+09:00)" in notes[0]


def test_dates_without_an_offset_have_no_zone(settings: Any) -> None:
    for form in ("%Y-%m-%d", "%Y-%m-%dT%H:%M", "%d.%m.%Y %H:%M"):
        column, _, notes = infer(settings, [time.strftime(form) for time in TIMES])
        assert column.type == "datetime" and column.zone is None and notes == []


def test_parquet_has_a_zone_of_its_own(settings: Any, tmp_path: Path) -> None:
    for zone in ("Europe/Lisbon", "+05:30", "UTC"):
        frame = pd.DataFrame({"x": pd.Series(at(zone))})
        frame.to_parquet(tmp_path / "t.parquet")
        column, typed, _ = infer(settings, read_table(tmp_path / "t.parquet")["x"])
        assert column.zone == (None if zone == "UTC" else zone)
        assert typed.tolist() == TIMES and typed.dtype == "datetime64[us]"
    # An earlier schema, and bundle, knows no zone.
    earlier, violation = cast_column(frame["x"], Column("x", "datetime", False))
    assert earlier.tolist() == TIMES and violation is None


def parts(zone: str | None, *times: str) -> list[tuple[float, ...]]:
    """Return day, weekday, hour and days since 1970 of times in UTC."""
    frame = pd.DataFrame({"x": pd.Series(pd.to_datetime(list(times))).astype("datetime64[us]")})
    column = Column("x", "datetime", True, zone=zone)
    found = prepare(frame, Schema((column,), ""))
    return list(found[["x__day", "x__weekday", "x__hour", "x__days"]].itertuples(index=False))


def test_calendar_parts_are_those_of_the_zone() -> None:
    # Local midnight in Lisbon is not the day before.
    assert parts("Europe/Lisbon", "2021-06-30T23:00") == [(1, 3, 0, 18809)]
    assert parts(None, "2021-06-30T23:00") == [(30, 2, 23, 18808 + 23 / 24)]
    assert parts("-03:30", "2021-07-01T03:29") == [(30, 2, 23, 18808 + (23 * 60 + 59) / 1440)]
    hours = [each[2] for each in parts("Europe/Lisbon", "2021-10-31T00:30", "2021-10-31T01:30")]
    assert hours == [1, 1]
    assert pd.isna(parts("Asia/Tokyo", "NaT")[0][0])


def test_a_profile_shows_local_times() -> None:
    frame = pd.DataFrame({"x": pd.to_datetime(["2021-06-30T23:00"]).as_unit("us"), "y": [1]})
    columns = (Column("x", "datetime", True, zone="Europe/Lisbon"), Column("z", "number", True))
    shown = in_local_time(frame, Schema(columns, ""))
    assert shown["x"].tolist() == [pd.Timestamp("2021-07-01")] and shown["y"].tolist() == [1]


@every_case(
    ("change", "wrong"),
    [
        ({"zone": "Europe/Lisboa"}, "zone is 'Europe/Lisboa'"),
        ({"zone": "../x"}, "zone is '../x'"),
        ({"months": ["Januar"]}, "months has to be a list of twelve names"),
        ({"type": "number", "format": "H"}, "format is 'H', but has to be H:M:S or M:S"),
    ],
)
def test_a_wrong_schema_is_refused(change: dict[str, Any], wrong: str) -> None:
    values = {"version": 2, "columns": [{"name": "x", "type": "datetime", **change}]}
    with pytest.raises(UserError, match=f"column 'x': {wrong}"):
        Schema.from_dict(values)


# ------------------------------------------------------------------------------ months in languages


# As they are shortened most often; others to three letters.
SHORTENED = {"März": "Mrz", "maart": "mrt", "juillet": "juil", "juin": "juin"}


@every_case("language", LANGUAGES)
def test_months_of_other_languages_are_read_and_said(settings: Any, language: str) -> None:
    months = LANGUAGES[language]
    if language == "English":
        months = (
            *("Jan.", "Feb.", "March", "April", "May", "June", "July", "Aug.", "Sept."),
            *("Oct.", "Nov.", "Dec."),
        )
    days = pd.Series(TIMES).dt.normalize().tolist()
    for form in ("{0}. {1} {2}", "{0} de {3} de {2}", "{1} {0}, {2}", "{0:02d}-{4}-{2}"):
        written = []
        for day in days:
            name = months[day.month - 1]
            short = SHORTENED.get(name, name[:3])
            written.append(form.format(day.day, name, day.year, name.upper(), short))
        column, typed, notes = infer(settings, written)
        if "." in written[0].removeprefix("3.") or language != "English":
            assert column.months == LANGUAGES[language], written[2]
            assert notes == [f"x is read as dates with {language} names of months"]
        assert typed.tolist() == days


def test_words_that_fit_two_months_or_none_are_no_months() -> None:
    french, german = LANGUAGES["French"], LANGUAGES["German"]
    assert in_english("5 jui 2021", french) == "5 jui 2021"
    assert in_english("5 Juin 2021", french) == "5 Jun 2021"
    assert in_english("5 ärm 2021", german) == "5 ärm 2021"
    assert in_english("10.Mai.2021", german) == "10.May.2021"


def test_months_of_a_language_not_known_here_are_a_setting(settings: Any) -> None:
    months = (
        *("stycznia", "lutego", "marca", "kwietnia", "maja", "czerwca", "lipca", "sierpnia"),
        *("września", "października", "listopada", "grudnia"),
    )
    words = [f"{time.day} {months[time.month - 1]} {time.year}" for time in TIMES]
    column, _, notes = infer(settings, words)
    assert column.type == "string"
    assert "list the twelve names in [data] months in conf.cfg" in notes[0]
    column, typed, _ = infer(changed(settings, months=months), words)
    assert column.months == months
    assert typed.tolist() == pd.Series(TIMES).dt.normalize().tolist()
    assert Schema.from_dict(Schema((column,), "").to_dict()).columns == (column,)


def test_a_year_has_twelve_months(place: Any) -> None:
    with pytest.raises(UserError, match="months has 2 names, but has to have 12"):
        load_settings(place("x,label\n1,a\n2,b\n"), ("data.months=a,b",))


# ------------------------------------------------------------------------------ times and durations


@every_case(
    ("written", "form", "seconds"),
    [
        (["14:35", "00:00", "9:07"], "H:M:S", [52500, 0, 32820]),
        (["2:05 PM", "12:00 AM", "12:30 p.m."], "H:M:S", [50700, 0, 45000]),
        (["1:23:45", "0:00:01", "100:00:00"], "H:M:S", [5025, 1, 360000]),
        (["00:03:12.5", "00:00:00,25", "23:59:59.999999"], "H:M:S", [192.5, 0.25, 86399.999999]),
        (["1 day, 02:03:04", "0:00:05", "2 days, 0:00:00"], "H:M:S", [93784, 5, 172800]),
        (["-1 days +22:30:00", "0 days 00:00:58", "-0:00:30"], "H:M:S", [-5400, 58, -30]),
        (["PT1H30M", "P1DT1S", "-PT0.5S", "P2W"], "H:M:S", [5400, 86401, -0.5, 1209600]),
        (["59:30", "1:02:10", "20:00"], "M:S", [3570, 3730, 1200]),
        (["1:05.25", "59:30", "0:59"], "M:S", [65.25, 3570, 59]),
        (["14:35", "14:35:10", "08:00"], "H:M:S", [52500, 52510, 28800]),
    ],
)
def test_times_and_durations_are_seconds(
    settings: Any, written: list[str], form: str, seconds: list[float]
) -> None:
    column, typed, notes = infer(settings, [*written * 20, "NA"])
    assert (column.type, column.format, column.unit) == ("number", form, "s")
    assert typed.tolist()[:-1] == seconds * 20 and pd.isna(typed.iloc[-1])
    assert notes[0].startswith("x is read as seconds: ")
    two = any(
        word.count(":") == 1 and "m" not in word.lower() and "." not in word for word in written
    )
    assert ("if it is" in notes[0] and "set its format to" in notes[0]) == two


@every_case("word", ["25:61", "13:00 PM", "0:30 AM", "P1M", "P", "PT", "930", "1:2", "1:05.5", "x"])
def test_what_is_no_time_is_refused_with_its_row(word: str) -> None:
    given = pd.Series(["14:35", word], name="x")
    typed, violation = cast_column(given, Column("x", "number", True, format="H:M:S", unit="s"))
    assert violation is not None and violation.rows == (2,)
    assert "is neither a time of day nor a duration" in violation.problem
    assert typed[0] == 52500 and pd.isna(typed[1])


def test_whole_numbers_are_no_times(tmp_path: Path) -> None:
    # 930 may be half past nine, or a quarter of an hour.
    (tmp_path / "t.csv").write_text("x\n930\n1430\n", encoding="utf-8")
    column = Column("x", "number", True, format="H:M:S", unit="s")
    frame = read_table(tmp_path / "t.csv", schema=Schema((column,), ""))
    assert cast_column(frame["x"], column)[1] is not None


def test_a_rare_word_among_times_is_refused(settings: Any) -> None:
    words = [f"{row % 24:02d}:{row:02d}" for row in range(ROWS)]
    words[40] = "noon"
    with pytest.raises(UserError, match="row 41: 'noon' is neither a time of day nor a duration"):
        infer(settings, words)
    column, _, _ = infer(changed(settings, text=("x",)), words)
    assert column.type == "string"


@pytest.mark.parametrize("role", ["id", "group"])
def test_names_that_look_like_times_stay_names(settings: Any, role: str) -> None:
    words = [f"{row}:30" for row in range(ROWS)]
    named = changed(settings, **{role: ("x",) if role == "id" else "x"})
    assert infer(named, words)[0].type == "string"


def test_a_duration_may_be_what_a_regression_predicts(make_project: Any, tmp_path: Path) -> None:
    project = make_project(
        tmp_path, data={"source": "t.csv", "target": "x"}, model={"task": "regression"}
    )
    column, typed, _ = infer(load_settings(project, ()), [f"1:{row:02d}:30" for row in range(ROWS)])
    assert (column.type, column.format, column.roles) == ("number", "H:M:S", ("target",))
    assert typed[1] == 3690


def test_durations_of_parquet_keep_their_unit_in_an_earlier_schema() -> None:
    given = pd.Series(pd.to_timedelta([90_000_001, None], unit="us"), name="x")
    given = given.astype("timedelta64[us]")
    assert cast_column(given, Column("x", "number", True))[0].tolist()[0] == 90_000_001
    assert cast_column(given, Column("x", "number", True, format="M:S"))[0][0] == 90.000001


def test_every_source_gives_the_same_times(settings: Any, tmp_path: Path) -> None:
    clocks = [dt.time(row % 24, row, 30) for row in range(ROWS)]
    lengths = [dt.timedelta(days=row % 3, seconds=row * 61) for row in range(ROWS)]
    written = pd.DataFrame({"clock": map(str, clocks), "length": map(str, lengths)})
    typed = pd.DataFrame({"clock": clocks, "length": lengths})
    sources = {"t.csv": written, "t.jsonl": written, "t.parquet": typed}
    for name, table in sources.items():
        write_source(table.assign(label=LABELS), tmp_path / name)
    with pd.ExcelWriter(tmp_path / "t.xlsx", engine="openpyxl") as book:
        written.assign(label=LABELS).to_excel(book, index=False)
        sheet = next(iter(book.sheets.values()))
        # pandas would write a duration as a share of a day.
        for at_row, values in enumerate(zip(clocks, lengths, strict=True)):
            for at_column, value in enumerate(values):
                sheet.cell(at_row + 2, at_column + 1).value = value
    with sqlite3.connect(tmp_path / "t.db") as connection:
        written.assign(label=LABELS).to_sql("t", connection, index=False)
        rows = connection.execute("select * from t").fetchall()
    pd.DataFrame(rows, columns=["clock", "length", "label"]).to_parquet(tmp_path / "u.parquet")
    found = [_conformed(settings, tmp_path / name) for name in (*sources, "t.xlsx", "u.parquet")]
    expected, table = found[0]
    assert [column.format for column in expected] == ["H:M:S", "H:M:S", None]
    assert table["length"].tolist() == [length.total_seconds() for length in lengths]
    for columns, other in found[1:]:
        assert columns == expected and other.equals(table)


def _conformed(settings: Any, path: Path) -> tuple[tuple[Column, ...], pd.DataFrame]:
    """Return the columns that are inferred from a file, and its typed table."""
    reading = read_words(read_table(path), settings.data)
    schema = infer_schema(reading, settings).schema
    again = read_table(path, settings.data, schema)
    return schema.columns, conform(again, schema, where="t", values=True)


# -------------------------------------------------------------------------- which of day and month


def ambiguous(pairs: Iterable[tuple[int, int]], mark: str = "/", time: str = "") -> list[str]:
    """Write dates of 2021 whose parts may be day and month either way."""
    return [f"{first}{mark}{then}{mark}2021{time}" for first, then in pairs]


ANY = [(1 + row * 5 % 12, 1 + row * 7 % 11) for row in range(ROWS)]
MONEY = [f"{row}.50" for row in range(ROWS)]


@every_case(
    ("written", "others", "form", "reason"),
    [
        (ambiguous(ANY), {}, "%d/%m/%Y", "in most countries the day"),
        (ambiguous(ANY, "."), {}, "%d.%m.%Y", "where the day stands first"),
        (ambiguous(ANY, time=" 1:30 PM"), {}, "%m/%d/%Y %I:%M %p", "where the month stands first"),
        (ambiguous(ANY), {"p": [f"${each}" for each in MONEY]}, "%m/%d/%Y", "where the month"),
        (ambiguous(ANY), {"p": [f"{each} €" for each in MONEY]}, "%d/%m/%Y", "where the day"),
        (
            ambiguous(ANY),
            {"p": [f"${each}" for each in MONEY], "q": [f"{row},5" for row in range(ROWS)]},
            "%d/%m/%Y",
            "in most countries",
        ),
        (ambiguous(sorted(ANY)), {}, "%m/%d/%Y", "in order of time if the month"),
        (ambiguous(sorted(ANY, reverse=True)), {}, "%m/%d/%Y", "in order of time if the month"),
        (ambiguous(sorted(ANY, key=lambda pair: pair[::-1])), {}, "%d/%m/%Y", "time if the day"),
        (ambiguous((1 + row % 12, 1) for row in range(ROWS)), {}, "%m/%d/%Y", "if the month"),
        (ambiguous((1, 1 + row % 12) for row in range(ROWS)), {}, "%d/%m/%Y", "if the day"),
        (
            ambiguous(ANY),
            {"y": ambiguous(sorted(ANY))},
            "%m/%d/%Y",
            "in order of time if the month",
        ),
        (
            ambiguous(sorted(ANY)),
            {"y": [f"{13 + row % 15}/1/2021" for row in range(ROWS)]},
            "%d/%m/%Y",
            "the table's other dates begin with the day",
        ),
    ],
    ids=lambda case: case[3],
)
def test_of_two_readings_the_likelier_is_taken_and_said(
    settings: Any, written: list[str], others: dict[str, list[str]], form: str, reason: str
) -> None:
    column, typed, notes = infer(settings, written, **others)
    assert (column.type, column.format) == ("datetime", form)
    assert typed.tolist() == [dt.datetime.strptime(word, form) for word in written]
    day, month = form.index("%d"), form.index("%m")
    other = form.replace("%d", "\0").replace("%m", "%d").replace("\0", "%m")
    assert day != month and len(notes) == 1
    assert reason in notes[0] and f"set its format to '{other}' in data/schema.yaml" in notes[0]
    example = notes[0].split("'")[1]
    assert f"is read as {dt.datetime.strptime(example, form):%d %B %Y}" in notes[0]


# -------------------------------------------------------------------- what is noted and not read


@every_case(
    ("name", "written", "noted"),
    [
        ("x", [f"2021-W{1 + row % 52:02d}" for row in range(ROWS)], "weeks or quarters"),
        ("x", [f"Q{1 + row % 4} {2000 + row % 9}" for row in range(ROWS)], "weeks or quarters"),
        ("x", [f"{2000 + row % 9}Q{1 + row % 4}" for row in range(ROWS)], "weeks or quarters"),
        (
            "x",
            [f"{1 + row % 28} {['maj', 'lut'][row % 2]} 2021" for row in range(ROWS)],
            "months",
        ),
        ("created", [1_600_000_000 + row * 977 for row in range(ROWS)], "seconds since 1970"),
        ("sentAt", [1_600_000_000_123 + row * 977 for row in range(ROWS)], "milliseconds since"),
        ("order_date", [44_197.5 + row for row in range(ROWS)], "days as Excel counts them"),
        ("update", [row * 977 for row in range(ROWS)], ""),
        ("price", [44_197 + row * 7 for row in range(ROWS)], ""),
        ("x", [f"{row} abc-{row % 30} 2021" for row in range(ROWS)], ""),
        ("x", [f"12 {chr(97 + row % 26) * 3} 2021" for row in range(ROWS)], ""),
    ],
)
def test_what_looks_like_a_date_is_noted(
    settings: Any, name: str, written: list[Any], noted: str
) -> None:
    frame = pd.DataFrame({name: written, "label": LABELS})
    file = infer_schema(read_words(frame, settings.data), settings)
    assert file.schema.column(name).type != "datetime"
    notes = [note for note in file.notes if note.startswith(f"{name} ") and LATER not in note]
    assert [noted in note for note in notes] == [True] * bool(noted)


# ------------------------------------------------------------------------------------- predictions


@pytest.mark.modules
def test_a_service_and_a_batch_predict_alike(make_project: Any, tmp_path: Path) -> None:
    german = LANGUAGES["German"]
    local = [time.isoformat() for time in at("Europe/Lisbon")] * 4
    frame = pd.DataFrame(
        {
            "when": local,
            "day": [f"{time.day}. {german[time.month - 1]} {time.year}" for time in TIMES] * 4,
            "clock": [f"{row % 24:02d}:{row % 60:02d}" for row in range(4 * ROWS)],
            "label": ["no" if "T00" < word[10:13] < "T11" else "yes" for word in local],
        }
    )
    write_source(frame, tmp_path / "t.csv")
    data = {"source": "t.csv", "target": "label", "duplicates": "keep"}
    model = {"candidates": "forest", "folds": 0}
    project = make_project(tmp_path, data=data, model=model)
    run_id = make_model(project)
    champion.release(project, run_id, "promote")
    bundle = champion.load_champion(project)
    assert bundle.schema.column("when").zone == "Europe/London"
    found = bundle.predict(conform(frame, bundle.schema, where="t"))
    seconds = read_seconds(frame["clock"], "H:M:S")
    rows = [
        {"when": when, "day": day, "clock": clock}
        for when, day, clock in zip(frame["when"], frame["day"], seconds, strict=True)
    ]
    assert load_model(project, run_id, None, Rules(strict=True, bounds=True, most_rows=999)).onnx
    with Asked(project).running() as asked:
        answer = asked.ask("POST", "/predict", {"rows": rows}).json
    served = [each["probability"]["yes"] for each in answer["predictions"]]
    assert served == pytest.approx(found["probability_yes"].tolist(), abs=1e-6)
    # The hour of the zone decides, so the model finds nearly every label.
    assert (found["prediction"] == frame["label"]).mean() > 0.97
