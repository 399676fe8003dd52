"""The page that predicts in a browser: opened from a disk, it says what the bundle says."""

from __future__ import annotations

import hashlib
import io
import json
import math
import shutil
import subprocess
import sys
import tarfile
import time
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from asking import as_rows, make_model, promote_copy
from browser import Browser
from mlproj.bundle import bundle as bundles
from mlproj.bundle import champion
from mlproj.core import config
from mlproj.core.errors import UserError
from mlproj.data.dates import CLOCK, DURATION, LANGUAGES, read_seconds
from mlproj.data.numbers import NumberForm, read_numbers
from mlproj.data.schema import Column
from mlproj.data.split import load_split
from mlproj.models import date_parts, local_time, read_date, words
from mlproj.serving import browser as pages
from mlproj.serving import runtime as runtimes
from mlproj.serving.rows import Rules
from pandas._libs.parsers import STR_NA_VALUES  # type: ignore[import-not-found]

pytestmark = pytest.mark.modules

SAMPLE = {"source": "sample:900", "id": "customer_id", "sensitive": "gender"}
PROJECTS: dict[str, dict[str, Any]] = {
    "binary": {"data": {**SAMPLE, "target": "churned"}, "model": {"candidates": "linear"}},
    # Its numbers are float64 in ONNX.
    "histogram": {"data": {**SAMPLE, "target": "churned"}, "model": {"candidates": "hgb"}},
    "multiclass": {
        "data": {**SAMPLE, "target": "plan", "ignore": "store, city"},
        "model": {"candidates": "linear"},
    },
    "forest": {
        "data": {"source": "sklearn:wine", "target": "target"},
        "model": {"candidates": "forest"},
    },
    "regression": {
        "data": {**SAMPLE, "target": "spend"},
        "model": {"candidates": "linear", "task": "regression"},
    },
}
UNSEEN = "never seen é"
TEXT = "ΑΣ ΟΔΟΣ, İstanbul\u2028STRASSE-straße x_1 ٣٤ 'tis \U0001f600 été"


