"""The Prometheus metrics: what each is, and verbs that the stages call.

Seconds and totals in base units; the registry is handed in, never global. Series per subject exist only
for `all`, the topics and the watch list, so that their number is bounded by the configuration.
"""

from collections.abc import Iterable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Info

from stream.drift import Mix, Profile, drift
from stream.labels import SENTIMENTS
from stream.records import AlertState, DeadLetterReason, ReviewReason, Severity
from stream.spikes.subject import Outcome

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
_SIZES = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024)


DRIFT_TEXTS = 1_000
"""Of so many texts the older ones count half in what recent ones are like; before, nothing is said of them."""
DRIFT_EVERY = 100


class EngineMetrics:
    """How the model runs; the engine's observer."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._batches = Histogram(
            "downtick_engine_batch_seconds",
            "Time of one batch in the model.",
            buckets=_SECONDS,
            registry=registry,
        )
        self._sizes = Histogram(
            "downtick_engine_batch_texts", "Texts in a batch.", buckets=_SIZES, registry=registry
        )
        self._tokens = Counter(
            "downtick_engine_tokens_total", "Tokens that the model read.", registry=registry
        )
        self._padding = Counter(
            "downtick_engine_padding_tokens_total", "Tokens that only fill up a batch.", registry=registry
        )
        self._cache = Counter(
            "downtick_engine_cache_total",
            "Texts looked up among the recent results.",
            ["result"],
            registry=registry,
        )
        self._failures = Counter(
            "downtick_engine_failures_total", "Texts that made the model fail.", registry=registry
        )
        self._bundle = Info("downtick_bundle", "The model bundle in use.", registry=registry)
        self._drift = Gauge(
            "downtick_input_drift",
            "How far recent texts are from those the model was trained on: 0.1 hardly, over 0.25 much.",
            ["aspect"],
            registry=registry,
        )
        self._profile: Profile = {}
        self._recent = Mix(half_life_texts=DRIFT_TEXTS)
        self._judged = 0

    def batch_ran(self, texts: int, tokens: int, padded_tokens: int, seconds: float) -> None:
        """A batch went through the model; `padded_tokens` counts the padding too."""
        self._batches.observe(seconds)
        self._sizes.observe(texts)
        self._tokens.inc(tokens)
        self._padding.inc(padded_tokens - tokens)

    def cache_looked_up(self, hits: int, misses: int) -> None:
        """So many texts were known, so many were not."""
        self._cache.labels("hit").inc(hits)
        self._cache.labels("miss").inc(misses)

    def text_failed(self) -> None:
        """A text made the model fail."""
        self._failures.inc()

    def text_judged(self, aspects: dict[str, list[str]]) -> None:
        """A text that was not known was judged."""
        self._recent.add(aspects)
        self._judged += 1
        # Of few texts the mix is chance, and drift need not be known to the second.
        if self._judged >= DRIFT_TEXTS and self._judged % DRIFT_EVERY == 0:
            for aspect, distance in drift(self._profile, self._recent.profile).items():
                self._drift.labels(aspect).set(distance)

    def trained_on(self, profile: Profile) -> None:
        """What the texts were like that the model was trained on; what was seen by another model is forgotten."""
        self._profile = profile
        self._recent = Mix(half_life_texts=DRIFT_TEXTS)
        self._judged = 0
        self._drift.clear()

    def bundle_in_use(self, name: str, hash_: str, precision: str, provider: str) -> None:
        """This bundle runs on this provider from now on."""
        self._bundle.info({"name": name, "hash": hash_, "precision": precision, "provider": provider})


class SwitchMetrics:
    """Whether the bundle in the folder is the one in use."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._refused = Gauge(
            "downtick_bundle_refused",
            "1 while the folder of the bundle in use holds another that cannot be used, or none.",
            registry=registry,
        )

    def in_use(self) -> None:
        """The folder holds the bundle in use."""
        self._refused.set(0)

    def refused(self) -> None:
        """What the folder holds cannot be used, and the bundle before goes on."""
        self._refused.set(1)


