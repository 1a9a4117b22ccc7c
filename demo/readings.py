"""What the workers' `/metrics` say, added up over all of them."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from prometheus_client.parser import text_string_to_metric_families


@dataclass(frozen=True)
class Readings:
    """Totals since the workers started."""

    languages: Counter[str] = field(default_factory=Counter)
    """Scored events by language."""
    sentiments: Counter[str] = field(default_factory=Counter)
    """Scored events by sentiment."""
    providers: tuple[str, ...] = ()
    """What the model runs on, each once."""
    latency_seconds: float | None = None
    """Mean time from Kafka's receipt of an event until its score was confirmed."""


def read_metrics(pages: Iterable[str]) -> Readings:
    """Add up the pages of all workers, in the text format of Prometheus."""
    languages, sentiments = Counter[str](), Counter[str]()
    providers = set[str]()
    seconds = events = 0.0
    for page in pages:
        samples = (sample for family in text_string_to_metric_families(page) for sample in family.samples)
        for sample in samples:
            match sample.name:
                case "downtick_events_scored_total":
                    languages[sample.labels["language"]] += int(sample.value)
                    sentiments[sample.labels["sentiment"]] += int(sample.value)
                case "downtick_bundle_info":
                    providers.add(sample.labels["provider"])
                case "downtick_score_latency_seconds_sum":
                    seconds += sample.value
                case "downtick_score_latency_seconds_count":
                    events += sample.value
    return Readings(
        languages=languages,
        sentiments=sentiments,
        providers=tuple(sorted(providers)),
        latency_seconds=seconds / events if events else None,
    )
