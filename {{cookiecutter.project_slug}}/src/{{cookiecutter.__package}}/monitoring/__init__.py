"""Monitoring: later data against what the model was made from, and retraining.

Light on purpose: the command line imports it at every start.
"""

from ..registry import COMMANDS, SETTINGS

COMMANDS.update(monitor=".monitoring.commands:monitor", retrain=".monitoring.commands:retrain")
SETTINGS["monitor"] = ".monitoring.settings:MonitorSettings"
