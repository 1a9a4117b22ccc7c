"""Figures that a text compares: `EUR 41.2 mn, against EUR 55.8 mn` is bad news that no word gives away.

A small encoder does not learn from examples that 41.2 is less than 55.8. So it is told: behind either figure of a
pair stands whether it is the greater or the lesser one. What that means, and for whom, is the model's to judge.

A pair is a figure and its reference: what was, or what was expected. Words beside a figure tell which it is.
"""

import re
from dataclasses import dataclass
from enum import IntEnum

from stream.figures import Figure, figures
from stream.text import language

_FARTHEST = 120
"""Characters between two figures that are still compared."""
_NEIGHBOURS = 3
"""How many figures further on the other one of a pair may stand."""
_MOST_APART = 5.0
"""How many times the lesser the greater may be: beyond that two figures are hardly of the same thing,"""
_JOINED_APART = 50.0
"""unless a word between them holds one against the other."""
_CLOSE = 1.5
"""And so many times if one is a whole number and one is not."""
_BESIDE = 45
"""Characters behind a figure in which a word says what it is."""
_WORDS = {"en": (" less", " more", " same"), "zh": ("更少", "更多", "相同")}

_EXPECTED = (
    r"\b(?:est|estim\w+|exp|expect\w+|consensus|cons|forecasts?|fcast|poll(?:ed)?|budget\w*|plan(?:ned)?"
    r"|street|models?|modelled|assum\w+|median|analysts?)\b"
)
_EXPECTED_CHINESE = "预期|预估|预测|此前预|原(?:预|计|定|先|来|指)|目标为|计划|市场|模型|卖方|机构|华尔街"
_WITH = r"(?:the |an? |its )?(?:estimates? of |est\.? ?|expected |forecast )?"
_JOINS = re.compile(
    rf"(?:\b(?:from|v)\.? {_WITH}|\b(?:vs|versus|against|compared (?:with|to)|than)\b[^\d,;()]{{0,28}}"
    r"|(?:vs|较|由|从|低于|高于|不及|超过|对比|对照)(?:市场)?(?:预期的?|预计的?|的)?|->) ?[-\u2212(]?$",
    re.IGNORECASE,
)
_BEFORE = re.compile(
    rf"{_EXPECTED}|{_EXPECTED_CHINESE}|\b(?:prior|previous\w*|prev\w?|preceding|last|year-(?:ago|earlier)|earlier|ago"
    r"|before\w*|corresponding|comparative|then|yesterday|had|peers?|average|industry|IPO|open\w*|start of)\b"
    r"|同期|同季|同月|去年|上年|前年|前值|此前|之前|首次|上一?[个期月季半周次年]|[前半][期一次收日]|[年月期]初|[周月年日天]前"
    r"|昨|原|平均|均值|中位|行业|同行|招股|发行价",
    re.IGNORECASE,
)
# What stands behind a figure and runs on into the next one is the next one's, but for what names a time.
_BEHIND = re.compile(
    r"\b(?:earlier|ago|before|previously|prior|then|last (?:year|quarter|month|week|time)"
    r"|(?:corresponding|same|previous|preceding|year-ago|comparative) \w+)\b",
    re.IGNORECASE,
)
_BEHIND_ALONE = re.compile(rf"{_BEHIND.pattern}|{_EXPECTED}|^\s?E\b", re.IGNORECASE)
_EXPECTS = re.compile(rf"{_EXPECTED}|{_EXPECTED_CHINESE}|前值|\bprev|\bprior", re.IGNORECASE)
_PERIOD = re.compile(
    r"(?:19|20)\d\d|\bQ[1-4]\b|\b(?:first|second|third|fourth) (?:quarter|half)|[一二三四]季度|\d月"
    r"|第?[一二三四]期|\b(?:now|today)\b|今[年天]|本[期月]",
    re.IGNORECASE,
)
_LOSS = re.compile(r"\b(?:loss(?:es)?|deficit)\b|亏", re.IGNORECASE)
_PROFIT = re.compile(r"\b(?:profits?|earn(?:ed|ings)|net income|surplus)\b|盈|净利|赚", re.IGNORECASE)
# Words that say themselves which way it went: then nothing is to be added, least of all what might contradict.
_DIRECTION = re.compile(
    r"\b(?:up|down|rose|risen|ris(?:es?|ing)|f[ae]ll(?:s|en|ing)?|grew|grown|grow(?:s|ing)?|gain(?:s|ed|ing)?"
    r"|increas\w+|decreas\w+|declin\w+|dropp?\w*|jump\w*|surg\w+|soar\w*|climb\w*|slid\w*|slip\w*|plung\w+"
    r"|tumbl\w+|shr[aiu]nk\w*|widen\w*|narrow\w*|improv\w+|weaken\w*|strengthen\w*|rais(?:e[sd]?|ing)|lift\w*|cut(?:s|ting)?"
    r"|lower\w*|higher|trimm?\w*|slash\w*|doubl\w+|halv\w+|tripl\w+|swung|swing\w*|beat(?:s|ing)?|miss(?:es|ed|ing)?"
    r"|exceed\w*|topp(?:ed|ing)|tops|better|worse|eas(?:ed|ing)|cool(?:ed|ing)|slow(?:s|ed|ing)|turn(?:s|ed|ing)?)\b"
    r"|增[至加长到]|[升涨]至|上[升涨调修]|提[高升]|[降跌减缩]至|下[降滑跌调修]|减[少至]|扩大|收窄|扭亏|转[盈亏]|高于|低于|超过|不及",
    re.IGNORECASE,
)
_BRACKET = re.compile(r"\s?\(\s?-?")
_LIST = re.compile(r"\s?[、和及]\s?")
_CLAUSE = re.compile(r"[,;(|。]|(?<!vs)(?<!est)(?<!exp)(?<!cons)\. ", re.IGNORECASE)


