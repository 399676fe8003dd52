"""What differs between tasks stands in `tasks/`, and a module adds all that it has by its folder.

The module is `modules/counts`: a task, an estimator with weights of its own, a kind of input, a
stage and a listener. The folder is copied into a package, used, and taken out again.
"""

from __future__ import annotations

import ast
import hashlib
import json
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from asking import Asked, Server, make_model, promote_copy
from mlproj.bundle import champion
from mlproj.bundle.bundle import answer_of, read_bundle, task_of
from mlproj.core.errors import UserError
from mlproj.core.files import file_sha256
from mlproj.serving.kinds import label_check
from mlproj.serving.rows import Rules
from mlproj.serving.scoring import load_model

PACKAGE = Path(sys.modules["mlproj.bundle"].__path__[0]).parent
MODULES = Path(__file__).parent / "modules"
NAMES = re.compile(r"\b(classification|regression)\b")
COMMENT = re.compile(r"//.*|/\*.*?\*/", re.DOTALL)
# The default of [model] task.
NAMED = [("core/config.py", "classification")]
CONF = """[data]
source = visits.csv
target = visits
id = who
[model]
task = {task}
candidates = {candidate}
folds = 0
[evaluate]
bootstrap = 50
margin = 0
"""
DEFAULT = """[data]
source = sample:400
target = churned
id = customer_id
[model]
folds = 0
[evaluate]
bootstrap = 50
margin = 0
"""
LOG = "serving.log_seconds=0.1"
ROWS = 30
# What the module calls its own, as `custom`, settings, reports and bundles would name it.
OWN_NAMES = re.compile(rb"tally|line\.npz|events\.jsonl|\.counts\b|\bcounts[./:]")
REGISTRIES = """
from mlproj.core import registry
registry.team()
for name, entries in sorted(vars(registry).items()):
    if isinstance(entries, registry.Registry):
        print(name, dict(entries))
"""
LOADED = """
import json, sys
import numpy as np
from mlproj.bundle.bundle import load_bundle
from mlproj.core.project import find_project
features, line = load_bundle(find_project(), sys.argv[1]).model
steps = {name: columns for name, _, columns in features.transformers_}
kept = np.load(f"models/{sys.argv[1]}/line.npz")
same = np.array_equal(kept["weights"], line.coef_) and kept["constant"] == line.intercept_
print(json.dumps([type(line).__module__, bool(same), steps["counts"]]))
"""


# ------------------------------------------------------------------------------- names of tasks


