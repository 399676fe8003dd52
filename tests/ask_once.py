"""Start the service of a project, ask it once over loopback, wait, and stop it.

`python ask_once.py SECONDS COMMAND...` runs in the project's folder. A test starts it in a network
name space, which it cannot enter itself.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from types import SimpleNamespace

from asking import Server


def main() -> None:
    """Print the status and the body of the answer."""
    seconds, *command = sys.argv[1:]
    project = SimpleNamespace(root=Path.cwd())
    with Server(project, dict(os.environ), command=command) as server:
        predict = server.ask("GET", "/openapi.json").json["paths"]["/predict"]["post"]
        example = predict["requestBody"]["content"]["application/json"]["example"]
        answer = server.ask("POST", "/predict", example)
        print(answer.status, answer.body.decode())
        time.sleep(float(seconds))


if __name__ == "__main__":
    main()