@pytest.fixture(scope="module")
def made(make_project: Any, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Projects with a model in service, made once each when they are asked for."""

    class Made(dict[str, Any]):
        def __missing__(self, kind: str) -> Any:
            sections = {name: dict(values) for name, values in PROJECTS[kind].items()}
            sections["model"] |= {"folds": 0}
            folder = tmp_path_factory.mktemp(kind)
            params = {"forest.n_estimators": 20}
            project = make_project(folder, **sections, params=params, predict={"strict": "no"})
            run_id = make_model(project)
            # Calibrated, and with a threshold of its own, whatever training found.
            changes: dict[str, Any] = {"calibration": {"temperature": 1.7}}
            if bundles.read_bundle(project, run_id)["threshold"] is not None:
                changes["threshold"] = 0.4
            if kind != "regression":
                run_id = promote_copy(project, run_id, "0badbeef", **changes)
            champion.release(project, run_id, "promote")
            self[kind] = project
            return project

    return Made()


@pytest.fixture(scope="module")
def runtime(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The package of npm, as a file."""
    npm = shutil.which("npm")
    if npm is None:
        pytest.skip("npm is not installed")
    folder = tmp_path_factory.mktemp("npm")
    command = [npm, "pack", runtimes.PACKAGE, "--prefer-offline", "--silent"]
    subprocess.run(command, cwd=folder, check=True, capture_output=True, timeout=600)
    return next(folder.glob("*.tgz"))


def write(project: Any, folder: Path, *overrides: str, **options: Any) -> Path:
    """Write a page and return its path."""
    settings = config.load_settings(project, overrides)
    found: Path = pages.write_page(project, settings, folder, **options)
    return found


@pytest.fixture(scope="module")
def lenient(
    made: dict[str, Any], runtime: Path, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Path]:
    """Pages that take what training never saw, by kind of project."""

    class Written(dict[str, Path]):
        def __missing__(self, kind: str) -> Path:
            folder = tmp_path_factory.mktemp("lenient") / kind
            self[kind] = write(made[kind], folder, runtime=runtime)
            return self[kind]

    return Written()


@pytest.fixture(scope="module")
def page(made: dict[str, Any], runtime: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The binary project's page, which refuses what training never saw."""
    folder = tmp_path_factory.mktemp("page") / "page"
    return write(made["binary"], folder, "predict.strict=yes", runtime=runtime)


def hard_rows(project: Any) -> pd.DataFrame:
    """Return rows of test in which values are missing and unseen, and texts and dates unusual."""
    frame: pd.DataFrame = load_split(project, "test").head(60).reset_index(drop=True)
    bundle = champion.load_champion(project)
    random = np.random.default_rng(0)
    for column in bundle.schema.features:
        values = frame[column.name].astype(object)
        values[random.random(len(frame)) < 0.15] = None
        if column.type in ("category", "string"):
            values[random.random(len(frame)) < 0.1] = UNSEEN
        if column.type == "text":
            values[random.random(len(frame)) < 0.3] = TEXT
        if column.type == "datetime":
            values[0] = pd.Timestamp("1903-02-28T23:59:59.123456")
            values[1] = pd.Timestamp("2096-02-29T00:00:00.000001")
        frame[column.name] = values
    return frame


def differences(bundle: Any, found: Any, expected: pd.DataFrame) -> float:
    """Return how far predictions are off; labels have to be the same."""
    table = pd.DataFrame(found)
    if bundle.task.name == "regression":
        names = ["prediction", "lower", "upper"]
        scale = np.abs(expected["prediction"]).max()
        return float(np.abs(table[names].to_numpy() - expected[names].to_numpy()).max() / scale)
    shares = pd.DataFrame(list(table["probability"]))
    assert [f"probability_{name}" for name in shares] == list(expected)[-shares.shape[1] :]
    assert list(table["prediction"]) == list(expected["prediction"])
    return float(np.abs(shares.to_numpy() - expected.iloc[:, -shares.shape[1] :].to_numpy()).max())


@pytest.mark.parametrize("kind", PROJECTS)
def test_predictions_are_the_bundles_own(
    made: dict[str, Any], kind: str, browser: Browser, lenient: dict[str, Path]
) -> None:
    project = made[kind]
    bundle, frame = champion.load_champion(project), hard_rows(project)
    rows = as_rows(bundle, frame)
    for column in bundle.schema.features:
        if column.type == "datetime":  # to the microsecond
            dates = frame[column.name]
            for row, date in zip(rows, dates, strict=True):
                row[column.name] = None if pd.isna(date) else date.isoformat()
    address = lenient[kind].as_uri()
    browser.events.clear()
    browser.open(address)
    sent = json.dumps(rows)
    assert browser.ask(f"{sent}.flatMap(faultsOf)") == []
    found = browser.ask(f"score({sent}).then((scores) => scores.map(predictionOf))")
    assert differences(bundle, found, bundle.predict(frame, strict=False)) <= 1e-6
    one = browser.ask(f"ask({sent}[7])")
    assert one["prediction"] == found[7]
    assert browser.complaints == []
    # Its own files, and the loader of the WebAssembly, which is in one of them.
    outside = [each for each in browser.asked if not each.startswith(address[: -len(pages.PAGE)])]
    assert [each.split("/")[0] for each in outside if each != "about:blank"] == ["blob:null"]


def test_an_explanation_is_the_services(made: dict[str, Any], browser: Browser, page: Path) -> None:
    from asking import Asked

    with Asked(made["binary"], "predict.strict=yes").running() as asked:
        for row in as_rows(
            champion.load_champion(made["binary"]), load_split(made["binary"], "test")
        )[:5]:
            told = asked.ask("POST", "/explain", {"row": row}).json
            browser.open(page.as_uri())
            found = browser.ask(f"ask({json.dumps(row)})")
            assert found["score"]["about"] == told["score"]["about"] == "probability of yes"
            assert (found["positive"], found["threshold"]) == ("yes", 0.4)
            changes = {each["field"]: each for each in told["columns"]}
            for each in found["columns"]:
                expected = changes[each["field"]]
                assert each["change"] == pytest.approx(expected["change"], abs=2e-6)
                assert each["value"] == expected["value"]
                assert each["reference"] == expected["reference"]


def test_nothing_can_be_sent(browser: Browser, page: Path) -> None:
    browser.open(page.as_uri())
    for attempt in (
        "fetch('http://127.0.0.1:9/').then(() => 'sent', (error) => error.name)",
        "fetch('predict.html').then(() => 'sent', (error) => error.name)",
    ):
        assert browser.ask(attempt) == "TypeError"
    browser.events.clear()
    browser.ask(
        "{ new Image().src = 'http://127.0.0.1:9/x'; navigator.sendBeacon('http://127.0.0.1:9/y') }"
    )
    browser.ask("new Promise((next) => setTimeout(next, 300))")
    assert any("Content Security Policy" in each for each in browser.complaints)
    answered = [e for e in browser.events if e.get("method") == "Network.loadingFailed"]
    assert {event["params"].get("blockedReason") for event in answered} <= {"csp"}


GERMAN, SPANISH = ([*LANGUAGES[name]] for name in ("German", "Spanish"))
DATES: list[tuple[str, str | None]] = [
    ("2024-01-31", None),
    ("20240131", None),
    ("2024-02-29T12:30", None),
    ("2024-02-29 12:30:59", None),
    ("2024-02-29T123059", None),
    ("2024-12-31T23:59:59.999999Z", None),
    ("2024-12-31T23:30:00-05:00", None),
    ("2024-01-01T00:10:00+0530", None),
    ("0099-03-01", None),
    ("2023-02-29", None),
    ("2024-13-01", None),
    ("2024-01-31T25:00", None),
    ("2024-01-31T12:30:61", None),
    ("2024-1-31", None),
    ("2024", None),
    ("2024-01", None),
    ("2024/1/31 8:30", None),
    ("2024.12.31T23:59:59.5+02:00", None),
    ("2024-1/31", None),
    ("2024-01-31T", None),
    ("0001-01-01T00:00:00+05:00", None),
    ("9999-12-31T23:00:00-05:00", None),
    ("", None),
    ("soon", None),
    ("31.01.2024", "%d.%m.%Y"),
    ("1.2.2024", "%d.%m.%Y"),
    ("31.02.2024", "%d.%m.%Y"),
    ("2024-01-31", "%d.%m.%Y"),
    ("01/31/24 3:05 PM", "%m/%d/%y %I:%M %p"),
    ("01/31/24 12:05 am", "%m/%d/%y %I:%M %p"),
    ("31 Jan 1999", "%d %b %Y"),
    ("31 december 1999", "%d %B %Y"),
    ("01.01.68", "%d.%m.%y"),
    ("01.01.69", "%d.%m.%y"),
    ("20240131T101112.5+0200", "%Y%m%dT%H%M%S.%f%z"),
    ("100% 2024", "100%% %Y"),
]


# With months of a language, or the clock of a zone; summer begins and ends.
PLACED: list[tuple[Any, ...]] = [
    ("5. März 2021", "%d. %b %Y", GERMAN, None),
    ("05-Mrz-21", "%d-%b-%y", GERMAN, None),
    ("5. May 2021", "%d. %b %Y", GERMAN, None),
    ("5. Ju 2021", "%d. %b %Y", GERMAN, None),
    ("5. mayo 2021", "%d. %b %Y", GERMAN, None),
    ("5 de  mayo del 2021 18:30", "%d %b %Y %H:%M", SPANISH, "America/Lima"),
    ("Sept. 5, 2021", "%b %d, %Y", SPANISH, None),
    *((f"29/02/{year}", "%d/%m/%y", None, None, 2036) for year in ("00", "36", "40", "68", "72")),
    *(
        (text, None, None, zone)
        for text in ("2021-03-27T23:30:00.25Z", "2021-03-28T02:30:00+01:00", "2021-10-31T00:30Z")
        for zone in ("Europe/Lisbon", "America/St_Johns", "Asia/Kolkata", "+05:45", "-03:00")
    ),
]


def python_parts(
    text: str,
    form: str | None,
    months: list[str] | None = None,
    zone: str | None = None,
    last: int | None = None,
) -> list[float] | None:
    """Return what inputs.py makes of a date; None where it is none."""
    try:
        date = read_date(text, form, tuple(months) if months else None, last)
    except ValueError:
        return None
    return list(date_parts(local_time(date, zone)))


def test_dates_are_pythons(browser: Browser, page: Path) -> None:
    browser.open(page.as_uri())
    dates = [*((*each, None, None) for each in DATES), *PLACED]
    named = "([text, format, months, zone, lastYear]) => "
    named += "readDate(text, { format, months, lastYear, zone })"
    found = browser.ask(f"{json.dumps(dates)}.map({named})")
    expected = [python_parts(*each) for each in dates]
    wrong = [
        (each, theirs, ours)
        for each, theirs, ours in zip(dates, found, expected, strict=True)
        if (theirs is None) != (ours is None) or (ours and theirs != pytest.approx(ours, rel=1e-12))
    ]
    assert wrong == []
    assert len([each for each in expected if each is None]) == 14


CLOCKS = (
    *("14:35", "2:05 PM", "12:05 a.m.", "13:00 pm", "1:23:45", "00:03:12.5", "3:12.25", "61:05"),
    *("1 day, 02:03:04", "-1 days +22:30:00", "-1:30", "PT1H30M", "-P1DT0.25S", "P1M", "P", "1:60"),
    *("", "930", "2 weeks"),
)


def test_times_are_pythons(browser: Browser, page: Path) -> None:
    browser.open(page.as_uri())
    for form in ("H:M:S", "M:S"):
        patterns = [each.replace("?P<", "?<") for each in (CLOCK, DURATION)]
        column = json.dumps({"type": "number", "format": form, "patterns": patterns})
        found = browser.ask(f"{json.dumps(CLOCKS)}.map((text) => numberIn({column}, text))")
        read = read_seconds(pd.Series(CLOCKS), form)
        expected = [
            text if pd.isna(value) else value for text, value in zip(CLOCKS, read, strict=True)
        ]
        assert found == expected


def test_words_are_pythons(browser: Browser, page: Path) -> None:
    import unicodedata

    # All characters that this Python knows; the browser's Unicode is newer.
    known = [
        chr(code) for code in range(0x110000) if unicodedata.category(chr(code)) not in ("Cn", "Cs")
    ]
    texts = [TEXT, "ΟΔΟΣ ΟΔΟΣ.", *("a" + "a ".join(known[at::997]) for at in range(997))]
    browser.open(page.as_uri())
    found = browser.ask(f"{json.dumps(texts)}.map(words)")
    assert [at for at, text in enumerate(texts) if found[at] != words(text)] == []


def test_the_page_is_for_everybody(browser: Browser, page: Path) -> None:
    browser.open(page.as_uri())
    tree = browser.tree()
    roles = ("textbox", "combobox", "button", "link")
    assert [node for node in tree if node.role in roles and not node.name] == []
    regions = [node.name for node in tree if node.role == "region"]
    assert regions == ["Try a row", "Prediction", "Predict a file", "The model card"]
    assert [node.role for node in tree].count("status") == 2
    try:
        for scheme in ("light", "dark"):
            browser.prefer(scheme)
            browser.resize(400)
            browser.open(page.as_uri())
            browser.click("#form [type=submit]")
            browser.wait("!why.hidden")
            assert browser.ask("answer.innerText").startswith("Prediction: ")
            assert browser.ask("document.documentElement.scrollWidth") <= 400
            assert browser.weak_texts() == []
    finally:
        browser.prefer("")


# ------------------------------------------------------------------------------------- a CSV file


def choose(browser: Browser, path: Path) -> None:
    """Choose a file in the page."""
    root = browser.call("DOM.getDocument")["root"]["nodeId"]
    node = browser.call("DOM.querySelector", nodeId=root, selector="#file")["nodeId"]
    browser.call("DOM.setFileInputFiles", files=[str(path)], nodeId=node)


def saved(browser: Browser, folder: Path, table: Path) -> pd.DataFrame:
    """Choose a file, save the predictions, and return them."""
    behavior = {"behavior": "allow", "downloadPath": str(folder)}
    browser.call("Browser.setDownloadBehavior", **behavior)
    choose(browser, table)
    browser.wait("document.querySelector('#scored a') !== null")
    browser.click("#scored a")
    path = folder / f"{table.stem}_predicted.csv"
    for _ in range(600):
        if path.is_file() and path.stat().st_size:
            return pd.read_csv(path, dtype={"customer_id": str})
        time.sleep(0.05)
    raise AssertionError("nothing was saved")


@pytest.mark.parametrize(
    ("kind", "sign"),
    [
        ("binary", ","),
        ("binary", ";"),
        ("binary", "\t"),
        ("multiclass", ","),
        ("regression", ","),
    ],
)
def test_a_csv_file_is_predicted(
    made: dict[str, Any],
    kind: str,
    sign: str,
    browser: Browser,
    lenient: dict[str, Path],
    tmp_path: Path,
) -> None:
    from mlproj.predict import predict

    project, table = made[kind], tmp_path / "new.csv"
    frame = hard_rows(project)
    frame.loc[0, "comment"] = 'He said "no"; then,\nlater: "yes"'
    frame.infer_objects().to_csv(table, index=False, sep=sign)
    table.write_text(table.read_text("utf-8").replace(f"{sign}True{sign}", f"{sign}yes{sign}"))
    browser.open(lenient[kind].as_uri())
    found = saved(browser, tmp_path, table)
    predict(project, config.load_settings(project), table, tmp_path / "expected.csv")
    expected = pd.read_csv(tmp_path / "expected.csv", dtype={"customer_id": str})
    assert list(found) == list(expected)
    assert list(found["customer_id"]) == list(expected["customer_id"])
    if kind != "regression":
        assert list(found["prediction"]) == list(expected["prediction"])
    numbers = list(expected.select_dtypes("number"))
    values = expected[numbers].to_numpy(dtype=float)
    scale = max(1.0, float(np.abs(values).max()))
    assert np.abs(found[numbers].to_numpy(dtype=float) - values).max() <= 1e-6 * scale


def test_missing_is_spelt_as_in_batches() -> None:
    assert {"", *pages.MISSING} == {*STR_NA_VALUES, "."}


WRITTEN = (
    *("1.234,50 €", "1,234.50", "$-5", "-$5", "(67.00)", "5-", "- 4", "12 %", "54 kg", "1e5"),
    *("1'234.5", "1 234 567", "12,34,567", "1,23", "1.2.3", "9.100", "0,5", ".5", "", "kg", "1-2"),
    *("\u221212", "1\u202f234", "12 lb", "12.", "(5", "(-5)", "$5$", "5 A", "5A", "km/h 5"),
    *("5km/h", "kr. 5", "1e400", "\u22121\u2009234"),
)
RULES = Rules(True, True, 10)


def test_a_page_reads_numbers_as_batches_do(browser: Browser, page: Path) -> None:
    browser.open(page.as_uri())
    for decimal in (".", ","):
        for unit in ("", "€", "kg", "$", "%", "km/h", "kr.", "A"):
            read = read_numbers(pa.array(WRITTEN), NumberForm(decimal, unit)).to_pylist()
            column = pages._column(Column("x", "number", True, decimal=decimal, unit=unit), RULES)
            asked = f"{json.dumps(WRITTEN)}.map((word) => numberIn({json.dumps(column)}, word))"
            for word, value, found in zip(WRITTEN, read, browser.ask(asked), strict=True):
                read_as = word if value is None or math.isinf(value) else value
                assert found == read_as, (word, decimal, unit)
    typed = "ask({...BUNDLE.example, visits: ' 1.2e1 ', age: 'NA'}).then((found) => found.columns)"
    values = {each["field"]: each["value"] for each in browser.ask(typed)}
    assert (values["visits"], values["age"]) == (12, None)


BROKEN: dict[str, tuple[Any, str]] = {
    "a column less": (lambda f: f.drop(columns="age"), "The file has no column 'age'."),
    "a column more": (lambda f: f.assign(x=1), "The column 'x' was not there in training."),
    "no rows": (lambda f: f.head(0), "The file has no rows."),
    "a word": (lambda f: f.assign(age="old"), "Row 1, age: has to be a number."),
    "a decimal comma": (lambda f: f.assign(age="31,5"), "Row 1, age: has to be a number."),
    "too large": (lambda f: f.assign(age=1e9), "Row 1, age: has to be at most"),
    "a category": (lambda f: f.assign(plan="gold"), "Row 1, plan: has to be one of basic, "),
    "a flag": (lambda f: f.assign(newsletter="perhaps"), "newsletter: has to be true or false."),
    "a date": (lambda f: f.assign(signup="soon"), "Row 1, signup: has to be a date as ISO 8601"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_broken_csv_file_is_refused(
    made: dict[str, Any], case: str, browser: Browser, page: Path, tmp_path: Path
) -> None:
    change, sentence = BROKEN[case]
    table = tmp_path / "new.csv"
    change(load_split(made["binary"], "test").head(30)).to_csv(table, index=False)
    browser.open(page.as_uri())
    choose(browser, table)
    text = browser.wait("!/^(Predicting.)?$/.test(scored.textContent) && scored.innerText")
    assert sentence in text
    assert ("20 more." in text) == (sentence.startswith("Row") or case == "a flag")


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"", "has no column"),
        (b"\xff\xfe\x00", "cannot be read as a CSV file in UTF-8"),
        (b'a,b\n"x,1\n', "a quotation mark out of place"),
        (b"a,a\n1,2\n", "has no column"),
    ],
)
def test_what_is_no_csv_file_is_refused(
    browser: Browser, page: Path, tmp_path: Path, content: bytes, sentence: str
) -> None:
    (tmp_path / "new.csv").write_bytes(content)
    browser.open(page.as_uri())
    choose(browser, tmp_path / "new.csv")
    text = browser.wait("!/^(Predicting.)?$/.test(scored.textContent) && scored.innerText")
    assert sentence in text


# --------------------------------------------------------------------------------- how it is made


def test_the_command_fetches_the_runtime_by_npm(
    made: dict[str, Any], package_environment: dict[str, str], runtime: Path
) -> None:
    project = made["binary"]
    done = subprocess.run(
        [sys.executable, "-m", "mlproj", "page"],
        cwd=project.root,
        env=package_environment,
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stderr) == (0, "")
    folder = project.root / "reports" / "page"
    assert Path(done.stdout.strip()) == Path("reports/page/predict.html")
    written = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    assert written == pages.FILES
    assert sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) < 6_000_000
    again = write(project, folder.with_name("again"), runtime=runtime).parent
    for name in written:  # the same again, byte for byte
        assert (again / name).read_bytes() == (folder / name).read_bytes()
    shutil.rmtree(again)


