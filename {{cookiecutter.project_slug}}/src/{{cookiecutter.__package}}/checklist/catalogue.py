"""The items, as `items/*.yaml` and the team's `checklist/own.yaml` state them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields, is_dataclass, replace
from functools import cache, cached_property
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, NoReturn, get_args, get_type_hints

import yaml

from ..core import registry
from ..core.errors import UserError
from ..core.files import yaml_loader
from ..core.project import Project
from .conditions import Condition, parse_condition

# How mature a project claims to be; `core/pipeline.py` has the steps of the pipeline.
Stage = Literal["poc", "mvp", "production"]
STAGES: tuple[str, ...] = get_args(Stage)
# The order of a project, and of every list of items.
AREAS = (
    "scoping",
    "version_control",
    "environment",
    "data",
    "data_engineering",
    "programming",
    "modelling",
    "deployment",
    "responsible_ai",
    "operation",
    "architecture",
    "business",
)
OWN = "own"
ITEMS = Path(__file__).parent / "items"

# What states do not depend on: two thirds of an item's text, and of the time to read it.
SHOWN_ONLY = re.compile(r"^    (?:options|tools|references):\n(?:(?: {5}.*)?\n)*", re.MULTILINE)

# The kinds of evidence that may decide whether an item applies. Not `champion`: which model is in
# service may change an item's state, but not whether it applies.
APPLIES_KINDS = ("answer", "config", "fact")
# The kinds of evidence whose rule is a condition on nested values.
CONDITION_KINDS = (*APPLIES_KINDS, "champion")
# The 28 tests of the ML Test Score (Breck et al., 2017): seven of each of four kinds.
SECTIONS = {
    "data": "Features and data",
    "model": "Model development",
    "infra": "Infrastructure",
    "monitor": "Monitoring",
}
TESTS_PER_SECTION = 7
ML_TESTS = tuple(
    f"{section}-{number}" for section in SECTIONS for number in range(1, TESTS_PER_SECTION + 1)
)
CHOICES = {
    "fresh": ("ingest", "schema", "split", "train", "release", "metrics", "diagnostics", "profile"),
    "git": ("originals", "sizes", "secrets", "notebooks", "models", "remote"),
    "signoff": ("project", "data", "model"),
}
# The key of the condition on the answers under which a proof is required; any kind may have it.
ONLY_IF = "if"
FURTHER_KEYS: dict[str, dict[str, type]] = {
    "file": {"contains": str},
    "section": {"words": int, "numbers": int},
}

# How pydantic reads the classes of a YAML file: only their own keys, and no empty text.
SHAPE: dict[str, Any] = {
    "extra": "forbid",
    "str_strip_whitespace": True,
    "str_min_length": 1,
    # Python keeps the word `for` for itself.
    "alias_generator": lambda name: "for" if name == "purpose" else name,
}


@dataclass(frozen=True)
class Evidence:
    """One proof of an item, or one condition under which the item applies."""

    kind: str
    rule: str
    further: dict[str, Any]

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: Any) -> Any:
        """Let pydantic read it by `read_evidence`, since its first key is its kind."""
        from pydantic import PlainValidator

        return handler.generate_schema(Annotated[Any, PlainValidator(read_evidence)])

    def is_required(self, answers: Mapping[str, Any]) -> bool:
        """Tell whether the answers require this proof; a missing answer counts as empty."""
        return ONLY_IF not in self.further or any(
            not any(each.fault({each.path[0]: None, **answers}) for each in conditions)
            for conditions in read_alternatives(self.further[ONLY_IF])
        )


@dataclass(frozen=True)
class Option:
    """A method to choose, and when."""

    __pydantic_config__: ClassVar[Any] = SHAPE

    name: str
    when: str
    built_in: bool = False


@dataclass(frozen=True)
class Tool:
    """A tool, and what it is for."""

    __pydantic_config__: ClassVar[Any] = SHAPE

    name: str
    purpose: str
    built_in: bool = False


@dataclass(frozen=True)
class Reference:
    """Further reading."""

    __pydantic_config__: ClassVar[Any] = SHAPE

    title: str
    by: str
    url: str


@dataclass(frozen=True)
class Item:
    """One item of the checklist: a claim, why it matters, and what proves it.

    Attributes:
        area: The name of its file, never a key in it.
        ml_test_score: The test of Breck et al. (2017) that it stands for, such as "data-1".
    """

    __pydantic_config__: ClassVar[Any] = SHAPE

    id: str
    title: str
    why: str
    how: str
    stage: Stage
    evidence: tuple[Evidence, ...]
    applies: tuple[Evidence, ...] = ()
    options: tuple[Option, ...] = ()
    tools: tuple[Tool, ...] = ()
    references: tuple[Reference, ...] = ()
    ml_test_score: str | None = None
    area: str = ""

    @property
    def kind(self) -> str:
        """How it is proved: "auto" by a machine, "written", or by a person's "signoff"."""
        kinds = {evidence.kind for evidence in self.evidence}
        if "signoff" in kinds:
            return "signoff"
        return "written" if "section" in kinds else "auto"

    def required_by(self, answers: Mapping[str, Any]) -> Item:
        """Return the item with only the proofs that the answers require."""
        required = tuple(proof for proof in self.evidence if proof.is_required(answers))
        return self if required == self.evidence else replace(self, evidence=required)

    def faults(self) -> Iterator[tuple[KeyPath, str]]:
        """Yield what is wrong with the values, and below which key."""
        if self.area:
            yield ("area",), "'area' is not a key of an item; its file is its area"
        if not re.fullmatch("[a-z][a-z0-9]*(-[a-z0-9]+)*", self.id):
            yield ("id",), f"has the id '{self.id}', but only a-z, 0-9 and - are allowed"
        if self.ml_test_score not in (None, *ML_TESTS):
            known = f"{ML_TESTS[0]} to {ML_TESTS[-1]}"
            fault = f"has the test '{self.ml_test_score}', which is not one of {known}"
            yield ("ml_test_score",), fault
        if not self.evidence:
            yield ("evidence",), f"has no evidence for '{self.id}'"
        for number, condition in enumerate(self.applies):
            if condition.kind not in APPLIES_KINDS:
                fault = f"has a condition of the kind '{condition.kind}', which is not one of "
                yield ("applies", number), fault + ", ".join(APPLIES_KINDS)
            if ONLY_IF in condition.further:
                fault = f"has '{ONLY_IF}' on a condition, which cannot have one"
                yield ("applies", number, ONLY_IF), fault
        for key in ("options", "tools", "references"):
            names = [
                entry.title if key == "references" else entry.name for entry in vars(self)[key]
            ]
            for number, name in enumerate(names):
                if name in names[:number]:
                    yield (key, number), f"names '{name}' twice"


