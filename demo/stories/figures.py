"""Figures as the two languages write them: shares, sums, prices, counts."""

from collections.abc import Callable
from random import Random

from demo.stories.companies import Company
from demo.stories.voices import Voice

YUAN_PER_DOLLAR = 7

Figure = Callable[[Random, Voice, Company | None], str]


def _between(rng: Random, low: float, high: float) -> float:
    return low + rng.random() * (high - low)


def _share(low: float, high: float, digits: int) -> Figure:
    def share(rng: Random, _voice: Voice, _company: Company | None) -> str:
        return f"{_between(rng, low, high):.{digits}f}%"

    return share


def _sum(low: float, high: float) -> Figure:
    """A sum of money between `low` and `high` million yuan, to two significant figures."""

    def sum_of_money(rng: Random, voice: Voice, company: Company | None) -> str:
        # Equal chances for each order of magnitude, as real figures have.
        in_dollars = company is not None and company.currency == "usd"
        amount_in_yuan = low * (high / low) ** rng.random()
        millions = float(f"{amount_in_yuan / (YUAN_PER_DOLLAR if in_dollars else 1):.2g}")
        if voice.language == "chinese":
            amount = f"{millions / 100:g}亿" if millions >= 100 else f"{millions * 100:g}万"
            return amount + ("美元" if in_dollars else "元")
        if millions >= 1000:
            amount = f"{millions / 1000:g} billion"
        else:
            amount = f"{millions:g} million" if millions >= 1 else f"{millions * 1_000_000:,.0f}"
        return f"${amount}" if in_dollars else f"{amount} yuan"

    return sum_of_money


def _per_share(low: float, high: float) -> Figure:
    """A price between `low` and `high` times what a share costs; of good news the upper part."""

    def per_share(rng: Random, voice: Voice, company: Company | None) -> str:
        price = company.price if company else 10.0
        currency = company.currency if company else "yuan"
        middle = (low + high) / 2
        lowest = middle if voice.tone == "good" else low
        highest = middle if voice.tone == "bad" else high
        amount = f"{price * _between(rng, lowest, highest):.2f}"
        if voice.language == "chinese":
            return amount + {"yuan": "元", "hkd": "港元", "usd": "美元"}[currency]
        return {"yuan": f"{amount} yuan", "hkd": f"HK${amount}", "usd": f"${amount}"}[currency]

    return per_share


def _whole(low: int, high: int, step: int = 1) -> Figure:
    def whole(rng: Random, _voice: Voice, _company: Company | None) -> str:
        return str(low + step * int(rng.random() * ((high - low) // step + 1)))

    return whole


def _tens_of_thousands(low: int, high: int) -> Figure:
    """Hundreds, which Chinese counts in 万: 12,400 and 1.24万."""

    def tens_of_thousands(rng: Random, voice: Voice, _company: Company | None) -> str:
        number = 100 * round(_between(rng, low, high) / 100)
        return f"{number / 10_000:g}万" if voice.language == "chinese" else f"{number:,}"

    return tens_of_thousands


FIGURES: dict[str, Figure] = {
    "percent": _share(2, 9, 1),
    "rate": _share(1.2, 4.6, 1),
    "percent_or_more": _share(12, 24, 0),
    "much": _share(12, 17.4, 0),
    "fall": _share(19, 29, 0),
    "jump": _share(12, 17.4, 1),
    "money": _sum(210, 9800),
    "smallmoney": _sum(2.1, 98),
    "bigmoney": _sum(11000, 42000),
    "price": _per_share(0.97, 1.03),
    "target": _per_share(0.75, 1.3),
    "cents": _per_share(0.01, 0.04),
    "count": _whole(120, 940, 10),
    "days": _whole(3, 14),
    "digit": _whole(0, 9),
    "bitcoin": _tens_of_thousands(68_100, 74_900),
    "many": _tens_of_thousands(11_000, 49_000),
}
"""By the name of the blank. The tone matters only to prices."""
