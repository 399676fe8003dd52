"""Refuse, in one sentence and before anything is written, answers that give no working project."""

from __future__ import annotations

import json
import keyword
import os
import re
import sys  # and not typing, which would cost more to import than the hook takes to run

# A hook is rendered before it runs. Its code stands between raw markers, so that this file is
# Python as it stands, and the answers arrive as JSON, from which no text can break out.
# {% raw %}

if sys.version_info < (3, 10):  # noqa: UP036  # the Python of cookiecutter, not the project's
    sys.exit(
        "\nError: this cookiecutter runs on a Python before 3.10: install it for a newer one.\n"
    )

# What a free-text answer may be long.
LENGTHS = {"project_name": 100, "project_slug": 60, "description": 500, "author_name": 200}

# Answers that cannot go together, each with what to choose instead, as in:
# ({"serving": "rest", "platform": "local"}, "choose docker as the platform of a REST service")
IMPOSSIBLE: list[tuple[dict[str, str], str]] = []

# What the project depends on: the distribution's name and the module that it is imported as.
DEPENDENCIES = {
    "black": "black",
    "catboost": "catboost",
    "cruft": "cruft",
    "filelock": "filelock",
    "fsspec": "fsspec",
    "gcsfs": "gcsfs",
    "httptools": "httptools",
    "ipykernel": "ipykernel",
    "jinja2": "jinja2",
    "jupyter-client": "jupyter_client",
    "lightgbm": "lightgbm",
    "markdown-it-py": "markdown_it",
    "markupsafe": "markupsafe",
    "matplotlib": "matplotlib",
    "msgspec": "msgspec",
    "mypy": "mypy",
    "narwhals": "narwhals",
    "nbclient": "nbclient",
    "nbformat": "nbformat",
    "nbstripout": "nbstripout",
    "numpy": "numpy",
    "onnx": "onnx",
    "onnxruntime": "onnxruntime",
    "openpyxl": "openpyxl",
    "pandas": "pandas",
    "pandas-stubs": "pandas",
    "pre-commit": "pre_commit",
    "prometheus-client": "prometheus_client",
    "pyarrow": "pyarrow",
    "pydantic": "pydantic",
    "pytest": "pytest",
    "pyyaml": "yaml",
    "rich": "rich",
    "ruff": "ruff",
    "s3fs": "s3fs",
    "scikit-learn": "sklearn",
    "scipy": "scipy",
    "skl2onnx": "skl2onnx",
    "skops": "skops",
    "skrub": "skrub",
    "sqlalchemy": "sqlalchemy",
    "starlette": "starlette",
    "threadpoolctl": "threadpoolctl",
    "typer": "typer",
    "types-pyyaml": "yaml",
    "uvicorn": "uvicorn",
    "uvloop": "uvloop",
    "xgboost": "xgboost",
}

# What those depend on in turn: every distribution of constraints.txt, and its modules.
INDIRECT = re.findall(
    r"\w+",
    """
    aiobotocore aiohappyeyeballs aiohttp aioitertools aiosignal annotated_doc annotated_types
    anyio arrow ast_serialize asttokens attr attrs binaryornot blackd blib2to3 botocore certifi
    cffi cfgv charset_normalizer click cloudpickle comm contourpy cookiecutter cryptography
    cycler dateutil debugpy decorator distlib et_xmlfile executing fastjsonschema
    flatbuffers fonttools frozenlist gitdb gitpython google google_api_core google_auth
    google_auth_oauthlib google_cloud_core google_cloud_storage google_cloud_storage_control
    google_crc32c google_resumable_media googleapis_common_protos graphviz grpc
    grpc_google_iam_v1 grpc_status grpcio grpcio_status h11 identify idna iniconfig
    ipykernel_launcher ipython ipython_pygments_lexers jedi jmespath joblib jsonschema
    jsonschema_specifications jupyter_core kiwisolver librt matplotlib_inline mdurl
    ml_dtypes mpl_toolkits multidict mypy_extensions mypyc nest_asyncio2 nodeenv nvidia
    nvidia_nccl_cu12 oauthlib opentelemetry opentelemetry_api packaging parso pathspec pexpect
    pillow platformdirs plotly pluggy prettytable prompt_toolkit propcache proto proto_plus
    protobuf psutil ptyprocess pure_eval py pyasn1 pyasn1_modules pycparser pydantic_core pydot
    pygments pylab pyparsing python_dateutil python_discovery python_slugify pytokens pyzmq
    referencing requests requests_oauthlib rpds rpds_py shellingham six slugify smmap stack_data
    text_unidecode tokenize_rt tornado traitlets typing_extensions
    typing_inspection tzdata urllib3 virtualenv wcwidth wrapt yarl zmq
    """,
)

# Names that would hide something. Modules of the standard library of some Python that the project
# supports (sys knows only its own); folders, since `import data` would find the project's own;
# commands, since the project's command has its name; and what Windows reserves.
STANDARD_LIBRARY = {
    *("annotationlib", "asynchat", "asyncore", "cgi", "compression", "distutils", "imp", "smtpd"),
    *sys.stdlib_module_names,
}
FOLDERS = {
    *(
        "build",
        "checklist",
        "conftest",
        "data",
        "deploy",
        "dist",
        "docs",
        "lib",
        "logs",
        "models",
        "notebooks",
    ),
    *("reports", "src", "test", "tests", "tools"),
}
COMMANDS = {
    *("activate", "deactivate", "git", "jupyter", "make"),
    *("pip", "pip3", "python", "python3", "uv"),
}
DEVICES = {
    *("aux", "con", "nul", "prn"),
    *(f"{port}{number}" for port in ("com", "lpt") for number in range(10)),
}

