"""Names of columns: which are missing, and which is close to a wrong one."""

from __future__ import annotations

import difflib
from collections.abc import Sequence

from ..core.errors import UserError


def require_columns(names: Sequence[str], wanted: Sequence[str], where: str) -> None:
    """Check that every wanted column is there.

    Raises:
        UserError: Naming the first that is not, and the names closest to it.
    """
    for column in wanted:
        if column not in names:
            raise UserError(f"{where} has no column '{column}'; {close_names(column, names)}.")


def close_names(name: str, names: Sequence[str]) -> str:
    """Return half a sentence that names the columns closest to `name`, or else the first ones."""
    folded = {str(known).strip().casefold(): str(known) for known in names}
    close = difflib.get_close_matches(name.strip().casefold(), folded, n=3, cutoff=0.6)
    if close:
        return "close to it: " + ", ".join(f"'{folded[match]}'" for match in close)
    shown = ", ".join(f"'{known}'" for known in list(names)[:10])
    return f"its columns are: {shown}" + (" ..." if len(names) > 10 else "")
