"""The models in service behind HTTP (`serve`), or in a browser (`page`). Rarely edited."""

from ..core.registry import COMMANDS, PARTS, SETTINGS

PARTS.add("serving")
COMMANDS.add(serve=".serving.command:serve", page=".serving.command:page")
SETTINGS.add(serving=".serving.settings:ServingSettings")
