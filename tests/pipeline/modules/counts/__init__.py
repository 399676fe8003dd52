"""A module that is not part of the template: whole numbers, which `[model] task = counts` predicts.

`test_tasks.py` copies this folder into a package, and takes it out again. All that it adds stands
here; functions are named, not imported, so that the command line starts fast.
"""

from ..core.registry import (
    ESTIMATORS,
    INPUTS,
    LISTENERS,
    REPORT_SECTIONS,
    SETTINGS,
    TASKS,
    WEIGHTS,
    Stage,
    add_stages,
)
from ..models import Input, Weights

TASKS.add(counts=".counts.task:COUNTS")
ESTIMATORS.add(line=".counts.line:line")
WEIGHTS.add(
    **{
        ".counts.line:Line": Weights(
            "line",
            ("line.npz",),
            save=".counts.line:save_line",
            load=".counts.line:load_line",
            onnx=".counts.line:line_as_onnx",
        )
    }
)
INPUTS.add(
    count=Input(("integer",), ".models.features:floats", ".counts.inputs:count_steps", plain=True)
)
SETTINGS.add(tally=".counts.settings:TallySettings")
add_stages(
    Stage(
        "tally",
        ".counts.tally:tally",
        report="tally",
        after=("evaluate",),
        before=("report",),
        settings=("tally",),
        chooses={"INPUTS": ("*",), "TASKS": ("model.task",)},
    )
)
REPORT_SECTIONS.add(tally=".counts.tally:section")
LISTENERS.add(events=".counts.events:note")
