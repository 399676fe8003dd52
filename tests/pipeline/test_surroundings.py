"""What a machine may be like: a home or a temporary folder that cannot be used, proxies, links."""

from __future__ import annotations

import errno
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from mlproj import cli

CONF = """[data]
source = sample:600
target = churned
id = customer_id
[model]
candidates = linear
folds = 0
[evaluate]
bootstrap = 20
"""
# A port at which nobody listens, at an address that leads nowhere.
NAMES = ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY")
PROXIES = dict.fromkeys(NAMES, "http://127.0.0.1:9")
NO_HOME = f"{os.devnull}/home"


@pytest.mark.modules
@pytest.mark.skipif(shutil.which("unshare") is None, reason="needs unshare (util-linux)")
def test_a_run_needs_no_home_and_no_temporary_folder_and_follows_links(
    tmp_path: Path, package_environment: dict[str, str]
) -> None:
    project, elsewhere, full = (tmp_path / name for name in ("project", "elsewhere", "full"))
    for folder in (project, elsewhere, full):
        folder.mkdir()
    (project / "conf.cfg").write_text(CONF, encoding="utf-8")
    (project / "data").symlink_to(elsewhere, target_is_directory=True)
    script = f"""
        mount -t tmpfs -o size=16k tmpfs '{full}' || exit 90
        cat /dev/zero > '{full}/filled' 2>/dev/null
        umask 077
        "$PY" -m mlproj run
    """
    given = {"PY": sys.executable, "HOME": NO_HOME, "TMPDIR": str(full), **PROXIES}
    given["PYTHONIOENCODING"] = "cp1252"  # as where Windows has no other; it lacks most of Unicode
    done = subprocess.run(
        ["unshare", "-rm", "sh", "-c", script],
        cwd=project,
        env=package_environment | given,
        capture_output=True,
        encoding="cp1252",
        timeout=300,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout.count("data/ is a symbolic link, so git cannot keep") == 1
    assert (project / "data").is_symlink() and (elsewhere / "manifest.json").is_file()
    report = json.loads((project / "reports" / "metrics.json").read_text(encoding="utf-8"))
    assert report["facts"]["passed"]
    assert (project / "reports" / "index.html").stat().st_size > 10_000


def test_where_nothing_temporary_can_be_written_a_sentence_names_the_setting() -> None:
    """As Python's tempfile says it, in a container without any folder of that kind."""
    error = FileNotFoundError(errno.ENOENT, "No usable temporary directory found in ['/tmp']")
    assert "TMPDIR" in str(cli._disk_sentence(error))
    assert cli._disk_sentence(FileNotFoundError(errno.ENOENT, "No such file", "x.csv")) is None
