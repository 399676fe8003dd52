"""The router: it finds the better model by labels, gives none up, and remembers only files."""

from __future__ import annotations

import json
import math
import random
import shutil
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from asking import Asked, Server, as_rows, make_model, promote_copy, resident
from mlproj.bundle import champion
from mlproj.core import config
from mlproj.core.errors import UserError
from mlproj.data.split import load_split
from mlproj.serving import router
from mlproj.serving.fleet import Fleet
from scipy import stats

GOOD, BAD = "0badcafe", "0badbeef"
FLOOR = 0.05
BINARY: Any = {"classes": ["no", "yes"], "positive": "yes"}
SAMPLE = {"source": "sample:1200", "id": "customer_id", "sensitive": "gender", "target": "churned"}


# ------------------------------------------------------------------------------- the shares


def play(seed: int, pay: Callable[[Any, int], Any], classes: bool, rounds: int) -> list[Any]:
    """Answer a hundred requests a round by the shares; return who answered in each round."""
    random.seed(seed)
    chance = np.random.default_rng(seed)
    rewards: dict[str, list[float]] = {BAD: [], GOOD: []}
    first: Any = SimpleNamespace(run_id=BAD)
    second: Any = SimpleNamespace(run_id=GOOD)
    answered = []
    for _ in range(rounds):
        shares = router.with_floor(router.chances(rewards, "class" if classes else "number"), FLOOR)
        fleet = Fleet(first, ((0.5, second),), routed=((shares[GOOD], second),))
        count = Counter(fleet.choose(b"")[0].run_id for _ in range(100))
        for at, run_id in enumerate((BAD, GOOD)):
            rewards[run_id] += pay(chance, at)[: count[run_id]].tolist()
        answered.append(count)
    return answered


PAYS: dict[str, Callable[[Any, int], Any]] = {
    "classes": lambda chance, at: (chance.random(100) < (0.7, 0.8)[at]).astype(float),
    "costs": lambda chance, at: chance.choice(
        [0, 0.8, 1], 100, p=[(0.2, 0.1)[at], 0.1, (0.7, 0.8)[at]]
    ),
    "numbers": lambda chance, at: -np.abs(chance.normal(0, (1.2, 1.0)[at], 100)),
}


@pytest.mark.parametrize("kind", PAYS)
def test_the_better_model_soon_answers_nine_in_ten(kind: str) -> None:
    """Of 3,000 requests the last 1,000, by each of 20 seeds; the worse one keeps its floor."""
    for seed in range(20):
        last: Counter[str] = sum(play(seed, PAYS[kind], kind != "numbers", 30)[-10:], Counter())
        assert last[GOOD] > 900, (seed, last)
        assert last[BAD] >= stats.binom.ppf(0.001, 1000, FLOOR), (seed, last)


def test_shares_are_the_chances_to_be_the_best() -> None:
    rewards = {BAD: [1.0] * 60 + [0.0] * 40, GOOD: [1.0] * 66 + [0.0] * 34}
    found = router.chances(rewards, "class")[GOOD]
    points = np.linspace(0, 1, 20_001)
    density = stats.beta(67, 35).pdf(points) * stats.beta(61, 41).cdf(points)
    assert found == pytest.approx(np.trapezoid(density, points), abs=0.02)


@pytest.mark.parametrize("models", [1, 2, 3, 40])
def test_no_share_is_below_the_floor_and_all_are_one(models: int) -> None:
    chances = {f"{at:08x}": float(at == 0) for at in range(models)}
    shares = router.with_floor(chances, FLOOR)
    assert sum(shares.values()) == pytest.approx(1)
    assert min(shares.values()) >= min(FLOOR, 1 / models) - 1e-12


def test_without_labels_all_models_are_equal() -> None:
    assert set(router.chances({"a": [], "b": [], "c": []}, "class").values()) == {1 / 3}
    few = {"a": [-1.0] * 9, "b": [-5.0] * 500}
    assert set(router.chances(few, "number").values()) == {0.5}


@pytest.mark.parametrize(
    ("said", "label", "expected"),
    [("yes", "yes", 1.0), ("no", "no", 1.0), ("no", "yes", 0.0), ("yes", "no", 0.9)],
)
def test_mistakes_cost_what_conf_cfg_says(said: str, label: str, expected: float) -> None:
    assert router.reward("class", said, label, positive="yes", costs=(1.0, 10.0)) == pytest.approx(
        expected
    )


