"""What the commands share: the settings' option, and errors that end in one message."""

import functools
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import ParamSpec, TypeVar

import click

from stream.bundle import BundleError
from stream.engine.errors import EngineError
from stream.kafka import BrokerError, StallError
from stream.rules import RulesError
from stream.settings import CONFIG_VARIABLE, SettingsError
from stream.spikes.state import StateError
from stream.watchlist import WatchlistError

P = ParamSpec("P")
R = TypeVar("R")

EXIT_UNUSABLE = 2
"""Exit status where nothing could be started: settings, bundle, broker, port."""

config_option = click.option(
    "--config",
    envvar=CONFIG_VARIABLE,
    type=click.Path(path_type=Path, dir_okay=False),
    help=f"Settings file (YAML). Default: the one that {CONFIG_VARIABLE} names, if any.",
)

bundle_option = click.option(
    "--bundle",
    type=click.Path(path_type=Path),
    help="Folder of the model bundle. Default: the settings', else the one that ships with Downtick.",
)


class UsageError(Exception):
    """Something that a command was given cannot be used; the message says what and why."""


def make_folder(folder: Path) -> None:
    """Make a folder to write to, with those that it lies in; `UsageError` where that cannot be."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        # Writable too: found by trying, since root and read-only mounts are beyond what modes tell.
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise UsageError(f"cannot write to {folder}: {error.strerror}") from error


EXPECTED = (
    SettingsError,
    BundleError,
    BrokerError,
    StallError,
    EngineError,
    StateError,
    WatchlistError,
    RulesError,
    UsageError,
)


def reports_errors(command: Callable[P, R]) -> Callable[P, R]:
    """Let `command` end with one message and a non-zero status where it cannot start."""

    @functools.wraps(command)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return command(*args, **kwargs)
        except EXPECTED as error:
            click.echo(f"downtick: {error}", err=True)
            sys.exit(EXIT_UNUSABLE)
        except KeyboardInterrupt:
            sys.exit(130)

    return wrapped