# Not printable for Python, and needed in names: no-break space, zero-width (non-)joiner.
PRINTABLE_TOO = "\u00a0\u200c\u200d"


def text_fault(value: object, longest: int) -> str | None:
    """Say what is wrong with a free-text answer, or None."""
    if not isinstance(value, str):
        return "is not text: one line of it is required"
    if not value.strip():
        return "is empty: one line of text is required"
    if any(marker in value for marker in ("{{", "{%", "{#")):
        return "holds a template marker: {{, {% and {# are not allowed"
    if any(ord(letter) > 0xFFFF for letter in value):
        return "holds an emoji or another character beyond U+FFFF: choose text without it"
    if not all(letter.isprintable() or letter in PRINTABLE_TOO for letter in value):
        return "holds a control character: one line of printable text is allowed"
    if value != value.strip():
        return "begins or ends with a space: write it without"
    if len(value) > longest:
        return f"is {len(value)} characters long: at most {longest} are allowed"
    return None


def slug_fault(slug: str) -> str | None:
    """Say why a slug cannot name a folder, a distribution, a package and a command, or None."""
    package = slug.replace("-", "_")
    # What a container image may be called, too.
    if not re.fullmatch("[a-z][a-z0-9]*((__?|-+)[a-z0-9]+)*", slug):
        return (
            "is not a plain name: allowed are a-z and 0-9, with - or _ between, beginning with a "
            "letter, such as churn-model"
        )
    if keyword.iskeyword(package):
        return f"is a keyword of Python: choose another name, such as {slug}-model"
    if package in STANDARD_LIBRARY:
        return f"would hide a module of Python's own: choose another name, such as my-{slug}"
    distributions = {name.replace("-", "_") for name in DEPENDENCIES}
    if package in distributions.union(DEPENDENCIES.values(), INDIRECT):
        return f"would hide a package that the project uses: choose another name, such as my-{slug}"
    if slug in FOLDERS:
        return (
            f"would hide a folder or file of the project: choose another name, such as {slug}-model"
        )
    if slug in COMMANDS:
        return f"would hide a command of that name: choose another name, such as my-{slug}"
    if slug in DEVICES:
        return f"is reserved by Windows: choose another name, such as {slug}-model"
    return None


def is_too_old(answers: dict[str, object]) -> bool:
    """Tell whether a cookiecutter before 2.2 asked, which would make a broken project.

    Before 2.0 it does not render derived values, and before 2.2 it does not say where the template
    lies, `_repo_dir`. cruft gives neither that nor `_output_dir`.
    """
    unrendered = "{{" in str(answers.get("__package"))
    return unrendered or ("_output_dir" in answers and "_repo_dir" not in answers)


def read_choices(answers: dict[str, object]) -> dict[str, list[str]]:
    """Return the choices of each question, from the template's cookiecutter.json.

    cookiecutter itself refuses any other choice, except in a replay file. cruft has no replay, and
    does not tell a hook where the template is: then there is nothing to check.
    """
    for start in (os.environ.get("PWD", ""), str(answers.get("_output_dir"))):
        path = os.path.join(start, str(answers.get("_repo_dir")), "cookiecutter.json")
        if os.path.isfile(path):
            with open(path, encoding="utf-8") as file:
                asked = json.load(file).items()
            return {
                prompt: choices
                for prompt, choices in asked
                if isinstance(choices, list) and not prompt.startswith("_")
            }
    return {}


def find_fault(answers: dict[str, object]) -> str | None:
    """Return the first fault as a sentence that names the prompt, the value and what is allowed."""
    for prompt, longest in LENGTHS.items():
        value = answers.get(prompt)
        fault = text_fault(value, longest)
        if fault is None and prompt == "project_slug":
            fault = slug_fault(str(value))
        if fault is not None:
            return f"{prompt} {shown(value)} {fault}."
    for prompt, choices in read_choices(answers).items():
        if answers.get(prompt) not in choices:
            allowed = f"{', '.join(choices[:-1])} or {choices[-1]}"
            return f"{prompt} {shown(answers.get(prompt))} is not a choice: choose {allowed}."
    for together, instead in IMPOSSIBLE:
        if all(answers.get(prompt) == choice for prompt, choice in together.items()):
            pair = " and ".join(f"{prompt} {choice!r}" for prompt, choice in together.items())
            return f"{pair} do not go together: {instead}."
    if is_too_old(answers):
        return (
            "this cookiecutter is too old; 2.2 or newer is needed: run `uvx cookiecutter`, or "
            "`pipx install cookiecutter`, since distributions install older ones."
        )
    return None


def shown(value: object) -> str:
    """Return a short ASCII form of any value: a console that is not UTF-8 must not fail on it."""
    return ascii(value) if len(ascii(value)) <= 70 else f"{ascii(value)[:66]}...{ascii(value)[-1]}"


def main(answers: dict[str, object]) -> None:
    """Leave with status 1 and the sentence on stderr if an answer cannot be used."""
    fault = find_fault(answers)
    if fault is not None:
        sys.exit(f"\nError: {fault}\n")


# {% endraw %}
if __name__ == "__main__":
    main(json.loads(r'''{{ cookiecutter | tojson }}'''))  # fmt: skip
