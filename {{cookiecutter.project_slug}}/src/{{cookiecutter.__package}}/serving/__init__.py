"""The models in service behind HTTP, started by `serve`; or in a browser, by `page`."""

from ..core.registry import COMMANDS, SETTINGS

COMMANDS.add(serve=".serving.command:serve", page=".serving.command:page")
SETTINGS.add(serving=".serving.settings:ServingSettings")