class NotifyMetrics:
    """What became of the messages to people."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._messages = Counter(
            "downtick_notifications_total",
            "Attempts to tell a target of an alert: told, refused (tried again), given_up.",
            ["outcome"],
            registry=registry,
        )
        for outcome in ("told", "refused", "given_up"):
            self._messages.labels(outcome)

    def told(self) -> None:
        """A target took a message."""
        self._messages.labels("told").inc()

    def refused(self) -> None:
        """A target took none, and is tried again."""
        self._messages.labels("refused").inc()

    def given_up(self) -> None:
        """A target took none for too long, and goes without it."""
        self._messages.labels("given_up").inc()


class ScoreMetrics:
    """What the score stage reads and publishes."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._read = Counter(
            "downtick_events_read_total", "Records read from the raw topic.", registry=registry
        )
        self._scored = Counter(
            "downtick_events_scored_total",
            "Events scored, published and committed.",
            ["language", "sentiment"],
            registry=registry,
        )
        self._dead = Counter(
            "downtick_dead_letters_total",
            "Events sent to the dead-letter topic.",
            ["reason"],
            registry=registry,
        )
        self._review = Counter(
            "downtick_review_items_total",
            "Events put aside for a person to label.",
            ["reason"],
            registry=registry,
        )
        self._future = Counter(
            "downtick_events_future_total",
            "Events dated in the future, counted at the stream's own time.",
            registry=registry,
        )
        self._lag = Gauge(
            "downtick_score_lag_events",
            "Events in the raw topic that wait, per partition that this worker owns.",
            ["partition"],
            registry=registry,
        )
        self._latency = Histogram(
            "downtick_score_latency_seconds",
            "From Kafka's time of the raw record until its score was confirmed.",
            buckets=_SECONDS,
            registry=registry,
        )
        self._steps = Histogram(
            "downtick_score_step_seconds",
            "Time of one step of a window of events.",
            ["step"],
            buckets=_SECONDS,
            registry=registry,
        )
        self._windows = Histogram(
            "downtick_score_window_events",
            "Events scored and published together.",
            buckets=_SIZES,
            registry=registry,
        )
        self._expired = Counter(
            "downtick_events_expired_total",
            "Events that the broker deleted before they were read.",
            registry=registry,
        )
        for reason in DeadLetterReason:
            self._dead.labels(reason.value)
        for why in ReviewReason:
            self._review.labels(why.value)

    def events_read(self, count: int) -> None:
        """So many records form a window of events."""
        self._read.inc(count)
        self._windows.observe(count)

    def event_scored(self, language: str, sentiment: str, latency_seconds: float) -> None:
        """An event's score is confirmed by the broker."""
        self._scored.labels(language, sentiment).inc()
        self._latency.observe(max(latency_seconds, 0.0))

    def dead_letter(self, reason: DeadLetterReason) -> None:
        """A dead letter is confirmed by the broker."""
        self._dead.labels(reason.value).inc()

    def put_aside(self, reason: ReviewReason) -> None:
        """An event for a person to label is confirmed by the broker."""
        self._review.labels(reason.value).inc()

    def event_in_future(self) -> None:
        """An event's date lies ahead of the clock."""
        self._future.inc()

    def events_expired(self, count: int) -> None:
        """So many events were gone before they could be read."""
        self._expired.inc(count)

    def step_took(self, step: str, seconds: float) -> None:
        """`decode`, `judge` or `publish` of a window of events took so long."""
        self._steps.labels(step).observe(seconds)

    def lag_is(self, lags: dict[int, int]) -> None:
        """Events that wait, by partition; partitions of other workers leave the metric."""
        self._lag.clear()
        for partition, lag in lags.items():
            self._lag.labels(str(partition)).set(lag)


