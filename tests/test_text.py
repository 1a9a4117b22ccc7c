"""Texts as they are tokenised."""

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


@given(st.text(max_size=60))
def test_every_character_keeps_its_place(text: str) -> None:
    normal = normalise(text).upper()
    assert len(plain(normal)) == len(normal)
    assert plain(plain(normal)) == plain(normal)
