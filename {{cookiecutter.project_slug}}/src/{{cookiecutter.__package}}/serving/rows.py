"""Requests' rows: read and validated by the bundle's schema.

A decoder made from the schema reads a right request fast. It reports one fault, without the value;
so only for a wrong request, `faults` goes over all rows again and lists everything.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import msgspec

from ..data.cast import TRUTHS, as_category, number_form, number_in
from ..data.numbers import COMMA
from ..data.schema import NUMBERS, WORDS, Column, Schema
from ..data.words import spells_missing
from ..models import read_date

# What float32 holds, in which ONNX computes and scikit-learn's trees split.
LARGEST = 3.4e38
SHOWN_FAULTS = 100
SHOWN_CHARACTERS = 100
# They follow their letter, where most texts have one sign for both.
ACCENTS = re.compile("[\u0300-\u036f]")
PLACE = re.compile(r" - at `\$\.rows\[(\d+)\](?:\.(.*))?`$")

Row = tuple[Any, ...]
DECODE_ERRORS = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)
ROW_ERRORS = (*DECODE_ERRORS, ValueError)
# A longer text is not looked at: it is not a number, a date or a category.
LONGEST = 10_000
# What the decoder says of text where it expects a number or a flag, or of an unknown category.
OF_TEXT = re.compile("got `str`|Invalid enum value")


class Refusal(Exception):
    """A request that is not answered as it asked.

    Attributes:
        status: Of HTTP.
        reason: One word, for metrics and logs.
        detail: A sentence, or a list of faults.
        headers: To add to the answer.
    """

    def __init__(
        self,
        status: int,
        reason: str,
        detail: str | list[dict[str, Any]],
        headers: Sequence[tuple[bytes, bytes]] = (),
    ) -> None:
        """Say what to answer."""
        super().__init__(reason)
        self.status, self.reason, self.detail, self.headers = status, reason, detail, headers


@dataclass(frozen=True)
class Rules:
    """What rows are held against.

    Attributes:
        strict: Refuse columns and categories that training never saw, as `[predict] strict` does.
        bounds: Refuse numbers outside the schema's minimum and maximum.
        most_rows: Of one request.
        missing: Further spellings of a missing value, as in `[data] missing`.
    """

    strict: bool
    bounds: bool
    most_rows: int
    missing: tuple[str, ...] = ()

    @classmethod
    def of(cls, settings: Any) -> Rules:
        """Return those of a project's settings."""
        serving = settings.serving
        return cls(settings.predict.strict, serving.bounds, serving.rows, settings.data.missing)

    def limits(self, column: Column) -> tuple[float, float]:
        """Return the least and the greatest number that a column may hold."""
        least = column.minimum if self.bounds else None
        most = column.maximum if self.bounds else None
        return -LARGEST if least is None else least, LARGEST if most is None else most


