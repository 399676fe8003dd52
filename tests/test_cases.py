"""Tests of many cases: none is left out, and each that fails is named."""

from __future__ import annotations

import pytest

pytest_plugins = ["pytester"]

TESTS = """\
import pytest
from cases import every_case

@pytest.mark.parametrize("letter", ["a", "b"])
@every_case(("number", "name"), [(number, f"case {number}") for number in range(5)])
def test_numbers(letter, number, name, tmp_path):
    (tmp_path / "file").touch(exist_ok=False)
    assert letter == "a" or number % 2 == 0, name
"""


def test_every_case_runs_in_a_folder_of_its_own_and_those_that_fail_are_named(
    pytester: pytest.Pytester,
) -> None:
    pytester.makepyfile(TESTS)
    result = pytester.runpytest("-q", "-p", "no:xdist", "-p", "no:cacheprovider")
    result.stdout.fnmatch_lines(
        [
            "*test_numbers*(1, 'case 1')*",
            "*test_numbers*(3, 'case 3')*",
            "contains 2 failed subtests",
        ]
    )
    result.stdout.fnmatch_lines("*3 failed, 1 passed, 8 subtests passed*")


def test_no_case_at_all_is_a_mistake() -> None:
    from cases import every_case

    with pytest.raises(AssertionError, match="nothing would be tested"):
        every_case("name", [])