class WatchMetrics:
    """What the watch stage counts and says."""

    def __init__(self, registry: CollectorRegistry, watched: Iterable[str]) -> None:
        self._watched = frozenset(watched)
        self._surging: set[str] = set()
        self._newest = 0.0
        self._observations = Counter(
            "downtick_observations_total",
            "Observations by what became of them: counted, repeat or late.",
            ["outcome"],
            registry=registry,
        )
        self._subject = Counter(
            "downtick_subject_events_total",
            "Events counted per subject: `all`, topics and the watch list.",
            ["subject", "sentiment"],
            registry=registry,
        )
        self._surge = Gauge(
            "downtick_subject_surge_ratio",
            "Negatives of a firing alert over those expected, 1 where none are known; 0 without an alert.",
            ["subject"],
            registry=registry,
        )
        self._firing = Gauge(
            "downtick_alerts_firing", "Alerts that fire now.", ["severity"], registry=registry
        )
        self._alerts = Counter(
            "downtick_alerts_published_total",
            "Alert revisions published, muted ones left out.",
            ["state", "severity"],
            registry=registry,
        )
        self._muted = Counter(
            "downtick_alerts_muted_total",
            "Alert revisions published that the desk's rules mute.",
            ["state", "severity"],
            registry=registry,
        )
        self._delay = Histogram(
            "downtick_alert_latency_seconds",
            "From Kafka's time of the observation until the alert it caused was confirmed.",
            buckets=_SECONDS,
            registry=registry,
        )
        self._windows = Counter(
            "downtick_windows_published_total", "Rows of the trend published.", registry=registry
        )
        self._unreadable = Counter(
            "downtick_observed_unreadable_total",
            "Records of the observed topic that could not be read.",
            registry=registry,
        )
        self._expired = Counter(
            "downtick_observed_expired_total",
            "Records of the observed topic that retention deleted unread.",
            registry=registry,
        )
        self._lag = Gauge(
            "downtick_watch_lag_records",
            "Records of the observed topic that wait, per partition that this worker owns.",
            ["partition"],
            registry=registry,
        )
        self._subjects = Gauge("downtick_subjects", "Subjects that this worker owns.", registry=registry)
        self._clock = Gauge(
            "downtick_stream_time_seconds",
            "Newest time of an event that this worker counted, as Unix time; 0 before the first.",
            registry=registry,
        )
        # From 0 on, since Prometheus sees no increase in what begins at 1.
        for outcome in Outcome:
            self._observations.labels(outcome.value)
        for subject in self._watched:
            for sentiment in SENTIMENTS:
                self._subject.labels(subject, sentiment)
        for severity in Severity:
            self._firing.labels(severity.value)
            for state in AlertState:
                self._alerts.labels(state.value, severity.value)
                self._muted.labels(state.value, severity.value)

    def observed(self, subject: str, sentiment: str, outcome: Outcome) -> None:
        """An observation was counted, dropped as a repeat, or came too late for its window."""
        self._observations.labels(outcome.value).inc()
        if outcome is Outcome.COUNTED and self._is_watched(subject):
            self._subject.labels(subject, sentiment).inc()

    def alert_published(
        self, state: str, severity: str, latency_seconds: float | None, *, muted: bool
    ) -> None:
        """An alert's revision is confirmed by the broker."""
        (self._muted if muted else self._alerts).labels(state, severity).inc()
        if latency_seconds is not None:
            self._delay.observe(max(latency_seconds, 0.0))

    def surges_are(self, ratios: dict[str, float]) -> None:
        """Negatives over those expected, by subject whose alert fires; those of all others fall to 0."""
        for subject in self._surging - ratios.keys():
            self._surge.labels(subject).set(0)
        self._surging = set(filter(self._is_watched, ratios))
        for subject in self._surging:
            self._surge.labels(subject).set(ratios[subject])

    def firing_are(self, by_severity: dict[str, int]) -> None:
        """So many alerts fire among the subjects that this worker owns."""
        for severity in Severity:
            self._firing.labels(severity.value).set(by_severity.get(severity.value, 0))

    def windows_published(self, count: int) -> None:
        """So many rows of the trend are confirmed by the broker."""
        self._windows.inc(count)

    def lag_is(self, lags: dict[int, int]) -> None:
        """Records that wait, by partition; partitions of other workers leave the metric."""
        self._lag.clear()
        for partition, lag in lags.items():
            self._lag.labels(str(partition)).set(lag)

    def partitions_moved(self) -> None:
        """Other subjects may live here now: nothing is known of their alerts until they are read."""
        self._lag.clear()
        self._surge.clear()
        self._surging.clear()
        self.firing_are({})
        self.owns(0)

    def records_expired(self, count: int) -> None:
        """Retention deleted records before they were read."""
        self._expired.inc(count)

    def unreadable(self) -> None:
        """A record of the observed topic could not be read."""
        self._unreadable.inc()

    def owns(self, subjects: int) -> None:
        """So many subjects live with this worker."""
        self._subjects.set(subjects)

    def event_counted_at(self, unix_seconds: float) -> None:
        """An event of this time was counted; what a slow partition counts later may be older."""
        self._newest = max(self._newest, unix_seconds)
        self._clock.set(self._newest)

    def _is_watched(self, subject: str) -> bool:
        return subject in self._watched
