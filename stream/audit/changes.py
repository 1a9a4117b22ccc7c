"""Changes to a text that should change no sentiment. Pure.

Each takes a text, the names of the companies in it, and a source of chance, and gives the text changed, or None
where there is nothing to change.
"""

import random
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache

from opencc import OpenCC

from stream.names import Span, overlap, places, rewrite


@dataclass(frozen=True, slots=True)
class Changed:
    """A changed text, and the names that its companies have in it, in their order."""

    text: str
    names: tuple[str, ...]


Change = Callable[[str, tuple[str, ...], random.Random], Changed | None]

_PERSONS = (
    "he she, his her, him her, himself herself, man woman, men women, mr ms, father mother, brother sister, "
    "chairman chairwoman, businessman businesswoman, spokesman spokeswoman, 他 她, 先生 女士, 父亲 母亲, 儿子 女儿"
)
_PLACES = (
    "american german, america germany, china france, chinese french, india italy, indian italian, japan spain, "
    "japanese spanish, london madrid, mumbai milan, beijing vienna, shanghai lisbon, "
    "上海 广州, 北京 成都, 深圳 杭州, 浙江 湖南, 江苏 湖北, 广东 四川, 山东 河南, 美国 德国, 日本 法国"
)
# In other words than those for persons: others, a guitar, a foreign country.
_HE = "(?<![其吉维无利排])他(?![国人乡日处山用杀])"
_LONG_WORD = re.compile(r"\b[a-zA-Z]{5,}\b")


def _swapped(pairs: str) -> Mapping[str, str]:
    both = [pair.split() for pair in pairs.split(", ")]
    # The first pair that has a word decides: `her` may be `him` or `his`.
    table: dict[str, str] = {}
    for one, other in both:
        table.setdefault(one, other)
        table.setdefault(other, one)
    return table


def _exchange(table: Mapping[str, str]) -> Change:
    spaced = "|".join(sorted((word for word in table if word.isascii()), key=len, reverse=True))
    unspaced = "|".join(sorted((word for word in table if not word.isascii()), key=len, reverse=True))
    unspaced = unspaced.replace("他", _HE)
    # ASCII only: the Turkish alphabet has letters that are an i to a search which ignores case, and to no table.
    pattern = re.compile(rf"\b(?a:{spaced})\b|{unspaced}", re.IGNORECASE)

    def change(text: str, names: tuple[str, ...], chance: random.Random) -> Changed | None:  # noqa: ARG001
        taken = [place for name in names for place in places(text, [name])]

        def replace(match: re.Match[str]) -> str:
            if _within(match.span(), taken):
                return match[0]
            other = table[match[0].lower()]
            return other.capitalize() if match[0][0].isupper() else other

        return _if_new(pattern.sub(replace, text), text, names)

    return change


def _within(span: Span, taken: Sequence[Span]) -> bool:
    return any(span[0] < end and start < span[1] for start, end in taken)


def _if_new(changed: str, text: str, names: tuple[str, ...]) -> Changed | None:
    return Changed(changed, names) if changed != text else None


def traditional(text: str, names: tuple[str, ...], chance: random.Random) -> Changed | None:  # noqa: ARG001
    """In traditional characters, word by word."""
    convert = _to_traditional().convert
    return _if_new(convert(text), text, tuple(map(convert, names)))


@cache
def _to_traditional() -> OpenCC:
    return OpenCC("s2t")


def upper(text: str, names: tuple[str, ...], chance: random.Random) -> Changed | None:  # noqa: ARG001
    """In capitals."""
    return _if_new(text.upper(), text, tuple(name.upper() for name in names))


def lower(text: str, names: tuple[str, ...], chance: random.Random) -> Changed | None:  # noqa: ARG001
    """In small letters."""
    return _if_new(text.lower(), text, tuple(name.lower() for name in names))


def typo(text: str, names: tuple[str, ...], chance: random.Random) -> Changed | None:
    """With two neighbouring letters of a long word exchanged, no name's."""
    taken = [place for name in names for place in places(text, [name])]
    long = [match.span() for match in _LONG_WORD.finditer(text) if not _within(match.span(), taken)]
    if not long:
        return None
    start, end = chance.choice(long)
    place = chance.randrange(start + 1, end - 1)
    swapped = text[:place] + text[place + 1] + text[place] + text[place + 2 :]
    return _if_new(swapped, text, names)


def other_names(pool: Sequence[str]) -> Change:
    """With other companies' names, drawn from `pool`: those in the same script, so that it reads as before."""

    def change(text: str, names: tuple[str, ...], chance: random.Random) -> Changed | None:
        found = sorted((place, index) for index, name in enumerate(names) for place in places(text, [name]))
        if not found or overlap(place for place, _ in found):
            return None
        drawn = []
        for name in names:
            fitting = [other for other in pool if other.isascii() == name.isascii() and other not in names]
            if not fitting:
                return None
            drawn.append(chance.choice(fitting))
        if len(set(drawn)) < len(drawn):
            return None
        changed, _ = rewrite(text, ((place, drawn[index]) for place, index in found))
        return Changed(changed, tuple(drawn))

    return change


def changes(pool: Sequence[str]) -> dict[str, Change]:
    """Every kind of change, by name; `pool` are names of companies."""
    return {
        "name": other_names(pool),
        "gender": _exchange(_swapped(_PERSONS)),
        "region": _exchange(_swapped(_PLACES)),
        "script": traditional,
        "typo": typo,
        "upper case": upper,
        "lower case": lower,
    }
