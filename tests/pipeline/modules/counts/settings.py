"""The section `[tally]` of conf.cfg."""

from pydantic import Field

from ..core.config import Section


class TallySettings(Section):
    """How much of the tally is shown."""

    most: int = Field(default=5, ge=1, description="most frequent predictions that are listed")