def test_other_targets_are_rewarded_too() -> None:
    plain: Any = {"positive": None, "costs": (1.0, 1.0)}
    assert router.reward("class", "1", 1.0, **plain) == 1
    assert router.reward("class", "1", 2.0, **plain) == 0
    assert router.reward("number", 3.0, 5, **plain) == -2
    assert router.reward("number", 3.0, "much", **plain) is None
    assert router.reward("number", 3.0, math.inf, **plain) is None
    assert router.reward("number", 3.0, 1.7e308, **plain) is None  # ten of which have no sum
    assert router.reward(None, 3.0, 5, **plain) is None


# ------------------------------------------------------------------------------- the files


class Files:
    """A folder with a prediction log and labels, and the router that reads them."""

    def __init__(self, folder: Path) -> None:
        self.log, self.labels = folder / "logs" / "predictions", folder / "logs" / "feedback.jsonl"
        self.log.mkdir(parents=True)
        self.project = SimpleNamespace(logs=folder / "logs")
        self.models: Any = [self.model(BAD), self.model(GOOD)]
        self.router = self.new()

    @staticmethod
    def model(run_id: str) -> Any:
        return SimpleNamespace(run_id=run_id, document=BINARY, answer_form={"reward": "class"})

    def new(self) -> Any:
        settings: Any = SimpleNamespace(
            decision=config.DecisionSettings(), serving=SimpleNamespace(explore=FLOOR)
        )
        project: Any = self.project
        return router.Router(project, settings)

    def predict(self, run_id: str, said: str, ids: range, role: str = "champion") -> Path:
        """Write a file of the log, a request of one row per id."""
        table = {"request_id": [f"r{at}" for at in ids], "row": 0, "run_id": run_id, "role": role}
        path = self.log / f"20260101T0000{ids.start:02d}-1-{role[:4]}-{run_id}.parquet"
        frame = pd.DataFrame(table | {"prediction": said, "age": 1.0})
        frame.astype({"row": "int32"}).to_parquet(path)
        return path

    def tell(self, ids: range, label: str = "yes") -> None:
        with self.labels.open("a", encoding="utf-8") as file:
            file.writelines(
                json.dumps({"request_id": f"r{at}", "row": 0, "label": label}) + "\n" for at in ids
            )

    def counts(self, asked: Any = None) -> dict[str, tuple[int, float]]:
        """Look, and return labels and sum of rewards by model."""
        asked = asked or self.router
        asked.shares(self.models)
        return {run_id: (len(each), sum(each)) for run_id, each in asked.rewards.items()}


@pytest.fixture
def files(tmp_path: Path) -> Files:
    """An empty log."""
    return Files(tmp_path)


def test_labels_find_the_model_that_answered_in_whatever_order_they_come(files: Files) -> None:
    assert files.counts() == {BAD: (0, 0), GOOD: (0, 0)}
    files.predict(GOOD, "yes", range(0, 50))
    files.tell(range(0, 10))
    assert files.counts() == {BAD: (0, 0), GOOD: (10, 10)}
    files.tell(range(10, 60))  # of which ten are not in the log yet
    assert files.counts() == {BAD: (0, 0), GOOD: (50, 50)}
    files.predict(BAD, "no", range(50, 90))
    assert files.counts() == {BAD: (10, 0), GOOD: (50, 50)}
    files.tell(range(50, 55), "no")  # corrected: the last label counts
    assert files.counts() == {BAD: (10, 5), GOOD: (50, 50)} == files.counts(files.new())
    assert files.router.shares(files.models) == files.new().shares(files.models)
    assert files.router.shares(files.models)[GOOD] > 0.94


def test_shadows_and_models_that_left_do_not_count(files: Files) -> None:
    files.predict(GOOD, "yes", range(0, 10))
    files.predict(BAD, "no", range(0, 10), role="shadow")
    files.predict("0123abcd", "yes", range(10, 20))
    files.tell(range(0, 20))
    assert files.counts() == {BAD: (0, 0), GOOD: (10, 10)}
    files.models = [files.model("0123abcd"), files.model(GOOD)]
    assert files.counts() == {"0123abcd": (10, 10), GOOD: (10, 10)}


