"""One test for many cases: all of them run, and each that fails is reported by its name."""

from __future__ import annotations

import functools
import inspect
import os
from collections.abc import Callable, Iterable
from typing import Any

import pytest

Test = Callable[..., None]

# Shell scripts that stand in for a program, signals to a group of processes, names with a slash.
posix_only = pytest.mark.skipif(os.name == "nt", reason="Windows has no such scripts or signals")


def every_case(
    names: str | tuple[str, ...], cases: Iterable[Any], ids: Callable[[Any], str] = repr
) -> Callable[[Test], Test]:
    """Call a test once per case, where `pytest.mark.parametrize` would make a test of each.

    That is for many small cases: a test of its own costs more than what most of them do. Each case
    finds an empty `tmp_path`; other fixtures are shared, so a case has to leave them as they were.

    Args:
        names: The test's parameters that a case gives values to; one name or several.
        cases: A value for the one name, or as many as there are names.
        ids: Returns the name of a case.
    """
    fields = (names,) if isinstance(names, str) else names
    every = list(cases)
    assert every, "no case, so nothing would be tested"

    def decorate(test: Test) -> Test:
        @functools.wraps(test)
        def run(subtests: pytest.Subtests, **fixtures: Any) -> None:
            folder = fixtures.get("tmp_path")
            for number, case in enumerate(every):
                values = (case,) if isinstance(names, str) else case
                given = dict(zip(fields, values, strict=True))
                with subtests.test(ids(case)):
                    if folder is not None:
                        given["tmp_path"] = folder / f"case-{number}"
                        given["tmp_path"].mkdir()
                    test(**{**fixtures, **given})

        signature = inspect.signature(test)
        others = [each for name, each in signature.parameters.items() if name not in fields]
        wanted = [inspect.Parameter("subtests", inspect.Parameter.KEYWORD_ONLY)]
        keyword = [each.replace(kind=inspect.Parameter.KEYWORD_ONLY) for each in others]
        run.__signature__ = signature.replace(parameters=wanted + keyword)  # type: ignore[attr-defined]
        return run

    return decorate