@dataclass(frozen=True)
class Area:
    """A part of the checklist.

    Attributes:
        name: The name of its file, never a key in it.
    """

    __pydantic_config__: ClassVar[Any] = SHAPE

    title: str
    about: str
    items: tuple[Item, ...]
    name: str = ""


@dataclass(frozen=True)
class Catalogue:
    """Every item, in the order of a project."""

    areas: tuple[Area, ...]

    @cached_property
    def items(self) -> dict[str, Item]:
        """Return every item by its id."""
        return {item.id: item for area in self.areas for item in area.items}

    def required_by(self, answers: Mapping[str, Any]) -> Catalogue:
        """Return the items with only the proofs that the answers require."""
        return Catalogue(
            tuple(
                replace(area, items=tuple(item.required_by(answers) for item in area.items))
                for area in self.areas
            )
        )

    def find(self, name: str) -> Item:
        """Return one item.

        Raises:
            UserError: If there is no item with that id; the message names the closest ones.
        """
        if name not in self.items:
            import difflib

            close = difflib.get_close_matches(name, self.items, n=3, cutoff=0.4)
            every = "`checklist list --all` has all."
            instead = f"did you mean {' or '.join(close)}?" if close else every
            raise UserError(f"There is no item '{name}' in the checklist; {instead}")
        return self.items[name]


