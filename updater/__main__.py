"""Start the updater: `python updater COMMAND`, in the folder of a project."""

import locale
import os
import subprocess
import sys
from pathlib import Path


def run_in_utf8() -> int:
    """Run the same command where files whose encoding cruft and hooks do not name are UTF-8."""
    encoding = f"{sys.stdout.encoding}:backslashreplace"
    os.environ.update(PYTHONUTF8="1", PYTHONIOENCODING=encoding)
    return subprocess.call([sys.executable, *sys.argv])  # noqa: S603


def run() -> int:
    """Run a command; return its exit code."""
    # Instead of this folder, whose git.py is not the package of that name.
    sys.path[0] = str(Path(__file__).resolve().parent.parent)
    from updater.cli import main
    from updater.git import Refusal

    try:
        return main(sys.argv[1:])
    except Refusal as refusal:
        sentence = f"Error: {refusal}".encode("ascii", "backslashreplace").decode("ascii")
        print(sentence, file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("\nStopped.", file=sys.stderr)
        return 130


if __name__ == "__main__":
    is_utf8 = locale.getencoding().lower().replace("-", "") == "utf8"
    sys.exit(run() if sys.flags.utf8_mode or is_utf8 else run_in_utf8())
