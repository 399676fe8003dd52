"""Commands without any network but the machine's own loopback."""

from __future__ import annotations

import shutil
import subprocess
import sys

# A new name space has its loopback switched off.
LOOPBACK_ON = """
import fcntl, os, socket, struct, sys
SIOCSIFFLAGS, IFF_UP = 0x8914, 1
fcntl.ioctl(socket.socket(), SIOCSIFFLAGS, struct.pack("16sh", b"lo", IFF_UP))
os.execvp(sys.argv[1], sys.argv[1:])
"""
OFFLINE = [
    *("unshare", "--user", "--map-root-user", "--net"),
    *(sys.executable, "-c", LOOPBACK_ON),
]


def works(*command: str) -> bool:
    """Tell whether a command can be started, and ends well, without a network here."""
    needed = [shutil.which(OFFLINE[0]), shutil.which(command[0])]
    return all(needed) and not subprocess.run([*OFFLINE, *command], capture_output=True).returncode