def test_files_that_are_damaged_deleted_or_replaced_are_lived_with(files: Files) -> None:
    gone = files.predict(GOOD, "yes", range(0, 10))
    other = files.predict(BAD, "yes", range(10, 20))
    # One that is being written is not counted yet.
    shutil.copy(other, other.with_name(f".partial-01234567-{other.name}"))
    (files.log / f"20260101T000000-1-x-{GOOD}.parquet").write_bytes(b"PAR1")
    files.labels.write_bytes(b'\xff\n{"label": 1}\n[]\n{"request_id": "r1", "row": 0, "la')
    assert files.counts() == {BAD: (0, 0), GOOD: (0, 0)}
    with files.labels.open("a", encoding="utf-8") as file:
        file.write('bel": "yes"}\n')  # the rest of the line
    files.tell(range(2, 20))
    assert files.counts() == {BAD: (10, 10), GOOD: (9, 9)}
    gone.unlink()
    assert files.counts() == {BAD: (10, 10), GOOD: (0, 0)} == files.counts(files.new())
    files.labels.rename(files.labels.with_suffix(".1"))
    assert files.counts() == {BAD: (0, 0), GOOD: (0, 0)}
    files.tell(range(15, 18))
    assert files.counts() == {BAD: (3, 3), GOOD: (0, 0)} == files.counts(files.new())
    files.labels.write_text("", encoding="utf-8")
    assert files.counts() == {BAD: (0, 0), GOOD: (0, 0)}
    shutil.rmtree(files.log)
    assert files.counts() == {BAD: (0, 0), GOOD: (0, 0)}


def test_the_oldest_files_go_and_none_that_is_being_written(tmp_path: Path) -> None:
    from mlproj.serving.writer import Writer

    names = {".partial-01234567-1.parquet", "1.parquet", "2.parquet"}
    for name in names:
        (tmp_path / name).write_bytes(bytes(800_000))
    Writer(tmp_path, seconds=1, megabytes=1).flush()
    assert {path.name for path in tmp_path.iterdir()} == names - {"1.parquet"}


