"""How names are compared with texts, and where a text has them."""

import re
import unicodedata
from collections.abc import Iterable
from itertools import pairwise

from stream.text import normalise, simplified

Span = tuple[int, int]
"""Where a name stands: its first character's index, and the one behind its last."""

# Scripts that put no space between words, so that a name is found wherever it stands.
_UNSPACED = re.compile(
    "[\u0e00-\u0e7f\u3005-\u3007\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af"
    "\uf900-\ufaff\U00020000-\U0003ffff]"
)


def fold(text: str) -> str:
    """Text as names are compared: compatible characters, letter case, Chinese scripts and apostrophes are one."""
    if not unicodedata.is_normalized("NFKC", text):
        text = unicodedata.normalize("NFKC", text)
    return simplified(text).casefold().replace("\u2019", "'")


def stands_alone(folded: str, start: int, end: int) -> bool:
    """Whether no word of a spaced script goes on beyond the match: no `apple` in `pineapple`."""
    return not (
        (start > 0 and _in_word(folded[start - 1]) and _in_word(folded[start]))
        or (end < len(folded) and _in_word(folded[end - 1]) and _in_word(folded[end]))
    )


def original(text: str, folded: str, start: int, end: int) -> Span:
    """The part of `text` that a part of its folded form comes from.

    Folding never shortens, character by character: so of equal length means in equal places.
    """
    if len(folded) == len(text):
        return start, end
    origins = [index for index, character in enumerate(text) for _ in character.casefold()]
    return origins[start], origins[end - 1] + 1


def places(text: str, names: Iterable[str]) -> list[Span]:
    """Every place where the normalised `text` has the first of `names` that it has at all, in order.

    The rest of `names` are other ways to write the same, such as a ticker. Those are words, too (ALL, ON), and so
    stand back behind a name; as cashtags they are beyond doubt, and count beside it.
    """
    folded = fold(text)
    found: list[Span] = []
    for name in names:
        if found and not name.startswith("$"):
            continue
        wanted = fold(normalise(name))
        found += [
            original(text, folded, start, start + len(wanted))
            for start in _occurrences(folded, wanted)
            if stands_alone(folded, start, start + len(wanted))
        ]
    return sorted(found)


def overlap(spans: Iterable[Span]) -> bool:
    """Whether any two of the places, given in order, share a character."""
    return any(after[0] < before[1] for before, after in pairwise(spans))


def rewrite(text: str, changes: Iterable[tuple[Span, str]]) -> tuple[str, list[Span]]:
    """The text with other words in some places, which stand in order and share nothing; and where they are now."""
    changed, reached, moved = "", 0, []
    for (start, end), word in changes:
        changed += text[reached:start] + word
        moved.append((len(changed) - len(word), len(changed)))
        reached = end
    return changed + text[reached:], moved


def _occurrences(text: str, part: str) -> Iterable[int]:
    start = text.find(part) if part else -1
    while start >= 0:
        yield start
        start = text.find(part, start + len(part))


def _in_word(character: str) -> bool:
    return (character.isalnum() or character == "_") and not _UNSPACED.match(character)
