"""Texts as words, in scripts with and without spaces."""

import re
from collections.abc import Sequence

from stream.names import Span, stands_alone

_SPOKEN = re.compile(r"\w")


def words(text: str, tokens: Sequence[Span]) -> list[Span]:
    """The places of a text's words, in their order; punctuation is none.

    `tokens` are the places of its tokens. In a spaced script a word is all tokens up to the next boundary; where
    a script puts no spaces, a token is as near to a word as the tokenizer's vocabulary knows.
    """
    found: list[Span] = []
    for first, last in tokens:
        spelled = [place for place in range(first, last) if not text[place].isspace()]
        if not spelled:
            continue
        start, end = spelled[0], spelled[-1] + 1
        if found and found[-1][1] == start and not stands_alone(text, start, len(text)):
            found[-1] = (found[-1][0], end)
        else:
            found.append((start, end))
    return [(start, end) for start, end in found if _SPOKEN.search(text[start:end])]


def without(text: str, word: Span) -> str:
    """The text without one of its words, and without the space that would be left double."""
    start, end = word
    if end < len(text) and text[end].isspace() and (start == 0 or text[start - 1].isspace()):
        end += 1
    return text[:start] + text[end:]
