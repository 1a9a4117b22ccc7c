"""The labels that the stream itself relies on; all others come with the model bundle."""

from typing import Literal, get_args

Sentiment = Literal["negative", "neutral", "positive"]

SENTIMENTS: tuple[Sentiment, ...] = get_args(Sentiment)
"""In the order of the model's outputs."""

SENTIMENT_HEAD = "sentiment"
TOPIC_HEAD = "topics"
ENTITY_HEAD = "entity_sentiment"
"""Over entities; a bundle without it judges every company as its text."""

ALL = "all"
"""The subject under which every event is counted."""
ENTITY_SUBJECT = "entity:"
"""What the subject of a company begins with."""
TOPIC_SUBJECT = "topic:"
"""What the subject of a topic begins with."""
