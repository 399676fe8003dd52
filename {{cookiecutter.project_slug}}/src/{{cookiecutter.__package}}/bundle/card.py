"""The model card (after Mitchell et al., 2019): what to know before relying on a model.

Most of it follows from bundle.json. What only people know stands in `docs/card.md`, which git
tracks, and is copied between two markers.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Any

from ..core.errors import UserError
from ..core.files import read_json, write_text
from ..core.project import Project, read_answers
from ..core.registry import PACKAGE
from ..data import is_feature
from ..evaluation.naive import baseline_in_words
from .bundle import CARD_FILE, task_of
from .carried import carries_code, has_rule

BEGIN = "<!-- people: begin (a copy of docs/card.md: write there) -->"
END = "<!-- people: end -->"
# Also what earlier versions wrote as the first marker.
PEOPLE = re.compile(r"<!-- people: begin.*?-->\n*(.*?)\n*<!-- people: end -->", re.DOTALL)
TO_FILL = """\
## Intended use
Not filled in yet: who uses the predictions, for which decision, and what happens with a wrong one.

## Not intended for
Not filled in yet: uses that this model was not made for, and people it must not be applied to.

## Owner
Not filled in yet: who answers questions and decides when the model is withdrawn."""
HEADING = """\
# What people know about the model

<!-- `run` copies what follows into the card of its model and of the one in service. -->

"""


def write_card(project: Project, document: Mapping[str, Any]) -> None:
    """Write `card.md` of a bundle."""
    path = project.bundle_folder(document["run_id"]) / CARD_FILE
    write_text(path, make_card(document, words_of_people(project, document["run_id"])))


def refresh_card(project: Project, run_id: str) -> None:
    """Bring what people wrote since into the card of a bundle that is there.

    A card without the markers is somebody's own, and stays.
    """
    path = project.bundle_folder(run_id) / CARD_FILE
    text = path.read_text(encoding="utf-8") if path.is_file() else ""
    words = f"{BEGIN}\n{words_of_people(project, run_id)}\n{END}"
    fresh = PEOPLE.sub(lambda found: words, text, count=1)
    if fresh != text:
        write_text(path, fresh)


def make_card(document: Mapping[str, Any], words: str = TO_FILL) -> str:
    """Return the card as Markdown.

    Args:
        document: The content of bundle.json.
        words: What people wrote.
    """
    parts = (
        _head(document),
        [BEGIN, words, END],
        _data(document),
        _metrics(document),
        _decision(document),
        _limits(document),
        _loading(document),
    )
    return "\n\n".join("\n".join(part) for part in parts) + "\n"


def words_of_people(project: Project, run_id: str) -> str:
    """Return what `docs/card.md` says below its title; the file is made if it is missing.

    It begins with what people wrote into the card of this model or of the champion, as earlier
    versions asked them to, else with the answers to the prompts.
    """
    path = project.docs / CARD_FILE
    if not path.is_file():
        words = _words_in_cards(project, run_id) or _words_of_answers(project)
        write_text(path, f"{HEADING}{words}\n")
    text = re.sub(r"<!--.*?-->", "", path.read_text(encoding="utf-8"), flags=re.DOTALL)
    return re.sub(r"\A\s*# .*", "", text).strip() or TO_FILL


def _words_in_cards(project: Project, run_id: str) -> str | None:
    """Return what people wrote into this model's card, or the champion's; None if nothing."""
    names = [run_id]
    with suppress(UserError, KeyError, TypeError):  # a broken champion.json is reported elsewhere
        names.append(str(read_json(project.champion_file)["run_id"]))
    for name in names:
        path = project.bundle_folder(name) / CARD_FILE
        found = PEOPLE.search(path.read_text(encoding="utf-8")) if path.is_file() else None
        if found and found[1] not in ("", TO_FILL):
            return found[1]
    return None


def _words_of_answers(project: Project) -> str:
    """Return the sections for people, with what the prompts asked: what it is for, and whose."""
    answers = read_answers(project)
    use, owner = (str(answers.get(name) or "").strip() for name in ("description", "author_name"))
    words = TO_FILL
    if use:
        words = words.replace("## Intended use\n", f"## Intended use\n{use}\n\n", 1)
    if owner:
        filled = f"{owner} answers questions and decides when the model is withdrawn."
        words = words.partition("## Owner\n")[0] + f"## Owner\n{filled}"
    return words


def _head(document: Mapping[str, Any]) -> list[str]:
    """Return the title and what the model is."""
    label, params = document["estimator"]["label"], document["estimator"]["params"] or {}
    given = ", ".join(f"{key} = {value}" for key, value in params.items()) or "all as by default"
    name, target = document["estimator"]["name"], document["target"]
    fitted = document.get("custom", {}).get("transformers", [])
    carried = [
        "Its predictions need code of `custom`, which this folder carries and uses.",
        *([f"Transformers of `custom`: {', '.join(map(_code, fitted))}."] if fitted else []),
    ]
    return [
        f"# Model {document['run_id']}",
        "",
        f"{label} (`{name}`) that predicts `{target}`, {task_of(document).predicts(document)}.",
        f"Parameters: {given}.",
        f"Code: commit {document['git_commit'] or 'unknown'}; "
        f"seed {document['seed']}; {_versions(document)}.",
        *(carried if carries_code(document) else []),
    ]


def _data(document: Mapping[str, Any]) -> list[str]:
    """Return what it was trained on."""
    schema, rows = document["schema"], document["rows"]
    features = [
        each for each in schema["columns"] if is_feature(each.get("roles", ()), each.get("parts"))
    ]
    sensitive = [each["name"] for each in schema["columns"] if "sensitive" in each.get("roles", ())]
    lines = [
        "## Data",
        f"Source `{schema['source']}`, data {document['data']}, split {document['split']}: "
        f"{rows['train']:,} rows to train on, {rows['valid']:,} to choose by.",
        f"It reads {len(features)} columns: {', '.join(_code(each['name']) for each in features)}.",
    ]
    if sensitive:
        inside = [name for name in sensitive if name in [each["name"] for each in features]]
        use = f"; the model reads {', '.join(map(_code, inside))}" if inside else ""
        lines.append(f"Sensitive columns: {', '.join(map(_code, sensitive))}{use}.")
    if "weight" in document:
        lines.append(f"Each row counts by `{document['weight']}`, in training and in all scores.")
    return lines


def _metrics(document: Mapping[str, Any]) -> list[str]:
    """Return how it compares with the baseline."""
    lines = [
        "## How good it is",
        "Measured on valid, which also served to choose and calibrate the model and to set its "
        "threshold, so the scores are slightly optimistic; reports/metrics.json has those of test.",
        "",
        "| Metric | Model | Baseline |",
        "|---|---|---|",
    ]
    naive = document["baseline"]["metrics"]
    for name, value in document["metrics"].items():
        lines.append(f"| {name} | {_number(value)} | {_number(naive.get(name))} |")
    constant, rule = document["baseline"]["constant"], document["baseline"].get("naive")
    says = "the same probabilities" if "probabilities" in constant else _number(constant["value"])
    says += " for every row"
    if rule:
        says = f"{baseline_in_words(rule)}, of each row from the true targets of all times before"
    return [
        *lines,
        "",
        f"The baseline predicts {says}. Skill over it in {document['metric']}: "
        f"{_number(document['skill'])} (0 is its equal, 1 is perfect).",
    ]


def _decision(document: Mapping[str, Any]) -> list[str]:
    """Return how the model's output becomes a prediction."""
    lines = ["## From score to decision", *task_of(document).explain_decision(document)]
    if has_rule(document):
        lines.append("After that, the rule `decide` of `custom` may change a prediction.")
    return lines


