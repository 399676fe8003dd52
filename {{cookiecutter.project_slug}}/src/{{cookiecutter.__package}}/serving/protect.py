"""Who may ask: API keys, compared in constant time; and the headers that every answer carries."""

from __future__ import annotations

import hashlib
import hmac
from pathlib import Path

from ..core.config import resolve_secret
from ..core.errors import UserError

SHORTEST_KEY = 16
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
HEADERS = [
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"cache-control", b"no-store"),
    (b"content-security-policy", POLICY.encode()),
]


class Keys:
    """The API keys that are valid; of a file, those that it holds now.

    Args:
        where: `env:NAME` or `file:PATH`; None lets everybody ask.
        root: What a relative path starts from.

    Raises:
        UserError: If there is no key there, or one is too short.
    """

    def __init__(self, where: str | None, root: Path) -> None:
        """Read the keys."""
        self._path: Path | None = None
        self._state: object = None
        self._digests: list[bytes] = []
        self.required = where is not None
        if where is None:
            return
        if where.startswith("file:"):
            self._path = root / where.removeprefix("file:")
            self._state = self._stamp()
            self._digests = self._read_file()
        else:
            self._digests = _digests(resolve_secret(where), where)

    def allow(self, given: bytes) -> bool:
        """Tell whether a key is valid; takes as long for a wrong one as for a right one."""
        if not self.required:
            return True
        digest = hashlib.sha256(given).digest()
        found = False
        for known in self._digests:
            found |= hmac.compare_digest(known, digest)
        return found

    def refresh(self) -> bool:
        """Read the file again if it has changed, and tell whether that went well.

        Where the file is broken, the keys from before stay valid.
        """
        if self._path is None or self._stamp() == self._state:
            return True
        self._state = self._stamp()
        try:
            self._digests = self._read_file()
        except UserError:
            return False
        return True

    def _stamp(self) -> object:
        """Return what changes whenever the file does."""
        if self._path is None:
            return None
        try:
            state = self._path.stat()
        except OSError:
            return None
        return state.st_mtime_ns, state.st_size, state.st_ino

    def _read_file(self) -> list[bytes]:
        """Return the digests of a file's keys."""
        try:
            text = "" if self._path is None else self._path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise UserError(f"[serving] keys: {self._path} cannot be read ({error}).") from None
        return _digests(text, str(self._path))


def _digests(text: str, where: str) -> list[bytes]:
    """Return the SHA-256 of each key, so that comparing tells nothing about a key's length."""
    keys = [key.strip() for line in text.splitlines() for key in line.split(",") if key.strip()]
    if not keys:
        raise UserError(f"[serving] keys: {where} holds no key; write one a line.")
    short = [at for at, key in enumerate(keys, 1) if len(key) < SHORTEST_KEY]
    if short:
        raise UserError(
            f"[serving] keys: key {short[0]} of {where} has fewer than {SHORTEST_KEY} characters; "
            "`openssl rand -hex 24` makes a good one."
        )
    return [hashlib.sha256(key.encode()).digest() for key in keys]
