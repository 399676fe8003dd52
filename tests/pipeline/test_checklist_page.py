"""The HTML of the checklist: complete without a script, safe with any text, filtered by hand."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import shutil
from dataclasses import replace
from datetime import date
from html.parser import HTMLParser
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from answers import SKELETON
from browser import Browser
from colours import contrast

HOSTILE = (
    '"><script>document.title = "taken"</script><img src=x onerror="document.title=1"> & `</code>`'
)


class Page(HTMLParser):
    """The elements of a page with their attributes, and the text of all that is not code for it."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []
        self.inside = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        self.inside = tag

    def handle_endtag(self, tag: str) -> None:
        self.inside = ""

    def handle_data(self, data: str) -> None:
        if self.inside not in ("script", "style"):
            self.text.append(data)

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]

    @property
    def words(self) -> str:
        return " ".join("".join(self.text).split())


@pytest.fixture(scope="session")
def survey(package: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Return the template's whole checklist, looked at in a project that never ran."""
    from mlproj.checklist.verify import survey as look_at
    from mlproj.core.project import Project

    root = tmp_path_factory.mktemp("page") / "project"
    root.mkdir()
    shutil.copytree(SKELETON / "docs", root / "docs")
    shutil.copytree(SKELETON / "checklist", root / "checklist")
    (root / "conf.cfg").write_text("[data]\nsource = t.csv\ntarget = y\n", encoding="utf-8")
    return look_at(Project(root), "production")


@pytest.fixture(scope="session")
def html(survey: Any) -> str:
    """Return its page."""
    from mlproj.checklist.formats import page

    return str(page(survey, date(2025, 1, 2)))


def with_hostile_text(survey: Any, text: str = HOSTILE) -> Any:
    """Return a survey in which every text of the first item, and of its area, is hostile."""
    from mlproj.checklist.catalogue import Catalogue, Option, Reference, Tool
    from mlproj.checklist.records import Records, SignOff, Waiver

    area = survey.shown.catalogue.areas[0]
    first = area.items[0]
    item = replace(
        first,
        title=text,
        why=text,
        how=text,
        options=(Option(text, text, True),),
        tools=(Tool(text, text),),
        references=(
            Reference(text, text, 'https://x.invalid/"onclick="alert(1)'),
            Reference("Script", "Nobody", "javascript:alert(1)"),
        ),
    )
    changed = replace(area, title=text, about=text, items=(item, *area.items[1:]))
    catalogue = Catalogue((changed, *survey.shown.catalogue.areas[1:]))
    result = replace(survey.shown.results[first.id], item=item, reason=text)
    results = {**survey.shown.results, first.id: result}
    shown = replace(survey.shown, project=text, catalogue=catalogue, results=results)
    records = Records(
        {first.id: SignOff(text, text, text)},
        {first.id: Waiver(text, text, text)},
    )
    return replace(survey, shown=shown, records=records)


def test_everything_is_there_without_a_script(html: str, survey: Any) -> None:
    page = Page(html)
    ids = [entry["id"] for entry in page.all("li") if "data-state" in entry]
    assert ids == [f"item-{name}" for name in survey.shown.results]
    for result in list(survey.shown.results.values())[::20]:
        item = result.item
        for text in (item.title, item.why, item.how, result.reason):
            assert " ".join(text.replace("`", "").split()) in page.words
    # Only the controls, which would do nothing, and the sentence that no item fits.
    assert [tag for tag, attributes in page.elements if "hidden" in attributes] == ["form", "p"]


def test_states_are_told_in_words(html: str, survey: Any) -> None:
    from mlproj.checklist.verify import count

    counts = count(survey.shown.results.values())
    found = re.findall(r'<span aria-hidden="true">.</span> ([a-z ]+)</span></dt><dd>(\d+)', html)
    assert {state: int(number) for state, number in found} == counts.by_state
    assert f"{counts.missing} of {counts.total} items are missing." in html


def test_later_items_are_not_in_the_page(survey: Any) -> None:
    from mlproj.checklist.formats import page

    poc = {name: r for name, r in survey.whole.results.items() if r.item.stage == "poc"}
    html = page(
        replace(survey, shown=replace(survey.shown, stage="poc", results=poc)), date.today()
    )
    later = [name for name in survey.whole.results if name not in poc]
    assert later and not [name for name in later if f"item-{name}" in html]
    assert "checklist report --stage mvp" in html


def test_nothing_is_loaded_and_only_the_pages_own_script_runs(html: str) -> None:
    page = Page(html)
    assert [tag for tag, _ in page.elements if tag in ("link", "img", "iframe", "object")] == []
    policy = next(entry["content"] or "" for entry in page.all("meta") if "http-equiv" in entry)
    assert "default-src 'none'" in policy and "unsafe" not in policy
    for tag in ("style", "script"):
        content = re.search(rf"<{tag}>(.*?)</{tag}>", html, flags=re.DOTALL)
        assert content
        digest = base64.b64encode(hashlib.sha256(content[1].encode()).digest()).decode()
        assert f"{tag}-src 'sha256-{digest}'" in policy
        assert "url(" not in content[1] and "fetch(" not in content[1]
    # The policy refuses inline styles, so that none may be needed.
    assert [tag for tag, attributes in page.elements if "style" in attributes] == []


@pytest.mark.parametrize("text", [HOSTILE, HOSTILE.replace("`", "")], ids=["code", "no code"])
def test_any_text_is_only_text(survey: Any, text: str) -> None:
    from mlproj.checklist.formats import page

    plain, hostile = (
        Page(page(each, date.today())) for each in (survey, with_hostile_text(survey, text))
    )
    assert len(hostile.all("script")) == len(plain.all("script")) == 1
    assert hostile.all("img") == []
    names = {name for _, attributes in hostile.elements for name in attributes}
    assert names == {name for _, attributes in plain.elements for name in attributes}
    addresses = [entry["href"] or "" for entry in hostile.all("a")]
    schemes = {address.partition(":")[0] for address in addresses if address[0] != "#"}
    assert schemes <= {"http", "https"}
    assert hostile.words.count('<script>document.title = "taken"</script>') > 10


def test_controls_have_names_and_ids_are_unique(html: str) -> None:
    page = Page(html)
    ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    assert {attributes.get("type") for attributes in page.all("input")} == {"search", "checkbox"}
    for control in re.findall(r"<(?:input|select)\b", html):
        assert control
    labelled = re.findall(r"<label>(?:(?!</label>).)*<(?:input|select)\b", html, flags=re.DOTALL)
    assert len(labelled) == len(page.all("input")) + len(page.all("select"))
    assert html.count("<fieldset><legend>") == html.count("<fieldset>") == 3
    assert 'role="status"' in html
    targets = {entry["href"] or "" for entry in page.all("a")}
    assert [target for target in targets if target[0] == "#" and target[1:] not in ids] == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_stands_out_from_its_ground(package: ModuleType, scheme: str) -> None:
    from mlproj.checklist.formats import STYLES

    colours: dict[str, str] = {}
    for path in STYLES:
        text = path.read_text(encoding="utf-8").partition("@media print")[0]
        dark = "".join(re.findall(r"@media \(prefers-color-scheme: dark\) \{(.*?)\n\}", text, re.S))
        light = text.replace(dark, "")
        for part in (light, dark) if scheme == "dark" else (light,):
            colours |= dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6})\b", part))
    grounds: dict[str, tuple[str, ...]]
    grounds = {"ink": ("page", "card", "tint"), "soft": ("page", "card", "tint")}
    grounds |= {"link": ("card", "tint"), "good": ("card", "good-tint"), "bad": ("bad-tint",)}
    grounds |= {name: (f"{name}-tint",) for name in ("open", "stale", "waived")}
    weak = {
        (name, ground): round(contrast(colours[name], colours[ground]), 2)
        for name, beneath in grounds.items()
        for ground in beneath
        if contrast(colours[name], colours[ground]) < 4.5
    }
    assert weak == {}