class RowReader:
    """Reads the body of a request: `{"rows": [{column: value, ...}, ...]}`.

    A row becomes a tuple of the schema's features, in their order: numbers, flags, text, dates as
    UTC without a zone, and None for what is missing. Text in place of a number, a flag or a date is
    read as batches read it: by the column's own form. That takes longer, and only where there is
    some.
    """

    def __init__(self, schema: Schema, rules: Rules) -> None:
        """Make the decoder."""
        self.columns = schema.features
        self.rules = rules
        self._others = [column.name for column in schema.columns if column not in self.columns]
        self._needed = {column.name for column in schema.needed}
        self._is_earlier = schema.is_earlier
        self._known = {column.name for column in schema.columns}
        self._dates = [
            (at, (column.format, column.months, column.last_year))
            for at, column in enumerate(self.columns)
            if _is_date(column)
        ]
        self._categories = {each.name: {*(each.categories or ())} for each in schema.columns}
        self._has_words = any(column.type in WORDS for column in self.columns)
        # The decoder takes the categories alone where others are refused.
        self._words = [
            (at, column)
            for at, column in enumerate(self.columns)
            if column.type in WORDS and not (rules.strict and column.categories)
        ]
        if self._is_earlier:
            self._words = []
        self._decoder = msgspec.json.Decoder(self._request_type())

    def read(self, body: bytes) -> list[Row]:
        """Return the rows.

        Raises:
            Refusal: 400 for what is no JSON, 413 for too many rows, 422 for wrong ones.
        """
        try:
            return self._rows(body)
        except ROW_ERRORS as error:
            # As text: an error that a frame keeps would keep the frame, and the body, too.
            plain, fault = self._plain_body(body) if _is_of_text(error) else None, str(error)
        if plain is not None:
            try:
                return self._rows(plain)
            except ROW_ERRORS as error:
                fault = str(error)
        raise self._refusal(body, fault) from None

    def plain(self, column: Column, value: Any) -> Any:
        """Return what a text stands for in a column, None where it spells a missing value.

        Everything that is not text is returned as it is, and so is what cannot be read.
        """
        if not isinstance(value, str) or self._is_earlier:
            return value
        free = column.type in WORDS and column.categories is None
        if len(value) > LONGEST and not free:  # it would be copied many times, to find nothing
            return value
        if column.type in WORDS:
            return self._word(column, value)
        word = value.strip()
        if self._is_missing(column, word) or spells_missing(word):
            return None
        if column.type in NUMBERS:
            number = number_in(word, column)
            return value if number is None else number
        return TRUTHS.get(word.casefold(), value) if column.type == "boolean" else word

    def _rows(self, body: bytes) -> list[Row]:
        """Return the rows of a body that is right.

        Raises:
            DECODE_ERRORS, ValueError: If it is not.
        """
        width = len(self.columns)
        rows = [msgspec.structs.astuple(row)[:width] for row in self._decoder.decode(body).rows]
        if self._has_words and b"\\u0000" in body and any(_has_nul(row) for row in rows):
            # It would end the word in ONNX.
            raise ValueError("has to be text without the character NUL")
        return [self._finished(row) for row in rows] if self._words or self._dates else rows

    def _finished(self, row: Row) -> Row:
        """Return a row with words as batches spell them, and dates in place of their text."""
        values = list(row)
        for at, column in self._words:
            if values[at] is not None:
                values[at] = self._word(column, values[at])
        for at, how in self._dates:
            if values[at] is not None:
                values[at] = read_date(values[at], *how)
        return tuple(values)

    def _word(self, column: Column, given: str) -> str | None:
        """Return a word as batches spell it: `TRUE ` may be the category True."""
        word = given if column.exact else given.strip()
        if not (column.exact or word.isascii()) and ACCENTS.search(word):
            word = unicodedata.normalize("NFC", word)
        if not word or self._is_missing(column, word):
            return None
        if column.categories is None or word in self._categories[column.name]:
            return word
        return as_category(word, column.categories)

    def _is_missing(self, column: Column, word: str) -> bool:
        """Tell whether conf.cfg or the schema lists a word as a spelling of a missing value."""
        return word in self.rules.missing or word in (column.missing or ())

    def _plain_body(self, body: bytes) -> bytes | None:
        """Return a body with what its texts stand for; None where there is nothing to replace."""
        try:
            content = msgspec.json.decode(body)
            rows = content["rows"][: self.rules.most_rows + 1]
            plain = [
                row
                | {
                    each.name: self.plain(each, row[each.name])
                    for each in self.columns
                    if each.name in row
                }
                for row in rows
            ]
            return None if plain == rows else msgspec.json.encode({**content, "rows": plain})
        except (*DECODE_ERRORS, TypeError, KeyError, ValueError, OverflowError):
            return None  # it is not such a body, and the refusal says why

    def read_row(self, given: Any) -> Row:
        """Return one row that is decoded already.

        Raises:
            Refusal: 422 if it is wrong.
        """
        self._check([given])
        return self.read(msgspec.json.encode({"rows": [given]}))[0]

    def fault(self, column: Column, value: Any) -> str | None:
        """Return the rule that a value breaks, or None."""
        value = self.plain(column, value)
        if value is None:
            return None
        if column.type in NUMBERS:
            return self._number_fault(column, value)
        if column.type == "boolean":
            return None if isinstance(value, bool) else "has to be true or false"
        if not isinstance(value, str):
            return "has to be text"
        if _is_date(column):
            return _date_fault(column, value)
        if "\0" in value:
            return "has to be text without the character NUL"
        if column.categories is not None and self.rules.strict and value not in column.categories:
            return f"has to be one of {_few(column.categories)}"
        return None

    def _number_fault(self, column: Column, value: Any) -> str | None:
        """Return the rule that a number breaks, or None."""
        if isinstance(value, bool) or not isinstance(value, int | float):
            return "has to be a number"
        least, most = self.rules.limits(column)
        if value < least:
            return f"has to be at least {least:g}"
        if value > most:
            return f"has to be at most {most:g}"
        if column.type == "integer" and value != int(value):
            return "has to be a whole number"
        return None

    def _request_type(self) -> Any:
        """Return the type of the whole body."""
        fields: list[Any] = [
            (f"f{at}", self._type(column) | None, *([] if column.name in self._needed else [None]))
            for at, column in enumerate(self.columns)
        ]
        names = {f"f{at}": column.name for at, column in enumerate(self.columns)}
        for at, name in enumerate(self._others):
            fields.append((f"o{at}", msgspec.Raw, msgspec.Raw(b"null")))
            names[f"o{at}"] = name
        row = msgspec.defstruct(
            "Row",
            fields,
            rename=names,
            forbid_unknown_fields=self.rules.strict,
            gc=False,
            kw_only=True,
        )
        length = msgspec.Meta(min_length=1, max_length=self.rules.most_rows)
        rows: Any = Annotated[list[row], length]  # type: ignore[valid-type]
        return msgspec.defstruct("Request", [("rows", rows)], forbid_unknown_fields=True)

    def _type(self, column: Column) -> Any:
        """Return the type of one value."""
        if column.type in NUMBERS:
            least, most = self.rules.limits(column)
            whole = 1 if column.type == "integer" else None
            return Annotated[float, msgspec.Meta(ge=least, le=most, multiple_of=whole)]
        if column.type == "boolean":
            return bool
        if column.categories and self.rules.strict:
            return Literal[column.categories]
        return str

    def _refusal(self, body: bytes, message: str) -> Refusal:
        """Return what to answer to a body that the decoder refused."""
        try:
            content = msgspec.json.decode(body)
        except msgspec.ValidationError:  # a number beyond all bounds
            return Refusal(422, "schema", [_located(message)])
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            return not_json(body, error)
        except RecursionError:
            return Refusal(400, "json", "The body is nested too deeply.")
        if not isinstance(content, dict) or not isinstance(content.get("rows"), list):
            return Refusal(422, "schema", [_fault(rule='has to be {"rows": [{...}, ...]}')])
        if set(content) != {"rows"}:
            extra = next(key for key in content if key != "rows")
            return Refusal(422, "schema", [_fault(field=extra, rule="is not known beside rows")])
        try:
            self._check(content["rows"])
        except Refusal as refusal:
            return refusal
        return Refusal(422, "schema", [_located(message)])

    def _check(self, rows: list[Any]) -> None:
        """Refuse wrong rows with all their faults.

        Raises:
            Refusal: If there is one.
        """
        if not rows:
            raise Refusal(422, "schema", [_fault(rule="rows has to hold at least one row")])
        if len(rows) > self.rules.most_rows:
            raise Refusal(
                413,
                "rows",
                f"The request has {len(rows):,} rows, and at most {self.rules.most_rows:,} are "
                "taken at a time; send them in several requests.",
            )
        found: list[dict[str, Any]] = []
        for at, row in enumerate(rows):
            for fault in self._faults(row):
                found.append({"row": at, **fault})
                if len(found) == SHOWN_FAULTS:
                    raise Refusal(422, "schema", found)
        if found:
            raise Refusal(422, "schema", found)

    def _faults(self, row: Any) -> Iterator[dict[str, Any]]:
        """Yield what is wrong with one row."""
        if not isinstance(row, dict):
            yield {"field": None, "value": _shown(row), "rule": "has to be {column: value, ...}"}
            return
        for column in self.columns:
            if column.name not in row and column.name in self._needed:
                rule = "has to be there; null stands for an unknown value"
                yield {"field": column.name, "value": None, "rule": rule}
                continue
            rule = self.fault(column, row.get(column.name)) or ""
            if rule:
                yield {"field": column.name, "value": _shown(row[column.name]), "rule": rule}
        if self.rules.strict:
            for name in (name for name in row if name not in self._known):
                rule = "was not there in training"
                yield {"field": name[:SHOWN_CHARACTERS], "value": _shown(row[name]), "rule": rule}


