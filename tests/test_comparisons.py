"""Figures that a text compares: which ones they are, and how a model reads them."""

from pathlib import Path
from time import perf_counter

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tiny_bundle import ENTITY_HEADS, make_tiny_bundle

from stream.comparisons import marks
from stream.engine.judgement import Question
from stream.engine.tokens import BundleTokenizer
from stream.figures import MOST, figures
from stream.names import places
from stream.pseudonyms import Pseudonyms
from stream.reading import Reading
from stream.text import MAXIMUM_CHARACTERS, plain

READING = Reading(compares_figures=True)


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        (
            "Profit came to EUR 41.2 mn, against EUR 55.8 mn a year ago.",
            "Profit came to EUR 41.2 mn less, against EUR 55.8 mn more a year ago.",
        ),
        ("$ACM EPS $0.42 vs. $0.50 est", "$ACM EPS $0.42 less vs. $0.50 more est"),
        ("$ACM EPS -$0.42 vs -$0.50", "$ACM EPS -$0.42 more vs -$0.50 less"),
        ("EPS 0.42 exp 0.50", "EPS 0.42 less exp 0.50 more"),
        ("EPS: $2.76 (exp $2.88)", "EPS: $2.76 less (exp $2.88 more)"),
        ("revenue $1.2B, $1.1B expected", "revenue $1.2B more, $1.1B less expected"),
        ("Sales 1,240 (1,180) cars", "Sales 1,240 more (1,180 less) cars"),
        ("EUR 52.2 million (48.9)", "EUR 52.2 million more (48.9 less)"),
        ("42 cents against $0.50", "42 cents less against $0.50 more"),
        ("$4.5B vs US$4.2B", "$4.5B more vs US$4.2B less"),
        ("went to 3.1 from 4.5 million tonnes", "went to 3.1 less from 4.5 million more tonnes"),
        ("was EUR0 .66 against EUR1 .15", "was EUR0 .66 less against EUR1 .15 more"),
        ("Margin 12% then, 12.0 % now", "Margin 12% same then, 12.0 % same now"),
        ("CPI 0.0% vs 0.2% expected", "CPI 0.0% less vs 0.2% more expected"),
        ("claims last week 212k vs 215k", "claims last week 212k less vs 215k more"),
        ("margins of 30%-32%, 28% last year", "margins of 30%-32% more, 28% less last year"),
        ("In 2009 it earned 12 mn, in 2008 11 mn", "In 2009 it earned 12 mn more, in 2008 11 mn less"),
        ("净利润由1.2亿元变为9000万元", "净利润由1.2亿元更多变为9000万元更少"),
        ("公布值:58.7 预期:60", "公布值:58.7更少 预期:60更多"),
        ("5.2亿元(上年同期:4.8亿元)", "5.2亿元更多(上年同期:4.8亿元更少)"),
        ("PMI 49.2,较预期的49.5", "PMI 49.2更少,较预期的49.5更多"),
    ],
)
def test_of_two_figures_that_are_compared_it_says_which_is_the_greater(text: str, wanted: str) -> None:
    assert READING(text)[0] == wanted


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("EPS ($0.42) vs. ($0.50) est", "EPS ($0.42 more) vs. ($0.50 less) est"),
        ("EPS $(0.42) vs. $(0.50) est", "EPS $(0.42 more) vs. $(0.50 less) est"),
        ("EPS (0.42) vs (0.50) est", "EPS (0.42 more) vs (0.50 less) est"),
        ("EPS ($0.10) vs $0.08 est", "EPS ($0.10 less) vs $0.08 more est"),
        ("EPS $0.10 vs ($0.12) last year", "EPS $0.10 more vs ($0.12 less) last year"),
        ("EPS ($0.42), consensus ($0.50)", "EPS ($0.42 more), consensus ($0.50 less)"),
        ("FFO of $(0.42) from $(0.50)", "FFO of $(0.42 more) from $(0.50 less)"),
        (
            "Net income ($4.1M), against ($3.9 million) last year",
            "Net income ($4.1M less), against ($3.9 million more) last year",
        ),
    ],
)
def test_a_figure_alone_in_brackets_is_a_loss_behind_the_words_for_what_may_be_one(
    text: str, wanted: str
) -> None:
    assert READING(text)[0] == wanted


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        pytest.param("$0.10 ($0.08) last year", "$0.10 more ($0.08 less) last year", id="a reference"),
        pytest.param("EPS of $4.1M ($3.9M)", "EPS of $4.1M more ($3.9M less)", id="a reference of earnings"),
        pytest.param(
            "EUR 4.1 mn (EUR 3.2 mn)", "EUR 4.1 mn more (EUR 3.2 mn less)", id="a reference in euros"
        ),
        pytest.param(
            "9800万元(上年同期:1.2亿元)", "9800万元更少(上年同期:1.2亿元更多)", id="a reference in Chinese"
        ),
        pytest.param(
            "EBIT margin (12%) vs (14%) est", "EBIT margin (12% less) vs (14% more) est", id="a share"
        ),
        pytest.param(
            "revenue ($3.9B) vs est ($4.1B)", "revenue ($3.9B less) vs est ($4.1B more)", id="no earnings"
        ),
    ],
)
def test_a_reference_or_an_explanation_in_brackets_is_no_loss(text: str, wanted: str) -> None:
    assert READING(text)[0] == wanted


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("Retail sales rose 0.6% vs 0.4% expected", "Retail sales rose 0.6% more vs 0.4% less expected"),
        ("Exports fell 7.5%, consensus was -7.0%", "Exports fell 7.5% less, consensus was -7.0% more"),
        ("GDP同比增长5.3%,预期4.8%,前值5.2%", "GDP同比增长5.3%更多,预期4.8%更少,前值5.2%"),
    ],
)
def test_what_something_changed_by_is_held_against_what_was_expected(text: str, wanted: str) -> None:
    assert READING(text)[0] == wanted


