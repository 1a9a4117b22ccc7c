"""The calendar of the four days: two affairs that must alert, and two bursts that must not."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from demo.stories.rhythm import CHINA


@dataclass(frozen=True)
class Phase:
    """A stretch of an episode. Its sentences stand in the section '<episode> <phase>'."""

    name: str
    minutes: int
    volume: float
    """Items about the subject, as a multiple of what is ordinary at that time of day."""
    bad: float
    """The share of them that is bad."""
    good: float
    """The share that is good; the rest is neutral."""
    news: float
    """The share that is news; the rest are comments."""


@dataclass(frozen=True)
class Episode:
    """Something that happens to one company, and is all that is said of it while it lasts."""

    name: str
    ticker: str
    kind: Literal["product safety", "liquidity rumour", "good news", "sheer volume"]
    start: datetime
    phases: tuple[Phase, ...]
    must_alert: bool
    """Whether a watch of negative opinion should call it out."""

    @property
    def end(self) -> datetime:
        return self.start + timedelta(minutes=sum(phase.minutes for phase in self.phases))

    def __contains__(self, time: datetime) -> bool:
        return self.start <= time < self.end

    @property
    def subject(self) -> str:
        """The subject that is watched, such as `entity:699018.SH`."""
        return f"entity:{self.ticker}"

    @property
    def peak(self) -> Phase:
        """The phase with the greatest volume."""
        return max(self.phases, key=lambda phase: phase.volume)

    def span(self, phase: Phase) -> tuple[datetime, datetime]:
        """Return when `phase` begins and ends."""
        before = self.phases[: self.phases.index(phase)]
        start = self.start + timedelta(minutes=sum(earlier.minutes for earlier in before))
        return start, start + timedelta(minutes=phase.minutes)


SCANDAL = Episode(
    name="scandal",
    ticker="699127.SH",
    kind="product safety",
    start=datetime(2026, 3, 4, 10, 20, tzinfo=CHINA),
    phases=(
        Phase("trickle", 25, 4, bad=0.80, good=0.00, news=0.15),
        Phase("surge", 105, 15, bad=0.86, good=0.00, news=0.35),
        Phase("statement", 60, 12, bad=0.76, good=0.02, news=0.30),
        Phase("inquiry", 120, 10, bad=0.84, good=0.00, news=0.40),
        Phase("recall", 90, 12, bad=0.80, good=0.02, news=0.40),
        Phase("aftermath", 120, 5, bad=0.72, good=0.00, news=0.30),
    ),
    must_alert=True,
)
"""Sick infants, a denial, failed samples, a recall: baby formula of the dairy."""

RUMOUR = Episode(
    name="rumour",
    ticker="699018.SH",
    kind="liquidity rumour",
    start=datetime(2026, 3, 5, 14, 5, tzinfo=CHINA),
    phases=(
        Phase("whispers", 15, 6, bad=0.85, good=0.00, news=0.00),
        Phase("spread", 55, 13, bad=0.88, good=0.00, news=0.10),
        Phase("news", 60, 12, bad=0.86, good=0.00, news=0.45),
        Phase("denial", 60, 9, bad=0.34, good=0.30, news=0.45),
        Phase("calm", 75, 4, bad=0.20, good=0.36, news=0.35),
    ),
    must_alert=True,
)
"""A whisper that the bank is out of cash; comments first, then news, ended by a denial."""

GOOD_NEWS = Episode(
    name="goodnews",
    ticker="699752.SH",
    kind="good news",
    start=datetime(2026, 3, 4, 13, 30, tzinfo=CHINA),
    phases=(
        Phase("announcement", 45, 8, bad=0.00, good=0.80, news=0.40),
        Phase("applause", 105, 9, bad=0.02, good=0.76, news=0.35),
        Phase("settling", 60, 4, bad=0.04, good=0.62, news=0.25),
    ),
    must_alert=False,
)
"""The chip maker wins the largest order of its history."""

SHEER_VOLUME = Episode(
    name="volume",
    ticker="699405.SH",
    kind="sheer volume",
    start=datetime(2026, 3, 5, 9, 0, tzinfo=CHINA),
    phases=(
        Phase("opening", 90, 9, bad=0.07, good=0.14, news=0.25),
        Phase("sale", 90, 10, bad=0.07, good=0.14, news=0.25),
        Phase("settling", 45, 4, bad=0.09, good=0.16, news=0.25),
    ),
    must_alert=False,
)
"""The airline's annual ticket sale and its entry into an index: much talk, as mixed as ever."""

EPISODES: tuple[Episode, ...] = (SCANDAL, GOOD_NEWS, SHEER_VOLUME, RUMOUR)
"""In the order in which they begin."""
