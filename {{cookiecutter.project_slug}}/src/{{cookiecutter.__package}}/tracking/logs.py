"""One log file per run, which also receives the warnings that libraries raise meanwhile."""

import logging
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any


class _FileHandler(logging.FileHandler):
    """A handler that lets a full disk be an error, rather than print a traceback and go on."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802  # logging's name
        """Raise what stopped the record from being written."""
        raise


@contextmanager
def run_log(path: Path) -> Iterator[logging.Logger]:
    """Yield a logger that writes to `path` alone, with UTC times; errors and warnings go there too.

    What an interrupted run left under the same name is written over.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handler = _FileHandler(path, mode="w", encoding="utf-8")
    formatter = logging.Formatter("%(asctime)s %(levelname)-7s %(message)s", "%Y-%m-%dT%H:%M:%SZ")
    formatter.converter = time.gmtime
    handler.setFormatter(formatter)
    logger = logging.Logger(path.stem, logging.INFO)  # not a global one: nothing else writes to it
    logger.addHandler(handler)

    def note(message: Warning | str, category: type[Warning], *_: object, **__: object) -> None:
        logger.warning("%s: %s", category.__name__, " ".join(str(message).split()))

    try:
        with warnings.catch_warnings():
            warnings.showwarning = note
            yield logger
    except BaseException as error:
        logger.error("stopped", exc_info=error)
        raise
    finally:
        handler.close()


def log_values(log: logging.Logger, values: dict[str, Any]) -> None:
    """Write each value on a line of its own."""
    for key, value in values.items():
        log.info("%s: %s", key, values_in_words(value) if isinstance(value, dict) else value)


def values_in_words(values: dict[str, Any]) -> str:
    """Return names and values on one line."""
    words = []
    for key, value in values.items():
        words.append(f"{key} {value:.6g}" if isinstance(value, float) else f"{key} {value}")
    return ", ".join(words)
