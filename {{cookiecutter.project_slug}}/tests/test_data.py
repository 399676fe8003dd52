"""The data and its split: typed as the schema says, disjoint, the same whatever the order."""

from __future__ import annotations

from collections.abc import Callable
from itertools import combinations
from pathlib import Path

import pandas as pd
import pytest

from {{ cookiecutter.__package }}.core.config import load_settings
from {{ cookiecutter.__package }}.core.errors import UserError
from {{ cookiecutter.__package }}.core.project import (
    SPLITS,
    Project,
)
from {{ cookiecutter.__package }}.data import cast, schema, split
from {{ cookiecutter.__package }}.data.sample import sample_table
from {{ cookiecutter.__package }}.ingest import ingest
from {{ cookiecutter.__package }}.preprocess import preprocess

ROOT = Path(__file__).resolve().parents[1]
ID = "customer_id"
Rows = dict[str, set[object]]


def prepare(project: Project, *overrides: str) -> dict[str, object]:
    """Ingest and split; return the facts of reports/split.json."""
    settings = load_settings(project, overrides)
    ingest(project, settings)
    return preprocess(project, settings).facts


def rows_of(project: Project, column: str = ID) -> Rows:
    """Return a column's values in each split."""
    return {name: set(split.load_split(project, name)[column]) for name in SPLITS}


def is_disjoint(rows: Rows) -> bool:
    """Tell whether no value is in two splits."""
    return all(not rows[one] & rows[two] for one, two in combinations(rows, 2))


@pytest.fixture
def table() -> pd.DataFrame:
    """Return 600 rows of the seeded sample, without repeated ones."""
    return sample_table(600).drop_duplicates(ID, ignore_index=True)


@pytest.fixture
def bring(fresh_project: Project) -> Callable[[pd.DataFrame | str], str]:
    """Return a function that writes a table into the project and returns the override for it."""

    def bring(content: pd.DataFrame | str) -> str:
        text = content if isinstance(content, str) else content.to_csv(index=False)
        (fresh_project.root / "table.csv").write_text(text, encoding="utf-8", newline="\n")
        return "data.source=table.csv"

    return bring


def test_splits_are_disjoint_and_of_the_asked_size(fresh_project: Project) -> None:
    facts = prepare(fresh_project)
    assert facts["overlap_rows"] == 0
    assert is_disjoint(rows_of(fresh_project))
    sizes = [len(split.load_split(fresh_project, name)) for name in SPLITS]
    assert sum(sizes) == len(sample_table())
    assert [round(size / sum(sizes), 2) for size in sizes] == [0.7, 0.15, 0.15]


def test_every_split_fits_the_schema(fresh_project: Project) -> None:
    prepare(fresh_project)
    known = schema.load_schema(fresh_project)
    for name in SPLITS:
        frame = split.load_split(fresh_project, name)
        assert cast.conform(frame, known, where=name, values=True) is frame


def test_split_is_the_same_for_any_order_of_rows(
    fresh_project: Project, table: pd.DataFrame, bring: Callable[..., str]
) -> None:
    prepare(fresh_project, bring(table))
    before = rows_of(fresh_project)
    prepare(fresh_project, bring(table.sample(frac=1, random_state=1)))
    assert rows_of(fresh_project) == before


def test_no_earlier_row_moves_when_rows_are_added(
    fresh_project: Project, table: pd.DataFrame, bring: Callable[..., str]
) -> None:
    prepare(fresh_project, bring(table[:400]))
    before = rows_of(fresh_project)
    prepare(fresh_project, bring(table))
    after = rows_of(fresh_project)
    assert all(before[name] < after[name] for name in SPLITS)


def test_another_seed_gives_another_split(fresh_project: Project) -> None:
    prepare(fresh_project)
    before = rows_of(fresh_project)
    prepare(fresh_project, "split.seed=7")
    assert rows_of(fresh_project) != before


def test_rows_of_a_group_stay_together(fresh_project: Project) -> None:
    facts = prepare(fresh_project, "data.group=store")
    assert facts["rule"] == "group"
    assert is_disjoint(rows_of(fresh_project, "store"))


def test_time_rule_never_trains_on_later_rows(fresh_project: Project) -> None:
    facts = prepare(fresh_project, "data.time=signup")
    assert facts["rule"] == "time"
    train, valid, test = (split.load_split(fresh_project, name)["signup"] for name in SPLITS)
    assert train.max() < valid.min() <= valid.max() < test.min()


def test_value_beyond_the_schema_is_refused_and_the_split_stays(
    fresh_project: Project, table: pd.DataFrame, bring: Callable[..., str]
) -> None:
    prepare(fresh_project, bring(table))
    before = split.load_manifest(fresh_project)
    table.loc[4, "visits"] = -1000
    with pytest.raises(UserError, match=r"column 'visits', row 5: -1000 is below"):
        prepare(fresh_project, bring(table))
    assert split.load_manifest(fresh_project) == before


NUMBERS = "".join(f"{row},{row % 2}\n" for row in range(1, 100))
BAD = {
    "is empty": "",
    "no row": "x,target\n",
    "has no column 'target'": "x,tarjet\n1,2\n3,4\n5,6\n",
    "2 columns named 'x'": "x,x,target\n1,2,3\n4,5,6\n7,8,9\n",
    "row 100: 'oops' is not a finite number": "x,target\n" + NUMBERS + "oops,1\n",
    "line 3, has 3 fields": "x,target\n1,2\n3,4,5\n",
    "in all 3 rows": "x,target\n1,2\n3,2\n5,2\n",
}


@pytest.mark.parametrize("expected", BAD)
def test_bad_table_is_refused_in_a_sentence(
    fresh_project: Project, bring: Callable[..., str], expected: str
) -> None:
    roles = ("data.target=target", "data.id=", "data.sensitive=")
    with pytest.raises(UserError) as caught:
        prepare(fresh_project, bring(BAD[expected]), *roles)
    assert expected in str(caught.value)
    assert not fresh_project.manifest_file.exists()


def test_original_is_never_overwritten(
    fresh_project: Project, table: pd.DataFrame, bring: Callable[..., str]
) -> None:
    prepare(fresh_project, bring(table[:400]))
    first = (fresh_project.original / "table.csv").read_bytes()
    prepare(fresh_project, bring(table))
    assert (fresh_project.original / "table.csv").read_bytes() == first
    assert len(list(fresh_project.original.iterdir())) == 2


def test_own_data_fits_its_schema() -> None:
    """The data of this repository itself, where it has been prepared."""
    project = Project(ROOT)
    if not all(list(project.split_folder(name).glob("part-*.parquet")) for name in SPLITS):
        pytest.skip("the pipeline has not run here")
    known = schema.load_schema(project)
    rows = split.load_manifest(project)["rows"]
    for name in SPLITS:
        frame = split.load_split(project, name)
        assert len(frame) == rows[name] > 0
        cast.conform(frame, known, where=name, values=True)
