"""The wire contract: every record that Downtick reads from Kafka or writes to it.

Times are RFC 3339 in UTC on the wire. Unknown fields are ignored, so that a producer may add its own.
"""

import base64
import re
from contextlib import suppress
from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

from stream.labels import Sentiment

EARLIEST = datetime(1970, 1, 1, tzinfo=UTC)
EARLIEST_SECONDS, LATEST_SECONDS = 1e8, 1e11
"""Of a number that is a Unix time: in the years 1973 and 5138."""
MAXIMUM_ID_CHARACTERS = 200
MAXIMUM_ENTITIES = 100
MAXIMUM_URL_CHARACTERS = 2_000

_COMPACT = re.compile(
    r"([12][0-9]{7})(?:T?((?:[0-9]{4}|[0-9]{6})(?:\.[0-9]+)?(?:Z|[+-][0-9]{2}:?[0-9]{2})?))?"
)


def _number_to_datetime(value: Any) -> Any:
    """Read a number, also in a string: a date where its digits are one (20260304, 20260304093000), else Unix time.

    That is in seconds, or in milli-, micro- or nanoseconds where greater units would pass the year 5138.
    """
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return value
    if isinstance(value, str) and value[4:5] == "-":
        return value  # as nearly all are, soon
    text = str(int(value)) if isinstance(value, float) and value.is_integer() else str(value).strip()
    if compact := _COMPACT.fullmatch(text):
        with suppress(ValueError):
            return datetime.fromisoformat("T".join(filter(None, compact.groups())))
    try:
        number = float(text)
    except ValueError:
        return text
    if abs(number) < EARLIEST_SECONDS:
        raise ValueError("so small a number is no time: a time of day alone, or a day's number in a sheet")
    for unit in (1, 1_000, 1_000_000, 1_000_000_000):
        if abs(number) <= LATEST_SECONDS * unit:
            return datetime.fromtimestamp(number / unit, UTC)
    raise ValueError("a number of so many digits is no time")


def _in_utc(value: datetime) -> datetime:
    try:
        moment = value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)
    except OverflowError as error:
        raise ValueError(f"{value} is out of range") from error
    if moment < EARLIEST:
        raise ValueError("before 1970")
    return moment


def text_of_number(value: Any) -> Any:
    """Ids and tickers arrive as numbers too; 600519, 600519.0 and "600519" are the same."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


def _without_excess(value: Any) -> Any:
    """No address rather than one that leads nowhere, or than no event."""
    return None if isinstance(value, str) and len(value) > MAXIMUM_URL_CHARACTERS else value


Moment = Annotated[datetime, BeforeValidator(_number_to_datetime), AfterValidator(_in_utc)]
"""A time; without a zone it is read as UTC, a number as Unix time."""

Identifier = Annotated[
    str, BeforeValidator(text_of_number), Field(min_length=1, max_length=MAXIMUM_ID_CHARACTERS)
]

ShortText = Annotated[str, BeforeValidator(text_of_number), Field(max_length=MAXIMUM_ID_CHARACTERS)]
"""A word or a name: what travels on with each event must stay small."""

Probabilities = dict[str, float]
"""A probability for each label."""


class Record(BaseModel):
    """Base of all records: unknown fields are ignored, instances do not change."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    def to_bytes(self) -> bytes:
        """The record as UTF-8 JSON, without the fields that are empty."""
        return self.model_dump_json(exclude_none=True).encode()


class Position(Record):
    """Where an event came from; it names the event for good, also across restarts."""

    topic: str
    """The topic's name, with `@epoch` behind it where a topic was deleted and made anew."""
    partition: int = Field(ge=0)
    offset: int = Field(ge=0)

    def __str__(self) -> str:
        return f"{self.topic}/{self.partition}/{self.offset}"


class Mention(Record):
    """A company that an event is about, as the event names it."""

    name: Identifier
    ticker: Identifier | None = None


class NewsEvent(Record):
    """One news item or comment, as a source puts it into `news.raw`."""

    text: str
    id: Identifier | None = None
    """The source's own id; an event without one is known by its position."""
    time: Moment | None = None
    """When it was published; without it, the time that Kafka recorded."""
    title: str | None = None
    source: ShortText | None = None
    kind: ShortText | None = None
    """`news`, `comment`, or the source's own word."""
    url: Annotated[str | None, BeforeValidator(_without_excess)] = None
    """Left out where it is longer than `MAXIMUM_URL_CHARACTERS`."""
    entities: list[Mention] = Field(default_factory=list, max_length=MAXIMUM_ENTITIES)


class ScoredMention(Mention):
    """A company in an event, with the sentiment towards it."""

    subject: str
    sentiment: Sentiment
    sentiment_probabilities: Probabilities


class ScoredEvent(Record):
    """What Downtick makes of one event, in `news.scored`."""

    id: str
    position: Position
    time: Moment
    scored_at: Moment
    text: str
    """Normalised, as the model saw it."""
    source: str | None = None
    kind: str | None = None
    url: str | None = None
    language: str
    sentiment: Sentiment
    sentiment_probabilities: Probabilities
    confidence: float
    """The probability of the label given."""
    topics: list[str]
    topic_probabilities: Probabilities
    entities: list[ScoredMention]
    subjects: list[str]
    """All that this event is counted under."""
    bundle: str
    """Hash of the model bundle that judged it."""


