"""The kinds of evidence: each a small function that looks for one proof.

A kind is a function of (context, item, evidence) that returns a `Verdict`; `custom.py` adds the
team's own by `EVIDENCE = {"kind": function}`.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from fnmatch import fnmatch
from pathlib import Path, PurePosixPath

from ..core.config import redact
from ..core.errors import UserError, listed
from ..core.project import Report, read_report
from ..tracking.runs import why_no_commit
from .catalogue import Evidence, Item, split_patterns
from .conditions import Condition, parse_condition
from .context import Context, split_names

# The least number of people's words below a heading for it to count as answered; fewer do where the
# question asks for figures, and they are there.
MIN_WORDS, WORDS_WITH_NUMBERS = 8, 3

# How many characters of a file are searched; longer files are not written by people.
MAX_CHARACTERS = 1_000_000

# What git may track in these folders: descriptions, never data or models.
DESCRIPTIONS = {
    "data": ("data/schema.yaml", "data/manifest.json", "data/*README.md", "data/*.dvc"),
    "models": ("models/champion*.json*", "models/README.md", "models/*.dvc"),
}

# The same limit as in .pre-commit-config.yaml, in bytes.
MAX_FILE_SIZE = 500_000

# Keys and tokens that have a recognisable form, as extended regular expressions for git grep.
SECRETS = (
    "-----BEGIN ([A-Z]+ )*PRIVATE KEY-----",
    "(AKIA|ASIA)[0-9A-Z]{16}",  # Amazon Web Services
    "AIza[0-9A-Za-z_-]{35}",  # Google
    "gh[pousr]_[0-9A-Za-z]{36}",  # GitHub
    "github_pat_[0-9A-Za-z_]{60}",
    "glpat-[0-9A-Za-z_-]{20}",  # GitLab
    "hf_[0-9A-Za-z]{34}",  # Hugging Face
    "sk-[0-9A-Za-z_-]{32}",  # OpenAI, Anthropic
    "xox[abprs]-[0-9A-Za-z-]{20}",  # Slack
)

# The stages that write reports under another name than their own.
WRITTEN_BY = {"schema": "ingest", "diagnostics": "evaluate"}

# Reports about rows newer than the model, and the commands that write them.
REPORTS_ON_NEW_ROWS = {"drift": "monitor"}


@dataclass(frozen=True)
class Verdict:
    """Whether one proof holds, and why.

    Attributes:
        holds: Whether the proof is there and is about the current data and model.
        message: One clause that says what was found or is missing, and what to do.
        stale: Whether there is a proof, but about other data or another model.
        unknown: Whether the information needed to decide is not there yet.
    """

    holds: bool
    message: str
    stale: bool = False
    unknown: bool = False


# What `Verdict` was called in earlier versions; the team's own kinds may import it.
Finding = Verdict


def file(context: Context, item: Item, evidence: Evidence) -> Verdict:
    """One of the files is there and not empty; with `contains`, one of them contains that text.

    The rule is a glob pattern, or several with ` | ` between them: one of them is enough. Only
    the first `MAX_CHARACTERS` characters are searched for the text.
    """
    package = __package__.partition(".")[0]
    patterns = split_patterns(evidence.rule.replace("{package}", package))
    found = [
        path
        for pattern in patterns
        for path in sorted(context.project.root.glob(pattern))
        if path.is_file() and path.stat().st_size
    ]
    shown = " or ".join(patterns)
    if not found:
        return Verdict(False, f"{shown} is missing or empty")
    if "contains" not in evidence.further:
        return Verdict(True, f"{shown} is there")
    text = evidence.further["contains"].replace("{package}", package)
    if any(text in _beginning(path) for path in found):
        return Verdict(True, f"{shown} holds '{text}'")
    return Verdict(False, f"{shown} lacks '{text}'")


def _beginning(path: Path) -> str:
    """Return the beginning of a file's text."""
    with path.open(encoding="utf-8", errors="replace") as file:
        return file.read(MAX_CHARACTERS)


def section(context: Context, item: Item, evidence: Evidence) -> Verdict:
    """A person has answered the question below a heading, in their own words.

    A question that asks for figures, `numbers: 2`, is answered by so many in a few words.
    """
    name, _, slug = evidence.rule.partition("#")
    headings = context.document(context.project.root / name)
    if not headings:
        return Verdict(False, f"{name} is missing; it comes with the stage {item.stage}")
    if slug not in headings:
        return Verdict(False, f"{name} has no section '{slug}'; bring the heading back")
    heading = headings[slug]
    needed, words = evidence.further.get("words", MIN_WORDS), heading.words
    place = f"{name}, line {heading.line}, '{heading.title}'"
    if words == 0:
        return Verdict(False, f"{place}: not answered yet")
    numbers = evidence.further.get("numbers")
    if numbers and heading.numbers >= numbers:
        needed = min(needed, WORDS_WITH_NUMBERS)
    if words < needed:
        figures = f", or the {numbers} numbers that are asked for" if numbers else ""
        return Verdict(False, f"{place}: {words} words so far; {needed} are needed{figures}")
    return Verdict(True, f"{place}: answered")


