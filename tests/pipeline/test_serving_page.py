"""The demo page in a browser, from a service that really runs: by keyboard, for screen readers."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from asking import JSON_TYPE, Server, make_model
from browser import Browser
from mlproj.bundle import champion
from mlproj.core.project import Project
from room import Room

pytestmark = pytest.mark.modules

SAMPLE = {"source": "sample:900", "id": "customer_id", "sensitive": "gender"}
PROJECTS: dict[str, dict[str, Any]] = {
    "binary": {"data": {**SAMPLE, "target": "churned"}, "model": {"candidates": "linear"}},
    "multiclass": {
        "data": {"source": "sklearn:wine", "target": "target"},
        "model": {"candidates": "linear"},
    },
    "regression": {
        "data": {**SAMPLE, "target": "spend"},
        "model": {"candidates": "linear", "task": "regression"},
    },
}
KEY = "a key of more than sixteen characters"
CONTROLS = {"textbox", "combobox", "button", "link"}
SAID = "document.querySelector('[role=status]').innerText"


@pytest.fixture(scope="module")
def made(make_project: Any, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Projects with a model in service, made once each when they are asked for."""

    class Made(dict[str, Any]):
        def __missing__(self, kind: str) -> Any:
            sections = {name: dict(values) for name, values in PROJECTS[kind].items()}
            sections["model"] |= {"folds": 0}
            project = make_project(tmp_path_factory.mktemp(kind), **sections)
            run_id = make_model(project)
            champion.release(project, run_id, "promote")
            self[kind] = project
            return project

    return Made()


@pytest.fixture(scope="module")
def server(made: dict[str, Any], package_environment: dict[str, str]) -> Iterator[Server]:
    """The binary project's service."""
    with Server(made["binary"], package_environment) as server:
        yield server


def address(server: Server) -> str:
    """Return the page's address."""
    return f"http://127.0.0.1:{server.port}/"


def tab_to(browser: Browser, selector: str) -> None:
    """Press Tab until an element has the focus."""
    for _ in range(60):
        browser.press("Tab")
        if browser.ask(f"document.activeElement.matches({selector!r})"):
            return
    raise AssertionError(f"{selector} is out of the keyboard's reach")


def column(name: str) -> str:
    """Return the selector of a column's field."""
    return f'[data-column="{name}"]'


def in_the_form(browser: Browser) -> dict[str, Any]:
    """Return the row that the form holds."""
    return dict(
        browser.ask("Object.fromEntries(fields.map((f) => [f.dataset.column, valueOf(f)]))")
    )


def predict_by_keyboard(browser: Browser) -> str:
    """Go to the button, press Enter, and return what is said then."""
    tab_to(browser, "#form [type=submit]")
    browser.press("Enter")
    browser.wait(f"{SAID} !== 'Not asked yet.'")
    return str(browser.ask(SAID))


def predict_by_enter(browser: Browser) -> str:
    """Press Enter in the field that has the focus, and return the prediction said then."""
    browser.press("Enter")
    browser.wait(f"{SAID}.startsWith('Prediction')")
    return str(browser.ask(SAID))


def test_a_row_is_filled_in_and_predicted_by_keyboard_alone(
    browser: Browser, server: Server
) -> None:
    browser.events.clear()
    browser.open(address(server))
    browser.press("Tab")
    assert browser.ask("document.activeElement.innerText") == "Skip to the content"
    tab_to(browser, column("age"))
    browser.type("22")
    tab_to(browser, column("plan"))
    browser.press("ArrowDown")
    tab_to(browser, column("comment"))
    browser.type("late again, and rude staff")
    row = in_the_form(browser)
    assert (row["age"], row["plan"]) == (22, "business")
    assert row["comment"] == "late again, and rude staff"
    said = predict_by_keyboard(browser)
    told = server.ask("POST", "/predict", {"rows": [row]}).json["predictions"][0]
    shown = f"{told['probability']['yes']:.6g}"
    assert said.startswith(f"Prediction: {told['prediction']}")
    assert f"Probability of yes: {shown}; yes is predicted from 0.5 on." in said
    # The explanation: as many rows as columns, the largest change first, unchanged ones at 0.
    table = browser.ask(
        "[...why.tBodies[0].rows].map((row) => [...row.cells].map((c) => c.innerText))"
    )
    assert sorted(cells[0] for cells in table) == sorted(row)
    changes = {name: float(change) for name, change, *_ in table}
    sizes = [abs(change) for change in changes.values()]
    assert sizes == sorted(sizes, reverse=True)
    assert {name for name, change in changes.items() if change} == {"age", "plan", "comment"}
    # Nothing was asked for elsewhere, and the policy had nothing to refuse.
    assert browser.complaints == []
    assert {each for each in browser.asked if not each.startswith(address(server))} <= {
        "about:blank",
        "data:,",
    }
    # The model card is there to be read.
    assert "How good it is" in browser.ask("document.getElementById('card').innerText")


