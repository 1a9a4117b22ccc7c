"""Near-duplicates: signatures, and the weights that follow from them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream.spikes.novelty import UNIT, Novelty, minhash, read_signature

STORY = "Regulator opens an inquiry into the safety of ACME's toasters after three fires"
TOLD_AGAIN = "UPDATE: Regulator opens an inquiry into the safety of ACME's toasters after three fires"
UNLIKE = "ACME shares fall as the supplier of its heating wires warns of lower earnings this year"


def weights(*texts: str | None) -> list[int]:
    novelty = Novelty()
    signatures = [None if text is None else read_signature(minhash(text)) for text in texts]
    return [novelty.weigh(signature, 0)[0] for signature in signatures]


def test_a_signature_is_the_same_in_every_process_and_on_every_machine() -> None:
    assert minhash(STORY) == "Ik/or4XU9Xz66lxO5yw1uQ"
    assert minhash("监管机构对该公司展开调查") == "FNObFgw2DwlHAXMHzKHAHA"


@given(st.text(max_size=200))
def test_every_text_has_a_signature_of_sixteen_bytes(text: str) -> None:
    signature = minhash(text)
    assert len(signature) == 22
    assert read_signature(signature) is not None


def test_letter_case_links_and_spaces_make_no_difference() -> None:
    assert minhash(f"  {STORY.upper()}  https://example.com/1") == minhash(STORY)


@pytest.mark.parametrize("signature", [None, "", "AAAA", "not base64 !!", "é" * 22, "A" * 40])
def test_a_signature_that_cannot_be_read_is_none(signature: str | None) -> None:
    assert read_signature(signature) is None


def test_a_story_told_again_weighs_less_each_time() -> None:
    assert weights(STORY, TOLD_AGAIN, STORY, STORY) == [UNIT, UNIT // 2, round(UNIT / 3), UNIT // 4]


def test_unlike_texts_weigh_in_full() -> None:
    assert weights(STORY, UNLIKE, "监管机构对该公司展开调查", "") == [UNIT] * 4


def test_texts_without_a_signature_weigh_in_full() -> None:
    assert weights(None, None, None) == [UNIT] * 3


def test_a_story_of_long_ago_is_new_again() -> None:
    novelty = Novelty()
    signature = read_signature(minhash(STORY))
    assert novelty.weigh(signature, 0)[0] == UNIT
    assert novelty.weigh(signature, 3600)[0] == UNIT // 2
    assert novelty.weigh(signature, 3 * 86_400)[0] == UNIT


def test_a_thousand_reposts_weigh_like_a_handful() -> None:
    assert sum(weights(*[STORY] * 1000)) < 5 * UNIT


def test_stories_are_remembered_for_as_long_as_they_are_told() -> None:
    others = [f"{number} {UNLIKE[number:]} {number * 7919}" for number in range(15)]
    assert weights(STORY, *others, STORY)[-1] == UNIT // 2