def _limits(document: Mapping[str, Any]) -> list[str]:
    """Return what not to expect."""
    return [
        "## Limits",
        "- It knows rows like those it was trained on; reference.json says what these looked like. "
        "For others its scores mean little.",
        "- Categories and columns that training never saw are refused, unless [predict] strict = "
        "no; then such a category counts as unknown.",
        "- It finds associations, not causes.",
    ]


def _loading(document: Mapping[str, Any]) -> Iterator[str]:
    """Yield how to use it."""
    yield "## How to load it"
    yield f"`predict INPUT OUTPUT --model {document['run_id']}` on the command line, or in Python,"
    yield "from the project's folder (`load_champion()` loads the one in service):"
    yield ""
    yield "```python"
    yield f"from {PACKAGE} import find_project, load_bundle"
    yield ""
    yield f'predictions = load_bundle(find_project(), "{document["run_id"]}").predict(frame)'
    yield "```"


def _versions(document: Mapping[str, Any]) -> str:
    """Return the versions that matter most."""
    versions = document["versions"]
    names = ("python", "scikit-learn", "skops")
    return ", ".join(f"{name} {versions[name]}" for name in names if name in versions)


def _code(name: str) -> str:
    """Write a column's name as code."""
    return f"`{name}`"


def _number(value: float | None) -> str:
    """Write a number for a table; one that is not defined is a dash."""
    return "-" if value is None or value != value else f"{value:.4g}"
