"""The items, as `items/*.yaml` and the team's `checklist/own.yaml` state them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, NoReturn

import yaml

from ..core import registry
from ..core.errors import UserError
from ..core.project import Project
from .conditions import Condition, parse_condition

# How mature a project claims to be; `core/pipeline.py` has the steps of the pipeline.
STAGES = ("poc", "mvp", "production")
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

# libyaml's loader is ten times as fast; an installation without it still works.
LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
# What the loader raises for a value that is not of the type that it looks like or is tagged with.
CONSTRUCTION_ERRORS = (ValueError, TypeError, AttributeError, LookupError)

AREA_KEYS = {"title": str, "about": str, "items": list}
ITEM_KEYS = {
    "id": str,
    "title": str,
    "why": str,
    "how": str,
    "stage": str,
    "evidence": list,
    "applies": list,
    "options": list,
    "tools": list,
    "references": list,
    "ml_test_score": str,
}
REQUIRED = ("id", "title", "why", "how", "stage", "evidence")
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
FURTHER_KEYS: dict[str, dict[str, type]] = {"file": {"contains": str}, "section": {"words": int}}
# The key of the condition on the answers under which a proof is required; any kind may have it.
ONLY_IF = "if"


@dataclass(frozen=True)
class Evidence:
    """One proof of an item, or one condition under which the item applies."""

    kind: str
    rule: str
    further: dict[str, Any]

    def is_required(self, answers: Mapping[str, Any]) -> bool:
        """Tell whether the answers require this proof; a missing answer counts as empty."""
        return ONLY_IF not in self.further or any(
            not any(each.fault({each.path[0]: None, **answers}) for each in conditions)
            for conditions in read_alternatives(self.further[ONLY_IF])
        )


@dataclass(frozen=True)
class Option:
    """A method to choose, and when."""

    name: str
    when: str
    built_in: bool = False


@dataclass(frozen=True)
class Tool:
    """A tool, and what it is for."""

    name: str
    purpose: str
    built_in: bool = False


@dataclass(frozen=True)
class Reference:
    """Further reading."""

    title: str
    by: str
    url: str


@dataclass(frozen=True)
class Item:
    """One item of the checklist: a claim, why it matters, and what proves it.

    Attributes:
        kind: "auto" if a machine proves it, "written" if a person writes the proof, else "signoff".
        ml_test_score: The test of Breck et al. (2017) that it stands for, such as "data-1".
    """

    id: str
    area: str
    title: str
    why: str
    how: str
    stage: str
    evidence: tuple[Evidence, ...]
    applies: tuple[Evidence, ...] = ()
    options: tuple[Option, ...] = ()
    tools: tuple[Tool, ...] = ()
    references: tuple[Reference, ...] = ()
    ml_test_score: str | None = None

    @property
    def kind(self) -> str:
        """How it is proved: by a machine, in writing, or by a person's word."""
        kinds = {evidence.kind for evidence in self.evidence}
        if "signoff" in kinds:
            return "signoff"
        return "written" if "section" in kinds else "auto"

    def required_by(self, answers: Mapping[str, Any]) -> Item:
        """Return the item with only the proofs that the answers require."""
        required = tuple(proof for proof in self.evidence if proof.is_required(answers))
        return self if required == self.evidence else replace(self, evidence=required)


@dataclass(frozen=True)
class Area:
    """A part of the checklist."""

    name: str
    title: str
    about: str
    items: tuple[Item, ...]


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
    content = file.read(SHOWN_ONLY if brief else None)
    file.check_keys((), content, AREA_KEYS, ("title", "about", "items"))
    name = file.path.stem
    items = (
        _read_item(file, ("items", number), name, entry)
        for number, entry in enumerate(content["items"])
    )
    return Area(name, content["title"], content["about"].strip(), tuple(items))


KeyPath = tuple[str | int, ...]


