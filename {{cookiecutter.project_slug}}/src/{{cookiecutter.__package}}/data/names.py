"""Names of columns: which have to be there, which are refused, which is close to a wrong one."""

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


def refuse_names(where: object, names: Sequence[str]) -> None:
    """Refuse duplicate column names, and those that the pipeline itself adds.

    Raises:
        UserError: Naming the column, and its positions where there are several.
    """
    seen: set[str] = set()
    for name in names:
        if name in seen:
            positions = [str(at + 1) for at, other in enumerate(names) if other == name]
            raise UserError(
                f"{where} has {len(positions)} columns named '{name}' (columns "
                f"{', '.join(positions)}); give each its own name."
            )
        seen.add(name)
    for name in ("_row", "_split"):
        if name in seen:
            raise UserError(f"{where} has a column '{name}', a name the pipeline uses; rename it.")


def close_names(name: str, names: Sequence[str]) -> str:
    """Return half a sentence that names the columns closest to `name`, or else the first ones."""
    folded = {str(known).strip().casefold(): str(known) for known in names}
    close = difflib.get_close_matches(name.strip().casefold(), folded, n=3, cutoff=0.6)
    if close:
        return "close to it: " + ", ".join(f"'{folded[match]}'" for match in close)
    known = [f"'{each}'" for each in names]
    if len(known) > 20:  # the target is often the last
        known[10:-10] = ["..."]
    return f"its columns are: {', '.join(known)}"
