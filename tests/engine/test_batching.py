"""How a window of texts is cut into batches."""

from itertools import chain

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream.bundle import Head
from stream.engine.batching import MAXIMUM_PADDING, plan, round_up
from stream.engine.encoding import Encoding, rows_held

LENGTHS = st.lists(st.integers(min_value=1, max_value=512), max_size=300)
BUDGETS = st.integers(min_value=64, max_value=4096)
COUNTS = st.integers(min_value=1, max_value=128)
MULTIPLES = st.sampled_from([1, 8])
RUNS = st.sampled_from([0, 16, 512])


@given(LENGTHS, BUDGETS, COUNTS, MULTIPLES, RUNS)
def test_every_text_is_in_exactly_one_batch(lengths, tokens, texts, multiple, run_tokens):
    batches = plan(lengths, tokens=tokens, texts=texts, multiple=multiple, run_tokens=run_tokens)

    assert sorted(chain.from_iterable(batches)) == list(range(len(lengths)))
    assert all(batches)


@given(LENGTHS, BUDGETS, COUNTS, MULTIPLES, RUNS)
def test_only_a_single_text_may_exceed_the_budget(lengths, tokens, texts, multiple, run_tokens):
    for batch in plan(lengths, tokens=tokens, texts=texts, multiple=multiple, run_tokens=run_tokens):
        width = round_up(max(lengths[index] for index in batch), multiple)
        assert len(batch) == 1 or width * len(batch) <= tokens
        assert len(batch) <= texts


@given(st.lists(st.tuples(st.integers(1, 512), st.integers(1, 40)), max_size=300), BUDGETS, MULTIPLES)
def test_rows_that_are_read_again_for_companies_count_for_the_budget(texts, tokens, multiple):
    lengths, rows = [length for length, _ in texts], [number for _, number in texts]
    batches = plan(lengths, tokens=tokens, texts=128, multiple=multiple, rows=rows)
    assert sorted(chain.from_iterable(batches)) == list(range(len(lengths)))
    for batch in batches:
        width = round_up(max(lengths[index] for index in batch), multiple)
        assert len(batch) == 1 or width * sum(rows[index] for index in batch) <= tokens


def test_only_a_head_with_layers_of_its_own_reads_a_text_again_for_each_company():
    encodings = [Encoding([2, 5, 3], []), Encoding([2, 5, 6, 3], [[1], [2]])]
    plain = Head(name="towards", kind="single", labels=["negative", "positive"], scope="entity")
    own = plain.model_copy(update={"own_layers": 3})
    assert rows_held(encodings, [plain]) == [1, 1]
    assert rows_held(encodings, [plain, own]) == [1, 3]


@given(LENGTHS, BUDGETS, COUNTS, RUNS)
def test_padding_stays_under_a_tenth_or_under_the_cost_of_a_run(lengths, tokens, texts, run_tokens):
    for batch in plan(lengths, tokens=tokens, texts=texts, run_tokens=run_tokens):
        padded = max(lengths[index] for index in batch) * len(batch)
        padding = padded - sum(lengths[index] for index in batch)
        assert padding <= max(MAXIMUM_PADDING * padded, run_tokens)


@given(st.integers(min_value=1, max_value=512), st.integers(min_value=0, max_value=300), BUDGETS, COUNTS)
def test_texts_of_one_length_are_cut_only_by_the_budget_and_the_count(length, number, tokens, texts):
    batches = plan([length] * number, tokens=tokens, texts=texts)

    together = max(1, min(texts, tokens // length))
    assert [len(batch) for batch in batches[:-1]] == [together] * (len(batches) - 1)
    assert len(batches) == -(-number // together)


def test_a_window_of_ordinary_news_has_little_padding_in_few_batches():
    lengths = [12 + (index * 37) % 90 for index in range(512)]

    batches = plan(lengths, tokens=4096, texts=128)

    padded = sum(max(lengths[index] for index in batch) * len(batch) for batch in batches)
    assert padded - sum(lengths) < 0.1 * padded
    assert len(batches) <= 25


def test_the_longest_texts_come_first():
    assert plan([10, 100, 98, 10], tokens=256, texts=8) == [[1, 2], [0, 3]]


def test_a_few_short_texts_share_a_run_though_their_lengths_differ():
    assert len(plan([20, 12, 9], tokens=4096, texts=128)) == 3
    assert len(plan([20, 12, 9], tokens=4096, texts=128, run_tokens=32)) == 1


@pytest.mark.parametrize(("length", "rounded"), [(1, 8), (8, 8), (9, 16), (510, 512)])
def test_lengths_are_rounded_up(length, rounded):
    assert round_up(length, 8) == rounded