def texts(path: Path) -> Iterator[str]:
    """Yield what a machine reads of a file: strings but docstrings, scripts but comments."""
    if path.suffix == ".js":
        yield COMMENT.sub("", path.read_text("utf-8"))
        return
    tree = ast.parse(path.read_text("utf-8"))
    prose = {
        id(node.value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in prose:
            yield node.value


def test_tasks_are_named_in_tasks_and_among_the_estimators_alone() -> None:
    files = [path for kind in ("*.py", "*.js") for path in PACKAGE.rglob(kind)]
    found = [
        (path.relative_to(PACKAGE).as_posix(), name)
        for path in sorted(files)
        if path.relative_to(PACKAGE).parts[0] not in ("tasks", "models")
        for text in texts(path)
        for name in NAMES.findall(text)
    ]
    assert found == NAMED


# ------------------------------------------------------------------------------- earlier bundles


@pytest.mark.parametrize(("target", "task"), [("plan", "classification"), ("spend", "regression")])
def test_a_bundle_without_a_form_of_answers_is_served_all_the_same(
    tmp_path: Path, make_project: Any, target: str, task: str
) -> None:
    data = {"source": "sample:400", "id": "customer_id", "sensitive": "gender", "target": target}
    model = {"candidates": "linear", "folds": 0, "task": task}
    project = make_project(tmp_path, data=data, model=model)
    run_id = make_model(project)
    document = read_bundle(project, run_id)
    earlier = promote_copy(project, run_id, "0badbeef", answer=None)
    file = project.models / earlier / "bundle.json"
    assert "answer" not in json.loads(file.read_text("utf-8"))
    before = file.read_bytes()
    assert answer_of(read_bundle(project, earlier)) == document["answer"]
    answers = []
    for each in (run_id, earlier):
        champion.release(project, each, "promote")
        with Asked(project).running() as asked:
            example = asked.service.fleet.champion.example
            answers.append(
                [
                    asked.predict([example]).json["predictions"],
                    asked.ask("POST", "/explain", {"row": example}).json["columns"],
                    asked.ask("GET", "/openapi.json").json["paths"],
                ]
            )
    assert answers[0] == answers[1]
    assert file.read_bytes() == before


def test_answers_that_are_not_as_the_bundle_says_are_refused(
    tmp_path: Path, make_project: Any
) -> None:
    data = {"source": "sample:400", "id": "customer_id", "target": "spend"}
    model = {"candidates": "linear", "folds": 0, "task": "regression"}
    project = make_project(tmp_path, data=data, model=model)
    run_id = make_model(project)
    answer = read_bundle(project, run_id)["answer"]
    cases = [("median", "predictions have prediction, lower, upper, where `answer`"),
             ("role", "a property 'role', as a column of the prediction log")]  # fmt: skip
    for at, (name, sentence) in enumerate(cases):
        form = {**answer, "prediction": {**answer["prediction"], name: {"type": "number"}}}
        copy = promote_copy(project, run_id, f"0badbee{at}", answer=form)
        with pytest.raises(UserError, match=re.escape(sentence)):
            load_model(project, copy, None, Rules(True, True, 100))


def test_a_bundle_of_a_task_that_is_gone_is_refused_by_its_own_task() -> None:
    sentence = "The task of the model is 'counts'; choose one of: classification, regression."
    with pytest.raises(UserError, match=f"^{re.escape(sentence)}$"):
        task_of({"task": "counts"})


# ------------------------------------------------------------------------------- labels


@pytest.mark.parametrize(
    ("form", "good", "bad"),
    [
        ({"enum": ["no", "yes"]}, ["no"], ["maybe", 1.0, True]),
        ({"enum": [0, 1]}, [1.0, "1"], [2.0, "one"]),
        ({"type": "number"}, [1.5, -3.0], ["1", True, 1.7e308]),
        ({"type": "integer", "minimum": 0}, [3.0], [2.5, -1.0, "3"]),
        ({"type": "string"}, ["x"], [1.0, True]),
        ({"type": "boolean"}, [True], [1.0, "true"]),
        ({}, ["x", 1.0, True], []),
    ],
)
def test_a_label_is_held_against_its_form(form: Any, good: list[Any], bad: list[Any]) -> None:
    check = label_check(form)
    assert [check(label) for label in good] == [None] * len(good)
    assert all(str(check(label)).startswith("has to be ") for label in bad)


# ------------------------------------------------------------------------------- a task of a module


@dataclass
class Project:
    """A project with a package of its own, run in processes of their own."""

    root: Path
    environment: dict[str, str]
    package: Path = field(init=False)

    def __post_init__(self) -> None:
        self.package = self.root / "src" / "mlproj"
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(PACKAGE, self.package, ignore=ignored)
        self.environment = self.environment | {"PYTHONPATH": str(self.root / "src")}
        random = np.random.default_rng(1)
        size, shop = random.uniform(0, 3, 400), random.choice(["north", "south"], 400)
        doors = random.integers(1, 40, 400)
        visits = random.poisson(np.exp(size) / 2 + 2 * (shop == "north") + doors / 10)
        table = pd.DataFrame({"size": size, "shop": shop, "doors": doors, "visits": visits})
        table.insert(0, "who", [f"w{at}" for at in range(400)])
        table.to_csv(self.root / "visits.csv", index=False)

    def run(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run a command of the project."""
        return self.python("-m", "mlproj", *words)

    def python(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run Python with the project's package."""
        return subprocess.run(
            [sys.executable, *words],
            cwd=self.root,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=300,
        )

    def train(self, task: str, candidate: str) -> str:
        """Make a model, put it into service, and return what `run` printed."""
        (self.root / "conf.cfg").write_text(CONF.format(task=task, candidate=candidate), "utf-8")
        done = self.run("run")
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    @property
    def bundle(self) -> dict[str, Any]:
        """The bundle.json of the model in service."""
        run_id = json.loads((self.root / "models" / "champion.json").read_text("utf-8"))["run_id"]
        found = json.loads((self.root / "models" / run_id / "bundle.json").read_text("utf-8"))
        return dict(found)

    @property
    def offers(self) -> dict[str, str]:
        """What the command line, the settings and the registries name."""
        done = {words: self.run(*words.split()) for words in ("--help", "config show")}
        done["registries"] = self.python("-c", REGISTRIES)
        assert {each.returncode for each in done.values()} == {0}, done
        return {name: each.stdout for name, each in done.items()}

    @property
    def files(self) -> dict[str, bytes]:
        """The package's files, without byte code."""
        paths = [path for path in self.package.rglob("*.*") if "__pycache__" not in path.parts]
        return {path.relative_to(self.package).as_posix(): path.read_bytes() for path in paths}


@pytest.fixture(scope="module")
def project(
    tmp_path_factory: pytest.TempPathFactory, package_environment: dict[str, str]
) -> Project:
    """A project whose package holds the module, with a model of its task in service."""
    made = Project(tmp_path_factory.mktemp("counts"), package_environment)
    shutil.copytree(MODULES / "counts", made.package / "counts")
    (made.root / "run.txt").write_text(made.train("counts", "line"), "utf-8")
    return made


@pytest.fixture(scope="module")
def rows(project: Project) -> list[dict[str, Any]]:
    """Rows as a request has them."""
    table = pd.read_csv(project.root / "visits.csv").head(ROWS)
    found: list[dict[str, Any]] = json.loads(
        table[["size", "shop", "doors"]].to_json(orient="records")
    )
    return found


@pytest.fixture(scope="module")
def server(project: Project) -> Iterator[Server]:
    """The project's service."""
    served = SimpleNamespace(root=project.root)
    with Server(served, project.environment, overrides=[LOG]) as server:
        yield server


@pytest.fixture(scope="module")
def predicted(project: Project) -> pd.DataFrame:
    """What `predict` writes for the same rows."""
    pd.read_csv(project.root / "visits.csv").head(ROWS).to_csv(project.root / "in.csv", index=False)
    done = project.run("predict", "in.csv", "out.csv")
    assert done.returncode == 0, done.stderr
    return pd.read_csv(project.root / "out.csv")


def test_it_trains_and_is_packaged_with_its_form(project: Project) -> None:
    document = project.bundle
    assert (document["task"], document["answer"]["kind"]) == ("counts", "count")
    made = project.root / "models" / document["run_id"] / "onnx.json"
    assert json.loads(made.read_text("utf-8"))["equal"]
    assert document["skill"] > 0.1


def test_its_weights_lie_in_the_bundle_and_are_loaded(project: Project) -> None:
    run_id = project.bundle["run_id"]
    folder = project.root / "models" / run_id
    digest = hashlib.sha256((folder / "line.npz").read_bytes()).hexdigest()
    assert project.bundle["files"]["line.npz"] == digest
    done = project.python("-c", LOADED, run_id)
    # Whole numbers reach it by the module's own kind of input.
    assert done.stdout == '["mlproj.counts.line", true, ["doors"]]\n', done.stderr


def test_its_stage_runs_in_its_place(project: Project) -> None:
    printed = (project.root / "run.txt").read_text("utf-8")
    names = ["ingest", "preprocess", "train", "postprocess", "evaluate"]
    names += ["champion", "tally", "report"]
    lines = [line.partition(" ") for line in printed.splitlines()[: len(names)]]
    assert [name for name, _, _ in lines] == names
    report = json.loads((project.root / "reports" / "tally.json").read_text("utf-8"))
    assert (report["stage"], report["run_id"]) == ("tally", project.bundle["run_id"])
    assert lines[names.index("tally")][2].strip().startswith(f"{report['facts']['summary']} (")
    page = (project.root / "reports" / "index.html").read_text("utf-8")
    section = page.partition("Most frequent predictions</h2>")[2].partition("</section>")[0]
    cells = re.findall(r"<t[hd][^>]*>(\d+)</t[hd]>", section)
    assert [int(cell) for cell in cells] == sum(report["facts"]["predictions"], [])
    assert len(cells) == 2 * 5


def test_its_stage_has_a_command_and_a_setting(project: Project) -> None:
    listed = project.run("--help").stdout
    assert "  tally        Count how often each prediction is made.\n" in listed
    names = [line.split()[0] for line in listed.splitlines() if line.startswith("  ")]
    assert names[names.index("evaluate") :][:3] == ["evaluate", "tally", "report"]
    shown = project.run("config", "show").stdout
    assert "[tally]\n# most frequent predictions that are listed (from default; " in shown
    report = project.root / "reports" / "tally.json"
    before = report.read_text("utf-8")
    done = project.run("tally", "--set", "tally.most=2")
    changed = json.loads(report.read_text("utf-8"))["facts"]
    report.write_text(before, "utf-8")
    facts = json.loads(before)["facts"]
    assert (done.returncode, done.stdout) == (0, f"{facts['summary']}\n")
    assert changed == {**facts, "predictions": facts["predictions"][:2]}


def test_its_listener_hears_what_is_on_disk_by_then(project: Project) -> None:
    lines = (project.root / "logs" / "events.jsonl").read_text("utf-8").splitlines()
    baseline, *events = map(json.loads, lines)
    run_id = project.bundle["run_id"]
    assert (baseline["event"], baseline["named_in"]) == ("run", ["logs/runs.jsonl"])
    assert baseline["run_id"] != run_id
    assert [each["event"] for each in events] == ["run", "bundle", "opening", "promote"]
    assert {each["run_id"] for each in events} == {run_id}
    # Each event's own file names the run, and those of the events to come do not yet.
    files = ["logs/runs.jsonl", f"models/{run_id}/bundle.json"]
    files += ["reports/test_ledger.jsonl", "models/champion.json"]
    assert [each["named_in"] for each in events] == [files[: at + 1] for at in range(len(files))]


def test_predict_writes_its_columns(predicted: pd.DataFrame) -> None:
    assert list(predicted) == ["who", "prediction", "size", "between_low", "between_high"]
    assert predicted["prediction"].dtype == np.int64
    assert set(predicted["size"]) == {"few", "many"}


def test_it_is_served(server: Server, rows: list[Any], predicted: pd.DataFrame) -> None:
    """ONNX computes, and the task decides as it does in batches."""
    answered = server.ask("POST", "/predict", {"rows": rows})
    assert answered.status == 200
    found = answered.json["predictions"]
    assert [each["prediction"] for each in found] == predicted["prediction"].tolist()
    assert [each["size"] for each in found] == predicted["size"].tolist()
    assert [each["between"]["high"] for each in found] == predicted["between_high"].tolist()
    assert server.ask("GET", "/model").json["models"][0]["onnx"] is True


def test_it_is_served_by_the_bundle_itself(
    project: Project, rows: list[Any], predicted: pd.DataFrame
) -> None:
    place = SimpleNamespace(root=project.root, models=project.root / "models")
    named = place.models / "champion.json"
    before = named.read_bytes()
    run_id = json.loads(before)["run_id"]
    copy = promote_copy(place, run_id, "0badcafe", onnx={"equal": False})
    sha256 = file_sha256(place.models / copy / "bundle.json")
    named.write_text(json.dumps({"run_id": copy, "sha256": sha256}), "utf-8")
    try:
        with Server(SimpleNamespace(root=project.root), project.environment) as server:
            assert server.ask("GET", "/model").json["models"][0]["onnx"] is False
            found = server.ask("POST", "/predict", {"rows": rows}).json["predictions"]
    finally:
        named.write_bytes(before)
        shutil.rmtree(place.models / copy)
    assert [each["prediction"] for each in found] == predicted["prediction"].tolist()


def test_it_is_described(server: Server) -> None:
    paths = server.ask("GET", "/openapi.json").json["paths"]
    answer = paths["/predict"]["post"]["responses"]["200"]["content"]["application/json"]["schema"]
    prediction = answer["properties"]["predictions"]["items"]
    assert prediction["required"] == ["prediction", "size", "between"]
    assert prediction["properties"]["size"]["enum"] == ["few", "many"]
    body = paths["/feedback"]["post"]["requestBody"]["content"]["application/json"]["schema"]
    label = body["properties"]["labels"]["items"]["properties"]["label"]
    assert label == {"type": "integer", "minimum": 0}


def test_it_is_explained(server: Server, rows: list[Any]) -> None:
    found = server.ask("POST", "/explain", {"row": rows[0]}).json
    assert found["score"]["about"] == "visits"
    assert round(max(0, found["score"]["value"])) == found["prediction"]["prediction"]
    assert {each["field"] for each in found["columns"]} == {"size", "shop", "doors"}
    assert set(found["prediction"]["between"]) == {"low", "high"}


def test_labels_are_held_against_its_form(server: Server) -> None:
    def answer(label: Any) -> Any:
        return server.ask("POST", "/feedback", {"labels": [{"request_id": "a", "label": label}]})

    assert answer(3).status == 200
    for wrong in (2.5, -1, "three"):
        refused = answer(wrong)
        assert refused.status == 422
        assert refused.json["detail"][0]["rule"].startswith("has to be a whole number from 0")


def test_it_is_logged_and_monitored(
    project: Project, server: Server, rows: list[Any], predicted: pd.DataFrame
) -> None:
    """A feature that has the name of a column of the answer is logged beside it, and found."""
    sent = {"x-request-id": "logged", "content-type": "application/json"}
    ends = time.monotonic() + 30
    while server.ask("GET", "/model").json["models"][0]["run_id"] != project.bundle["run_id"]:
        assert time.monotonic() < ends, "the champion that an earlier test put back is not served"
        time.sleep(0.1)
    server.ask("POST", "/predict", {"rows": rows}, sent)
    truth = pd.read_csv(project.root / "visits.csv")["visits"].head(ROWS).tolist()
    labels = [{"request_id": "logged", "row": at, "label": n} for at, n in enumerate(truth)]
    assert server.ask("POST", "/feedback", {"labels": labels}).status == 200
    log = pd.DataFrame()
    ends = time.monotonic() + 30
    while len(log) < ROWS and time.monotonic() < ends:
        paths = sorted((project.root / "logs" / "predictions").glob("[!.]*.parquet"))
        tables = [pd.read_parquet(path) for path in paths]
        log = pd.concat(tables) if tables else log
        log = log[log["request_id"] == "logged"] if len(log) else log
        time.sleep(0.1)
    names = ["prediction", "size", "between_low", "between_high"]
    pd.testing.assert_frame_equal(log[names].reset_index(drop=True), predicted[names])
    assert log["feature_size"].tolist() == [row["size"] for row in rows]
    done = project.run("monitor")
    assert done.returncode in (0, 1), done.stderr
    facts = json.loads((project.root / "reports" / "drift.json").read_text("utf-8"))["facts"]
    about = {(each["about"], each["name"]) for each in facts["findings"]}
    assert about >= {("feature", "size"), ("prediction", "value"), ("target", "visits")}
    assert facts["performance"]["rows"] == ROWS
    assert (facts["task"], facts["absent"]) == ("counts", [])


def test_its_page_names_every_property(server: Server) -> None:
    page = server.ask("GET", "/").body.decode()
    form = re.search(r'data-answer="([^"]*)"', page)
    assert form is not None
    assert json.loads(form[1].replace("&#34;", '"')) == {
        "kind": "count",
        "titles": {
            "prediction": "prediction",
            "size": "In a word",
            "between": "Nine in ten lie between",
        },
    }
    assert "All of the prediction" in page
    assert "Probability" not in page.partition("<section aria-label=")[0]


def test_its_page_shows_every_property(server: Server, browser: Any) -> None:
    browser.open(f"http://127.0.0.1:{server.port}/")
    browser.ask("form.requestSubmit()")
    browser.wait("!shares.hidden")
    lines = browser.ask(
        "[...shares.tBodies[0].rows].map((row) => [...row.cells].map((cell) => cell.innerText))"
    )
    row = browser.ask("Object.fromEntries(fields.map((f) => [f.dataset.column, valueOf(f)]))")
    given = server.ask("POST", "/predict", {"rows": [row]}).json["predictions"][0]
    assert lines == [
        ["prediction", str(given["prediction"])],
        ["In a word", given["size"]],
        ["Nine in ten lie between: low", str(given["between"]["low"])],
        ["Nine in ten lie between: high", str(given["between"]["high"])],
    ]
    assert browser.ask("answer.innerText") == f"Prediction: {given['prediction']}"


def test_a_page_without_a_server_is_refused(project: Project) -> None:
    done = project.run("page")
    assert done.returncode == 2
    assert "gives predictions of the kind 'count', which only `serve` computes" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (project.root / "reports" / "page").exists()


def test_without_the_folder_nothing_of_it_is_left(
    tmp_path: Path, package_environment: dict[str, str]
) -> None:
    project = Project(tmp_path / "project", package_environment)
    conf = project.root / "conf.cfg"
    conf.write_text(CONF.format(task="regression", candidate="linear"), "utf-8")
    files, offers = project.files, project.offers
    shutil.copytree(MODULES / "counts", project.package / "counts")
    assert project.files.keys() > files.keys()
    assert all(project.offers[name] != offers[name] for name in offers)
    project.train("counts", "line")
    shutil.rmtree(project.package / "counts")
    for asked, sentence in still_asking():
        conf.write_text(asked, "utf-8")
        done = project.run("run")
        assert (done.returncode, done.stderr) == (2, f"Error: {sentence}\n")
    project.train("regression", "linear")
    assert project.files == files
    assert project.offers == offers
    # The model in service stays until it is replaced.
    assert project.bundle["task"] == "counts"
    done = project.run("predict", "visits.csv", "out.csv")
    assert done.returncode == 2
    assert done.stderr.startswith("Error: ") and done.stderr.endswith(
        "holds a model of the kind 'line', which no part of this project can load; add the module "
        "that wrote it, or train another model.\n"
    )

    fresh = tmp_path / "fresh"
    fresh.mkdir()
    (fresh / "conf.cfg").write_text(DEFAULT, "utf-8")
    project.root = fresh  # with the package that held the module
    done = project.run("run")
    assert done.returncode == 0, done.stderr
    assert project.bundle["task"] == "classification"
    written = [path for path in fresh.rglob("*") if path.is_file()]
    assert fresh / "reports" / "index.html" in written
    naming = [path for path in written if OWN_NAMES.search(path.read_bytes())]
    assert naming == []


def still_asking() -> Iterator[tuple[str, str]]:
    """Yield a conf.cfg for each thing of the module, and the sentence that refuses it."""
    yield (
        CONF.format(task="counts", candidate="linear"),
        "conf.cfg, [model] task = counts: has to be one of classification, regression.",
    )
    yield (
        CONF.format(task="regression", candidate="line"),
        "A name in [model] candidates is 'line'; choose one of: "
        "baseline, catboost, forest, hgb, lightgbm, linear, xgboost.",
    )
    yield (
        CONF.format(task="regression", candidate="linear") + "[tally]\nmost = 3\n",
        "conf.cfg has an unknown section [tally]; the sections are: data, split, features, model, "
        "evaluate, decision, predict, models, monitor, serving, params.",
    )