def folder_of(project: Project) -> Path:
    """Return the folder of sign-offs, waivers and the team's own items."""
    return project.root / "checklist"


def load_catalogue(project: Project, *, brief: bool = False) -> Catalogue:
    """Load the template's items and the team's own; `brief` where only states are needed.

    Brief items of the template lack options, tools and references, which the template's own tests
    have checked; the team's file is always read in full.

    Raises:
        UserError: With file and line, at the first fault.
    """
    files = [template_file(name) for name in AREAS]
    own = folder_of(project) / f"{OWN}.yaml"
    if own.exists():
        files.append(YamlFile(own, project.relative(own)))
    areas, seen = [], dict[str, str]()
    for file in files:
        area = load_area(file, brief=brief and file.path != own)
        for number, item in enumerate(area.items):
            if item.id in seen:
                fault = f"has the item '{item.id}' twice, first in the area {seen[item.id]}"
                file.refuse(("items", number, "id"), fault)
            seen[item.id] = area.name
        areas.append(area)
    return Catalogue(tuple(areas))


def template_file(area: str) -> YamlFile:
    """Return the template's file of one area."""
    return YamlFile(ITEMS / f"{area}.yaml", f"checklist/items/{area}.yaml")


def load_area(file: YamlFile, *, brief: bool = False) -> Area:
    """Load one file of items; `brief` as in `load_catalogue`.

    Raises:
        UserError: With file and line, at the first fault.
    """
    area: Area = file.load(Area, SHOWN_ONLY if brief else None)
    if area.name:
        file.refuse(("name",), "'name' is not a key of an area; its file has its name")
    for number, item in enumerate(area.items):
        for key, fault in item.faults():
            file.refuse(("items", number, *key), fault)
    name = file.path.stem
    return replace(area, name=name, items=tuple(replace(item, area=name) for item in area.items))


def read_evidence(entry: Any) -> Evidence:
    """Return what proves an item: `kind: rule`, and for some kinds further keys.

    Raises:
        ValueError: If it is malformed; with the key that is, unless that is the kind.
    """
    if not isinstance(entry, dict) or not entry:
        raise ValueError("has evidence that is not written as kind: rule")
    kind, rule = next(iter(entry.items()))
    if kind not in registry.EVIDENCE:
        # The team's own kinds only now: custom.py may import what is slow to import.
        registry.team()
    if kind not in registry.EVIDENCE:
        known = ", ".join(sorted(registry.EVIDENCE))
        raise ValueError(f"has evidence of the unknown kind '{kind}', which is not one of {known}")
    types = {kind: str, **FURTHER_KEYS.get(kind, {}), ONLY_IF: str}
    for key, value in entry.items():
        if key not in types:
            raise ValueError(f"has an unknown key '{key}'; known: {', '.join(types)}", key)
        # Not isinstance, for which true is a number.
        if type(value) is not types[key] or not str(value).strip():
            raise ValueError(f"'{key}' has to be {EXPECTED[types[key].__name__]}", key)
    _check_rule(kind, rule)
    for key in FURTHER_KEYS["section"]:
        if entry.get(key, 1) < 1:
            raise ValueError(f"asks for {entry[key]} {key}; at least 1", key)
    if ONLY_IF in entry:
        read_alternatives(entry[ONLY_IF])
    return Evidence(kind, rule, {key: entry[key] for key in entry if key != kind})


def _check_rule(kind: str, rule: str) -> None:
    """Refuse a rule that its kind of evidence cannot check."""
    if kind in CHOICES and rule not in CHOICES[kind]:
        known = ", ".join(CHOICES[kind])
        raise ValueError(f"has the evidence {kind}: {rule}, which is not one of {known}")
    if kind in CONDITION_KINDS:
        depth = len(parse_condition(rule).path)
        if kind in ("config", "fact") and depth < 2:
            raise ValueError(f"has the rule '{rule}', but needs section.key or report.path")
    if kind == "file":
        for pattern in split_patterns(rule):
            if not is_inside(pattern):
                fault = f"has the pattern '{pattern}', but needs one below the project's folder"
                raise ValueError(f"{fault}, such as docs/*.md, with ** at most once")
    if kind == "section" and not re.fullmatch(r"docs/[\w-]+\.md#[\w-]+", rule):
        raise ValueError(f"has the section '{rule}', but needs docs/NAME.md#HEADING")


