"""The figures of a text: numbers that say how much there is of something, with their units."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import islice

from stream.names import Span

MOST = 64
"""Figures of a text that are looked at: what is behind them no model reads."""

_MAGNITUDES = {
    "k": 1e3, "thousand": 1e3, "lakh": 1e5, "lakhs": 1e5, "cr": 1e7, "crore": 1e7, "crores": 1e7,
    "m": 1e6, "mn": 1e6, "mln": 1e6, "mio": 1e6, "million": 1e6, "millions": 1e6,
    "b": 1e9, "bn": 1e9, "bln": 1e9, "billion": 1e9, "billions": 1e9,
    "t": 1e12, "tn": 1e12, "trln": 1e12, "trillion": 1e12,
    "万": 1e4, "百万": 1e6, "千万": 1e7, "亿": 1e8, "万亿": 1e12,
}  # fmt: skip
_CURRENCIES_BEFORE = {
    "$": "USD", "us$": "USD", "usd": "USD", "€": "EUR", "eur": "EUR", "£": "GBP", "gbp": "GBP", "¥": "JPY",
    "jpy": "JPY", "₹": "INR", "inr": "INR", "rs": "INR", "rs.": "INR", "hk$": "HKD", "hkd": "HKD", "cny": "CNY",
    "rmb": "CNY", "a$": "AUD", "aud": "AUD", "c$": "CAD", "cad": "CAD", "sek": "SEK", "nok": "NOK", "dkk": "DKK",
    "chf": "CHF",
}  # fmt: skip
_CURRENCIES_BEHIND = {
    "dollars": "USD", "dollar": "USD", "cents": "USD", "cent": "USD", "euros": "EUR", "euro": "EUR",
    "pounds": "GBP", "pence": "GBP", "p": "GBP", "yen": "JPY", "rupees": "INR", "yuan": "CNY", "kronor": "SEK",
    "francs": "CHF", "美元": "USD", "欧元": "EUR", "英镑": "GBP", "日元": "JPY", "港元": "HKD", "港币": "HKD",
    "元": "CNY",
}  # fmt: skip
_LONGEST = 5
"""Digits of a number that is written without commas; a longer one is a code."""
_YEARS = (1900, 2100)
_HUNDREDTHS = frozenset({"cents", "cent", "pence", "p"})


def _one_of(words: Iterable[str]) -> str:
    """A pattern of any of the words, the longest first; of Latin ones no letter goes on."""
    ordered = sorted(words, key=len, reverse=True)
    latin = "|".join(re.escape(word) for word in ordered if word.isascii())
    other = "|".join(word for word in ordered if not word.isascii())
    return "|".join(
        [*([f"(?:{latin})(?![A-Za-z\u00c0-\u024f])"] if latin else []), *([other] if other else [])]
    )


# ASCII only: the Turkish alphabet has letters that are an i to a search which ignores case, and to nothing else.
_NUMBER = re.compile(
    r"(?a:(?P<number>(?:\d{1,3}(?:,\d{3})+|\d+)(?:\s?\.\d+)?|(?<!\d)\.\d+)"
    r"(?:\s?(?P<share>%|per\s?cent\b|pct\b)"
    r"|\s?(?P<points>bps\b|basis points?\b|percentage points?\b|个?基点|个?百分点)"
    rf"|[\s-]?(?P<magnitude>{_one_of(_MAGNITUDES)}))?"
    rf"(?:\s?(?P<unit>{_one_of(_CURRENCIES_BEHIND)}))?)",
    re.IGNORECASE,
)
_CURRENCY = re.compile(
    rf"(?a:(?<![A-Za-z])({'|'.join(map(re.escape, sorted(_CURRENCIES_BEFORE, key=len, reverse=True)))}))"
    r"(?:\s?([-\u2212]?)|\()$",
    re.IGNORECASE,
)
# Behind these a figure alone in brackets is a loss. Behind other words it explains, as in `phones (61.5 million)`.
_LOST = re.compile(
    r"(?:\b(?:EPS|EBITDA?|FFO|earnings|income|loss(?:es)?|cash flow)\b[^\d,;()]{0,28}"
    r"|\b(?:vs?|versus|against|from)\.? ?)\($",
    re.IGNORECASE,
)
# With these before it a number is part of a word, a date, a time or a version.
_INSIDE = re.compile(r"(?:[A-Za-z_]|\d[-/:.,]|[#@№{]\d?|第)$")
_MINUS = re.compile(r"(?<![A-Za-z0-9)%亿万元])[-\u2212]\s?$")
_MONTH = (
    r"(?:Jan(?:uary)?|Feb(?:ruary)?|Mar(?:ch)?|Apr(?:il)?|May|June?|July?|Aug(?:ust)?|Sept?(?:ember)?|Oct(?:ober)?"
    r"|Nov(?:ember)?|Dec(?:ember)?)"
)
# Without a unit it measures nothing behind these, which have numbers,
_NUMBERED = re.compile(
    rf"(?:\b(?:{_MONTH}|No|page|article|phase|scope|S&P|FTSE|DAX|CAC|Nasdaq|Nikkei|Russell|iPhone|Series)\.? ?"
    r"|[\u4e00-\u9fff]\()$",
    re.IGNORECASE,
)
# and before these, of which there are so many, or of whose time it is.
_COUNTED = re.compile(
    r"[A-Za-z_—–]|[-/:.]\d|\. ?[A-Z]|-(?:day|week|month|year)|(?:st|nd|rd|th)\b| ?[ap]\.?m\b"
    r"|[\u4e00-\u9fff](?<![辆台户间件张座天吨度点和及较而但低高])"
    rf"|[ -](?:{_MONTH}|months?|weeks?|years?|quarters?|hours?|minutes)\b",
    re.IGNORECASE,
)
_ABOUT = r"(?: an?| about| some| around| nearly| almost| over| more than)? ?"
_RISES = re.compile(
    r"(?:\b(?:up|rose|rises?|rising|grew|grows?|gain(?:s|ed)?|added|adds|jump(?:s|ed)?|surge[sd]?|climb(?:s|ed)?"
    rf"|soar(?:s|ed)?|increase[sd]?|(?:growth|rise|gain|increase) of|by){_ABOUT}"
    r"|\+|(?:增长?|增加|新增|上涨|上升|提高|扩大|加快|涨|上修|[涨增]幅)(?:了|约|近|超过?|逾|达|为)?)$",
    re.IGNORECASE,
)
_FALLS = re.compile(
    r"(?:\b(?:down|fell|falls?|falling|lost|loses|sheds?|drop(?:s|ped)?|slid|slides?|slip(?:s|ped)?|plunge[sd]?"
    rf"|tumble[sd]?|decrease[sd]?|decline[sd]?|(?:drop|fall|decrease|decline) of){_ABOUT}"
    r"|(?:减少?|下降|下滑|下跌|降低?|回落|收窄|跌|下修|[跌降]幅)(?:了|约|近|超过?|逾|达|为)?)$",
    re.IGNORECASE,
)
_RANGE = re.compile(r"\s?(?:-|–|—|~|至|到|to|and)\s?", re.IGNORECASE)
_FROM = re.compile(r"(?:\bfrom|由|从)\s?$", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Figure:
    """How much there is of something, or from how much to how much; of changes, falls are negative."""

    place: Span
    """With its unit."""
    low: float
    high: float
    magnitude: str | None
    currency: str | None
    is_share: bool
    """Of a hundred."""
    is_whole: bool
    is_change: bool

    def values(self, beside: "Figure") -> tuple[float, float]:
        """From what to what; without a magnitude of its own, as in `from 3.1 to 2.5 million`, with the other's."""
        magnitude = self.magnitude or beside.magnitude
        factor = _MAGNITUDES[magnitude] if magnitude else 1.0
        return self.low * factor, self.high * factor


