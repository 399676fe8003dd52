"""From one release to the next: edits of a person, far from the template's and on top of them."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest
from living import (
    TEN_FILES,
    Project,
    applied,
    copy_of,
    left,
    refused,
)

pytestmark = pytest.mark.modules


# To v1.1.0: edits of a person, far from the template's and on top of them.


def test_an_untouched_project_becomes_the_one_that_is_made_anew(
    born: Project, project: Project
) -> None:
    for version in ("v1.1.0", "v2.0.0"):
        checkout = project()
        applied(checkout.tool("update", "--to", version))
        new = born(version)
        assert checkout.git("ls-files") == new.git("ls-files")
        names = checkout.git("ls-files").split()
        differing = [name for name in names if checkout.text(name) != new.text(name)]
        assert differing == []
        assert "Every file of the template is as it was" in applied(checkout.tool("status"))
        shutil.rmtree(checkout.root)


def test_edits_far_from_the_template_s_are_kept(project: Project) -> None:
    checkout = project()
    checkout.replace("README.md", "\n\n", "\n\nOurs.\n\n")
    checkout.replace("src/ml_project/train.py", "from __future__", "# Ours.\nfrom __future__")
    checkout.commit()
    applied(checkout.tool("update", "--to", "1.1.0"))
    for name in ("README.md", "src/ml_project/train.py"):
        assert "Ours." in checkout.text(name) and "line of v1.1.0." in checkout.text(name)


def test_edits_on_top_of_the_template_s_are_shown_and_all_else_is_applied(
    project: Project, tmp_path: Path
) -> None:
    checkout = project()
    end = checkout.text("src/ml_project/train.py")
    checkout.write("src/ml_project/train.py", end + "\n\nOURS = 1\n")
    checkout.commit()
    # The teammate's clone has no pristine file to start from; the outcome is the same.
    for each in (checkout, checkout.clone(tmp_path / "teammate")):
        printed = left(each.tool("update", "--to", "v1.1.0"))
        assert "edit, then `git add`:\n  src/ml_project/train.py\n" in printed
        text = each.text("src/ml_project/train.py")
        assert re.search(
            r"<<<<<<< yours\n(.|\n)*OURS = 1\n=======\n(.|\n)*>>>>>>> template v1.1.0\n", text
        )
        for name in TEN_FILES[:-1]:
            assert "A line of v1.1.0." in each.text(f"src/ml_project/{name}.py")
        assert [line for line in each.status() if line[:2] == "UU"] == [
            "UU src/ml_project/train.py"
        ]
        assert each.root.joinpath(".cruft.json").read_text("ascii").count("v1") == 0
        status = each.tool("status")
        assert status.returncode == 1 and "Not resolved yet" in status.stdout
        assert "not committed" in refused(each.tool("update"))
        undo = re.findall(r"git reset --hard \w+", printed)[0]
        subprocess.run(undo.split(), cwd=each.root, check=True, capture_output=True)
        assert each.status() == [] and each.text("src/ml_project/train.py").endswith("OURS = 1\n")


def test_a_file_that_was_deleted_stays_away_and_is_told_until_it_is_skipped(
    project: Project,
) -> None:
    checkout = project()
    for name in ("tracking/runs.py", "report.py"):
        (checkout.root / "src" / "ml_project" / name).unlink()
    (checkout.root / "docs" / "scoping.md").unlink()
    (checkout.root / "docs" / "experiments.md").unlink()
    checkout.commit()
    copy = copy_of(checkout, checkout.root.with_name("copy"))
    printed = left(checkout.tool("update", "--to", "v2.0.0"))
    told = re.findall(r"^  (\S+)$", printed.partition("Deleted here")[2], re.MULTILINE)
    # Changed, changed, renamed; what did not change is no news.
    assert told == ["docs/scope.md", "src/ml_project/report.py", "src/ml_project/tracking/runs.py"]
    assert [name for name in told if checkout.has(name)] == []
    assert not checkout.has("docs/scoping.md") and not checkout.has("docs/experiments.md")
    skipped = '"docs/scop*", "src/ml_project/report.py", "src/*/tracking/runs.py"'
    copy.write(
        "pyproject.toml", copy.text("pyproject.toml") + f"\n[tool.cruft]\nskip = [{skipped}]\n"
    )
    copy.commit()
    applied(copy.tool("update", "--to", "v2.0.0"))
    assert [name for name in told if copy.has(name)] == []


def test_a_file_in_the_place_of_a_new_one_of_the_template_is_kept_beside_it(
    project: Project,
) -> None:
    checkout = project()
    checkout.write("containers.yaml", "services: {}\n")
    checkout.commit()
    printed = left(checkout.tool("update", "--to", "v2.0.0"))
    assert "edit, then `git add`:\n  containers.yaml\n" in printed
    assert "services: {}\n" in checkout.text("containers.yaml")
    assert "# New in v2.0.0." in checkout.text("containers.yaml")


def test_an_ignored_file_in_the_place_of_a_new_one_is_not_overwritten(project: Project) -> None:
    checkout = project()
    checkout.write(".gitignore", checkout.text(".gitignore") + "containers.yaml\n")
    checkout.commit()
    checkout.write("containers.yaml", "services: {}\n")
    sentence = refused(checkout.tool("update", "--to", "v2.0.0"))
    assert sentence.startswith("Error: containers.yaml is ignored by git and would be overwritten")
    assert checkout.status() == [] and checkout.text("containers.yaml") == "services: {}\n"


# To v2.0.0, which renames a file, changes parts that most lack, and asks otherwise.


def test_an_edited_file_follows_its_new_name(project: Project) -> None:
    checkout = project()
    text = checkout.text("docs/scoping.md")
    checkout.write("docs/scoping.md", text + "\nOurs.\n")
    checkout.commit()
    applied(checkout.tool("update"))
    assert checkout.text("docs/scope.md") == text + "\nOurs.\n"
    assert not checkout.has("docs/scoping.md")


def test_a_file_that_a_person_renamed_still_gets_the_change(project: Project) -> None:
    checkout = project()
    checkout.git("mv", "docs/data.md", "docs/our-data.md")
    checkout.commit()
    applied(checkout.tool("update"))
    assert "# v2: " in checkout.text("docs/our-data.md") and not checkout.has("docs/data.md")


def test_parts_that_a_project_lacks_come_only_when_it_asks(
    born: Project, project: Project, tmp_path: Path
) -> None:
    checkout = project(platform="local", ci="github")
    applied(checkout.tool("update"))
    assert not checkout.has("containers.yaml") and not checkout.has(".gitlab-ci.yml")
    assert checkout.text("docs/from-hook.md") == "# A hook\n"
    checkout.commit()
    teammate = checkout.clone(tmp_path / "teammate")
    applied(teammate.tool("set", "platform=docker", "ci=gitlab"))
    assert teammate.text("containers.yaml") == "# New in v2.0.0.\n"
    assert teammate.text(".gitlab-ci.yml").endswith("# A line of v2.0.0.\n")
    new = born("v2.0.0", platform="docker", ci="gitlab")
    assert teammate.tree() == new.tree()


def test_other_questions_are_told_and_old_answers_carried_over(project: Project) -> None:
    checkout = project(author_name="Ünal & 模型", colour="blue")
    printed = applied(checkout.tool("update", PYTHONIOENCODING="utf-8"))
    assert [line for line in printed.splitlines() if line.startswith("Note: ")] == [
        "Note: Say which region with `set region=us`.",
        "Note: author_name is called owner now: your answer '\\xdcnal & \\u6a21\\u578b' is carried "
        "over.",
        "Note: colour (your answer was 'blue') has gone: it never had an effect.",
        "Note: region is a new question, answered with 'eu': `python tools/template.py set "
        "region=...` changes it.",
    ]
    answers = checkout.answers()
    assert (answers["owner"], answers["region"]) == ("Ünal & 模型", "eu")
    assert not {"author_name", "colour"} & set(answers)
    assert "Ünal & 模型" in checkout.text("LICENSE")
    checkout.commit()
    applied(checkout.tool("set", "region=us"))
    assert "Region: us." in checkout.text("README.md")
    checkout.commit()
    assert "(owner)" in refused(checkout.tool("set", "author_name=x"))


def test_a_choice_that_has_gone_is_one_sentence_and_the_command_in_it_works(
    project: Project,
) -> None:
    checkout = project(ci="jenkins")
    sentence = refused(checkout.tool("update"))
    assert sentence == (
        "Error: ci 'jenkins' is not a choice of v2.0.0 (the Jenkinsfile is yours to keep, with "
        "ci=none): choose github, gitlab or none, as in `python tools/template.py set ci=github "
        "--to v2.0.0`.\n"
    )
    assert checkout.status() == []
    command = re.findall(r"template.py ([^`]+)`", sentence)[0]
    applied(checkout.tool(*command.split()))
    assert checkout.has(".github/workflows/ci.yml") and not checkout.has("Jenkinsfile")


def test_two_updates_in_a_row_by_two_people(
    born: Project, project: Project, tmp_path: Path
) -> None:
    one = project()
    one.replace("README.md", "\n\n", "\n\nOurs.\n\n")
    one.commit()
    applied(one.tool("update", "--to", "v1.1.0"))
    one.commit("first update")
    two = one.clone(tmp_path / "two")
    applied(two.tool("update"))
    two.commit("second update")
    one.git("pull", "--quiet", str(two.root), "main")
    assert one.status() == [] and one.tree() == two.tree()
    new = born("v2.0.0")
    names = [name for name in new.git("ls-files").split() if name != "README.md"]
    assert [name for name in names if one.text(name) != new.text(name)] == []
    assert "Ours." in one.text("README.md") and "Region: eu." in one.text("README.md")
    assert "Nothing to do" in applied(one.tool("update"))


def test_two_branches_that_changed_different_answers_merge_into_one_project(
    born: Project, project: Project, tmp_path: Path
) -> None:
    """Only the record of the answers may need a hand; no file of the template does."""
    one = project()
    two = one.clone(tmp_path / "two")
    applied(one.tool("set", "ci=none"))
    one.commit()
    applied(two.tool("set", "stage=production"))
    two.commit()
    one.git("fetch", "--quiet", str(two.root), "main")
    merged = subprocess.run(
        ["git", "merge", "--quiet", "FETCH_HEAD"], cwd=one.root, capture_output=True
    )
    assert merged.returncode == 0 or one.git("diff", "--name-only", "--diff-filter=U") == (
        ".cruft.json\n"
    )
    assert one.has("docs/business.md") and not one.has(".github/workflows/ci.yml")


# The team's own files.


def test_the_team_s_own_lines_beside_the_template_s_are_no_conflict(project: Project) -> None:
    checkout = project()
    checkout.replace("conf.cfg", "source = example", "source = churn.csv")
    checkout.replace("conf.cfg", "target = died", "target = left")
    own = "\n[params]\nforest.n_estimators = 500\n"
    checkout.write("conf.cfg", checkout.text("conf.cfg") + own)
    checklist = sorted(path.name for path in (checkout.root / "checklist").glob("*.yaml"))
    for name in checklist:
        first = checkout.text(f"checklist/{name}").splitlines()[0]
        checkout.replace(f"checklist/{name}", first, f"{first} Ours.")
    checkout.commit()
    applied(checkout.tool("update", "--to", "v1.1.0"))
    settings = checkout.text("conf.cfg")
    assert "source = churn.csv\n# What to predict.\ntarget = left\n" in settings
    assert "\n[later]\nspeed = 1\n" in settings and own in settings
    for name in checklist:
        first, second = checkout.text(f"checklist/{name}").splitlines()[:2]
        assert first == "# Since v1.1.0." and second.endswith(" Ours.")


def test_the_team_s_code_stays_as_the_team_has_it(project: Project) -> None:
    changed = project()
    untouched, deleted = (
        copy_of(changed, changed.root.with_name(name)) for name in ("untouched", "deleted")
    )
    changed.replace("src/ml_project/custom.py", '"""The team', '"""Our team')
    changed.commit()
    own = changed.text("src/ml_project/custom.py")
    deleted.git("rm", "--quiet", "src/ml_project/custom.py")
    deleted.write("src/ml_project/custom/__init__.py", own)
    deleted.commit()
    for checkout in (changed, untouched, deleted):
        applied(checkout.tool("update", "--to", "v1.1.0"))
    assert changed.text("src/ml_project/custom.py") == own
    assert untouched.text("src/ml_project/custom.py").startswith("# Since v1.1.0.\n")
    assert not deleted.has("src/ml_project/custom.py")
    assert deleted.text("src/ml_project/custom/__init__.py") == own


def test_the_very_same_line_of_a_team_s_file_is_a_conflict(project: Project) -> None:
    checkout = project()
    checkout.replace("conf.cfg", "# The column to predict.", "# Our column.")
    checkout.commit()
    printed = left(checkout.tool("update", "--to", "v1.1.0"))
    assert "edit, then `git add`:\n  conf.cfg\n" in printed
    assert "<<<<<<< yours\n# Our column.\n" in checkout.text("conf.cfg")