@dataclass(frozen=True)
class YamlFile:
    """A YAML file that can name the line of a fault.

    Attributes:
        shown: How messages name the file.
    """

    path: Path
    shown: str

    def read(self, without: re.Pattern[str] | None = None) -> Any:
        """Return the content, without the lines that match.

        Raises:
            UserError: If it is not YAML or not UTF-8, or contains marks of a merge conflict.
        """
        text = self._text()
        refuse_conflict(text, self.shown)
        if without:
            # Line ends stay, so that faults are found where they are.
            text = without.sub(lambda found: "\n" * found[0].count("\n"), text)
        loader = LOADER(text)
        try:
            node = loader.get_single_node()
            content = None if node is None else loader.construct_document(node)
        except yaml.MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            self._refuse_line(mark.line + 1 if mark else 1, f"not valid YAML ({error.problem})")
        except yaml.reader.ReaderError as error:
            line = text.count("\n", 0, text.find(chr(error.character))) + 1
            self._refuse_line(line, f"not valid YAML (#x{error.character:02x}: {error.reason})")
        except CONSTRUCTION_ERRORS as error:
            self._refuse_line(_line_of_wrong_value(node), f"not valid YAML ({error})")
        twice = _find_repeated_key(node)
        if twice is not None:
            fault = f"'{twice[0]}' stands there twice; keep one of them"
            raise UserError(f"{self.shown}, line {twice[1]}: {fault}.")
        return content

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

    def check_keys(
        self, where: KeyPath, value: Any, known: Mapping[str, type], required: tuple[str, ...]
    ) -> None:
        """Refuse a mapping with unknown, missing or wrongly typed keys."""
        if not isinstance(value, dict):
            self.refuse(where, f"has to be a mapping of {', '.join(known)}")
        for key, entry in value.items():
            if key not in known:
                self.refuse((*where, key), f"has an unknown key '{key}'; known: {', '.join(known)}")
            # Not isinstance, for which true is a number.
            if type(entry) is not known[key] or (isinstance(entry, str) and not entry.strip()):
                self.refuse((*where, key), f"'{key}' has to be {TYPE_NAMES[known[key]]}")
        missing = [key for key in required if key not in value]
        if missing:
            self.refuse(where, f"lacks the key '{missing[0]}'")

    def refuse(self, where: KeyPath, fault: str) -> NoReturn:
        """Raise a UserError that names file and line."""
        self._refuse_line(self._line(where), fault)

    def _refuse_line(self, line: int, fault: str) -> NoReturn:
        """Raise a UserError about a line."""
        raise UserError(f"{self.shown}, line {line}: {fault}; correct it there.")

    def _line(self, where: KeyPath) -> int:
        """Return the line of a key or entry; it parses the file again, so only after a fault."""
        node: Any = yaml.compose(self._text(), LOADER)
        line = 1
        for step in where:
            if isinstance(node, yaml.MappingNode):
                pairs = [(key, value) for key, value in node.value if key.value == str(step)]
                if not pairs:
                    break
                line, node = pairs[0][0].start_mark.line + 1, pairs[0][1]
            elif isinstance(node, yaml.SequenceNode) and isinstance(step, int):
                node = node.value[step]
                line = node.start_mark.line + 1
        return line


TYPE_NAMES = {
    str: "text",
    list: "a list",
    bool: "true or false",
    int: "a whole number",
    dict: "a mapping",
}


def refuse_conflict(text: str, shown: str) -> None:
    """Refuse a file that contains the marks of a merge conflict."""
    mark = re.search(r"^(<<<<<<< |=======$|>>>>>>> )", text, re.MULTILINE)
    if mark:
        line = text.count("\n", 0, mark.start()) + 1
        raise UserError(f"{shown}, line {line}: a merge conflict; choose a side and save it.")


def _nodes(root: Any) -> Iterator[Any]:
    """Yield every node once, even where an alias names one again or leads back to it."""
    todo, seen = [root], set()
    while todo:
        node = todo.pop()
        if id(node) in seen:
            continue
        seen.add(id(node))
        yield node
        if isinstance(node, yaml.MappingNode):
            todo.extend(value for _, value in node.value)
        elif isinstance(node, yaml.SequenceNode):
            todo.extend(node.value)


def _find_repeated_key(root: Any) -> tuple[str, int] | None:
    """Return the first key that a mapping repeats, and its line: YAML would drop one."""
    for node in _nodes(root):
        if isinstance(node, yaml.MappingNode):
            seen = set()
            for key, _ in node.value:
                if key.value in seen:
                    return str(key.value), key.start_mark.line + 1
                seen.add(key.value)
    return None


def _line_of_wrong_value(root: Any) -> int:
    """Return the line of the value that is not of its type, such as the date 2026-13-45."""
    for node in _nodes(root):
        if isinstance(node, yaml.ScalarNode):
            try:
                LOADER("").construct_object(node)
            except CONSTRUCTION_ERRORS:
                return node.start_mark.line + 1
    return 1