def fact(context: Context, item: Item, evidence: Evidence) -> Verdict:
    """A condition holds for a report about the current data and the model in service."""
    condition = parse_condition(evidence.rule)
    name, report = condition.path[0], context.report(condition.path[0])
    if report is None:
        command = REPORTS_ON_NEW_ROWS.get(name, "run")
        message = f"{context.path(name)} is not there yet; `{command}` writes it"
        return Verdict(False, message, unknown=True)
    stale = _staleness(context, name, report)
    if stale:
        return Verdict(False, stale, stale=True)
    holds, clause = replace(condition, path=condition.path[1:]).check(report.facts)
    return Verdict(holds, f"{context.path(name)}: {clause}")


def config(context: Context, item: Item, evidence: Evidence) -> Verdict:
    """A condition holds for the settings."""
    condition = parse_condition(evidence.rule)
    name, key = condition.path[0], ".".join(condition.path[1:])
    try:
        value = context.settings.section(name)[key]
    except (AttributeError, KeyError):
        raise UserError(
            f"The checklist's item '{item.id}' asks for the setting {name}.{key}, "
            "which does not exist; `config show` lists all."
        ) from None
    holds, clause = replace(condition, path=(key,)).check({key: value})
    return Verdict(holds, f"conf.cfg, [{name}] {clause}")


def answer(context: Context, item: Item, evidence: Evidence) -> Verdict:
    """A condition holds for the answers that the project was made with."""
    condition = parse_condition(evidence.rule)
    if condition.path[0] not in context.answers:
        message = f"the answer {condition.path[0]} is not recorded in .cruft.json"
        return Verdict(False, message, unknown=True)
    holds, clause = condition.check(context.answers)
    return Verdict(holds, f"the answer {clause}")


def champion(context: Context, item: Item, evidence: Evidence) -> Verdict:
    """A condition holds for the entry of models/champion.json about the model in service."""
    holds, clause = parse_condition(evidence.rule).check(context.champion or {})
    return Verdict(holds, f"models/champion.json: {clause}")


def git(context: Context, item: Item, evidence: Evidence) -> Verdict:
    """The repository contains what it should, and nothing that it should not."""
    if context.tracked is None:
        return Verdict(False, why_no_commit(context.project))
    if not context.tracked:
        return Verdict(False, "git tracks no file of this project; `git add --all`, then commit")
    return GIT_CHECKS[evidence.rule](context)


def fresh(context: Context, item: Item, evidence: Evidence) -> Verdict:
    """A report was made from the current data, model, settings and code."""
    from ..core.registry import stages, stages_before

    name = evidence.rule
    writers = {stage.report: stage.name for stage in stages().values()}
    last = stages()[WRITTEN_BY.get(name) or writers[name]]
    report = context.report(name)
    if report is None:
        return Verdict(False, f"{context.path(name)} is not there yet; `run` writes it")
    stale = _staleness(context, name, report)
    if stale:
        return Verdict(False, stale, stale=True)
    for stage in [*stages_before(last.name), last]:
        if stage.inputs is not None:
            continue  # it reads what git does not track, such as the source
        made, key = context.report(stage.report), context.stage_key(stage.name)
        if made is None or made.config != key:
            latest = read_report(context.project, stage.report)
            newer = context.newer if latest and latest.config == key else None
            changed = f"settings or code of `{stage.name}` have changed since {context.path(name)}"
            return Verdict(False, f"{changed} was made; {_advice(newer)}", stale=True)
    return Verdict(True, f"{context.path(name)} is about the current data, model and settings")


def signoff(context: Context, item: Item, evidence: Evidence) -> Verdict:
    """A person has signed, for the current data or model where the rule names one."""
    signed = context.records.signoffs.get(item.id)
    if signed is None:
        return Verdict(False, f"nobody has signed; `checklist sign {item.id} --by NAME --note WHY`")
    mark = f"signed by {signed.by} on {signed.date}"
    for scope, then, now in (
        ("data", signed.data, context.data),
        ("model", signed.model, context.model),
    ):
        if evidence.rule == scope and (then != now or now is None):
            message = f"{mark} for the {scope} {then or 'none'}, which is now {now or 'none'}"
            return Verdict(False, f"{message}; sign again", stale=True)
    return Verdict(True, f"{mark}: {signed.note}")