def unpacked(runtime: Path, folder: Path) -> Path:
    """Unpack what is used of the runtime."""
    (folder / "dist").mkdir(parents=True)
    with tarfile.open(runtime) as archive:
        for name in runtimes.SHA256:
            member = archive.extractfile(f"package/dist/{name}")
            assert member is not None
            (folder / "dist" / name).write_bytes(member.read())
    return folder


def test_the_runtime_may_be_a_folder(runtime: Path, tmp_path: Path) -> None:
    folder = unpacked(runtime, tmp_path / "package")
    expected = runtimes.runtime_files(runtime)
    assert runtimes.runtime_files(folder) == runtimes.runtime_files(folder / "dist") == expected


def spoilt(runtime: Path, folder: Path, case: str) -> Path:
    """Return a runtime that is not the right one."""
    if case == "another":
        name = runtimes.LOADER
        path = unpacked(runtime, folder / "package") / "dist" / name
        path.write_bytes(path.read_bytes() + b" ")
        return folder / "package"
    path = folder / "package.tgz"
    if case == "broken":
        path.write_bytes(runtime.read_bytes()[:100_000])
    elif case == "other":
        with tarfile.open(path, "w:gz") as archive:
            member = tarfile.TarInfo("package/readme")
            member.size = 2
            archive.addfile(member, io.BytesIO(b"hi"))
    elif case == "folder":
        path.mkdir()
    return path


