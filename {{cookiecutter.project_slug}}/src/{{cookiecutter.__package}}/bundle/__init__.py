"""The packaged model: its files, its card, and which one is in service. Rarely edited."""

from typing import Any, NamedTuple


class Form(NamedTuple):
    """Another form of a packaged model: files beside bundle.json, which does not list them.

    So it can be added to a bundle that is there, and leaves that bundle's checksum as it is.
    Functions are given as `"module:function"`.

    Attributes:
        label: What people call it.
        files: The names of its files.
        write: From (project, bundle, rows), of which rows training did not use, to its facts.
        read: From (folder, document), with the content of bundle.json, to its facts, once it has
            verified the files: `equal`, whether it predicts as the model does, and the `reason`
            where it does not.
    """

    label: str
    files: tuple[str, ...]
    write: Any
    read: Any
