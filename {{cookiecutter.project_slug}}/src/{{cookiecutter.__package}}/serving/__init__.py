"""The models in service behind HTTP (`serve`), or in a browser (`page`). Rarely edited."""

from ..core.registry import COMMANDS, SETTINGS

COMMANDS["serve"] = ".serving.command:serve"
COMMANDS["page"] = ".serving.command:page"
SETTINGS["serving"] = ".serving.settings:ServingSettings"