@pytest.mark.parametrize(
    "text",
    [
        "Net profit was EUR 324.1 million, up from EUR 259.3 million",
        "Sales fell to EUR 224.1 million from EUR 259.3 million",
        "Guidance cut to $1.20 from $1.40",
        "PMI 49.2低于预期的49.5",
        "净利润由1.2亿元降至9000万元",
        "a loss of EUR 8.1 mn, against a profit of EUR 5.2 mn",
        "净利润820万元,上年同期亏损3100万元",
    ],
)
def test_where_words_say_the_direction_nothing_is_added(text: str) -> None:
    assert READING(text)[0] == text


def test_a_rise_since_last_year_says_nothing_of_what_was_expected() -> None:
    text = "revenue rose to $5.2 billion, vs $5.4 billion expected"
    assert READING(text)[0] == "revenue rose to $5.2 billion less, vs $5.4 billion more expected"


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("revenue of EUR 12.1 mn and a profit of EUR 3.4 mn", id="no word compares them"),
        pytest.param("EUR 5 mn was paid, against USD 6 mn", id="of different currencies"),
        pytest.param("a part of 12%, against 15 million", id="a share and an amount"),
        pytest.param("from 12 March 2010 to 13 March 2011", id="dates"),
        pytest.param("Q3 of 2009, against Q2 of 2008", id="quarters and years"),
        pytest.param("open from 5 pm, not from 7 pm", id="times"),
        pytest.param("S&P 500 against FTSE 100", id="names"),
        pytest.param("腾讯(00700)较小米(01810)", id="codes"),
        pytest.param("code 00700 against code 01810", id="codes without brackets"),
        pytest.param("第3批,去年第4批", id="of a row"),
        pytest.param("margins of 4% to 6% against 5%", id="a figure within a range"),
        pytest.param("It fell 2% vs +3% before", id="changes"),
        pytest.param("利差0.5个百分点,去年0.3个百分点", id="points, which are changes"),
        pytest.param("Stock at 58.7 (+12.5) today", id="a level and its change"),
        pytest.param("去年为31.4%和18.2%", id="members of a list"),
        pytest.param("sales of EUR 1 mn, EUR 900 mn last year", id="too far apart to be of the same thing"),
        pytest.param("it needs 3 plants; 1.4 litres before", id="a number of things and a measure"),
        pytest.param("forecast 0.4%, previous -0.3%", id="two references of a third that is not there"),
        pytest.param("nothing to count here", id="no figure"),
    ],
)
def test_what_is_not_compared_is_left_as_it_is(text: str) -> None:
    assert READING(text)[0] == text


