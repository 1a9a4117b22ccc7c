"""The invented companies: what the watch list calls them, and how much and how well they are spoken of."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import yaml

from demo.stories.rhythm import ASIA, ROUND_THE_CLOCK, WEST, Rhythm

WATCH_LIST = Path(__file__).parent.parent / "watchlist.yaml"


@dataclass(frozen=True)
class Company:
    """A company of the watch list, and its ordinary day."""

    name: str
    ticker: str
    aliases: tuple[str, ...]
    """As in the watch list: the first in either script is the formal one."""
    sector: str
    """The section of the sentence files that speaks of its line of business."""
    per_day: float
    """Items on an ordinary day."""
    bad: float
    """The share of them that is bad."""
    good: float
    """The share that is good; the rest is neutral."""
    chinese: float
    """The share that is in Chinese; the rest is in English."""
    price: float
    """About what a share costs, in `currency`."""
    rhythm: Rhythm = ASIA

    @property
    def currency(self) -> str:
        """Where it is listed decides: `yuan` in Shanghai, `hkd` in Hong Kong, else `usd`."""
        return {"SH": "yuan", "HK": "hkd"}.get(self.ticker.rpartition(".")[2], "usd")

    @cached_property
    def chinese_names(self) -> tuple[str, ...]:
        """From the formal to the short."""
        return tuple(alias for alias in self.aliases if not alias.isascii())

    @cached_property
    def english_names(self) -> tuple[str, ...]:
        """From the formal to the short."""
        plain = (alias for alias in self.aliases if alias.isascii())
        return (self.name, *(alias for alias in plain if alias.replace(" ", "").isalpha()))

    @cached_property
    def cashtag(self) -> str:
        """How a trader writes it, such as `$BRNDZ`."""
        return next(alias for alias in self.aliases if alias.startswith("$"))

    def mentioned_in(self, text: str) -> bool:
        """Whether one of its names occurs in `text`, letter for letter."""
        return any(name in text for name in (self.name, self.ticker, *self.aliases))


def _read_watch_list() -> dict[str, tuple[str, tuple[str, ...]]]:
    entities = yaml.safe_load(WATCH_LIST.read_text(encoding="utf-8"))["entities"]
    return {entity["ticker"]: (entity["name"], tuple(entity["aliases"])) for entity in entities}


_LISTED = _read_watch_list()


def _company(
    ticker: str,
    sector: str,
    per_day: float,
    *,
    bad: float,
    good: float,
    chinese: float,
    price: float,
    rhythm: Rhythm = ASIA,
) -> Company:
    name, aliases = _LISTED[ticker]
    return Company(name, ticker, aliases, sector, per_day, bad, good, chinese, price, rhythm)


COMPANIES: tuple[Company, ...] = (
    _company("699018.SH", "bank", 80, bad=0.15, good=0.20, chinese=0.60, price=6.4),
    _company("699127.SH", "dairy", 58, bad=0.14, good=0.28, chinese=0.58, price=31.0),
    _company("99268.HK", "automotive", 122, bad=0.19, good=0.27, chinese=0.55, price=48.0),
    _company("699752.SH", "chips", 78, bad=0.15, good=0.28, chinese=0.55, price=112.0),
    _company("99331.HK", "property", 58, bad=0.20, good=0.16, chinese=0.60, price=2.7),
    _company("699405.SH", "airline", 72, bad=0.17, good=0.22, chinese=0.55, price=9.3),
    _company("699536.SH", "pharma", 38, bad=0.13, good=0.26, chinese=0.60, price=54.0),
    _company("99482.HK", "logistics", 34, bad=0.17, good=0.22, chinese=0.60, price=14.0),
    _company("BRNDZ", "retail", 66, bad=0.16, good=0.24, chinese=0.25, price=73.0, rhythm=WEST),
    _company(
        "CNMRZ",
        "crypto_exchange",
        105,
        bad=0.19,
        good=0.22,
        chinese=0.40,
        price=185.0,
        rhythm=ROUND_THE_CLOCK,
    ),
    _company("VRDHZ", "energy", 52, bad=0.15, good=0.24, chinese=0.30, price=39.0, rhythm=WEST),
    _company("TRNWZ", "mining", 28, bad=0.16, good=0.24, chinese=0.30, price=22.0, rhythm=WEST),
)

BY_TICKER = {company.ticker: company for company in COMPANIES}