def test_the_youngest_labels_decide(files: Files, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(router, "MOST_LABELS", 30)
    files.predict(GOOD, "no", range(0, 50))
    files.predict(GOOD, "yes", range(50, 80))
    files.tell(range(0, 80))
    assert files.counts() == {BAD: (0, 0), GOOD: (30, 30)} == files.counts(files.new())


def test_a_look_without_news_costs_nothing_and_each_is_followed_by_rest(
    files: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    files.predict(GOOD, "yes", range(0, 10))
    files.tell(range(0, 10))
    searched: list[Any] = []
    find = router.find_answers

    def slow(*arguments: Any) -> Any:
        searched.append(arguments)
        time.sleep(0.05)
        return find(*arguments)

    monkeypatch.setattr(router, "find_answers", slow)
    files.router.shares(files.models)
    assert not files.router.is_due
    assert files.router._rest_until - time.monotonic() > 0.5
    files.router.shares(files.models)
    assert len(searched) == 1


# ------------------------------------------------------------------------------- the service


@pytest.fixture(scope="module")
def made(make_project: Any, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A project whose champion always says no, challenged by the model that was trained."""
    folder = tmp_path_factory.mktemp("routed")
    project = make_project(folder, data=SAMPLE, model={"candidates": "linear", "folds": 0})
    trained = make_model(project)
    champion.release(project, promote_copy(project, trained, BAD, threshold=1.1), "promote")
    champion.challenge(project, trained, 0.3)
    return project


@pytest.fixture
def project(made: Any, tmp_path: Path) -> Any:
    """A copy of that project."""
    shutil.copytree(made.root, tmp_path / "project")
    return type(made)(tmp_path / "project")


@pytest.fixture(scope="module")
def labelled(made: Any) -> list[tuple[Any, str]]:
    """Rows that the model was not fitted on, with the truth."""
    table = pd.concat([load_split(made, "valid"), load_split(made, "test")])
    rows = as_rows(champion.load_champion(made), table)
    return list(zip(rows, table["churned"], strict=True))


def test_before_feedback_it_is_equal_and_sticky_keys_go_by_weights(
    project: Any, labelled: list[Any]
) -> None:
    row, asks = [labelled[0][0]], 1000
    with Asked(project, "serving.router=thompson", "serving.log_share=0.01").running() as asked:
        random.seed(1)
        named = [asked.predict(row).json["model"] for _ in range(asks)]
        kept = [asked.predict(row, x_sticky_key=str(at)).json["model"] for at in range(asks)]
        again = [asked.predict(row, x_sticky_key=str(at)).json["model"] for at in range(asks)]
        told = asked.ask("GET", "/model").json["models"]
        metrics = asked.ask("GET", "/metrics").body.decode()
    low, high = stats.binom.interval(0.9999, asks, 0.5)
    assert low <= named.count(BAD) <= high
    assert kept == again
    low, high = stats.binom.interval(0.9999, asks, 0.7)
    assert low <= kept.count(BAD) <= high
    assert [(each["share"], each["labels"], each["reward"]) for each in told] == [
        (0.5, 0, None)
    ] * 2
    for each in told:
        assert f'serving_model_share{{run_id="{each["run_id"]}"}} 0.5' in metrics


def test_weights_are_told_as_shares_and_those_of_models_that_left_are_none(
    project: Any, labelled: list[Any]
) -> None:
    trained = champion.read_champion(project)["challengers"][0]["run_id"]
    with Asked(project).running() as asked:
        metrics = asked.ask("GET", "/metrics").body.decode()
        assert f'serving_model_share{{run_id="{trained}"}} 0.3' in metrics
        champion.dismiss(project, trained)
        asked.service.keeper.refresh()
        metrics = asked.ask("GET", "/metrics").body.decode()
        assert f'serving_model_share{{run_id="{trained}"}} 0.0' in metrics
        assert f'serving_model_share{{run_id="{BAD}"}} 1.0' in metrics
        (told,) = asked.ask("GET", "/model").json["models"]
    assert (told["share"], "labels" in told) == (1, False)


def test_a_router_that_fails_leaves_the_shares_as_they_were(
    project: Any, labelled: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    with Asked(project, "serving.router=thompson").running() as asked:
        keeper = asked.service.keeper
        before = keeper.fleet

        def fail(*_: Any) -> Any:
            raise RuntimeError("broken")

        for name, broken in (("shares", fail), ("shares", lambda models: {}), ("_judge", fail)):
            with monkeypatch.context() as patch:
                patch.setattr(keeper.router, name, broken)
                keeper.router._seen = None
                keeper.route()
            assert keeper.fleet is before
        # What was read before the failure is read again.
        assert (keeper.router._seen, keeper.router._answers) == (None, {})
        keeper.route()
        assert keeper.fleet is not before
        assert asked.predict([labelled[0][0]]).status == 200


def test_a_router_without_a_log_is_refused(project: Any) -> None:
    options = ("serving.router=thompson", "serving.log_share=0")
    with pytest.raises(UserError, match="thompson needs the prediction log"):
        config.load_settings(project, options)


@pytest.mark.modules
def test_the_service_learns_from_feedback_and_after_a_restart_knows_it(
    project: Any, labelled: list[Any], package_environment: dict[str, str]
) -> None:
    """Two processes; whoever takes a label, both go by it."""
    trained = champion.read_champion(project)["challengers"][0]["run_id"]
    options = ["serving.workers=2", "serving.router=thompson"]
    options += ["serving.log_seconds=0.2", "serving.poll_seconds=0.1"]

    def ask(server: Server, count: int) -> tuple[Counter[str], list[Any]]:
        named: Counter[str] = Counter()
        labels = []
        for _ in range(count):
            row, label = random.choice(labelled)  # noqa: S311  # no secret
            answer = server.ask("POST", "/predict", {"rows": [row]}).json
            named[answer["model"]] += 1
            labels.append({"request_id": answer["request_id"], "row": 0, "label": label})
        return named, labels

    random.seed(5)
    with Server(project, package_environment, options) as server:
        first, _ = ask(server, 400)
        for _ in range(6):
            _, labels = ask(server, 100)
            assert server.ask("POST", "/feedback", {"labels": labels}).status == 200
            time.sleep(2.5)  # the log is written every second
        for _ in range(400):  # any process may answer: ten times in a row both know all
            told = [server.ask("GET", "/model").json["models"] for _ in range(10)]
            if all(sum(each["labels"] for each in models) == 600 for models in told):
                break
            time.sleep(0.2)
        last, _ = ask(server, 400)
        models = {each["run_id"]: each for each in told[-1]}
        metrics = server.ask("GET", "/metrics").body.decode()
        for pid in server.workers():
            loaded = Path(f"/proc/{pid}/maps").read_text(encoding="utf-8")
            assert "/site-packages/pandas/" not in loaded
            print(f"a worker holds {resident(pid):.0f} MB")
    print(f"of 400 requests the worse model answered {first[BAD]} before, {last[BAD]} after labels")
    low, high = stats.binom.interval(0.9999, 400, 0.5)
    assert low <= first[BAD] <= high
    floor = stats.binom.interval(0.9999, 400, FLOOR)
    assert floor[0] <= last[BAD] <= floor[1]
    assert models[trained]["labels"] + models[BAD]["labels"] == 600
    assert models[trained]["reward"] > models[BAD]["reward"]
    assert all(each == told[0] for each in told)
    exact = float(metrics.partition(f'serving_model_share{{run_id="{trained}"}} ')[2].split()[0])
    assert exact == pytest.approx(models[trained]["share"], abs=1e-4)
    with Server(project, package_environment, options) as server:
        again, _ = ask(server, 400)
    assert floor[0] <= again[BAD] <= floor[1]
