"""The models in service behind HTTP, started by `serve`; or in a browser, by `page`."""

from ..core.registry import COMMANDS, SETTINGS

COMMANDS["serve"] = ".serving.command:serve"
COMMANDS["page"] = ".serving.command:page"
SETTINGS["serving"] = ".serving.settings:ServingSettings"