class ReviewReason(StrEnum):
    """Why a person is asked about an event."""

    RANDOM = "random"
    UNCERTAIN = "uncertain"


class ReviewItem(Record):
    """An event for a person to label, in `news.review`."""

    reason: ReviewReason
    """Drawn by chance, or since the model was unsure of it."""
    event: ScoredEvent


class Observation(Record):
    """One event as one subject sees it."""

    position: Position
    id: str
    time: Moment
    """The event's time; where that lies in the future, the stream's own time."""
    sentiment: Sentiment
    negative: float = Field(ge=0, le=1)
    """Probability that the event is negative for the subject."""
    topics: list[str] = Field(default_factory=list)
    signature: str | None = None
    """MinHash of the text, by which near-duplicates are known."""
    excerpt: str | None = None
    """The first words of a negative text, for the reasons of an alert."""
    url: str | None = None


class Observations(Record):
    """All observations of one subject in one scored batch, in `sentiment.observed`, keyed by subject."""

    subject: str
    bundle: str
    observations: list[Observation]


class Tick(Record):
    """Tells the watch stage that time passes though no event arrives; travels in `sentiment.observed`."""

    tick: Moment


class Window(Record):
    """The trend: one subject's counts in one interval, in `sentiment.windows`, the newest one valid."""

    subject: str
    start: Moment
    seconds: int
    negative: int
    neutral: int
    positive: int
    expected_negative: float | None = None
    """Negatives that the subject's history explains; absent while there is no history."""
    final: bool = False
    """Whether the stream's time has passed the interval and its lateness."""

    @property
    def key(self) -> str:
        """The record's key: by it, compaction keeps the newest row of each interval."""
        return f"{self.subject}|{int(self.start.timestamp())}"


class AlertState(StrEnum):
    """The life of an alert."""

    PENDING = "pending"
    FIRING = "firing"
    RESOLVED = "resolved"


class Severity(StrEnum):
    """How far beyond its history a subject is."""

    YELLOW = "yellow"
    ORANGE = "orange"
    RED = "red"


class Evidence(Record):
    """One of the worst events behind an alert."""

    id: str
    time: Moment
    negative: float
    excerpt: str
    url: str | None = None
    topics: list[str] = Field(default_factory=list)
    words: list[str] = Field(default_factory=list)
    """Words of the excerpt without which it would be less negative, the strongest first."""


class Alert(Record):
    """A surge of negative opinion, in `sentiment.alerts`, keyed by subject; the highest revision is valid."""

    id: str
    """Derived from the subject and the start: the same surge has the same id, whoever finds it."""
    revision: int
    subject: str
    state: AlertState
    severity: Severity
    started_at: Moment
    """Start of the window in which the surge was first seen, in event time."""
    updated_at: Moment
    """Event time of this revision."""
    fired_at: Moment | None = None
    resolved_at: Moment | None = None
    window_seconds: int
    """Length of the window that shows the surge most clearly."""
    negative: int
    """Negatives in that window, exact; those of an earlier surge, which has ended within it, are left out."""
    total: int
    """All events in that window, exact, but for those of the earlier surge's time."""
    expected_negative: float
    """Negatives that the subject's history explains in such a window."""
    expected_share: float
    """Share of negatives that its history explains."""
    probability: float
    """Probability of so many negatives or more, had nothing changed."""
    peak_negative: int
    """Most negatives in a window of that length since the alert began, or was reopened."""
    topics: dict[str, int] = Field(default_factory=dict)
    """The most frequent topics of the negatives since the alert began and of late before it, with counts."""
    evidence: list[Evidence] = Field(default_factory=list)
    """The worst events, most negative first."""
    reason: str
    """All of this in a sentence."""
    bundle: str | None = None
    """Hash of the model bundle that judged the newest of these events."""
    muted: str | None = None
    """The desk's rule that this revision is not to be told by, and why; empty where it is to be told."""


class DeadLetterReason(StrEnum):
    """Why an event could not be processed; also a label of the metrics."""

    TOMBSTONE = "tombstone"
    TOO_LARGE = "too_large"
    NOT_UTF8 = "not_utf8"
    NOT_JSON = "not_json"
    INVALID = "invalid"
    NO_TEXT = "no_text"
    MODEL_FAILED = "model_failed"


class DeadLetter(Record):
    """An event that could not be processed, in `news.dead-letter`, with what is needed to send it again."""

    reason: DeadLetterReason
    detail: str
    position: Position
    recorded_at: Moment
    """Kafka's own time of the source record."""
    failed_at: Moment
    key_base64: str | None = None
    value_base64: str | None = None
    """The source record's value, cut where it would not fit; the source topic still has all of it."""
    value_bytes: int
    """Size of the source record's value."""

    @property
    def value(self) -> bytes | None:
        """The value as it was, or the start of it."""
        return None if self.value_base64 is None else base64.b64decode(self.value_base64)
