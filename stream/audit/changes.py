"""Changes to a text that should change no sentiment. Pure.

Each takes a text, the names of the companies in it, and a source of chance, and gives the text changed, or None
where there is nothing to change.
"""

import random
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

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
# The forms that news of finance needs, where one simplified character has one traditional form.
_SIMPLIFIED = (
    "业绩涨净亏损债违约风险监处罚调查诉讼产经营收润减资质押实际制诈骗称报亿万买卖价张这个为与对会来时国东头动"
    "长开问题现进还过让将从应当关严单达预计达压边连续创历团银证券汇贷贬值终确认审计员总裁离职辞扩张维权众广财务"
    "贴补转让权规划战继续务门传闻电车药医农业环链网络讯华龙爱马飞机场馆飙红绿轮两无极难跃旧线图显态势优虚赢输强"
)
_TRADITIONAL = (
    "業績漲淨虧損債違約風險監處罰調查訴訟產經營收潤減資質押實際製詐騙稱報億萬買賣價張這個為與對會來時國東頭動"
    "長開問題現進還過讓將從應當關嚴單達預計達壓邊連續創歷團銀證券匯貸貶值終確認審計員總裁離職辭擴張維權眾廣財務"
    "貼補轉讓權規劃戰繼續務門傳聞電車藥醫農業環鏈網絡訊華龍愛馬飛機場館飆紅綠輪兩無極難躍舊線圖顯態勢優虛贏輸強"
)
_TO_TRADITIONAL = str.maketrans(_SIMPLIFIED, _TRADITIONAL)
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
    pattern = re.compile(rf"\b(?:{spaced})\b|{unspaced}", re.IGNORECASE)

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
    """In traditional characters, as far as a table of the most frequent ones goes."""
    return _if_new(
        text.translate(_TO_TRADITIONAL), text, tuple(name.translate(_TO_TRADITIONAL) for name in names)
    )


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