class Role(IntEnum):
    """What a figure is to the others."""

    SUBJECT = 0
    LABELLED = 1
    """A reference, by a word beside it."""
    JOINED = 2
    """A reference, by a word that holds it against another."""


@dataclass(frozen=True, slots=True)
class Mention:
    """A figure with the words around it that may be about it."""

    figure: Figure
    before: str
    behind: str
    runs_on: bool
    """Whether the words behind it lead up to the next figure."""

    @property
    def role(self) -> Role:
        """What its words make of it."""
        if _JOINS.search(self.before):
            return Role.JOINED
        behind = _BEHIND if self.runs_on else _BEHIND_ALONE
        return Role.LABELLED if _BEFORE.search(self.before) or behind.search(self.behind) else Role.SUBJECT

    @property
    def period(self) -> str | None:
        """The year, the quarter or the month that it is of."""
        found = _PERIOD.search(self.behind[:16]) or next(reversed([*_PERIOD.finditer(self.before)]), None)
        return found.group().casefold() if found else None

    @property
    def is_loss(self) -> bool | None:
        """Whether it is a loss, or a profit; None where it is neither."""
        if _LOSS.search(self.before):
            return True
        return False if _PROFIT.search(self.before) else None


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two figures of a kind, in the order of the text."""

    one: Figure
    other: Figure
    change: float
    """Above 0 where the second is greater, 0 where they are the same."""


def marks(text: str) -> list[tuple[int, str]]:
    """What is to stand in a normalised text besides, and from which character on, in order."""
    less, more, same = _WORDS["zh" if language(text) == "zh" else "en"]
    found = []
    for pair in comparisons(text):
        words = (same, same) if pair.change == 0 else (less, more) if pair.change > 0 else (more, less)
        found += [(pair.one.place[1], words[0]), (pair.other.place[1], words[1])]
    return sorted(found)


def comparisons(text: str) -> list[Comparison]:
    """The pairs that a normalised text compares, in order; each figure is in one at most, the plainest."""
    mentions = _mentions(text)
    candidates = [
        (-strength, second - first, first, second)
        for first in range(len(mentions))
        for second in range(first + 1, min(first + 1 + _NEIGHBOURS, len(mentions)))
        if (strength := _strength(text, mentions[first], mentions[second], adjacent=second == first + 1))
    ]
    taken: set[int] = set()
    found = []
    for _, _, first, second in sorted(candidates):
        if taken.isdisjoint((first, second)):
            taken |= {first, second}
            found.append((first, second))
    return [
        Comparison(one.figure, other.figure, change)
        for one, other in ((mentions[first], mentions[second]) for first, second in sorted(found))
        if not _says_itself(text, one, other) and (change := _change(one, other)) is not None
    ]


def _mentions(text: str) -> list[Mention]:
    found = figures(text)
    ends = [0, *(figure.place[1] for figure in found)]
    starts = [*(figure.place[0] for figure in found), len(text)]
    mentions = []
    for figure, end, start in zip(found, ends, starts[1:], strict=False):
        before = text[max(end, figure.place[0] - _BESIDE) : figure.place[0]]
        clause, *rest = _CLAUSE.split(text[figure.place[1] : start], maxsplit=1)
        mentions.append(
            Mention(
                figure,
                # The words in front of the first figure are all its own.
                _CLAUSE.split(before)[-1] if end else before,
                clause[:_BESIDE],
                runs_on=not rest and start < len(text),
            )
        )
    return mentions


def _says_itself(text: str, one: Mention, other: Mention) -> bool:
    """Whether words tell the direction, or that one is a loss and the other a profit."""
    between = text[one.figure.place[1] : other.figure.place[0]]
    if {one.is_loss, other.is_loss} == {True, False} or _DIRECTION.search(between):
        return True
    # A rise since last year says nothing of what was expected.
    expected = one.figure.is_change or _EXPECTS.search(between + other.behind)
    return not expected and _DIRECTION.search(one.before) is not None


def _strength(text: str, one: Mention, other: Mention, *, adjacent: bool) -> int:
    """How plainly the two are compared; 0 if they are not."""
    between = text[one.figure.place[1] : other.figure.place[0]]
    if len(between) > _FARTHEST or _LIST.fullmatch(between):
        return 0
    roles = one.role, other.role
    bracketed = (
        adjacent and _BRACKET.fullmatch(between) is not None and text.startswith(")", other.figure.place[1])
    )
    joined = adjacent and (
        other.role is Role.JOINED or (one.role is Role.JOINED and other.role is Role.SUBJECT)
    )
    labelled = roles[0] != roles[1]
    by_period = (
        adjacent and roles == (0, 0) and one.period is not None and other.period not in (None, one.period)
    )
    if not (bracketed or joined or labelled or by_period):
        return 0
    # What something changed by is held against nothing but what was expected of it.
    if (one.figure.is_change or other.figure.is_change) and not _EXPECTS.search(between + other.behind):
        return 0
    if not _alike(one.figure, other.figure, joined=joined or bracketed):
        return 0
    return 3 if joined or bracketed else 2 if labelled else 1


def _alike(one: Figure, other: Figure, *, joined: bool) -> bool:
    """Whether their forms are those of figures of the same thing."""
    if one.is_share != other.is_share or (one.currency and other.currency and one.currency != other.currency):
        return False
    if (one.magnitude is None) != (other.magnitude is None) and not joined:
        return False
    if one.is_share:
        return True
    lesser, greater = sorted((abs(one.values(other)[1]), abs(other.values(one)[1])))
    # 3 plants and 1.4 litres; but an index of 58.7, where 60 was expected.
    same_form = one.is_whole == other.is_whole or one.currency == other.currency is not None or one.magnitude
    return greater <= (_JOINED_APART if joined else _MOST_APART if same_form else _CLOSE) * lesser


def _change(one: Mention, other: Mention) -> float | None:
    """By what the second is more; None where ranges overlap."""
    (low, high), (other_low, other_high) = one.figure.values(other.figure), other.figure.values(one.figure)
    if low == other_low and high == other_high:
        return 0.0
    if other_low >= high:
        return other_low - low
    return other_high - high if other_high <= low else None