def not_json(body: bytes, error: Exception) -> Refusal:
    """Return what to answer to a body that is not JSON, as Python writes one with NaN."""
    sentence = f"The body is not valid JSON in UTF-8: {error}"
    if re.search(rb"[:\[,]\s*-?(NaN|Infinity)\b", body):
        sentence += "; NaN and Infinity are not JSON: null stands for an unknown value"
    return Refusal(400, "json", f"{sentence}.")


def row_schema(schema: Schema, rules: Rules, example: Mapping[str, Any]) -> dict[str, Any]:
    """Return the JSON schema of one row."""
    outside = [column for column in schema.columns if column not in schema.features]
    properties = {column.name: _property(column, rules) for column in schema.features}
    if not schema.is_earlier:
        for column in schema.features:
            properties[column.name] |= _as_text(column)
    properties |= {
        column.name: {"description": "accepted, but not used by the model"} for column in outside
    }
    return {
        "type": "object",
        "properties": properties,
        "required": [column.name for column in schema.needed],
        "additionalProperties": not rules.strict,
        "example": dict(example),
    }


def _property(column: Column, rules: Rules) -> dict[str, Any]:
    """Return the JSON schema of one value."""
    if column.type in NUMBERS:
        least, most = rules.limits(column)
        return {"type": [column.type, "null"], "minimum": least, "maximum": most}
    if column.type == "boolean":
        return {"type": ["boolean", "null"]}
    if column.categories is not None and rules.strict:
        return {"type": ["string", "null"], "enum": [*column.categories, None]}
    values: dict[str, Any] = {"type": ["string", "null"]}
    if _is_date(column) and column.format is None:
        values["format"] = "date-time"
    elif _is_date(column):
        values["description"] = f"a date written as {column.format}"
    else:
        values["pattern"] = "^[^\\u0000]*$"
    return values


