"""How names are compared with texts, and where a text has them."""

import re
import unicodedata
from collections.abc import Iterable, Sequence
from itertools import islice, pairwise

from stream.text import normalise, plain, simplified

SHORT_TICKER = 5
"""Tickers of so many letters or fewer are words, too: ALL, COST, OPEN."""

MAGNITUDES = frozenset({"k", "m", "mm", "mn", "mln", "mio", "b", "bn", "bln", "t", "tn", "cr"})
"""With a dollar sign most are units: A$m, revenue ($bn)."""
# In capitals these are companies also in brackets.
_RARE_UNITS = frozenset({"K", "T"})

_OTHER_LISTING = re.compile(
    r"(?:\.(?!(?i:n|o|oq|us|i)\b)(?:[A-Z]{1,2}|[a-z]{1,2})|[-/][A-Za-z])(?![A-Za-z0-9_])"
)
"""What makes another one of a cashtag: $T.TO is Telus, $BRK-B not $BRK; $GE.N is GE, and I a word."""
_CASHTAG_BEFORE = re.compile(r"\$[A-Za-z.]+$")
_LONGEST_CASHTAG = 12

MOST_PLACES = 500
"""More places of one name in a text are not looked for: a model has long stopped reading, and who writes a name a
thousand times wants to keep a worker busy."""

Span = tuple[int, int]
"""Where a name stands: its first character's index, and the one behind its last."""

# Scripts that put no space between words, so that a name is found wherever it stands.
_UNSPACED = re.compile(
    "[\u0e00-\u0e7f\u3005-\u3007\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af"
    "\uf900-\ufaff\U00020000-\U0003ffff]"
)


# Word processors write them for a hyphen and an apostrophe.
_MARKS = str.maketrans(
    dict.fromkeys("\u2010\u2011\u2012\u2013\u2014\u2015\u2212", "-")
    | dict.fromkeys("\u2018\u2019\u02bc`", "'")
)


def fold(text: str) -> str:
    """Text as names are compared: compatible characters, case, Chinese scripts, hyphens, apostrophes are one."""
    if not unicodedata.is_normalized("NFKC", text):
        text = unicodedata.normalize("NFKC", text)
    return simplified(text).casefold().translate(_MARKS)


def stands_alone(folded: str, start: int, end: int) -> bool:
    """Whether no word of a spaced script goes on beyond the match: no `apple` in `pineapple`."""
    return not (
        (start > 0 and _in_word(folded[start - 1]) and _in_word(folded[start]))
        or (end < len(folded) and _in_word(folded[end - 1]) and _in_word(folded[end]))
    )


def is_no_cashtag(text: str, start: int, end: int) -> bool:
    """Whether a dollar sign and the letters behind it are a unit, or part of one, or part of a longer cashtag."""
    if text[start] != "$":
        return False
    if _OTHER_LISTING.match(text, end):
        return True
    before, letters = text[start - 1 : start], text[start + 1 : end].strip()
    joined = _CASHTAG_BEFORE.search(text, max(0, start - _LONGEST_CASHTAG), start)
    if before and _in_word(before) and not joined:
        return True
    if letters.casefold() not in MAGNITUDES:
        return False
    return not letters.isupper() or (before in {"(", "["} and letters not in _RARE_UNITS)


def origins(text: str, folded: str) -> Sequence[int]:
    """For each character of the folded form of `text`, the index of the one that it comes from.

    Folding never shortens, character by character: so of equal length means in equal places.
    """
    if len(folded) == len(text):
        return range(len(text))
    return [index for index, character in enumerate(text) for _ in character.casefold()]


def places(text: str, names: Iterable[str]) -> list[Span]:
    """The places where the normalised `text` has one of `names`, which are all ways to write the same, in order.

    Behind the first cashtag among them come other forms of the ticker: texts have those in brackets behind a name,
    and they are places only where nothing else is, short ones as they are written or behind a dollar sign. Of
    places that overlap (Acme and Acme Steel) that counts which begins first, and of these the longest.
    """
    folded = fold(text)
    origin = origins(text, folded)
    found: set[Span] = set()
    tickers = False
    for name in names:
        cashtag = name.startswith("$")
        if found and tickers and not cashtag:
            continue
        tickers |= cashtag
        written = normalise(name)
        wanted = fold(written)
        alone = (
            place
            for start in _occurrences(folded, wanted)
            if stands_alone(folded, start, start + len(wanted))
            and not is_no_cashtag(text, *(place := (origin[start], origin[start + len(wanted) - 1] + 1)))
        )
        spans = set(islice(alone, MOST_PLACES))
        # "A gains on B" is of A, and "AI falls" of AI; but not every "a" and every "ai" is, and in capitals none.
        short = tickers and wanted.isalpha() and len(wanted) <= SHORT_TICKER
        if short or len(wanted) == 1:
            telling = not short or (len(wanted) > 1 and plain(text) == simplified(text))
            spans = {
                (start, end)
                for start, end in spans
                if (telling and text[start:end] == written) or _has_dollar(text, start, end)
            }
        found |= spans
    apart: list[Span] = []
    for start, end in sorted(found, key=lambda place: (place[0], -place[1])):
        if not apart or start >= apart[-1][1]:
            apart.append((start, end))
    return apart


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


def _has_dollar(text: str, start: int, end: int) -> bool:
    """Whether a dollar sign before it makes a cashtag of a word."""
    sign = len(text[:start].rstrip(" ")) - 1
    return sign >= 0 and text[sign] == "$" and not is_no_cashtag(text, sign, end)


def _in_word(character: str) -> bool:
    return (character.isalnum() or character == "_") and not _UNSPACED.match(character)
