"""The two ways in which a command ends early on purpose, and errors in words."""

from collections.abc import Sequence


class UserError(Exception):
    """Bad input or a missing step: one sentence with what, where and what to do (exit code 2)."""


class GateError(Exception):
    """The work was done, but a bar was not met, such as beating the baseline (exit code 1)."""


def listed(names: Sequence[str], most: int) -> str:
    """Return a list for a sentence, of which what is beyond `most` is counted."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return f"{', '.join(names[:most])}{more}"


def first_line(error: BaseException) -> str:
    """Return an error's first line without its full stop, as the middle of a sentence."""
    return next(iter(str(error).splitlines()), type(error).__name__).rstrip(".:")


def failure(place: str, error: BaseException) -> UserError:
    """Return the sentence about a piece of the team's code that raised."""
    return UserError(
        f"{place} failed with {type(error).__name__}: {first_line(error)}; correct it."
    )