def _staleness(context: Context, name: str, report: Report) -> str | None:
    """Return why a report is not about the current data or model, or None."""
    if name not in REPORTS_ON_NEW_ROWS and (report.data != context.data or context.data is None):
        latest = read_report(context.project, "release")
        newer = context.newer if latest and latest.data == context.data else None
        return (
            f"{context.path(name)} is about the data {report.data or 'none'}, which is now "
            f"{context.data or 'none'}; {_advice(newer)}"
        )
    if report.run_id is not None and report.run_id not in context.runs:
        again = (
            f"`{REPORTS_ON_NEW_ROWS[name]}` again"
            if name in REPORTS_ON_NEW_ROWS
            else (f"bring back what {context.model} was made from and `run`")
        )
        return (
            f"{context.path(name)} is about the model {report.run_id}, but in service is "
            f"{context.model or 'none'}; `champion promote {report.run_id}`, or {again}"
        )
    return None


def _advice(newer: str | None) -> str:
    """Return what brings the model in service up to date."""
    return (
        f"`champion promote {newer}` puts the last model into service" if newer else "`run` again"
    )


def _originals_untracked(context: Context) -> Verdict:
    """No data is in git, and the original's checksum is recorded."""
    stray = _stray_files(context, "data")
    if stray:
        return Verdict(False, f"git tracks {listed(stray, 2)}; `git rm --cached` takes data out")
    report = context.report("ingest")
    checksum = Condition(("original", "sha256"))
    if report is None or checksum.fault(report.facts):
        return Verdict(False, "reports/ingest.json has no checksum of the original; `run` takes it")
    return Verdict(True, "no data is tracked by git, and reports/ingest.json has their checksum")


def _no_bundle(context: Context) -> Verdict:
    """No model is in git, only which one is in service."""
    stray = _stray_files(context, "models")
    if stray:
        return Verdict(False, f"git tracks {listed(stray, 2)}; `git rm --cached` takes models out")
    return Verdict(True, "no model is tracked by git")


def _no_large_file(context: Context) -> Verdict:
    """No tracked file is larger than git handles well."""
    paths = ((name, context.project.root / name) for name in context.tracked or [])
    large = [name for name, path in paths if path.is_file() and path.stat().st_size > MAX_FILE_SIZE]
    if large:
        return Verdict(False, f"git tracks {listed(large, 2)}, above {MAX_FILE_SIZE // 1000} kB")
    return Verdict(True, f"no tracked file is above {MAX_FILE_SIZE // 1000} kB")


def _no_secret(context: Context) -> Verdict:
    """No tracked file holds a key, a token, or credentials in conf.cfg."""
    search = ("grep", "-I", "--name-only", "-z", "-E", "-e", "|".join(SECRETS))
    found = context.git(*search, accepted=(0, 1))  # 1: in no file
    if found is None:
        return Verdict(False, "`git grep` fails here, so nothing is known about keys and tokens")
    files = split_names(found)
    conf = context.project.conf.read_text(encoding="utf-8", errors="replace")
    if redact(conf) != conf:
        files.append("conf.cfg")
    if files:
        return Verdict(
            False, f"{listed(files, 2)} holds a key or a token; withdraw it, use env:NAME"
        )
    return Verdict(True, "no tracked file holds a known kind of key or token")


def _no_outputs(context: Context) -> Verdict:
    """No tracked notebook holds outputs, which may show rows of data."""
    names = [name for name in context.tracked or [] if name.endswith(".ipynb")]
    full = []
    for name in names:
        path = context.project.root / name
        if not path.is_file():
            continue
        try:
            cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
            full += [name] if any(cell.get("outputs") for cell in cells) else []
        except (ValueError, LookupError, TypeError, AttributeError):
            return Verdict(False, f"{name} is not a notebook; delete it or bring it back")
    if full:
        return Verdict(False, f"{listed(full, 2)} holds outputs; `nbstripout` takes them out")
    return Verdict(True, f"{len(names)} tracked notebooks without outputs")


def _has_remote(context: Context) -> Verdict:
    """The repository has a remote, so that the work is not on one disk only."""
    remotes = (context.git("remote") or "").split()
    if not remotes:
        return Verdict(False, "git knows no remote; `git remote add origin URL`, then push")
    return Verdict(True, f"git knows the remote {remotes[0]}")


def _stray_files(context: Context, folder: str) -> list[str]:
    """Return the tracked files of a folder that are not descriptions."""
    return [
        name
        for name in context.tracked or []
        if PurePosixPath(name).parts[0] == folder
        and not any(fnmatch(name, pattern) for pattern in DESCRIPTIONS[folder])
    ]


GIT_CHECKS = {
    "originals": _originals_untracked,
    "sizes": _no_large_file,
    "secrets": _no_secret,
    "notebooks": _no_outputs,
    "models": _no_bundle,
    "remote": _has_remote,
}
