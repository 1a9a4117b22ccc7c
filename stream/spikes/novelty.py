"""Near-duplicates: texts that say almost the same weigh less, as the commercial feeds do with novelty.

A text's signature is a MinHash (Broder 1997) of its character 4-grams, of which 4 bits of each of 32 minima
are kept (Li and König 2010, "b-bit minwise hashing"): 16 bytes, by which the Jaccard similarity of two texts
is estimated with a standard error of about 0.08.
"""

import base64
import binascii
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from stream.text import normalise

Hashes = npt.NDArray[np.uint64]

SLOTS = 32
SLOT_BITS = 4
SIGNATURE_BYTES = SLOTS * SLOT_BITS // 8
SHINGLE = 4
UNIT = 16
"""Weights are whole numbers of sixteenths, so that their sums do not depend on the order of events."""

_SIMILAR = 0.7
_CHANCE = 1 / 2**SLOT_BITS
# As many slots must be equal as a similarity of 0.7 gives, chance agreement of the others included.
_EQUAL_SLOTS = SLOTS * (_CHANCE + (1 - _CHANCE) * _SIMILAR)
_LOWEST_BITS = int("1" * SLOTS, 16)
_REMEMBERED = 16
_REMEMBERED_SECONDS = 86_400

_generator = np.random.Generator(np.random.PCG64(20_141_015))
_FACTORS = _generator.integers(0, 2**63, SLOTS, dtype=np.uint64) * np.uint64(2) + np.uint64(1)
_OFFSETS = _generator.integers(0, 2**63, SLOTS, dtype=np.uint64)
_GRAM_FACTOR = np.uint64(0x9E3779B97F4A7C15)


def _mix(values: Hashes) -> Hashes:
    """Spread every bit over all bits (the finaliser of SplitMix64)."""
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    mixed: Hashes = values ^ (values >> np.uint64(31))
    return mixed


def minhash(text: str) -> str:
    """The signature of `text`: 16 bytes as base64 without padding, the same on every machine.

    Texts shorter than a shingle are one shingle.
    """
    folded = normalise(text).casefold()
    letters = np.frombuffer(folded.encode("utf-32-le"), dtype="<u4").astype(np.uint64)
    size = min(SHINGLE, len(letters))
    grams = np.zeros(max(1, len(letters) - size + 1), dtype=np.uint64)
    for place in range(size):
        grams = grams * _GRAM_FACTOR + letters[place : place + len(grams)]
    hashes = _mix(grams)[:, None] * _FACTORS + _OFFSETS
    minima = _mix(hashes.min(axis=0)) & np.uint64(15)
    packed = (minima[0::2] << np.uint64(SLOT_BITS) | minima[1::2]).astype(np.uint8)
    return base64.b64encode(packed.tobytes()).rstrip(b"=").decode()


def read_signature(signature: str | None) -> int | None:
    """A signature as a number; None where there is none or it cannot be read."""
    if signature is None:
        return None
    try:
        content = base64.b64decode(signature + "=" * (-len(signature) % 4), validate=True)
    except (binascii.Error, ValueError):
        return None
    return int.from_bytes(content) if len(content) == SIGNATURE_BYTES else None


def _equal_slots(one: int, other: int) -> int:
    difference = one ^ other
    difference |= difference >> 1
    difference |= difference >> 2
    return SLOTS - (difference & _LOWEST_BITS).bit_count()


@dataclass
class Story:
    """Texts that are near-duplicates of one another."""

    number: int
    """Names the story within its subject."""
    signature: int
    """Of the first text."""
    count: int
    last: int
    """Event time of the newest, in Unix seconds."""


class Novelty:
    """The stories that a subject's negatives told lately."""

    def __init__(self) -> None:
        self._stories: list[Story] = []
        """The one told last is at the end."""
        self._next = 0

    def weigh(self, signature: int | None, time: int) -> tuple[int, int]:
        """Weight of a new text in units, and its story's number.

        The weight is 1/(1 + number of like ones seen lately), to the nearest unit: from the 32nd on it is 0.
        A text without a signature is new.
        """
        story = None if signature is None else self._find(signature)
        if story is None:
            self._next += 1
            if signature is not None:
                self._stories.append(Story(self._next, signature, 1, time))
                del self._stories[:-_REMEMBERED]
            return UNIT, self._next
        if abs(time - story.last) > _REMEMBERED_SECONDS:
            story.count = 0
        story.count += 1
        story.last = max(story.last, time)
        self._stories.remove(story)
        self._stories.append(story)
        return round(UNIT / story.count), story.number

    def _find(self, signature: int) -> Story | None:
        for story in reversed(self._stories):
            if _equal_slots(signature, story.signature) >= _EQUAL_SLOTS:
                return story
        return None

    def dump(self) -> tuple[list[bytes], list[int]]:
        """The stories' signatures, and what else is known of them as numbers."""
        stories = self._stories
        return [story.signature.to_bytes(SIGNATURE_BYTES) for story in stories], [
            self._next,
            *(story.number for story in stories),
            *(story.count for story in stories),
            *(story.last for story in stories),
        ]

    def load(self, signatures: Sequence[bytes], numbers: Sequence[int]) -> None:
        """Read what `dump` made."""
        self._next, size = numbers[0], len(signatures)
        columns = [numbers[1 + i * size :][:size] for i in range(3)]
        self._stories = [
            Story(number, int.from_bytes(signature), count, last)
            for signature, number, count, last in zip(signatures, *columns, strict=True)
        ]