def test_the_plainest_comparison_counts_not_the_first() -> None:
    text = "Q3 EPS $1.10, sees Q4 EPS $1.30 vs $1.40 est"
    assert READING(text)[0] == "Q3 EPS $1.10, sees Q4 EPS $1.30 less vs $1.40 more est"
    text = "to EUR 1.2 mn ($1.5 mn) from EUR 2.2 mn ($2.8 mn)"
    assert READING(text)[0] == "to EUR 1.2 mn less ($1.5 mn) from EUR 2.2 mn more ($2.8 mn)"


def test_letters_that_are_an_i_in_turkish_alone_are_no_magnitude() -> None:
    assert "more" in READING("5 M\u0130LL\u0130ON VS 6 M\u0130LL\u0130ON LAST YEAR")[0]


def test_each_figure_is_in_one_pair() -> None:
    text = "EPS $1.10 vs $1.00 expected, revenue $20B vs $22B expected"
    assert READING(text)[0] == (
        "EPS $1.10 more vs $1.00 less expected, revenue $20B less vs $22B more expected"
    )


def test_companies_keep_their_places() -> None:
    text = "Acme sold 12.5% (prior 11.0%), Borealis 8.0% (prior 9.5%); Acme wins"
    names = ["Borealis", "Acme"]
    reading = Reading(Pseudonyms(latin=("Norvex", "Talbrook")), compares_figures=True)
    changed, moved = reading(text, [places(text, [name]) for name in names])
    assert "12.5% more (prior 11.0% less)" in changed
    assert [[changed[slice(*place)] for place in own] for own in moved] == [
        ["Talbrook"],
        ["Norvex", "Norvex"],
    ]


pieces = st.sampled_from(
    [
        *"0123456789",
        ".",
        ",",
        "%",
        " ",
        "$",
        "EUR ",
        " vs ",
        "(",
        ")",
        " mn",
        "亿元",
        "去年",
        "-",
        "a",
        "\u2212",
        "vs.",
    ]
)


@given(st.lists(pieces, max_size=40).map("".join))
def test_nothing_is_lost_and_companies_stay_where_they_were(text: str) -> None:
    company = [(start, start + 1) for start, character in enumerate(text) if character == "a"]
    changed, [moved] = READING(text, [company])
    assert all(changed[slice(*place)] == "a" for place in moved)
    rest = changed
    for place, words in reversed(marks(plain(text))):
        added = place + sum(len(other) for earlier, other in marks(plain(text)) if earlier < place)
        assert rest[added : added + len(words)] == words
        rest = rest[:added] + rest[added + len(words) :]
    assert rest == plain(text)


@pytest.mark.parametrize("piece", ["1 ", "10.5, ", "10.5% vs ", "去年1亿,", "0"])
def test_no_text_takes_long(piece: str) -> None:
    text = (piece * MAXIMUM_CHARACTERS)[:MAXIMUM_CHARACTERS]
    start = perf_counter()
    marks(text)
    assert perf_counter() - start < 0.5


def test_no_more_figures_are_looked_at_than_a_model_reads() -> None:
    assert len(figures("1.5 " * 500)) == MOST


def test_a_bundle_reads_as_its_manifest_says(tmp_path: Path) -> None:
    text = "profit 3% vs 4%"
    question, named = Question(text), Question(text, (("profit",),))
    plain = BundleTokenizer(make_tiny_bundle(tmp_path / "plain", ENTITY_HEADS)).encode([question, named])
    told = BundleTokenizer(make_tiny_bundle(tmp_path / "told", ENTITY_HEADS, compares_figures=True))
    asked = [told.encode([question]), told.encode([named])]
    assert [len(one.ids) for [one] in asked] == [len(one.ids) + 2 for one in plain]
    assert asked[1][0].entities == plain[1].entities
