"""The kinds of evidence: each a small function that looks for one proof.

A kind is a function of (context, item, evidence) that returns a `Finding`; `custom.py` adds the
team's own by `registry.EVIDENCE["kind"] = ".custom:function"`.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from fnmatch import fnmatch
from pathlib import Path, PurePosixPath

from ..core.config import redact
from ..core.errors import UserError
from ..core.reports import Report
from .catalogue import Evidence, Item, split_patterns
from .context import Context, split_names
from .rules import Rule, parse_rule

# Own words that a section needs before it counts as written.
WORDS = 8

# So much of a file is read, in characters; what is longer was not written by a person.
MOST_READ = 1_000_000

# What of these folders may be tracked: descriptions, never data or models.
DESCRIPTIONS = {
    "data": ("data/schema.yaml", "data/manifest.json", "data/*README.md", "data/*.dvc"),
    "models": ("models/champion.json", "models/README.md", "models/*.dvc"),
}

# The same limit as in .pre-commit-config.yaml.
LARGEST = 500_000

# Keys and tokens that can be told by their form, as extended regular expressions for git grep.
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

# The stages behind reports that are not a stage's own.
WRITTEN_BY = {"schema": "ingest", "diagnostics": "evaluate"}

# Reports about rows that came after the model was made, and the commands that write them.
LATER_ROWS = {"drift": "monitor"}


@dataclass(frozen=True)
class Finding:
    """What looking for one proof gave.

    Attributes:
        holds: The proof is there, and is about the current data and model.
        message: One clause that says what was seen or is missing, and what to do.
        stale: There is a proof, but of other data or another model.
        unknown: What would tell is not there yet.
    """

    holds: bool
    message: str
    stale: bool = False
    unknown: bool = False


def file(context: Context, item: Item, evidence: Evidence) -> Finding:
    """One of the files is there and not empty; with `contains`, one of them holds that text.

    The rule is a glob pattern, or several with ` | ` between them: one of them is enough. A text is
    looked for in the first `MOST_READ` characters.
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
        return Finding(False, f"{shown} is missing or empty")
    if "contains" not in evidence.further:
        return Finding(True, f"{shown} is there")
    text = evidence.further["contains"].replace("{package}", package)
    if any(text in _beginning(path) for path in found):
        return Finding(True, f"{shown} holds '{text}'")
    return Finding(False, f"{shown} lacks '{text}'")


def _beginning(path: Path) -> str:
    """Return the beginning of a file's text."""
    with path.open(encoding="utf-8", errors="replace") as file:
        return file.read(MOST_READ)


def section(context: Context, item: Item, evidence: Evidence) -> Finding:
    """A person has answered the question below a heading, in their own words."""
    name, _, slug = evidence.rule.partition("#")
    sections = context.document(context.project.root / name)
    if not sections:
        return Finding(False, f"{name} is missing; it comes with the stage {item.stage}")
    if slug not in sections:
        return Finding(False, f"{name} has no section '{slug}'; bring the heading back")
    needed, words = evidence.further.get("words", WORDS), sections[slug].words
    place = f"{name}, line {sections[slug].line}, '{sections[slug].title}'"
    if words == 0:
        return Finding(False, f"{place}: not answered yet")
    if words < needed:
        return Finding(False, f"{place}: {words} words so far, at least {needed} are needed")
    return Finding(True, f"{place}: answered")


def fact(context: Context, item: Item, evidence: Evidence) -> Finding:
    """A rule holds of a report that is about the current data and the model in service."""
    rule = parse_rule(evidence.rule)
    name, report = rule.path[0], context.report(rule.path[0])
    if report is None:
        command = LATER_ROWS.get(name, "run")
        message = f"reports/{name}.json is not there yet; `{command}` writes it"
        return Finding(False, message, unknown=True)
    stale = _staleness(context, name, report)
    if stale:
        return Finding(False, stale, stale=True)
    below = replace(rule, path=rule.path[1:])
    fault = below.fault(report.facts)
    if fault:
        return Finding(False, f"reports/{name}.json: {fault}")
    return Finding(True, f"reports/{name}.json: {below.name} is {below.demand}")


