"""The two ways in which a command ends early on purpose."""


class UserError(Exception):
    """Bad input or a missing step: one sentence with what, where and what to do (exit code 2)."""


class GateError(Exception):
    """The work was done, but a bar was not met, such as beating the baseline (exit code 1)."""
