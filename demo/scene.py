"""All that there is to show of a demo, while it runs and after it."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from demo.picture import Picture
from demo.progress import Progress
from demo.readings import Readings
from demo.source import Source
from stream.bundle import Bundle
from stream.records import Alert
from stream.settings import Settings


@dataclass
class Scene:
    """It changes as the demo goes on."""

    source: Source
    settings: Settings
    bundle: Bundle
    workers: int
    progress: Progress
    picture: Picture
    readings: Readings = field(default_factory=Readings)
    metrics: list[str] = field(default_factory=list)
    """Addresses of the workers' metrics."""

    @property
    def model(self) -> str:
        """The bundle and what it runs on."""
        manifest = self.bundle.manifest
        name = f"{manifest.name} {manifest.precision}"
        return f"{name} on {'/'.join(self.readings.providers)}" if self.readings.providers else name


class Presenter(Protocol):
    """Shows a scene: on a terminal as a picture that changes, elsewhere as lines."""

    def step(self, text: str) -> None:
        """Something is done before or after the replay, which takes a moment."""

    def begin(self) -> None:
        """The replay begins."""

    def alert(self, alert: Alert) -> None:
        """An alert has a new revision."""

    def refresh(self) -> None:
        """Called several times a second."""

    def close(self) -> None:
        """The replay is over; may be called more than once."""


def moment(time: datetime) -> str:
    """A time of an event, as all of the demo writes it."""
    return f"{time:%m-%d %H:%M}"


def speed_text(speed: float) -> str:
    """A speed as a person says it."""
    return "as fast as the workers can" if speed == float("inf") else f"{speed:,.0f}×"
