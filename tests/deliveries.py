"""Events whose sentiment the tiny model is known to see, to be counted on their way through the system."""

import random
from collections import Counter
from datetime import UTC, datetime, timedelta

START = datetime(2014, 9, 3, 8, tzinfo=UTC)
TEXTS = {
    "negative": ["bad day", "fraud at $ACME", "股价跌", "lawsuit against the chairman"],
    "neutral": ["a meeting was held", "股东大会", "inflation report"],
    "positive": ["good day", "great profit at $ACME", "股价涨"],
}


def events(
    count: int, *, start: datetime = START, seconds: float = 3.0, prefix: str = "e"
) -> list[dict[str, str]]:
    """So many events from `start` on, at random but always the same, each with a text of its own."""
    random.seed(count)
    rows = []
    for number in range(count):
        text = random.choice([text for texts in TEXTS.values() for text in texts])
        rows.append(
            {
                "id": f"{prefix}{number}",
                "time": (start + timedelta(seconds=number * seconds)).isoformat(),
                "text": f"{text} number {prefix}{number}",
            }
        )
    return rows


def expected(rows: list[dict[str, str]]) -> Counter[str]:
    """Events by sentiment, as the tiny model judges them."""
    labels = {text: label for label, texts in TEXTS.items() for text in texts}
    return Counter(labels[row["text"].rsplit(" number ", 1)[0]] for row in rows)