def read_alternatives(text: str) -> list[list[Condition]]:
    """Return lists of conditions, as in `a == 1 and b == 2 or c == 3`; one list has to hold.

    Raises:
        ValueError: If a condition is malformed.
    """
    return [list(map(parse_condition, each.split(" and "))) for each in text.split(" or ")]


def split_patterns(rule: str) -> list[str]:
    """Return the patterns of the evidence `file`, any of which is enough."""
    return [pattern.strip() for pattern in rule.split(" | ")]


def is_inside(pattern: str) -> bool:
    """Tell whether a pattern stays below its folder and can be searched quickly."""
    steps = pattern.split("/")
    # A drive letter or a backslash means different things on different systems.
    forbidden = {"", ".", ".."} & set(steps) or set(pattern) & set("\\:\0")
    return not forbidden and pattern.count("**") == steps.count("**") <= 1


def stage_of(answers: Mapping[str, Any]) -> str:
    """Return the stage that the answers claim; a proof of concept where they do not say.

    Raises:
        UserError: If it is not one of `STAGES`.
    """
    stage = answers.get("stage", STAGES[0])
    if stage not in STAGES:
        known = ", ".join(STAGES)
        raise UserError(f".cruft.json has the stage '{stage}'; change it there to one of {known}.")
    return str(stage)


# ------------------------------------------------------------------------------------- YAML files

KeyPath = tuple[str | int, ...]

# What a value has to be, by the type of pydantic's error or by its own type.
EXPECTED = {
    "str": "text",
    "string_type": "text",
    "string_too_short": "text",
    "tuple_type": "a list",
    "dict_type": "a mapping",
    "bool_type": "true or false",
    "bool_parsing": "true or false",
    "int": "a whole number",
}


class _Loader(yaml_loader()):  # type: ignore[misc]  # a class only where libyaml is known
    """Loads plain values, and names the line of a repeated key and of a value not of its type."""

    def construct_mapping(self, node: Any, deep: bool = False) -> Any:
        """Return a mapping that repeats no key: YAML would drop all but the last."""
        mapping, seen = super().construct_mapping(node, deep), set()
        if len(mapping) < len(node.value):
            for key, _ in node.value:
                if key.value in seen:
                    fault = f"'{key.value}' stands there twice"
                    raise yaml.constructor.ConstructorError(None, None, fault, key.start_mark)
                seen.add(key.value)
        return mapping

    def construct_object(self, node: Any, deep: bool = False) -> Any:
        """Return a value, or say where one is not of its type, such as the date 2026-13-45."""
        try:
            return super().construct_object(node, deep)
        except (ValueError, TypeError, AttributeError, LookupError) as error:
            fault = str(error)
            raise yaml.constructor.ConstructorError(None, None, fault, node.start_mark) from None


