"""Remembers judgements by text and entities, so that a repost is judged once."""

import hashlib
from collections import OrderedDict

from stream.engine.judgement import Judgement, Question


class JudgementCache:
    """The judgements of the texts last asked for, at most `capacity`; 0 remembers nothing.

    Texts are kept as digests: thousands of long ones would take more memory than the model.
    """

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._judgements: OrderedDict[bytes, Judgement] = OrderedDict()

    def __len__(self) -> int:
        return len(self._judgements)

    def get(self, question: Question) -> Judgement | None:
        """The judgement of this very text and its entities, if it is still known."""
        key = _digest(question)
        judgement = self._judgements.get(key)
        if judgement is not None:
            self._judgements.move_to_end(key)
        return judgement

    def put(self, question: Question, judgement: Judgement) -> None:
        """Remember a judgement, and forget the one that was not asked for the longest."""
        key = _digest(question)
        self._judgements[key] = judgement
        self._judgements.move_to_end(key)
        while len(self._judgements) > self._capacity:
            self._judgements.popitem(last=False)


def _digest(question: Question) -> bytes:
    # No text begins with what `repr` writes and a character that it would have escaped.
    content = f"{question.entities!r}\0{question.text}"
    return hashlib.blake2b(content.encode("utf-8", "surrogatepass"), digest_size=16).digest()
