"""A module that is not part of the template: whole numbers, which `[model] task = counts` predicts.

`test_tasks.py` copies this folder into a package, and takes it out again.
"""

from ..core.registry import TASKS

TASKS["counts"] = ".counts.task:COUNTS"