@pytest.mark.parametrize("kind", ["multiclass", "regression"])
def test_other_tasks_show_what_there_is_to_know(
    made: dict[str, Any], kind: str, package_environment: dict[str, str], browser: Browser
) -> None:
    with Server(made[kind], package_environment) as server:
        browser.open(address(server))
        row = in_the_form(browser)
        said = predict_by_keyboard(browser)
        told = server.ask("POST", "/predict", {"rows": [row]}).json["predictions"][0]
        if kind == "regression":
            lower, upper = (f"{told[end]:.6g}" for end in ("lower", "upper"))
            assert f"Prediction: {told['prediction']:.6g}" in said
            assert f"Between {lower} and {upper}." in said
            return
        shares = browser.ask(
            "[...shares.tBodies[0].rows].map((row) => [...row.cells].map((c) => c.innerText))"
        )
        ranked = sorted(told["probability"].items(), key=lambda each: -each[1])
        assert [name for name, _ in shares] == [name for name, _ in ranked]
        assert [float(share) for _, share in shares] == pytest.approx(
            [share for _, share in ranked], rel=1e-5
        )


def test_faults_are_told_at_their_fields_and_the_focus_goes_there(
    browser: Browser, server: Server
) -> None:
    browser.open(address(server))
    tab_to(browser, column("age"))
    browser.type("old")
    tab_to(browser, column("visits"))
    browser.type("1.5")
    browser.press("Enter")
    browser.wait("document.querySelector('[aria-invalid]') !== null")
    assert browser.ask("document.activeElement.dataset.column") == "age"
    wrong = {
        node.name: node.description
        for node in browser.tree()
        if node.properties.get("invalid") == "true"
    }
    assert wrong["age"].endswith("has to be a number")
    assert wrong["visits"].endswith("has to be a whole number")
    assert set(wrong) == {"age", "visits"}
    said = browser.ask(SAID)
    assert "age: has to be a number." in said and "visits: has to be a whole number." in said
    assert browser.ask("why.hidden") is True
    # Mended, it is predicted, and nothing of the faults is left.
    browser.press("Tab", shift=True)
    browser.press("Tab")  # which selects what is there
    browser.type("22")
    tab_to(browser, column("visits"))
    browser.type("3")
    assert predict_by_enter(browser).startswith("Prediction: ")
    assert browser.ask("document.querySelector('[aria-invalid]')") is None
    assert (
        browser.ask("[...document.querySelectorAll('.error')].map((e) => e.textContent).join('')")
        == ""
    )


def test_a_screen_reader_finds_names_headings_and_landmarks(
    browser: Browser, server: Server
) -> None:
    browser.open(address(server))
    predict_by_keyboard(browser)
    tree = browser.tree()
    controls = [node for node in tree if node.role in CONTROLS]
    assert [node for node in controls if not node.name] == []
    assert len([n for n in controls if n.role in ("textbox", "combobox")]) == len(
        in_the_form(browser)
    )
    names = {node.name for node in controls}
    assert {"Predict", "Back to the usual row", "age", "plan"} <= names
    roles = {node.role for node in tree}
    assert {"main", "banner", "region", "status", "table", "columnheader", "rowheader"} <= roles
    status = next(node for node in tree if node.role == "status")
    assert (status.properties["live"], status.properties["atomic"]) == ("polite", True)
    levels = [node.properties["level"] for node in tree if node.role == "heading"]
    assert levels[0] == 1 and levels.count(1) == 1
    assert all(after <= before + 1 for before, after in zip(levels, levels[1:], strict=False))
    tables = [node.name for node in tree if node.role == "table"]
    assert "By how much each value given, in place of the usual one, changes the score" in tables
    age = next(node for node in controls if node.name == "age")
    assert age.description.startswith("a whole number, ")
    regions = [node.name for node in tree if node.role == "region"]
    assert regions == ["Try a row", "Prediction", "The model card"]
    assert browser.ask("document.documentElement.lang") == "en"