def _read_item(file: YamlFile, where: KeyPath, area: str, entry: Any) -> Item:
    """Check one item and return it."""
    file.check_keys(where, entry, ITEM_KEYS, REQUIRED)
    if not re.fullmatch("[a-z][a-z0-9]*(-[a-z0-9]+)*", entry["id"]):
        file.refuse(
            (*where, "id"), f"has the id '{entry['id']}', but only a-z, 0-9 and - are allowed"
        )
    if entry["stage"] not in STAGES:
        known = ", ".join(STAGES)
        file.refuse(
            (*where, "stage"), f"has the stage '{entry['stage']}', which is not one of {known}"
        )
    if entry.get("ml_test_score") not in (None, *ML_TESTS):
        known = f"{ML_TESTS[0]} to {ML_TESTS[-1]}"
        place = (*where, "ml_test_score")
        file.refuse(place, f"has the test '{entry['ml_test_score']}', which is not one of {known}")
    proofs = tuple(_read_evidence(file, (*where, "evidence"), entry["evidence"]))
    if not proofs:
        file.refuse((*where, "evidence"), f"has no evidence for '{entry['id']}'")
    applies = tuple(_read_evidence(file, (*where, "applies"), entry.get("applies", [])))
    for number, condition in enumerate(applies):
        place = (*where, "applies", number)
        if condition.kind not in APPLIES_KINDS:
            known = ", ".join(APPLIES_KINDS)
            fault = f"has a condition of the kind '{condition.kind}', which is not one of {known}"
            file.refuse(place, fault)
        if ONLY_IF in condition.further:
            file.refuse((*place, ONLY_IF), f"has '{ONLY_IF}' on a condition, which cannot have one")
    return Item(
        id=entry["id"],
        area=area,
        title=entry["title"],
        why=entry["why"].strip(),
        how=entry["how"].strip(),
        stage=entry["stage"],
        evidence=proofs,
        applies=applies,
        options=tuple(
            Option(option["name"], option["when"], option.get("built_in", False))
            for option in _entries(file, where, entry, "options", ("name", "when"))
        ),
        tools=tuple(
            Tool(tool["name"], tool["for"], tool.get("built_in", False))
            for tool in _entries(file, where, entry, "tools", ("name", "for"))
        ),
        references=tuple(
            Reference(**reference)
            for reference in _entries(file, where, entry, "references", ("title", "by", "url"))
        ),
        ml_test_score=entry.get("ml_test_score"),
    )


def _entries(
    file: YamlFile, where: KeyPath, item: dict[str, Any], key: str, required: tuple[str, ...]
) -> Iterator[dict[str, Any]]:
    """Yield the checked options, tools or references of an item."""
    known: dict[str, type] = dict.fromkeys(required, str)
    if key != "references":
        known["built_in"] = bool
    names = set()
    for number, entry in enumerate(item.get(key, [])):
        file.check_keys((*where, key, number), entry, known, required)
        if entry[required[0]] in names:
            file.refuse((*where, key, number), f"names '{entry[required[0]]}' twice")
        names.add(entry[required[0]])
        yield entry


def _read_evidence(file: YamlFile, where: KeyPath, entries: list[Any]) -> Iterator[Evidence]:
    """Yield what proves an item: `kind: rule`, and for some kinds further keys."""
    for number, entry in enumerate(entries):
        place = (*where, number)
        if not isinstance(entry, dict) or not entry:
            file.refuse(place, "has evidence that is not written as kind: rule")
        kind, rule = next(iter(entry.items()))
        if kind not in registry.EVIDENCE:
            # The team's own kinds only now: custom.py may import what is slow to import.
            registry.team()
        if kind not in registry.EVIDENCE:
            known = ", ".join(sorted(registry.EVIDENCE))
            file.refuse(
                place, f"has evidence of the unknown kind '{kind}', which is not one of {known}"
            )
        keys = {kind: str, ONLY_IF: str} | FURTHER_KEYS.get(kind, {})
        file.check_keys(place, entry, keys, (kind,))
        _check_rule(file, place, kind, rule)
        if entry.get("words", 1) < 1:
            file.refuse((*place, "words"), f"asks for {entry['words']} words; at least 1")
        if ONLY_IF in entry:
            try:
                read_alternatives(entry[ONLY_IF])
            except ValueError as error:
                file.refuse((*place, ONLY_IF), f"{error}")
        yield Evidence(kind, rule, {key: entry[key] for key in entry if key != kind})


def _check_rule(file: YamlFile, where: KeyPath, kind: str, rule: str) -> None:
    """Refuse a rule that its kind of evidence cannot check."""
    if kind in CHOICES and rule not in CHOICES[kind]:
        known = ", ".join(CHOICES[kind])
        file.refuse(where, f"has the evidence {kind}: {rule}, which is not one of {known}")
    if kind in CONDITION_KINDS:
        try:
            depth = len(parse_condition(rule).path)
        except ValueError as error:
            file.refuse(where, f"{error}")
        if kind in ("config", "fact") and depth < 2:
            file.refuse(where, f"has the rule '{rule}', but needs section.key or report.path")
    if kind == "file":
        for pattern in split_patterns(rule):
            if not is_inside(pattern):
                fault = f"has the pattern '{pattern}', but needs one below the project's folder"
                file.refuse(where, f"{fault}, such as docs/*.md, with ** at most once")
    if kind == "section" and not re.fullmatch(r"docs/[\w-]+\.md#[\w-]+", rule):
        file.refuse(where, f"has the section '{rule}', but needs docs/NAME.md#HEADING")


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
