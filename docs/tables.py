"""Write what the documentation repeats of the code: tables of settings, pages of the checklist."""

from __future__ import annotations

import ast
import importlib
import importlib.util
import itertools
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

DOCS = Path(__file__).parent
PACKAGE = DOCS.parent / "{{cookiecutter.project_slug}}" / "src" / "{{cookiecutter.__package}}"
MARK = "<!-- settings: made by docs/tables.py -->\n"
CHECKLIST = DOCS / "checklist"
ITEMS_MARK = "<!-- items: made by docs/tables.py -->\n"


def load_package(name: str = "documented") -> None:
    """Make the skeleton's package importable: it holds no Jinja, only its folder's name does."""
    spec = importlib.util.spec_from_file_location(
        name, PACKAGE / "__init__.py", submodule_search_locations=[str(PACKAGE)]
    )
    if spec is None or spec.loader is None:
        raise ImportError(f"{PACKAGE} is no package")
    # Byte code written here would be part of the template, and of every project.
    sys.dont_write_bytecode = True
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)


def settings_table() -> str:
    """Return a Markdown table per section of `conf.cfg`."""
    load_package()
    config = importlib.import_module("documented.core.config")
    registry = importlib.import_module("documented.core.registry")
    parts = []
    for name, section in config.Settings.model_fields.items():
        if name == "params":
            parts.append(f"## `[params]`\n\n{section.description.capitalize()}.\n")
        else:
            parts.append(section_table(name, section.annotation))
    registry.extend_by_modules()
    for name, entry in sorted(registry.SETTINGS.items()):
        answer = answer_of(entry.split(".")[1])
        parts.append(
            section_table(name, registry.load(entry), f"Only with the answer `{answer}`. ")
        )
    return "\n".join(parts)


def section_table(name: str, section: Any, note: str = "") -> str:
    """Return a section's heading, what it is about, and its table."""
    rows = [
        f"| `{key}` | {field.description} | {shown(field.default)} |"
        for key, field in section.model_fields.items()
    ]
    head = f"## `[{name}]`\n\n{note}{section.__doc__.strip()}\n\n"
    return head + "\n".join(["| Setting | What it is | Default |", "|---|---|---|", *rows, ""])


def answer_of(module: str) -> str:
    """Return the answer that keeps a sub-package, as the hook's manifest of modules says."""
    hook = ast.parse((DOCS.parent / "hooks" / "post_gen_project.py").read_text("utf-8"))
    assigned = [node for node in hook.body if isinstance(node, ast.Assign)]
    manifest = next(
        ast.literal_eval(node.value)
        for node in assigned
        if ast.unparse(node.targets[0]) == "MODULES"
    )
    return next(str(key) for key, paths in manifest.items() if f"src/{{package}}/{module}" in paths)


def shown(value: Any) -> str:
    """Return a default the way `conf.cfg` takes it."""
    if value in (None, (), ""):
        return ""
    if isinstance(value, bool):
        return "`yes`" if value else "`no`"
    return f"`{', '.join(map(str, value)) if isinstance(value, tuple) else value}`"


def with_tables(text: str) -> str:
    """Return the settings page with its tables as they have to be."""
    return text.partition(MARK)[0] + MARK + "\n" + settings_table()


def checklist_pages() -> dict[str, str]:
    """Return the pages of the checklist by their names: one per area, and the index."""
    load_package()
    catalogue = importlib.import_module("documented.checklist.catalogue")
    areas = [catalogue.load_area(catalogue.template_file(name)) for name in catalogue.AREAS]
    index = (CHECKLIST / "index.md").read_text("utf-8").partition(ITEMS_MARK)[0]
    pages = {f"{area.name}.md": area_page(area) for area in areas}
    return pages | {"index.md": f"{index}{ITEMS_MARK}\n{areas_table(areas, catalogue.STAGES)}"}


def areas_table(areas: list[Any], stages: tuple[str, ...]) -> str:
    """Return how many items each area has at which stage, and the pages' order."""
    rows = [f"| Area | {' | '.join(stages)} | Items |", f"|---|{'--:|' * (len(stages) + 1)}"]
    totals = [0] * (len(stages) + 1)
    for area in areas:
        numbers = [sum(item.stage == stage for item in area.items) for stage in stages]
        numbers.append(len(area.items))
        totals = [total + number for total, number in zip(totals, numbers, strict=True)]
        rows.append(f"| [{area.title}]({area.name}.md) | {' | '.join(map(str, numbers))} |")
    rows.append(f"| **All** | {' | '.join(map(str, totals))} |")
    pages = "\n".join(area.name for area in areas)
    return "\n".join(rows) + f"\n\n```{{toctree}}\n:hidden:\n\n{pages}\n```\n"


def area_page(area: Any) -> str:
    """Return the page of one area."""
    inline = importlib.import_module("documented.checklist.formats").inline
    note = f"<!-- Made by docs/tables.py from checklist/items/{area.name}.yaml. -->"
    parts = [f"# {inline(area.title)}\n", note + "\n", f"{inline(area.about)}\n"]
    return "\n".join([*parts, *(item_text(item, inline) for item in area.items)])


def item_text(item: Any, inline: Callable[[str], str]) -> str:
    """Return an item: what it claims and why, what proves it, and what to choose from."""
    verify = importlib.import_module("documented.checklist.verify")

    def rules(evidence: Any) -> str:
        return ", ".join(inline(f"`{verify.rule_text(each)}`") for each in evidence)

    def choices(entries: list[tuple[Any, str]]) -> list[str]:
        return [
            f"- {inline(one.name)}{' *(built in)*' if one.built_in else ''}: {inline(about)}"
            for one, about in entries
        ]

    kinds = " or ".join(verify.KINDS[kind] for kind in kinds_of(item))
    facts = [f"`{item.id}`", f"from {item.stage} on", kinds]
    facts += [f"ML Test Score {item.ml_test_score}"] if item.ml_test_score else []
    lines = [f'<a id="{item.id}"></a>', "", f"## {inline(item.title)}", "", ", ".join(facts), ""]
    lines += [inline(item.why), "", f"**How:** {inline(item.how)}", ""]
    lines += [f"**Proof:** {rules(item.evidence)}", ""]
    lines += [f"**Applies where:** {rules(item.applies)}", ""] if item.applies else []
    for title, entries in (
        ("Options", choices([(option, option.when) for option in item.options])),
        ("Tools", choices([(tool, tool.purpose) for tool in item.tools])),
        (
            "Read on",
            [f"- [{inline(r.title)}](<{r.url}>), {inline(r.by)}" for r in item.references],
        ),
    ):
        lines += [f"**{title}**", "", *entries, ""] if entries else []
    return "\n".join(lines)


def kinds_of(item: Any) -> list[str]:
    """Return how an item is proved, over all answers that its proofs depend on."""
    prompts = json.loads((DOCS.parent / "cookiecutter.json").read_text("utf-8"))
    asked = " ".join(proof.further.get("if", "") for proof in item.evidence).split()
    choices = {name: prompts[name] for name in asked if isinstance(prompts.get(name), list)}
    sets = (dict(zip(choices, each, strict=True)) for each in itertools.product(*choices.values()))
    return list(dict.fromkeys(item.required_by(answers).kind for answers in sets))


def main() -> None:
    """Bring `settings.md` and the pages of the checklist up to date."""
    page = DOCS / "settings.md"
    page.write_text(with_tables(page.read_text("utf-8")), encoding="utf-8", newline="\n")
    for name, text in checklist_pages().items():
        (CHECKLIST / name).write_text(text, encoding="utf-8", newline="\n")


if __name__ == "__main__":
    main()
