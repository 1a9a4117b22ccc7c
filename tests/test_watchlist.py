"""Which companies a text names, and under which subject they are counted."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream.records import Mention
from stream.watchlist import Company, Watchlist, WatchlistError, load_watchlist, subject_of

MOUTAI = Company(name="贵州茅台", ticker="600519.SH", aliases=["茅台", "Kweichow Moutai"])
PING_AN = Company(name="平安银行", ticker="000001.SZ", aliases=["Ping An Bank"])
TENCENT = Company(name="腾讯控股", ticker="0700.HK", aliases=["Tencent"])
APPLE = Company(name="Apple", ticker="AAPL", aliases=["Apple Inc"])
COSTCO = Company(name="Costco Wholesale", ticker="COST")
BERKSHIRE = Company(name="Berkshire Hathaway", ticker="BRK.B")
MCDONALDS = Company(name="McDonald's", ticker="MCD")
STRAUSS = Company(name="Strauß", ticker="STRS")
LIST = Watchlist([MOUTAI, PING_AN, TENCENT, APPLE, COSTCO, BERKSHIRE, MCDONALDS, STRAUSS])


def _tickers(text: str) -> list[str | None]:
    return [mention.ticker for mention in LIST.find(text)]


def _write(folder: Path, content: str) -> Path:
    file = folder / "watchlist.yaml"
    file.write_text(content, encoding="utf-8")
    return file


def _refusal(folder: Path, content: str) -> str:
    with pytest.raises(WatchlistError) as refusal:
        load_watchlist(_write(folder, content))
    return str(refusal.value)


@pytest.mark.parametrize(
    ("text", "tickers"),
    [
        ("Apple sues", ["AAPL"]),
        ("APPLE's phones", ["AAPL"]),
        ("苹果Apple公司", ["AAPL"]),
        ("(apple)", ["AAPL"]),
        ("a pineapple and some applesauce", []),
        ("apple2 and my_apple", []),
        ("昨日茅台大跌", ["600519.SH"]),
        ("贵州茅台酒", ["600519.SH"]),
        ("Ｋｗｅｉｃｈｏｗ Moutai fell", ["600519.SH"]),
        ("McDonald’s and MCDONALD'S", ["MCD"]),
        ("nobody is named here", []),
        ("", []),
    ],
)
def test_names_are_found_whole_in_spaced_scripts_and_anywhere_in_the_others(text, tickers):
    assert _tickers(text) == tickers


@pytest.mark.parametrize(
    ("text", "tickers"),
    [
        ("$AAPL to the moon", ["AAPL"]),
        ("$aapl, $cost", ["AAPL", "COST"]),
        ("$AAPLX is another", []),
        ("what will it cost? AAPL", ["AAPL"]),
        ("BRK.B and $BRK.B", ["BRK.B"]),
        ("600519.SH 收跌", ["600519.SH"]),
        ("SH600519跌停", ["600519.SH"]),
        ("600519.SS at Yahoo", ["600519.SH"]),
        ("$贵州茅台(SH600519)$", ["600519.SH"]),
        ("某公司（600519）公告", ["600519.SH"]),
        ("某公司【600519】公告", ["600519.SH"]),
        ("sold 600519 units", []),
        ("sold for $600519", []),
        ("600519.shtml", []),
        ("1600519.SH", []),
        ("0700.HK, 700.HK and 00700.HK", ["0700.HK"]),
        ("HK00700", ["0700.HK"]),
        ("it costs $700", []),
    ],
)
def test_tickers_are_found_where_they_can_be_nothing_else(text, tickers):
    assert _tickers(text) == tickers


NEW_YORK = Watchlist(
    [
        Company(name=f"Company {number}", ticker=ticker)
        for number, ticker in enumerate(["A", "IT", "ON", "ALL", "NOW", "COST", "AAPL", "F"])
    ]
)


@pytest.mark.parametrize(
    ("text", "tickers"),
    [
        ("AAPL plunges 8% after recall", ["AAPL"]),
        ("AAPL up 5%", ["AAPL"]),
        ("AAPL大跌8%", ["AAPL"]),
        ("ßß AAPL's loss widens", ["AAPL"]),
        ("The maker (AAPL) and (NOW) plunge", ["AAPL", "NOW"]),
        ("THE MAKER (AAPL) PLUNGES", ["AAPL"]),
        ("The maker (NASDAQ: AAPL) and NYSE:F plunge", ["AAPL", "F"]),
        ("Rivals <AAPL.O> and <F.N> plunge, <A> and <IT> do not", ["AAPL", "F"]),
        ("Nasdaq: ON, NYSE American: A, 纳斯达克：IT", ["ON", "A", "IT"]),
        ("aapl is now all it costs, on a day in all", []),
        ("A fall: IT spending is ON hold, but NOT ALL of it (A), (IT), NOW", []),
        ("ALL EYES ON FED", []),
        ("WHAT WILL IT COST NOW", []),
        ("AAPLX and MY_AAPL", []),
        ("AAPL $AMD $NVDA $MU down", ["AAPL"]),
        ("$AAPL: WHAT WILL IT COST NOW", ["AAPL"]),
        ("AAPL EPS: 1.20 vs 1.35", ["AAPL"]),
    ],
)
def test_a_short_ticker_is_found_where_it_can_hardly_be_a_word(text, tickers):
    assert [mention.ticker for mention in NEW_YORK.find(text)] == tickers


@pytest.mark.parametrize(
    "text",
    [
        "600519 跌停",
        "买入600519，大跌",
        "今日600519股价大跌",
        "600519",
        "龙头 600519 -5%",
        "SSE: 600519 falls",
        "600519 falls 5%",
        "Moutai 600519 falls 5%",
        "buy 600519 now",
        "600519 A股大跌",
        "600519 businesslike",
    ],
)
def test_a_bare_code_is_found_where_it_is_a_word_of_its_own(text):
    assert _tickers(text) == ["600519.SH"]


@pytest.mark.parametrize(
    "text",
    [
        "it costs 600519 yuan",
        "it has 600519 shares",
        "a profit of 600519",
        "CNY 600519",
        "600519 m",
        "sold for 600519.",
        "亏损600519元",
        "净利 600519 万元",
        "出售600519余股",
        "售出600519股",
        "600519人",
        "600519美元",
        "600519.5",
        "1,600519",
        "0.600519",
        "600519%",
        "¥600519",
        "$ 600519",
        "1600519",
    ],
)
def test_six_digits_of_a_number_are_no_code(text):
    assert _tickers(text) == []


def test_a_round_code_is_found_in_brackets_or_with_its_exchange_alone():
    watchlist = Watchlist([Company(name="浦发银行", ticker="600000.SH")])

    assert watchlist.find("600000 跌停") == []
    for text in ("(600000)跌停", "SH600000跌停", "上交所：600000"):
        assert [mention.ticker for mention in watchlist.find(text)] == ["600000.SH"]


@pytest.mark.parametrize(
    ("text", "tickers"),
    [
        ("sales ($m) and [$bn]", []),
        ("A$m 5, US$bn 3 and 100$M", []),
        ("in $m, in $bn, and ($M)", []),
        ("$M and $BN plunge", ["M", "BN"]),
        ("买入$M", ["M"]),
        ("($F) and ($f)", ["F", "F"]),
        ("$F$M down, $AAPL$m", ["F", "M"]),
    ],
)
def test_a_dollar_sign_with_a_magnitude_is_a_cashtag_only_in_capitals_and_out_of_brackets(text, tickers):
    listed = [
        Company(name="Macy's", ticker="M"),
        Company(name="Brookfield", ticker="BN"),
        Company(name="Ford", ticker="F"),
    ]

    assert [mention.ticker for mention in Watchlist(listed).find(text)] == list(dict.fromkeys(tickers))


def test_a_magnitude_that_is_hardly_a_unit_in_capitals_is_a_cashtag_in_brackets_too():
    listed = Watchlist([Company(name="AT&T", ticker="T")])

    assert [mention.ticker for mention in listed.find("Telecom ($T) cuts")] == ["T"]
    assert listed.find("sales ($t) rise") == []


def test_each_company_is_found_once_in_the_order_of_the_text():
    found = LIST.find("茅台 and Apple: $AAPL up, 贵州茅台 down")

    assert found == [
        Mention(name="茅台", ticker="600519.SH"),
        Mention(name="Apple", ticker="AAPL"),
    ]


def test_a_mention_has_the_name_of_the_text_or_of_the_list_where_only_a_ticker_stands():
    assert LIST.find("KWEICHOW moutai")[0].name == "KWEICHOW moutai"
    assert LIST.find("600519.SH")[0].name == "贵州茅台"


def test_a_name_is_found_in_traditional_and_in_simplified_characters_and_stays_as_it_is_written():
    assert LIST.find("騰訊控股與貴州茅台") == [
        Mention(name="騰訊控股", ticker="0700.HK"),
        Mention(name="貴州茅台", ticker="600519.SH"),
    ]


def test_the_longest_of_the_leftmost_names_wins():
    companies = [
        Company(name="Bank of China", ticker="3988.HK"),
        Company(name="China Mobile", ticker="0941.HK"),
        Company(name="Bank", ticker="BANK"),
    ]

    found = Watchlist(companies).find("Bank of China Mobile")

    assert [mention.ticker for mention in found] == ["3988.HK"]


def test_a_longer_name_that_goes_on_as_another_word_does_not_hide_a_shorter_one():
    companies = [
        Company(name="General", ticker="GEN"),
        Company(name="General Electric", ticker="GE"),
    ]

    found = Watchlist(companies).find("General Electrical Supplies")

    assert [mention.ticker for mention in found] == ["GEN"]


@pytest.mark.parametrize("text", ["ßß STRAUSS ßß", "İİ strauß", "ﬁne STRAUß", "ŉŉŉ strauss."])
def test_names_are_cut_out_rightly_where_folding_makes_the_text_longer(text):
    (mention,) = LIST.find(text)

    assert mention.name.casefold() == "strauss"
    assert mention.ticker == "STRS"


@given(st.text(max_size=40), st.text(max_size=40))
def test_a_name_is_found_between_spaces_in_any_text(before, after):
    found = {mention.ticker for mention in LIST.find(f"{before} Berkshire Hathaway {after}")}

    assert "BRK.B" in found


def test_an_empty_list_finds_nothing():
    assert Watchlist([]).find("Apple") == []


def test_tickers_and_mentions_are_those_of_the_list():
    watchlist = Watchlist([APPLE, MOUTAI])

    assert watchlist.tickers == ["AAPL", "600519.SH"]
    assert watchlist.mentions == [
        Mention(name="Apple", ticker="AAPL"),
        Mention(name="贵州茅台", ticker="600519.SH"),
    ]


@pytest.mark.parametrize(
    ("mention", "ticker"),
    [
        (Mention(name="whatever", ticker="sh600519"), "600519.SH"),
        (Mention(name="whatever", ticker=600519), "600519.SH"),
        (Mention(name="whatever", ticker="$aapl"), "AAPL"),
        (Mention(name="whatever", ticker="00700.HK"), "0700.HK"),
        (Mention(name="apple inc"), "AAPL"),
        (Mention(name="Apple Inc", ticker="AAPL.OQ"), "AAPL"),
        (Mention(name="茅台"), "600519.SH"),
        (Mention(name="Pineapple"), None),
        (Mention(name="Pineapple", ticker="PINE"), "PINE"),
    ],
)
def test_the_companies_of_an_event_get_the_tickers_of_the_list(mention, ticker):
    resolved = LIST.resolve(mention)

    assert resolved.ticker == ticker
    assert resolved.name == mention.name


def test_a_code_of_two_exchanges_is_nobodys_without_its_suffix():
    index = Company(name="上证指数", ticker="000001.SH")
    watchlist = Watchlist([PING_AN, index])

    assert watchlist.find("某公司(000001)") == []
    assert watchlist.resolve(Mention(name="?", ticker="000001")).ticker == "000001"
    assert [found.ticker for found in watchlist.find("000001.SH 与 000001.SZ")] == [
        "000001.SH",
        "000001.SZ",
    ]


@pytest.mark.parametrize(
    ("mention", "subject"),
    [
        (Mention(name="贵州茅台", ticker="600519.sh"), "entity:600519.SH"),
        (Mention(name="Apple", ticker=" $aapl"), "entity:AAPL"),
        (Mention(name="  Acme\u200b  HOLDINGS "), "entity:acme holdings"),
        (Mention(name="ＡＣＭＥ", ticker="  "), "entity:acme"),
        (Mention(name="\u200b"), "entity:\u200b"),
    ],
)
def test_a_company_is_counted_under_its_ticker_or_else_its_name(mention, subject):
    assert subject_of(mention) == subject


def test_a_list_is_read_from_yaml(tmp_path):
    file = _write(
        tmp_path,
        "entities:\n- {name: 贵州茅台, ticker: 600519.SH, aliases: [茅台]}\n"
        "- name: ON Semiconductor\n  ticker: ON\n  aliases:\n"
        "- {name: 平安银行, ticker: 000001}\n",
    )

    assert load_watchlist(file).tickers == ["600519.SH", "ON", "000001"]


def test_a_list_without_entries_is_a_list(tmp_path):
    assert load_watchlist(_write(tmp_path, "entities:\n")).tickers == []


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ("entities:\n- {name: Acme}", "  entry 1 (Acme): ticker: Field required"),
        ("entities:\n- {ticker: ACME}", "  entry 1: name: Field required"),
        (
            "entities:\n- {name: Acme, ticker: A, alias: [x]}",
            "  entry 1 (Acme): alias: Extra inputs are not permitted",
        ),
        (
            "entities:\n- {name: Acme, ticker: A, aliases: acme}",
            "  entry 1 (Acme): aliases: Input should be a valid list",
        ),
        (
            "entities:\n- {name: Acme, ticker: A, aliases: [acme holdings, x]}",
            "  entry 1 (Acme): aliases.1: a single character would be found everywhere",
        ),
        ("entities:\n- Acme", "  entry 1: the entry: Input should be a valid dictionary"),
        ("entities: {}", "  entities: Input should be a valid list"),
        ("companies: []", "  entities: Field required"),
        (
            "entities:\n- {name: Acme, ticker: ACME}\n- {name: Other, ticker: acme}",
            "  entry 1 (Acme) and entry 2 (Other) share the ticker 'acme'",
        ),
        (
            "entities:\n- {name: Acme, ticker: A}\n- {name: Other, ticker: B, aliases: [ACME]}",
            "  entry 1 (Acme) and entry 2 (Other) share the name 'acme'",
        ),
    ],
)
def test_a_wrong_list_is_refused_with_entry_and_key(tmp_path, content, problem):
    refusal = _refusal(tmp_path, content)

    assert refusal.startswith(f"the watch list {tmp_path / 'watchlist.yaml'} cannot be used:\n")
    assert problem in refusal


@pytest.mark.parametrize("content", ["- Acme", "Acme", ""])
def test_a_file_without_the_key_entities_is_refused(tmp_path, content):
    assert "must hold a list under the key `entities`" in _refusal(tmp_path, content)


def test_files_that_cannot_be_read_are_refused(tmp_path):
    (tmp_path / "latin.yaml").write_bytes(b"entities: \xff")

    assert "is not YAML" in _refusal(tmp_path, "entities: [")
    with pytest.raises(WatchlistError, match="not UTF-8"):
        load_watchlist(tmp_path / "latin.yaml")
    with pytest.raises(WatchlistError, match=r"cannot read the watch list .* No such file"):
        load_watchlist(tmp_path / "absent.yaml")


@pytest.mark.parametrize(
    ("text", "tickers"),
    [
        ("$T falls", ["T"]),
        ("$T.TO Telus misses estimates", []),
        ("$t.to misses", []),
        ("sell $F.PR.B now", []),
        ("$AAPL.L and $AAPL", ["AAPL"]),
        ("$AAPL.Great quarter", ["AAPL"]),
        ("$AAPL-led rally, $AAPL. Down", ["AAPL"]),
        ("$BRK-B, $BRK/B or BRK.B", ["BRK.B"]),
        ("$BRK.B", ["BRK.B"]),
        ("$F.N, $aapl.o and $T.US", ["F", "AAPL", "T"]),
        ("$F.I am out", ["F"]),
    ],
)
def test_a_longer_cashtag_is_another_listing_s(text, tickers):
    listed = [*LIST.companies, Company(name="AT&T", ticker="T"), Company(name="Ford Motor", ticker="F")]
    assert [mention.ticker for mention in Watchlist(listed).find(text)] == tickers


def test_a_code_of_reuters_is_found_as_the_ticker_too():
    watchlist = Watchlist([Company(name="Apple", ticker="AAPL.OQ")])

    assert [len(watchlist.find(text)) for text in ("$AAPL falls", "(AAPL) falls", "<AAPL.OQ>")] == [1, 1, 1]


def test_a_name_is_not_found_in_words_that_are_somebody_else(tmp_path):
    file = _write(
        tmp_path,
        "entities: [{name: 中国银行, ticker: 601988.SH, not_in: [中国银行业, 中国银行间]}]",
    )
    watchlist = load_watchlist(file)

    assert watchlist.find("中国银行业协会警告:不良贷款激增") == []
    assert [mention.name for mention in watchlist.find("中国银行间市场与中国银行")] == ["中国银行"]


def test_what_is_no_word_of_a_name_is_refused_as_an_exception(tmp_path):
    assert "not_in" in _refusal(tmp_path, "entities: [{name: Acme, ticker: A, not_in: [x]}]")


def test_an_event_that_gives_another_ticker_means_another_company_but_under_the_full_name():
    delta = Company(name="Delta Air Lines", ticker="DAL", aliases=["Delta"])
    watchlist = Watchlist([delta, Company(name="中国平安", ticker="601318.SH", aliases=["平安"])])
    bangkok = watchlist.resolve(Mention(name="Delta", ticker="DELTA.BK"))
    for code in ("NYSE:DAL", "DAL.US", "DAL US Equity", "US2473617023", "DAL.N", "dal"):
        assert watchlist.resolve(Mention(name="Delta", ticker=code)).ticker == "DAL", code
    assert watchlist.resolve(Mention(name="平安", ticker="601318.XSHG")).ticker == "601318.SH"

    assert bangkok.ticker == "DELTA.BK"
    assert watchlist.resolve(Mention(name="中国平安", ticker="2318.HK")).ticker == "601318.SH"
    assert watchlist.find_beside("Delta and 平安 fall", [bangkok]) == [
        Mention(name="平安", ticker="601318.SH")
    ]
    for text in ("Delta falls, $DAL rises", "Delta falls. Delta Air Lines rises", "Delta Air Lines, Delta"):
        assert [one.ticker for one in watchlist.find_beside(text, [bangkok])] == ["DAL"], text
    assert watchlist.find_beside("$DAL rises", [bangkok]) == [Mention(name="Delta Air Lines", ticker="DAL")]
