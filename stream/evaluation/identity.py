"""Which texts are the same: by their letters and digits alone, so that a repost with another link, another
punctuation or another case is the same text, and so is one in traditional characters, read as simplified."""

import hashlib
import re

from stream.text import simplified

_TELLING = re.compile(
    # Letters and digits; a sign before a figure, and the point in it; comparisons, arrows and emoji.
    r"[^\W_]|(?<![^\W_])[+\-\u2212](?=[$€£¥]?\.?\d)|(?<=\d)\.(?=\d)|[<>≤≥▲△▼▽]"
    r"|[\u2190-\u21ff\u2600-\u27ff\u2900-\u297f\u2b00-\u2bff\U0001f000-\U0001faff]"
)


def text_key(text: str) -> str:
    """Identity of a text: 12 hex digits of the SHA-256 of its letters and digits, simplified and case-folded.

    A text of symbols alone (an emoji) is identified by itself.
    """
    bare = "".join(character for character in simplified(text).casefold() if character.isalnum()) or text
    return hashlib.sha256(bare.encode("utf-8", "surrogatepass")).hexdigest()[:12]


def statement(text: str) -> str:
    """What copies share that say the same, so that the label of one is that of all: other than for `text_key`,
    signs of figures, their points, arrows and emoji count."""
    return "".join(_TELLING.findall(simplified(text).casefold())).replace("\u2212", "-") or text