def config(context: Context, item: Item, evidence: Evidence) -> Finding:
    """A rule holds of the settings."""
    rule = parse_rule(evidence.rule)
    name, key = rule.path[0], ".".join(rule.path[1:])
    try:
        value = context.settings.section(name)[key]
    except (AttributeError, KeyError):
        raise UserError(
            f"The checklist's item '{item.id}' asks for the setting {name}.{key}, "
            "which does not exist; `config show` lists all."
        ) from None
    below = replace(rule, path=(key,))
    fault = below.fault({key: value})
    return Finding(not fault, f"conf.cfg, [{name}] {fault or f'{below.name} is {below.demand}'}")


def answer(context: Context, item: Item, evidence: Evidence) -> Finding:
    """A rule holds of the answers that the project was made with."""
    rule = parse_rule(evidence.rule)
    if rule.path[0] not in context.answers:
        message = f"the answer {rule.path[0]} is not recorded in .cruft.json"
        return Finding(False, message, unknown=True)
    fault = rule.fault(context.answers)
    return Finding(not fault, f"the answer {fault or f'{rule.name} is {rule.demand}'}")


def champion(context: Context, item: Item, evidence: Evidence) -> Finding:
    """A rule holds of what models/champion.json says of the model in service."""
    rule = parse_rule(evidence.rule)
    fault = rule.fault(context.champion or {})
    told = fault or f"{rule.name} is {rule.demand}"
    return Finding(not fault, f"models/champion.json: {told}")


def git(context: Context, item: Item, evidence: Evidence) -> Finding:
    """The repository holds what it should, and nothing that it should not."""
    if context.tracked is None:
        return Finding(False, "this is no git repository, or git is missing; `git init` makes one")
    if not context.tracked:
        return Finding(False, "git tracks no file of this project; `git add --all`, then commit")
    return GIT_CHECKS[evidence.rule](context)


def fresh(context: Context, item: Item, evidence: Evidence) -> Finding:
    """A report was made from the current data, model, settings and code."""
    from ..core.order import stages, stages_before

    name = evidence.rule
    writers = {stage.report: stage.name for stage in stages().values()}
    last = stages()[WRITTEN_BY.get(name) or writers[name]]
    report = context.report(name)
    if report is None:
        return Finding(False, f"reports/{name}.json is not there yet; `run` writes it")
    stale = _staleness(context, name, report)
    if stale:
        return Finding(False, stale, stale=True)
    for stage in [*stages_before(last.name), last]:
        if stage.inputs is not None:
            continue  # it reads what git does not track, such as the source
        made = context.report(stage.report)
        if made is None or made.config != context.stage_key(stage.name):
            changed = f"settings or code of `{stage.name}` have changed since reports/{name}.json"
            return Finding(False, f"{changed} was made; `run` again", stale=True)
    return Finding(True, f"reports/{name}.json is about the current data, model and settings")


def signoff(context: Context, item: Item, evidence: Evidence) -> Finding:
    """A person has signed, and what they signed for is still so."""
    signed = context.records.signoffs.get(item.id)
    if signed is None:
        return Finding(False, f"nobody has signed; `checklist sign {item.id} --by NAME --note WHY`")
    mark = f"signed by {signed.by} on {signed.date}"
    for scope, then, now in (
        ("data", signed.data, context.data),
        ("model", signed.model, context.model),
    ):
        if evidence.rule == scope and (then != now or now is None):
            message = f"{mark} for the {scope} {then or 'none'}, which is now {now or 'none'}"
            return Finding(False, f"{message}; sign again", stale=True)
    return Finding(True, f"{mark}: {signed.note}")


