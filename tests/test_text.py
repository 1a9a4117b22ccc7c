"""Texts as they are tokenised."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream.text import normalise, plain


def test_a_text_all_in_capitals_is_read_in_small_letters() -> None:
    assert plain("HEDGE FUNDS ARE SELLING $ACME, UP 5%") == "hedge funds are selling $acme, up 5%"


@pytest.mark.parametrize(
    "text",
    [
        "ACME UP 5%",
        "Acme AND ALL THE OTHERS FELL",
        "ACME公司公布业绩,营收大幅增长,净利润翻倍",
        "12345678901234567890",
    ],
)
def test_other_texts_are_read_as_they_are(text: str) -> None:
    assert plain(text) == text


@pytest.mark.parametrize(
    ("traditional", "simplified"),
    [
        ("台積電營收創歷史新高", "台积电营收创历史新高"),
        ("監管機構調查騰訊，股價下跌 ACME", "监管机构调查腾讯，股价下跌 ACME"),
    ],
)
def test_traditional_characters_are_read_as_simplified_ones(traditional: str, simplified: str) -> None:
    assert plain(traditional) == simplified == plain(simplified)


@pytest.mark.parametrize("mark", ["\u061c", "\u200f", "\u202e", "\u2066", "\u2069"])
def test_marks_of_direction_split_no_word(mark: str) -> None:
    assert normalise(f"fra{mark}ud") == "fraud"


@pytest.mark.parametrize(
    ("text", "read"),
    [
        ("Acme falls https://t.co/Ab9-x?s=20&u=1#top, Bolt rises", "Acme falls Bolt rises"),
        ("造假 https://t.cn/A6xyz！AAPL大跌", "造假 !AAPL大跌"),
        ("（见 www.zt5.com）网贷跑路", "(见 )网贷跑路"),
        ('<a href="https://www.acme.com/x">Acme</a> defaults', "Acme defaults"),
        ('said "www.acme.com" and left', 'said " " and left'),
        ("see https://en.wikipedia.org/wiki/Moody's_Corporation now", "see now"),
    ],
)
def test_a_link_takes_nothing_with_it_that_touches_it(text: str, read: str) -> None:
    assert normalise(text) == read


@pytest.mark.parametrize(
    ("text", "read"),
    [
        ("<p>Acme <b>de</b>faults</p><p>Bolt rises</p>", "Acme defaults Bolt rises"),
        ("Acme falls<br/>Bolt rises", "Acme falls Bolt rises"),
        ("<IMG src=a.png>Acme", "Acme"),
        ("<!-- <b>hidden</b> -->Acme falls", "Acme falls"),
        ("wenn q<p then x>y and <i love this>", "wenn q<p then x>y and <i love this>"),
        ("<script>var a = 1;</script>Acme<!-- hidden -->falls", "Acme falls"),
        ("&lt;p&gt;Acme falls&lt;/p&gt;", "Acme falls"),
        ("Apple <AAPL.O> rises, 3 < 5 and <unknown> stay", "Apple <AAPL.O> rises, 3 < 5 and <unknown> stay"),
    ],
)
def test_tags_of_html_are_not_read(text: str, read: str) -> None:
    assert normalise(text) == read


@pytest.mark.parametrize("end", ["\n", "\r\n", "\x85", "\u2028", "\x1e", "\t"])
def test_where_a_line_ends_a_word_ends(end: str) -> None:
    assert normalise(f"line one{end}Apple") == "line one Apple"


def test_many_beginnings_of_tags_and_links_take_no_time() -> None:
    began = time.perf_counter()
    for part in ("<p ", "<script>", "<!--", "https://", "<", "&lt;a "):
        normalise(part * 16_000)
    assert time.perf_counter() - began < 5


@given(st.text(max_size=60))
def test_every_character_keeps_its_place(text: str) -> None:
    normal = normalise(text).upper()
    assert len(plain(normal)) == len(normal)
    assert plain(plain(normal)) == plain(normal)