def test_a_key_is_asked_for(
    made: dict[str, Any], package_environment: dict[str, str], browser: Browser
) -> None:
    environment = {**package_environment, "PAGE_KEYS": KEY}
    with Server(made["binary"], environment, ["serving.keys=env:PAGE_KEYS"]) as server:
        browser.open(address(server))
        assert "How good it is" not in browser.ask("document.body.innerText")
        tab_to(browser, "#key")
        browser.type("a wrong key")
        browser.press("Enter")
        browser.wait("key.hasAttribute('aria-invalid')")
        assert browser.ask("document.activeElement.id") == "key"
        key = next(node for node in browser.tree() if node.name == "API key")
        assert key.properties["invalid"] == "true" and "API key" in key.description
        browser.ask("key.select()")
        browser.type(KEY)
        said = predict_by_enter(browser)
        row = in_the_form(browser)
        headers = {**JSON_TYPE, "X-API-Key": KEY}
        told = server.ask("POST", "/predict", {"rows": [row]}, headers).json["predictions"][0]
        assert said.startswith(f"Prediction: {told['prediction']}")
        browser.wait("document.getElementById('card').innerText.includes('How good it is')")
        assert KEY not in browser.ask("document.documentElement.outerHTML + location.href")
        assert (
            browser.ask("localStorage.length + sessionStorage.length + document.cookie.length") == 0
        )


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [400, 1280])
def test_it_fits_the_screen_and_stands_out(
    browser: Browser, server: Server, width: int, scheme: str, tmp_path: Path
) -> None:
    browser.resize(width)
    browser.prefer(scheme)
    for path in ("", "docs"):
        browser.open(address(server) + path)
        if not path:
            predict_by_keyboard(browser)
        assert browser.ask("document.documentElement.scrollWidth") <= width
        assert browser.weak_texts() == []
    browser.open(address(server))
    tab_to(browser, column("age"))
    browser.type("old")
    browser.press("Enter")
    browser.wait("document.querySelector('[aria-invalid]') !== null")
    assert browser.ask("document.documentElement.scrollWidth") <= width
    assert browser.weak_texts() == []
    ground = browser.ask("getComputedStyle(document.body).backgroundColor")
    assert ground == {"light": "rgb(255, 255, 255)", "dark": "rgb(19, 20, 22)"}[scheme]


def test_a_service_that_is_gone_is_told(
    made: dict[str, Any], package_environment: dict[str, str], browser: Browser
) -> None:
    with Server(made["binary"], package_environment) as server:
        browser.open(address(server))
    tab_to(browser, "#form [type=submit]")
    browser.press("Enter")
    browser.wait(f"{SAID} === 'There is no answer; try again soon.'")


def test_without_a_script_it_says_so(browser: Browser, server: Server) -> None:
    browser.call("Emulation.setScriptExecutionDisabled", value=True)
    try:
        browser.open(address(server))
        names = [node.name for node in browser.tree()]
    finally:
        browser.call("Emulation.setScriptExecutionDisabled", value=False)
    assert "The form needs JavaScript, which is switched off here." in names


RULE = """

def decide(frame, predictions):
    return predictions.assign(prediction="no")
"""


def test_the_page_says_that_the_team_s_rule_decided(
    browser: Browser, package_environment: dict[str, str], tmp_path: Path
) -> None:
    """And names no threshold, which the rule may overrule."""
    room = Room(tmp_path / "room")
    room.write(RULE)
    room.trained("--set", "evaluate.margin=0")
    environment = {**package_environment, "PYTHONPATH": str(room.root / "src")}
    champion.release(Project(room.root), room.report("release")["run_id"], "promote")
    with Server(Project(room.root), environment) as server:
        browser.open(address(server))
        said = predict_by_keyboard(browser)
    assert said.startswith("Prediction: no\n")
    assert said.endswith("Decided by the team's rule.")
    assert "is predicted from" not in said
