"""Structured logs: one JSON object a line, or plain text for people."""

import logging
import sys
from time import monotonic

from pythonjsonlogger.json import JsonFormatter

from stream.settings import LoggingSettings

# These report every retry and every rebalance; what matters of it, the stages say themselves.
_CHATTY = {"aiokafka": logging.ERROR, "faust": logging.WARNING, "mode": logging.WARNING}

# What they tell of each request has the URL in it, and that of a chat is a secret.
_INDISCREET = ("urllib3", "requests_oauthlib", "oauthlib")


REPEAT_SECONDS = 30.0
"""Each of a worker's many connections says several times a second that the broker is away: one line is enough."""


class RepeatFilter(logging.Filter):
    """Lets a message of a library through once in `REPEAT_SECONDS`, and says how often it came meanwhile."""

    def __init__(self) -> None:
        super().__init__()
        self._told: dict[tuple[str, int, str], tuple[float, int]] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether the record is to be told; messages are the same whatever fills their places."""
        key, now = (record.name, record.levelno, str(record.msg)), monotonic()
        until, held_back = self._told.get(key, (now, 0))
        if now < until:
            self._told[key] = until, held_back + 1
            return False
        self._told[key] = now + REPEAT_SECONDS, 0
        if held_back:
            record.msg, record.args = f"{record.getMessage()} (and {held_back} more like it)", ()
        return True


def configure_logging(settings: LoggingSettings) -> None:
    """Send all logs to standard error in the format and from the level that the settings name."""
    handler = logging.StreamHandler(sys.stderr)
    if settings.format == "json":
        handler.setFormatter(
            JsonFormatter(
                "%(levelname)s %(name)s %(message)s",
                rename_fields={"levelname": "level", "name": "logger"},
                timestamp="time",
                json_ensure_ascii=False,
            )
        )
    else:
        handler.setFormatter(
            logging.Formatter("%(asctime)s %(levelname)-7s %(name)s: %(message)s", "%H:%M:%S")
        )
    repeats = RepeatFilter()
    # A logger's own filters do not see what its children say, but the handler sees all.
    handler.addFilter(
        lambda record: (
            record.levelno < logging.ERROR or not record.name.startswith("aiokafka") or repeats.filter(record)
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(settings.level.upper())
    for name in _INDISCREET:
        logging.getLogger(name).setLevel(logging.INFO)
    if settings.level != "debug":
        for name, level in _CHATTY.items():
            logging.getLogger(name).setLevel(level)
