"""Later data against what the model was made from, alerts, and retraining. Rarely edited.

Light on purpose: the command line imports it at every start.
"""

from ..core.registry import COMMANDS, REPORT_SECTIONS, SETTINGS

COMMANDS.update(
    {name: f".monitoring.commands:{name}" for name in ("monitor", "labelled", "retrain")}
)
REPORT_SECTIONS["use"] = ".monitoring.page:use_section"
SETTINGS["monitor"] = ".monitoring.settings:MonitorSettings"
