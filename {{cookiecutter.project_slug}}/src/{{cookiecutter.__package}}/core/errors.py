"""The two ways in which a command ends early on purpose, and errors in words."""


class UserError(Exception):
    """Bad input or a missing step: one sentence with what, where and what to do (exit code 2)."""


class GateError(Exception):
    """The work was done, but a bar was not met, such as beating the baseline (exit code 1)."""


def first_line(error: BaseException) -> str:
    """Return an error's first line without its full stop, as the middle of a sentence."""
    return next(iter(str(error).splitlines()), type(error).__name__).rstrip(".:")


def failure(place: str, error: BaseException) -> UserError:
    """Return the sentence about a piece of the team's code that raised."""
    return UserError(
        f"{place} failed with {type(error).__name__}: {first_line(error)}; correct it."
    )
