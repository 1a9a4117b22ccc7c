"""What a user may say about surges; the one number that matters is the budget of false alarms."""

from typing import Annotated, Any, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, field_validator, model_validator

from stream.spikes.calendar import DAY, HOUR, ZoneName
from stream.spikes.counts import BUCKETS

MINUTE_WINDOWS_SECONDS = HOUR
"""Windows up to this length are counted by the minute, longer ones by the trend's intervals."""


class Threshold(BaseModel):
    """A surge whatever the history: so many negatives within so long."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    negatives: int = Field(ge=1)
    seconds: int = Field(ge=60)
    """One of the lengths of `windows_seconds`."""


def _as_several(value: Any) -> Any:
    if value is None:
        return ()
    return [value] if isinstance(value, dict | Threshold) else value


class SpikeSettings(BaseModel):
    """Settings of the surge detector."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    false_alarms_per_day: float = Field(default=0.01, gt=0, le=10)
    """How many false alarms are accepted per subject and day."""
    windows_seconds: tuple[int, ...] = (600, 3600, 21600)
    """Lengths of the windows that are tested, all at once."""
    minimum_negatives: int = Field(default=4, ge=1)
    """Fewer negatives in a window are no surge, but by a `threshold`; the k-th repost counts about 1/k here."""
    minimum_ratio: float = Field(default=1.2, ge=1)
    """A surge has at least so many times the expected negatives, however sure the test is."""
    threshold: Annotated[tuple[Threshold, ...], BeforeValidator(_as_several)] = ()
    """A surge whatever the history, one or several; yellow, unless the history says more."""
    volume_only: bool = False
    """Judge by volume alone, without the gate on the share of negatives."""
    resolve_after_seconds: int = Field(default=1800, ge=60)
    """An alert is resolved when for so long no window has shown a surge."""
    refractory_seconds: int | None = Field(default=None, ge=0)
    """A surge that comes back within this time of its end reopens its alert and opens no new one. Without it, a
    quarter of the time in which one false alarm is accepted, and at most a day."""
    lateness_seconds: int = Field(default=900, ge=0)
    """How far an event may lag behind its subject's newest one of the same source partition and still count."""
    interval_seconds: int = Field(default=900, ge=60)
    """Length of the intervals of the trend in `sentiment.windows`. The newest 96 of them are kept, a day of
    quarter hours; what is older is too late to be counted. Windows longer than an hour consist of them."""
    half_life_days: float = Field(default=28, gt=0)
    """Age at which a day of history counts half."""
    season_zone: ZoneName = "UTC"
    """By whose clocks hours and weekends are told apart, such as America/New_York: what comes at nine there comes
    at nine, in winter and in summer."""
    evidence: int = Field(default=5, ge=0, le=10)
    """How many of the worst events an alert shows."""

    @property
    def refractory(self) -> int:
        """`refractory_seconds`, or what stands for it."""
        if self.refractory_seconds is not None:
            return self.refractory_seconds
        return min(DAY, round(DAY / (4 * self.false_alarms_per_day)))

    @field_validator("windows_seconds")
    @classmethod
    def _windows_are_ordered(cls, value: tuple[int, ...]) -> tuple[int, ...]:
        if not value or list(value) != sorted(set(value)):
            raise ValueError("must be different lengths, shortest first")
        if any(seconds % 60 for seconds in value) or value[0] < 60 or value[-1] > 86_400:
            raise ValueError("must be whole minutes between 60 and 86400")
        return value

    @model_validator(mode="after")
    def _threshold_has_a_window(self) -> Self:
        for threshold in self.threshold:
            if threshold.seconds not in self.windows_seconds:
                raise ValueError(
                    f"threshold: seconds must be one of the windows {list(self.windows_seconds)},"
                    f" and is {threshold.seconds}"
                )
        return self

    @model_validator(mode="after")
    def _intervals_fit_the_windows(self) -> Self:
        if not self._fits(self.interval_seconds):
            fitting = [seconds for seconds in range(60, HOUR + 1, 60) if self._fits(seconds)]
            advice = (
                f", such as {fitting[0]}" if fitting else "; without one that divides them, choose others"
            )
            raise ValueError(
                "interval_seconds must be whole minutes, divide an hour and every window longer than that, and be"
                f" so long that {BUCKETS} of them cover twice the longest window, and two hours more than it"
                + advice
            )
        return self

    def _fits(self, interval: int) -> bool:
        longest = self.windows_seconds[-1]
        # History is learned by the hour, once the longest window has passed, from intervals that are still there.
        kept = max(2 * longest, longest + 2 * HOUR)
        parts = [seconds for seconds in self.windows_seconds if seconds > MINUTE_WINDOWS_SECONDS]
        return (
            interval % 60 == 0
            and HOUR % interval == 0
            and kept <= BUCKETS * interval
            and all(seconds % interval == 0 for seconds in parts)
        )
