"""The demo without a terminal: plain lines, for pipes and logs."""

import time

from rich.console import Console
from rich.text import Text

from demo.scene import Scene, moment
from stream.alerts import COLOURS
from stream.records import Alert, AlertState

_EVERY_SECONDS = 5.0


class Lines:
    """A presenter that prints a line when something happens, and how far it is every few seconds."""

    def __init__(self, scene: Scene, console: Console) -> None:
        self._scene = scene
        self._console = console
        self._printed_at = float("-inf")

    def step(self, text: str) -> None:
        """Print what is done now."""
        self._print(Text(text))

    def begin(self) -> None:
        """Say that the replay begins."""
        self.step("replaying")
        self._printed_at = time.monotonic()

    def alert(self, alert: Alert) -> None:
        """Print a revision of an alert that fires or has fired; what only came near says nothing yet."""
        if alert.fired_at is not None:
            self._print(alert_line(self._scene, alert))

    def refresh(self) -> None:
        """Print how far it is, if that was long ago."""
        now = time.monotonic()
        if now - self._printed_at >= _EVERY_SECONDS:
            self._printed_at = now
            self._print(progress_line(self._scene))

    def close(self) -> None:
        """Nothing is left to restore."""

    def _print(self, line: Text) -> None:
        self._console.print(line, soft_wrap=True)


def progress_line(scene: Scene) -> Text:
    """How far the replay is."""
    progress = scene.progress
    time_ = f"{moment(progress.time)} UTC  " if progress.time else ""
    return Text(
        f"{time_}{progress.sent:,} of {progress.total:,} sent, {progress.scored:,} scored "
        f"({progress.scored_rate:.0f}/s), {progress.counted:,} counted, "
        f"{progress.dead_letters:,} dead letters{', waiting for the workers' if progress.held_back else ''}"
    )


def alert_line(scene: Scene, alert: Alert) -> Text:
    """An alert's revision, with the company's name."""
    resolved = alert.state is AlertState.RESOLVED
    line = Text(f"{moment(alert.updated_at)} UTC  ")
    line.append(
        f"ALERT {alert.state.value:<8} {alert.severity.value:<6} ",
        style="green" if resolved else COLOURS[alert.severity],
    )
    line.append(f"{scene.picture.title(alert.subject)}: {alert.reason}")
    return line