def figures(text: str) -> list[Figure]:
    """Those of a normalised text, in order: no dates, no codes, no numbers of things; a range is one."""
    found: list[Figure] = []
    for figure in islice(_numbers(text), MOST):
        if found and _is_range(text, found[-1], figure):
            found.append(_range(found.pop(), figure))
        else:
            found.append(figure)
    return found


def _range(first: Figure, last: Figure) -> Figure:
    # 3 to 4 million; but of 900 million to 1.2 billion each has its own.
    factor = _MAGNITUDES[last.magnitude] if last.magnitude else 1.0
    low, high = sorted((first.values(last)[0] / factor, last.low))
    return replace(
        last,
        place=(first.place[0], last.place[1]),
        low=low,
        high=high,
        currency=last.currency or first.currency,
        is_change=first.is_change,
    )


def _is_range(text: str, one: Figure, other: Figure) -> bool:
    return (
        one.low == one.high
        and (one.is_share == other.is_share or other.is_share)
        and _RANGE.fullmatch(text, one.place[1], other.place[0]) is not None
        and _FROM.search(text, max(0, one.place[0] - 6), one.place[0]) is None
    )


def _numbers(text: str) -> Iterator[Figure]:
    lost: tuple[str | None, str | None] | None = None
    for match in _NUMBER.finditer(text):
        number, unit = match["number"], (match["unit"] or "").lower()
        start = match.start()
        before = text[max(0, start - 32) : start]
        currency = _CURRENCY.search(before)
        if currency:
            start -= len(before) - currency.start()
            before = before[: currency.start()]
        minus = _MINUS.search(before)
        if minus:
            before = before[: minus.start()]
        # Points are what shares change by.
        if match["points"] or (not currency and _INSIDE.search(before)):
            continue
        whole = "." not in number
        if not (currency or match["share"] or match["magnitude"] or unit) and (
            (whole and _is_name(number, before)) or _COUNTED.match(text, match.end())
        ):
            continue
        code = _CURRENCIES_BEFORE[currency[1].lower()] if currency else _CURRENCIES_BEHIND.get(unit)
        magnitude = match["magnitude"].lower() if match["magnitude"] else None
        # $(0.42) or ($0.42); what is held against a loss is written alike.
        outside = currency is not None and currency[0].endswith("(")
        inside = not minus and before.endswith("(") and (lost == (code, magnitude) or _LOST.search(before))
        is_loss = bool(outside or inside) and not match["share"] and text.startswith(")", match.end())
        lost = (code, magnitude) if is_loss else None
        if is_loss and not outside:
            # The bracket is its minus.
            start, before = start - 1, before[:-1]
        falls = _FALLS.search(before) is not None
        value = float(re.sub(r"[,\s]", "", number)) * (0.01 if unit in _HUNDREDTHS else 1)
        value = -value if falls or minus or is_loss or (currency and currency[2]) else value
        yield Figure(
            place=(start, match.end()),
            low=value,
            high=value,
            magnitude=magnitude,
            currency=code,
            is_share=match["share"] is not None,
            is_whole=whole,
            is_change=falls or _RISES.search(before) is not None,
        )


def _is_name(number: str, before: str) -> bool:
    """Whether a whole number without a unit is a code, a year, or the number of something."""
    digits = number.replace(",", "")
    code = len(digits) > _LONGEST or (digits[0] == "0" and digits != "0")
    year = digits == number and not code and _YEARS[0] <= int(digits) <= _YEARS[1]
    return (code and digits == number) or year or _NUMBERED.search(before) is not None