def _staleness(context: Context, name: str, report: Report) -> str | None:
    """Say why a report is not about the current data or model, or None."""
    if name not in LATER_ROWS and (report.data != context.data or context.data is None):
        return (
            f"reports/{name}.json is about the data {report.data or 'none'}, which is now "
            f"{context.data or 'none'}; `run` again"
        )
    if report.run_id is not None and report.run_id not in context.runs:
        return (
            f"reports/{name}.json is about the model {report.run_id}, but in service is "
            f"{context.model or 'none'}; `champion promote {report.run_id}`, or "
            f"`{LATER_ROWS.get(name, 'run')}` again"
        )
    return None


def _originals_untracked(context: Context) -> Finding:
    """No data is in git, and the original's checksum is recorded."""
    stray = _beyond_descriptions(context, "data")
    if stray:
        return Finding(False, f"git tracks {_some(stray)}; `git rm --cached` takes data out")
    report = context.report("ingest")
    checksum = Rule(("original", "sha256"))
    if report is None or checksum.fault(report.facts):
        return Finding(False, "reports/ingest.json has no checksum of the original; `run` takes it")
    return Finding(True, "no data is tracked by git, and reports/ingest.json has their checksum")


def _no_bundle(context: Context) -> Finding:
    """No model is in git, only which one is in service."""
    stray = _beyond_descriptions(context, "models")
    if stray:
        return Finding(False, f"git tracks {_some(stray)}; `git rm --cached` takes models out")
    return Finding(True, "no model is tracked by git")


def _no_large_file(context: Context) -> Finding:
    """No tracked file is larger than git handles well."""
    paths = ((name, context.project.root / name) for name in context.tracked or [])
    large = [name for name, path in paths if path.is_file() and path.stat().st_size > LARGEST]
    if large:
        return Finding(False, f"git tracks {_some(large)}, above {LARGEST // 1000} kB")
    return Finding(True, f"no tracked file is above {LARGEST // 1000} kB")


def _no_secret(context: Context) -> Finding:
    """No tracked file holds a key, a token, or credentials in conf.cfg."""
    search = ("grep", "-I", "--name-only", "-z", "-E", "-e", "|".join(SECRETS))
    found = context.git(*search, fine=(0, 1))  # 1: in no file
    if found is None:
        return Finding(False, "`git grep` fails here, so nothing is known about keys and tokens")
    files = split_names(found)
    conf = context.project.conf.read_text(encoding="utf-8", errors="replace")
    if redact(conf) != conf:
        files.append("conf.cfg")
    if files:
        return Finding(False, f"{_some(files)} holds a key or a token; withdraw it, use env:NAME")
    return Finding(True, "no tracked file holds a known kind of key or token")


def _no_outputs(context: Context) -> Finding:
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
            return Finding(False, f"{name} is no notebook; delete it or bring it back")
    if full:
        return Finding(False, f"{_some(full)} holds outputs; `nbstripout` takes them out")
    return Finding(True, f"{len(names)} tracked notebooks without outputs")


def _has_remote(context: Context) -> Finding:
    """The work does not live on one disk only."""
    remotes = (context.git("remote") or "").split()
    if not remotes:
        return Finding(False, "git knows no remote; `git remote add origin URL`, then push")
    return Finding(True, f"git knows the remote {remotes[0]}")


def _beyond_descriptions(context: Context, folder: str) -> list[str]:
    """Return the tracked files of a folder that are more than descriptions."""
    return [
        name
        for name in context.tracked or []
        if PurePosixPath(name).parts[0] == folder
        and not any(fnmatch(name, pattern) for pattern in DESCRIPTIONS[folder])
    ]


def _some(names: list[str]) -> str:
    """Return the first names, and how many more there are."""
    more = f" and {len(names) - 2} more" if len(names) > 2 else ""
    return ", ".join(names[:2]) + more


GIT_CHECKS = {
    "originals": _originals_untracked,
    "sizes": _no_large_file,
    "secrets": _no_secret,
    "notebooks": _no_outputs,
    "models": _no_bundle,
    "remote": _has_remote,
}