WRONG_RUNTIMES = {
    "nowhere": "does not exist",
    "broken": f"holds no {runtimes.API}; it has to be onnxruntime-web@",
    "other": f"holds no {runtimes.API}; it has to be onnxruntime-web@",
    "folder": f"holds no {runtimes.API}; it has to be onnxruntime-web@",
    "another": f"holds another {runtimes.LOADER} than onnxruntime-web@",
}


@pytest.mark.parametrize("case", WRONG_RUNTIMES)
def test_a_wrong_runtime_is_refused_and_the_earlier_page_stays(
    made: dict[str, Any], case: str, page: Path, runtime: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "page"
    shutil.copytree(page.parent, folder)
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    with pytest.raises(UserError, match=WRONG_RUNTIMES[case]):
        write(made["binary"], folder, runtime=spoilt(runtime, tmp_path, case))
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]


def test_without_npm_it_says_so(
    made: dict[str, Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UserError, match=r"npm is not installed; install Node.js, or .* --runtime"):
        write(made["binary"], tmp_path / "page")
    assert list(tmp_path.iterdir()) == []


def test_without_a_network_it_says_so(
    made: dict[str, Any], runtime: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    del runtime  # npm is there
    for name, value in {
        "registry": "http://somebody:secret@127.0.0.1:9/",
        "cache": str(tmp_path / "cache"),
        "fetch_retries": "0",
    }.items():
        monkeypatch.setenv(f"npm_config_{name}", value)
    with pytest.raises(UserError, match="npm could not fetch onnxruntime-web@") as error:
        write(made["binary"], tmp_path / "page")
    assert "secret" not in str(error.value)
    assert not (tmp_path / "page").exists()


def test_a_model_without_onnx_is_refused_with_the_reason(
    made: dict[str, Any], runtime: Path, tmp_path: Path
) -> None:
    project = made["binary"]
    run_id = champion.read_champion(project)["run_id"]
    without = {"equal": False, "reason": "it is odd"}
    copy = promote_copy(project, run_id, "0badcafe", onnx=without)
    sentence = f"models/{copy} has no ONNX form, so it cannot run in a browser: it is odd."
    with pytest.raises(UserError, match=sentence):
        write(project, tmp_path / "page", model=copy, runtime=runtime)
    with pytest.raises(UserError, match="There is no model 'nonsense'"):
        write(project, tmp_path / "page", model="nonsense", runtime=runtime)


def test_a_format_of_dates_that_the_page_cannot_read_is_refused(
    made: dict[str, Any], runtime: Path, tmp_path: Path
) -> None:
    project = made["binary"]
    run_id = champion.read_champion(project)["run_id"]
    schema = bundles.read_bundle(project, run_id)["schema"]
    columns = [
        {**each, "format": "%Y-%j"} if each["name"] == "signup" else each
        for each in schema["columns"]
    ]
    copy = promote_copy(project, run_id, "0baddada", schema={**schema, "columns": columns})
    with pytest.raises(UserError, match="Column 'signup' has dates as %Y-%j, and a page cannot"):
        write(project, tmp_path / "page", model=copy, runtime=runtime)


def test_a_folder_of_others_is_left_alone(
    made: dict[str, Any], runtime: Path, tmp_path: Path
) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "letter.txt").write_text("dear")
    for name, sentence in {"mine": "holds letter.txt", "mine/letter.txt": "is a file"}.items():
        with pytest.raises(UserError, match=sentence):
            write(made["binary"], tmp_path / name, runtime=runtime)
    assert (tmp_path / "mine" / "letter.txt").read_text() == "dear"


def test_pinned_files_are_told_by_name_and_digest(runtime: Path) -> None:
    found = runtimes.runtime_files(runtime)
    assert {n: hashlib.sha256(c).hexdigest() for n, c in found.items()} == runtimes.SHA256


def test_every_directive_that_is_allowed_is_known_to_the_page(browser: Browser, page: Path) -> None:
    now = datetime(2024, 7, 5, 15, 4, 9, 120_000)
    browser.open(page.as_uri())
    for sign in pages.DIRECTIVES:
        form = f"%{sign} %Y" if sign != "Y" else "%Y"
        text = now.strftime(form).replace("  ", " +0000 ") if sign == "z" else now.strftime(form)
        text = f"+0200 {now:%Y}" if sign == "z" else text
        found = browser.ask(f"readDate({json.dumps(text)}, {json.dumps({'format': form})})")
        assert found == pytest.approx(python_parts(text, form)), (form, text)
