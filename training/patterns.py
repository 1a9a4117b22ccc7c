"""Sentences whose direction hangs on two figures alone: patterns, filled again and again.

Of `41.2 mn, against 55.8 mn` labelled texts hardly teach which is good: a model goes by the words around it.
Where the greater figure is now here, now there, it is left with nothing else to go by.

A pattern is a JSON object:
    text    with `{now}`, the figure that counts, `{then}`, what it is compared with, and perhaps `{company}`
    better  `higher` or `lower`: which way `now` is good for who holds the company
    figure  what both are: `amount`, `integer`, `percent`, `per_share` or `price`
"""

import math
import random
from collections.abc import Callable, Iterator
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, field_validator

from stream.text import language

EVEN = 1 / 12
"""Share of the sentences in which nothing changed."""
CHANGES = (0.02, 1.0)
"""From the least to the greatest change, as a natural logarithm of the ratio."""

_NAMES = {
    "en": (
        "Adlerholm", "Brixfield", "Corvane", "Dunmere", "Eastholt", "Farrowgate", "Glenvoss", "Harlund",
        "Ivermoor", "Jastrow", "Kelbridge", "Lomarck", "Marvenna", "Northolme", "Ostrava Mills", "Pinehurst Labs",
        "Quillon", "Rosdale", "Stavenger", "Thornbury Foods", "Ullmann & Sons", "Vantrix", "Westmarch", "Yarrow",
    ),
    "zh": (
        "安泽股份", "博衡电子", "晨曜科技", "东渚银行", "恩瀚生物", "方渡物流", "广岑能源", "海砺重工",
        "锦溯食品", "凯澜汽车", "林嵘地产", "明汐传媒", "宁珩证券", "平屿保险", "启晟新材", "瑞沣医药",
    ),
}  # fmt: skip


class Pattern(BaseModel):
    """A sentence with places for two figures."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    text: str
    better: Literal["higher", "lower"]
    figure: Literal["amount", "integer", "percent", "per_share", "price"]

    @field_validator("text")
    @classmethod
    def _has_both_figures(cls, text: str) -> str:
        if text.count("{now}") != 1 or text.count("{then}") != 1:
            raise ValueError("wants {now} and {then}, each once")
        return text


def fill(pattern: Pattern, times: int) -> Iterator[dict[str, Any]]:
    """So many sentences of a pattern, always the same ones: `text`, `sentiment`, `entities`, the `figures`
    and the `pattern`.

    It is up and down in turn, so that nothing but the figures tells which.
    """
    chance = random.Random(pattern.text)
    first = chance.random() < 0.5
    tongue = "zh" if language(pattern.text) == "zh" else "en"
    for number in range(times):
        now, then = _figures(pattern.figure, tongue, chance, rises=(number % 2 == 0) == first)
        company = chance.choice(_NAMES[tongue])
        ticker = company[:4].upper()
        text = pattern.text.replace("${company}", f"${ticker}")
        names = [company] if "{company}" in text else [ticker] if "${company}" in pattern.text else []
        text = text.replace("{company}", company).replace("{now}", now[0]).replace("{then}", then[0])
        sentiment = _sentiment(now[1] - then[1], pattern.better)
        entities = [{"name": name, "sentiment": sentiment} for name in names]
        yield {
            "text": text,
            "sentiment": sentiment,
            "entities": entities,
            "figures": [now[0], then[0]],
            "pattern": pattern.text,
        }


def _sentiment(change: float, better: str) -> str:
    if change == 0:
        return "neutral"
    return "positive" if (change > 0) == (better == "higher") else "negative"


def _figures(
    kind: str, tongue: str, chance: random.Random, *, rises: bool
) -> tuple[tuple[str, float], tuple[str, float]]:
    """`now` and `then`, each as it is written and as a number."""
    least, most, decimals = {
        "amount": (0.4, 900.0, chance.choice((0, 1, 1, 1, 2))),
        "integer": (8.0, 90_000.0, 0),
        "percent": (0.3, 60.0, chance.choice((0, 1, 1, 2))),
        "per_share": (0.02, 6.0, 2),
        "price": (1.5, 400.0, 2),
    }[kind]
    write: Callable[[float], str] = (
        (lambda value: f"{value:,.0f}")
        if kind == "integer" and tongue == "en"
        else (lambda value: f"{value:.{decimals}f}")
    )
    step = 10.0**-decimals
    then = max(
        round(math.exp(chance.uniform(math.log(least), math.log(most))), decimals), round(3 * step, decimals)
    )
    change = math.exp(chance.uniform(*CHANGES))
    now = round(then * change if rises else then / change, decimals)
    if chance.random() < EVEN:
        now = then
    elif now == then:
        now = round(then + step if rises else then - step, decimals)
    return (write(now), now), (write(then), then)
