"""The REST service: the models in service behind HTTP, started by `serve`."""

from ..registry import COMMANDS, SETTINGS

COMMANDS["serve"] = ".serving.command:serve"
SETTINGS["serving"] = ".serving.settings:ServingSettings"
