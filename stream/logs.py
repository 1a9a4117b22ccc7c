"""Structured logs: one JSON object a line, or plain text for people."""

import logging
import sys

from pythonjsonlogger.json import JsonFormatter

from stream.settings import LoggingSettings

# These report every retry and every rebalance; what matters of it, the stages say themselves.
_CHATTY = {"aiokafka": logging.ERROR, "faust": logging.WARNING, "mode": logging.WARNING}

# What they tell of each request has the URL in it, and that of a chat is a secret.
_INDISCREET = ("urllib3", "requests_oauthlib", "oauthlib")


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
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(settings.level.upper())
    for name in _INDISCREET:
        logging.getLogger(name).setLevel(logging.INFO)
    if settings.level != "debug":
        for name, level in _CHATTY.items():
            logging.getLogger(name).setLevel(level)