# ------------------------------------------------------------------------------- in a browser


def shown(browser: Browser) -> list[str]:
    """Return the ids of the items that are to be seen."""
    script = (
        "[...document.querySelectorAll('#items li[id]')]"
        ".filter(e => e.checkVisibility()).map(e => e.id.slice(5))"
    )
    return list(browser.ask(script))


@pytest.fixture
def address(html: str, tmp_path: Path) -> str:
    """Write the page and return its address."""
    path = tmp_path / "checklist.html"
    path.write_text(html, encoding="utf-8")
    return path.as_uri()


def expected(survey: Any, **wanted: str) -> list[str]:
    """Return the ids of the items with these properties."""
    return [
        name
        for name, result in survey.shown.results.items()
        if result.item.area == wanted.get("area", result.item.area)
        and result.item.stage == wanted.get("stage", result.item.stage)
        and result.item.kind == wanted.get("kind", result.item.kind)
        and result.state == wanted.get("state", result.state)
    ]


@pytest.mark.modules
def test_filters_are_clicked_and_stand_in_the_address(
    browser: Browser, address: str, survey: Any
) -> None:
    browser.open(address)
    assert shown(browser) == list(survey.shown.results)
    browser.click("[name=state][value=open]")
    browser.click("[name=stage][value=mvp]")
    wanted = expected(survey, state="open", stage="mvp")
    assert shown(browser) == wanted and 0 < len(wanted) < len(survey.shown.results)
    total = len(survey.shown.results)
    status = browser.ask("document.querySelector('[role=status]').textContent")
    assert status == f"{len(wanted)} of {total} items shown"
    assert browser.ask("location.hash") == "#state=open&stage=mvp"
    # Whoever gets the link sees the same.
    browser.open(browser.ask("location.href"))
    assert shown(browser) == wanted
    assert browser.ask("document.querySelectorAll('#filters :checked[name]').length") == 2
    browser.click("#all")
    assert shown(browser) == list(survey.shown.results)