def _as_text(column: Column) -> dict[str, Any]:
    """Return what the JSON schema of one value says about text in place of a number or flag."""
    if column.type in NUMBERS:
        unit = f", with or without {column.unit}" if column.unit else ""
        how = "1.234,5" if number_form(column).decimal == COMMA else "1,234.5"
        how = "1:30:00" if column.format else how
        kind, about = column.type, f"a number, or text as the data writes it: {how}{unit}"
    elif column.type == "boolean":
        kind, about = "boolean", "true or false, or text such as yes and no"
    else:
        return {}
    return {"type": [kind, "string", "null"], "description": f"{about}; NA and the like are null"}


def _is_of_text(error: Exception) -> bool:
    """Tell whether a body was refused since it holds text that has to be read first."""
    return not isinstance(error, msgspec.MsgspecError) or bool(OF_TEXT.search(str(error)))


def _is_date(column: Column) -> bool:
    """Tell dates from other text."""
    return column.type == "datetime"


def _has_nul(row: Row) -> bool:
    """Tell whether a text of a row holds the character NUL."""
    return any(isinstance(value, str) and "\0" in value for value in row)


def _date_fault(column: Column, value: str) -> str | None:
    """Return the rule that a date breaks, or None."""
    try:
        read_date(value, column.format, column.months)
    except ValueError:
        how = column.format or "ISO 8601 (2024-01-31 or 2024-01-31T12:30:00Z)"
        return f"has to be a date as {how}"
    return None


def _fault(
    *, row: int | None = None, field: str | None = None, value: Any = None, rule: str
) -> dict[str, Any]:
    """Return one fault as the answer lists it."""
    return {"row": row, "field": field, "value": value, "rule": rule}


def _located(message: str) -> dict[str, Any]:
    """Turn the decoder's message, which ends with a place, into a fault."""
    found = PLACE.search(message)
    rule = PLACE.sub("", message)
    if found is None:
        return _fault(rule=rule)
    return _fault(row=int(found[1]), field=found[2], rule=rule)


def _shown(value: Any) -> Any:
    """Return a value as it may be repeated in an answer: short."""
    if isinstance(value, str):
        return value if len(value) <= SHOWN_CHARACTERS else value[:SHOWN_CHARACTERS] + "..."
    if isinstance(value, int) and abs(value) > 1 << 63:
        return f"{value:.6g}" if abs(value) < 10**300 else "a number of more than 300 digits"
    if isinstance(value, dict | list):
        return "an object" if isinstance(value, dict) else "a list"
    return value


def _few(names: Sequence[str]) -> str:
    """List the first ten."""
    return ", ".join(names[:10]) + (" ..." if len(names) > 10 else "")
