"""Write the tables of the documentation that repeat what stands in the code."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from pathlib import Path
from typing import Any

DOCS = Path(__file__).parent
PACKAGE = DOCS.parent / "{{cookiecutter.project_slug}}" / "src" / "{{cookiecutter.__package}}"
MARK = "<!-- settings: made by docs/tables.py -->\n"


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
    config = importlib.import_module("documented.config")
    parts = []
    for name, section in config.Settings.model_fields.items():
        if name == "params":
            parts.append("## `[params]`\n\nOf an estimator: `forest.n_estimators = 500`.\n")
            continue
        rows = [
            f"| `{key}` | {field.description} | {shown(field.default)} |"
            for key, field in section.annotation.model_fields.items()
        ]
        about = section.annotation.__doc__.strip()
        head = f"## `[{name}]`\n\n{about}\n\n| Setting | What it is | Default |\n|---|---|---|\n"
        parts.append(head + "\n".join(rows) + "\n")
    return "\n".join(parts)


def shown(value: Any) -> str:
    """Return a default the way `conf.cfg` takes it."""
    if value in (None, ()):
        return ""
    if isinstance(value, bool):
        return "`yes`" if value else "`no`"
    return f"`{', '.join(map(str, value)) if isinstance(value, tuple) else value}`"


def with_tables(text: str) -> str:
    """Return the settings page with its tables as they have to be."""
    return text.partition(MARK)[0] + MARK + "\n" + settings_table()


def main() -> None:
    """Bring `settings.md` up to date."""
    page = DOCS / "settings.md"
    page.write_text(with_tables(page.read_text("utf-8")), encoding="utf-8", newline="\n")


if __name__ == "__main__":
    main()
