"""Hold the packages of baked projects to floors.toml: ``python tests/floors.py PROJECT ...``."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

from grimp import ImportGraph
from importlinter import Contract, ContractCheck, output

TESTS = Path(__file__).resolve().parent


class Circles(Contract):
    """No file imports itself by way of others; a folder's ``__init__.py`` is a file like others.

    The `acyclic_siblings` of import-linter looks at what lies beside each other alone, so it misses
    a circle of ``__init__.py`` and a file of its folder.
    """

    def check(self, graph: ImportGraph, verbose: bool) -> ContractCheck:
        """Find the shortest circle through each module, each once."""
        circles: dict[frozenset[str], tuple[str, ...]] = {}
        for module in sorted(graph.modules):
            for imported in sorted(graph.find_modules_directly_imported_by(module)):
                itself = (module,) if imported == module else None
                back = itself or graph.find_shortest_chain(imported, module, as_packages=False)
                if back is not None:
                    circles.setdefault(frozenset(back), (module, *back))
        return ContractCheck(kept=not circles, metadata={"circles": circles, "graph": graph})

    def render_broken_contract(self, check: ContractCheck) -> None:
        """Print each import of each circle with its line."""
        for circle in check.metadata["circles"].values():
            for importer, imported in zip(circle, circle[1:], strict=False):
                details = check.metadata["graph"].get_import_details(
                    importer=importer, imported=imported
                )
                lines = ", ".join(f"l.{each['line_number']}" for each in details)
                output.print_error(f"- {importer} -> {imported} ({lines})")
            output.new_line()


def hold_to_floors(project: Path) -> tuple[int, str]:
    """Return the exit code and the words of import-linter about a project's package."""
    source = project / "src"
    (package,) = [path.parent.name for path in source.glob("*/__init__.py")]
    rules = (TESTS / "floors.toml").read_text(encoding="utf-8").replace("PACKAGE", package)
    with tempfile.TemporaryDirectory() as folder:
        config = Path(folder) / "floors.toml"
        config.write_text(rules, encoding="utf-8")
        program = Path(sys.executable).with_name("lint-imports")
        done = subprocess.run(
            [program, "--no-logo", "--no-cache", config],
            cwd=source,
            env={**os.environ, "PYTHONPATH": str(TESTS), "NO_COLOR": "1", "COLUMNS": "200"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
        )
    return done.returncode, done.stdout


def main(projects: list[str]) -> int:
    """Print what import-linter says of each project whose package breaks a contract."""
    found = [hold_to_floors(Path(project)) for project in projects]
    for text in [text for code, text in found if code]:
        print(text)
    return int(any(code for code, _ in found))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
