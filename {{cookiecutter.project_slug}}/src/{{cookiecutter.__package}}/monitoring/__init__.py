"""Later data against what the model was made from, alerts, and retraining. Rarely edited.

Light on purpose: the command line imports it at every start.
"""

from ..core.registry import COMMANDS, PARTS, REPORT_SECTIONS, SETTINGS

PARTS.add("monitoring")
COMMANDS.add(
    monitor=".monitoring.commands:monitor",
    labelled=".monitoring.commands:labelled",
    retrain=".monitoring.commands:retrain",
)
REPORT_SECTIONS.add(use=".monitoring.page:use_section")
SETTINGS.add(monitor=".monitoring.settings:MonitorSettings")
