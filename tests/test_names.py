"""Where a text names a company, however it writes it."""

import time

import pytest

from stream.names import MOST_PLACES, places
from stream.records import Mention
from stream.watchlist import Company, Watchlist, names_of

WATCHLIST = Watchlist(
    [
        Company(name="贵州茅台", ticker="600519.SH", aliases=["茅台", "Kweichow Moutai"]),
        Company(name="Apple Inc", ticker="AAPL", aliases=["Apple"]),
    ]
)


def named(text: str, mention: Mention, watchlist: Watchlist | None = None) -> list[str]:
    names = names_of(mention) if watchlist is None else watchlist.names_of(mention)
    return [text[slice(*place)] for place in places(text, names)]


@pytest.mark.parametrize(
    ("text", "name", "wanted"),
    [
        ("贵州茅台业绩下滑，茅台股价大跌", "贵州茅台", ["贵州茅台", "茅台"]),
        ("茅台业绩大跌，五粮液大涨", "Kweichow Moutai Co., Ltd.", ["茅台"]),
        ("茅台(600519)大跌", "茅台", ["茅台"]),
    ],
)
def test_a_company_of_the_list_is_found_under_all_its_names(text: str, name: str, wanted: list[str]) -> None:
    assert named(text, Mention(name=name, ticker="600519.SH"), WATCHLIST) == wanted


def test_a_longer_name_is_not_its_beginning_once_more() -> None:
    text = "Apple Inc fined. Apple shares plunge, sell $AAPL"
    assert named(text, Mention(name="Apple", ticker="AAPL"), WATCHLIST) == ["Apple Inc", "Apple", "$AAPL"]


@pytest.mark.parametrize(
    ("name", "ticker", "text"),
    [
        ("Agilent Technologies Inc", "A", "Agilent Technologies issues a warning after a weak quarter"),
        ("Gartner Inc", "IT", "Gartner expects a loss and it is closing"),
        ("IT", "IT", "the consultant expects a loss and it is closing"),
        ("$ON", "ON", "chips are now on sale"),
        ("A", "A", "it issues a warning after a weak quarter"),
        ("Agilent Technologies Inc", "A", "A recall hits the maker"),
        ("Gartner Inc", "IT", "THE CONSULTANT EXPECTS A LOSS AND IT IS CLOSING"),
    ],
)
def test_a_ticker_that_is_a_word_too_is_not_looked_for_as_one(name: str, ticker: str, text: str) -> None:
    assert named(text, Mention(name=name, ticker=ticker)) == []


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("AAPL plunges after a recall", ["AAPL"]),
        ("sell $ aapl now", ["aapl"]),
        ("Apple (AAPL) plunges", ["Apple"]),
        ("Apple ($AAPL) plunges", ["Apple", "$AAPL"]),
    ],
)
def test_a_short_ticker_counts_as_it_is_written_where_no_name_does(text: str, wanted: list[str]) -> None:
    assert named(text, Mention(name="Apple", ticker="AAPL")) == wanted
    assert named(text, Mention(name="$AAPL", ticker="$AAPL"), WATCHLIST) == wanted


def test_a_cashtag_among_the_aliases_hides_none_of_them() -> None:
    listed = Watchlist([Company(name="Bitcoin", ticker="BTC", aliases=["$XBT", "比特币"])])
    text = "Bitcoin falls, $XBT down, 比特币 crash"
    assert named(text, Mention(name="Bitcoin", ticker="BTC"), listed) == ["Bitcoin", "$XBT", "比特币"]


def test_a_company_whose_name_is_a_letter_is_found_as_it_is_written() -> None:
    assert named("A gains on a recall of B", Mention(name="A")) == ["A"]


def test_a_ticker_that_is_no_word_is_found_where_no_name_is() -> None:
    tencent = Mention(name="Tencent", ticker="0700.HK")
    assert named("0700.HK slides", tencent) == ["0700.HK"]
    assert named("Tencent (0700.HK) slides", tencent) == ["Tencent"]
    assert named("(600519)大跌", Mention(name="贵州茅台", ticker="600519")) == ["(600519)"]
    assert named("600519 跌停", Mention(name="贵州茅台", ticker="600519.SH")) == ["600519"]


def test_a_unit_is_no_place_of_the_company_whose_ticker_it_is() -> None:
    macys = Mention(name="Macy's", ticker="M")
    assert named("Macy's sales (A$m, $m) fell", macys) == ["Macy's"]
    assert named("sales ($m) fell", macys) == []
    assert named("sell $M", macys) == ["$M"]
    assert named("sell $ M", macys) == ["M"]
    assert named("sell $ m", macys) == []


def test_of_cashtags_without_a_space_between_them_each_is_a_place() -> None:
    assert named("$AMD$F crash", Mention(name="Ford", ticker="F")) == ["$F"]
    assert named("$BRK.B$M$F crash", Mention(name="Macy's", ticker="M")) == ["$M"]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("Coca-Cola", "Coca\u2011Cola recalls bottles"),
        ("Coca-Cola", "COCA\u2013COLA RECALLS BOTTLES"),
        ("Coca\u2010Cola", "Coca-Cola recalls bottles"),
        ("McDonald's", "McDonald\u02bcs recalls"),
        ("McDonald\u2018s", "McDonald`s recalls"),
    ],
)
def test_hyphens_and_apostrophes_are_one_however_they_are_typed(name: str, text: str) -> None:
    assert len(places(text, [name])) == 1


def test_a_text_of_nothing_but_a_name_is_read_in_no_time() -> None:
    text = "ß" + "涨" * 3_999
    began = time.perf_counter()
    for _ in range(20):
        found = places(text, ["涨", "$涨"])
    assert time.perf_counter() - began < 3
    assert found[0] == (1, 2)
    assert len(found) == MOST_PLACES
    assert len(places("acmes " * 550 + "acme falls", ["acme"])) == 1