@pytest.mark.modules
def test_filters_work_from_the_keyboard(browser: Browser, address: str, survey: Any) -> None:
    browser.open(address)
    browser.ask("document.querySelector('#filters [name=q]').focus()")
    browser.type("Leak")
    found = shown(browser)
    assert 0 < len(found) < len(survey.shown.results)
    assert browser.ask("location.hash") == "#q=Leak"
    browser.click("#all")
    browser.ask("document.querySelector('[name=kind][value=written]').focus()")
    browser.press(" ")
    assert shown(browser) == expected(survey, kind="written")
    browser.ask("document.querySelector('#items li:not([hidden]) summary').focus()")
    browser.press("Enter")
    assert browser.ask("document.querySelector('#items li:not([hidden]) details').open") is True


@pytest.mark.modules
@pytest.mark.parametrize(
    ("fragment", "wanted"),
    [
        ("#area=data&state=open", {"area": "data", "state": "open"}),
        ("#kind=signoff&stage=production", {"kind": "signoff", "stage": "production"}),
        ("#state=nonsense&area=nowhere&x=y", {}),
        ("#%3Cscript%3E", {}),
    ],
)
def test_an_address_sets_the_filters(
    browser: Browser, address: str, survey: Any, fragment: str, wanted: dict[str, str]
) -> None:
    browser.open(address + fragment)
    assert shown(browser) == expected(survey, **wanted)


@pytest.mark.modules
def test_an_address_of_an_item_opens_it(browser: Browser, address: str, survey: Any) -> None:
    name = list(survey.shown.results)[-1]
    browser.open(f"{address}#item-{name}")
    assert (
        browser.ask("document.querySelector('#items details[open]').parentNode.id")
        == f"item-{name}"
    )
    assert browser.ask("location.hash") == f"#item-{name}"
    top = browser.ask(f"document.getElementById('item-{name}').getBoundingClientRect().top")
    assert 0 <= top < browser.ask("innerHeight")


@pytest.mark.modules
def test_no_item_fits_is_said(browser: Browser, address: str) -> None:
    browser.open(address + "#q=zzzzzz")
    assert shown(browser) == []
    assert browser.ask("document.getElementById('none').checkVisibility()") is True
    assert browser.ask("document.querySelectorAll('#items .area:not([hidden])').length") == 0


@pytest.mark.modules
def test_nothing_is_fetched_and_nothing_is_logged(
    browser: Browser, survey: Any, tmp_path: Path
) -> None:
    from mlproj.checklist.formats import page

    path = tmp_path / "hostile.html"
    path.write_text(page(with_hostile_text(survey), date.today()), encoding="utf-8")
    browser.events.clear()
    browser.open(path.as_uri())
    browser.ask("fetch('https://example.invalid/x').catch(() => 0), 0")
    assert set(browser.asked) <= {path.as_uri(), "about:blank"}
    assert "taken" not in browser.ask("document.title").split('"')[0]
    assert [text for text in browser.complaints if "example.invalid" not in text] == []


@pytest.mark.modules
@pytest.mark.parametrize("width", [400, 1280])
def test_nothing_is_wider_than_the_screen(browser: Browser, address: str, width: int) -> None:
    browser.resize(width)
    browser.open(address)
    browser.click("#unfold")
    assert browser.ask("document.querySelectorAll('#items details:not([open])').length") == 0
    assert browser.ask("document.documentElement.scrollWidth") <= width


@pytest.mark.modules
def test_without_a_script_all_is_shown(browser: Browser, address: str, survey: Any) -> None:
    browser.call("Emulation.setScriptExecutionDisabled", value=True)
    try:
        browser.open(address + "#state=done")
        tree = browser.call("DOM.getDocument", depth=-1)
    finally:
        browser.call("Emulation.setScriptExecutionDisabled", value=False)
    text = json.dumps(tree)
    assert all(f'"item-{name}"' in text for name in survey.shown.results)
    assert browser.ask("document.getElementById('filters').hidden") is True


@pytest.mark.modules
def test_paper_has_every_detail_and_no_controls(browser: Browser, address: str) -> None:
    browser.open(address)
    browser.ask("dispatchEvent(new Event('beforeprint'))")
    assert browser.ask("document.querySelectorAll('#items details:not([open])').length") == 0
    browser.call("Emulation.setEmulatedMedia", media="print")
    try:
        assert browser.ask("document.getElementById('filters').checkVisibility()") is False
    finally:
        browser.call("Emulation.setEmulatedMedia", media="")
