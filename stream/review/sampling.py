"""Which events a person is asked about: some drawn by chance, and some of which the model is unsure. Pure.

Those by chance tell how good the model is on the stream; those of which it is unsure teach it most.
"""

import hashlib

from stream.records import ReviewItem, ReviewReason, ScoredEvent
from stream.settings import ReviewSettings


def sample(event: ScoredEvent, settings: ReviewSettings) -> ReviewItem | None:
    """The event as one to review, or None.

    It is drawn by its id: whoever scores an event a second time draws it again, or again not.
    """
    # Two draws, so that the unsure ones are no part of what stands for the stream.
    digest = hashlib.blake2b(event.id.encode(), digest_size=16).digest()
    by_chance, unsure = (int.from_bytes(half) / 2**64 for half in (digest[:8], digest[8:]))
    if by_chance < settings.random_share:
        return ReviewItem(reason=ReviewReason.RANDOM, event=event)
    if confidence(event) < settings.uncertain_below and unsure < settings.uncertain_share:
        return ReviewItem(reason=ReviewReason.UNCERTAIN, event=event)
    return None


def confidence(event: ScoredEvent) -> float:
    """The least probability among the labels given to the text and to its companies."""
    of_companies = (mention.sentiment_probabilities[mention.sentiment] for mention in event.entities)
    return min((event.confidence, *of_companies))
