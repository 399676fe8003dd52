"""What differs between kinds of task, one file each; all else asks them. Rarely edited."""

from ..core.registry import TASKS

TASKS.update(
    classification=".tasks.classification:CLASSIFICATION",
    regression=".tasks.regression:REGRESSION",
)