@dataclass(frozen=True)
class YamlFile:
    """A YAML file that can name the line of a fault.

    Attributes:
        shown: How messages name the file.
    """

    path: Path
    shown: str

    def load(self, kind: Any, without: re.Pattern[str] | None = None) -> Any:
        """Return the content as a class, without the lines that match.

        Raises:
            UserError: As `read`, and if keys or values are not those of the class.
        """
        from pydantic import ValidationError

        try:
            return _adapter(kind).validate_python(self.read(without))
        except ValidationError as error:
            faults = error.errors(include_url=False)
            # A misspelt key is both missing and unknown; its line is the one to correct.
            first = next((each for each in faults if each["type"] != "missing"), faults[0])
        self.refuse(*_in_words(first, kind))

    def read(self, without: re.Pattern[str] | None = None) -> Any:
        """Return the content, without the lines that match.

        Raises:
            UserError: If it is not YAML or not UTF-8, or contains marks of a merge conflict.
        """
        text = self._text()
        conflict = re.search(r"^(<<<<<<< |=======$|>>>>>>> )", text, re.MULTILINE)
        if conflict:
            line = text.count("\n", 0, conflict.start()) + 1
            fault = "a merge conflict; choose a side and save it"
            raise UserError(f"{self.shown}, line {line}: {fault}.")
        if without:
            # Line ends stay, so that faults are found where they are.
            text = without.sub(lambda found: "\n" * found[0].count("\n"), text)
        try:
            return yaml.load(text, _Loader)  # noqa: S506  # which is a safe one
        except yaml.MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            self._refuse_line(mark.line + 1 if mark else 1, f"not valid YAML ({error.problem})")
        except yaml.reader.ReaderError as error:
            line = text.count("\n", 0, text.find(chr(error.character))) + 1
            self._refuse_line(line, f"not valid YAML (#x{error.character:02x}: {error.reason})")

    def _text(self) -> str:
        """Return the text as it is."""
        try:
            return self.path.read_text(encoding="utf-8-sig")
        except UnicodeDecodeError as error:
            raise UserError(
                f"{self.shown} is not UTF-8 (byte {error.start}); save it so."
            ) from None
        except OSError as error:
            raise UserError(
                f"{self.shown} cannot be read ({error.strerror}); make it a file that can."
            ) from None

    def refuse(self, where: KeyPath, fault: str) -> NoReturn:
        """Raise a UserError that names file and line of a key or entry, or of what holds it."""
        # Parsed again, since only a fault needs the lines.
        node: Any = yaml.compose(self._text(), _Loader)
        line = 1
        for step in where:
            below = {}
            if isinstance(node, yaml.MappingNode):
                below = {key.value: (key, value) for key, value in node.value}
            elif isinstance(node, yaml.SequenceNode):
                below = {str(number): (entry, entry) for number, entry in enumerate(node.value)}
            if str(step) not in below:
                break
            place, node = below[str(step)]
            line = place.start_mark.line + 1
        self._refuse_line(line, fault)

    def _refuse_line(self, line: int, fault: str) -> NoReturn:
        """Raise a UserError about a line."""
        raise UserError(f"{self.shown}, line {line}: {fault}; correct it there.")


@cache
def _adapter(kind: Any) -> Any:
    """Return what reads a class of a YAML file; pydantic is imported only where one is read."""
    from pydantic import TypeAdapter

    return TypeAdapter(kind)


def _in_words(error: Mapping[str, Any], kind: Any) -> tuple[KeyPath, str]:
    """Return the place of an error of pydantic's in a file of a kind, and what is wrong there."""
    place = error["loc"]
    if error["type"] == "value_error":
        fault, *further = error["ctx"]["error"].args
        return (*place, *further), fault
    if error["type"] == "missing":
        return place[:-1], f"lacks the key '{place[-1]}'"
    if error["type"] in ("unexpected_keyword_argument", "invalid_key"):
        known = ", ".join(_keys(kind, place[:-1]))
        return place, f"has an unknown key '{place[-1]}'; known: {known}"
    name = f"'{place[-1]}' " if place and isinstance(place[-1], str) else ""
    if error["type"] == "dataclass_type":
        return place, f"{name}has to be a mapping of {', '.join(_keys(kind, place))}"
    if error["type"] in EXPECTED:
        return place, f"{name}has to be {EXPECTED[error['type']]}"
    return place, f"{name}is '{error['input']}'; {error['msg'].lower()}"


def _keys(kind: Any, place: KeyPath) -> list[str]:
    """Return the keys of the mapping at a place in a file of a kind."""
    for step in place:
        if is_dataclass(kind):
            kind = get_type_hints(kind)[str(step)]
        else:
            kind = next(each for each in get_args(kind) if is_dataclass(each))
    # What is empty unless set comes from the file's name.
    return [SHAPE["alias_generator"](each.name) for each in fields(kind) if each.default != ""]
