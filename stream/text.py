"""Text normalisation, the same function in training and in the stream."""

import html
import re
import unicodedata
from functools import cache
from typing import Literal

from opencc import OpenCC

MAXIMUM_CHARACTERS = 4_000
"""Longer text is cut: a few hundred tokens are judged, and a 5 MB body must not be tokenised."""

_SHORTEST_SHOUT = 20
"""Shorter texts in capitals may be nothing but names."""

# What no address has unescaped ends it: a quotation mark or a tag may touch it.
_LINK = re.compile(r"(?i:https?://|www\.)(?:[!#-&(-;=?-_a-~]|'(?=[A-Za-z]))+")
# By name, with attributes or none: <AAPL.O> is a company, and x<b and c>d no tag. Within a tag no other begins, so
# that any number of them takes linear time.
_UNSEEN = re.compile(r"<(script|style)\b[^<>]*>[^<]*</\1\s*>|<!--[^<>]*-->", re.IGNORECASE)
_WITHIN_WORDS = re.compile(
    r"</?(?:abbr|acronym|a|big|b|cite|code|del|em|font|ins|i|label|mark|q|small|span|strike|strong|sub|sup|s|time|tt|u|wbr)"
    r"(?:\s(?=[^<>]*=)[^<>]*)?\s*/?>",
    re.IGNORECASE,
)
_BETWEEN_WORDS = re.compile(
    r"</?(?:article|aside|blockquote|body|br|button|center|dd|div|dl|dt|embed|figcaption|figure|footer|form|h[1-6]|header"
    r"|head|hr|html|iframe|img|input|link|li|main|meta|nav|object|ol|param|picture|pre|p|section|source|svg|table|tbody"
    r"|td|tfoot|thead|th|title|tr|ul|video)(?:\s(?=[^<>]*=)[^<>]*)?\s*/?>",
    re.IGNORECASE,
)
_SENTENCE_END = re.compile(r"[。!?…]+ ?|\. ")
_SPACE = re.compile(r"\s+")
# Control and format characters carry no meaning here, but they split words: zero-width space,
# soft hyphen, direction marks. Surrogates cannot be encoded at all. The zero-width joiner
# is kept, since emoji are built with it.
_INVISIBLE = re.compile(
    r"[\x00-\x08\x0e-\x1b\x7f-\x84\x86-\x9f\u00ad\u061c\u200b\u200c\u200e\u200f\u202a-\u202e\u2060-\u206f\ufeff\ud800-\udfff]"
)


def normalise(text: str) -> str:
    """Return `text` as the model sees it: one line, no links, no tags of HTML, no invisible characters.

    Full-width letters and digits become their usual forms (NFKC), HTML entities their characters.
    The result may be empty, when nothing but links, tags or control characters was there.
    """
    # Cut twice: links and entities may shrink the text, and NFKC may lengthen it.
    text = html.unescape(text[: 4 * MAXIMUM_CHARACTERS])
    text = _INVISIBLE.sub("", text)
    if "<" in text:
        text = _BETWEEN_WORDS.sub(" ", _WITHIN_WORDS.sub("", _UNSEEN.sub(" ", text)))
        text = _UNSEEN.sub(" ", text)  # comments that had tags in them
    # Before NFKC, which makes of full-width punctuation, the end of an address, what an address may have.
    text = _LINK.sub(" ", text)
    text = unicodedata.normalize("NFKC", text)
    return _SPACE.sub(" ", text).strip()[:MAXIMUM_CHARACTERS]


def sentence_start(text: str, place: int, reach: int) -> int:
    """Where the sentence begins that has this place in normalised `text`; a word of it, where that is farther off
    than `reach` characters."""
    start = max(0, place - reach)
    ends = [match.end() for match in _SENTENCE_END.finditer(text, start, place)]
    if ends:
        return ends[-1]
    space = text.find(" ", start, place)
    return start if start == 0 or space < 0 else space + 1


def simplified(text: str) -> str:
    """Return `text` in simplified Chinese characters. Every character keeps its place."""
    return text if text.isascii() else text.translate(_simplified_characters())


@cache
def _simplified_characters() -> dict[int, str]:
    """Of each traditional character its simplified form, by the first entry of OpenCC's table of characters."""
    ranges = ((0x3400, 0x4DC0), (0x4E00, 0xA000), (0xF900, 0xFB00))
    characters = [chr(code) for start, end in ranges for code in range(start, end)]
    # Apart from each other, since words may be converted otherwise than their characters.
    converted = OpenCC("t2s").convert("\n".join(characters)).split("\n")
    return {ord(one): other for one, other in zip(characters, converted, strict=True) if one != other}


def plain(text: str) -> str:
    """Return normalised `text` as it is cut into tokens: in simplified characters, and in small letters if it
    is all in capitals.

    Encoders have read little in traditional characters, and of words in capitals they make letters. Every
    character keeps its place.
    """
    text = simplified(text)
    # Of Chinese texts the few Latin letters are often all capitals, and names.
    if not text.isupper() or 2 * sum(map(str.isupper, text)) < len(text) or len(text) < _SHORTEST_SHOUT:
        return text
    return "".join(small if len(small := character.lower()) == 1 else character for character in text)


def language(text: str) -> Literal["zh", "en", "other"]:
    """Tell Chinese and English apart by script, good enough to report scores by language.

    Chinese is what has at least one Han character in eight letters: Chinese news is full of Latin
    tickers and names, English news has hardly a Han character.
    """
    han = latin = other = 0
    for character in text:
        if "\u4e00" <= character <= "\u9fff" or "\u3400" <= character <= "\u4dbf":
            han += 1
        elif character.isascii():
            latin += character.isalpha()
        elif character.isalpha():
            other += 1
    letters = han + latin + other
    if letters and 8 * han >= letters:
        return "zh"
    return "en" if latin > other else "other"
