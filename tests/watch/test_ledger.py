"""Whose rows of a log count, however owners, cut networks and late producers mix them."""

import json
from dataclasses import dataclass, field
from typing import Literal

from hypothesis import given, settings
from hypothesis import strategies as st

from stream.watch.ledger import CLAIM_KEY, Ledger, Row

CURSOR = b"cursor"
SUBJECTS = (b"x", b"y")


def ledger(*rows: Row) -> Ledger:
    found = Ledger()
    for row in rows:
        found.add(row)
    return found


def test_the_last_row_of_a_key_is_the_newest() -> None:
    found = ledger(Row(0, CLAIM_KEY, b"", None), Row(1, b"x", b"1", 0), Row(2, b"x", b"2", 0))
    assert found.values == {b"x": b"2"}
    assert found.overwritten == set()


def test_a_row_behind_a_newer_claim_than_its_own_does_not_count() -> None:
    found = ledger(
        Row(0, CLAIM_KEY, b"", None),
        Row(1, b"x", b"1", 0),
        Row(2, CLAIM_KEY, b"", None),
        Row(3, b"x", b"2", 2),
        Row(4, b"x", b"late", 0),
        Row(5, b"y", b"late", 0),
    )
    assert found.values == {b"x": b"2"}
    assert found.overwritten == {b"x", b"y"}
    found.add(Row(6, b"x", b"2", 2))
    assert found.overwritten == {b"y"}


def test_a_row_from_before_there_were_claims_counts_until_the_first() -> None:
    found = ledger(Row(0, b"x", b"1", None), Row(1, CLAIM_KEY, b"", None), Row(2, b"x", b"old version", None))
    assert found.values == {b"x": b"1"}


def test_a_claim_that_was_compacted_away_is_known_by_the_rows_that_carry_it() -> None:
    found = ledger(Row(7, b"y", b"2", 5), Row(8, b"x", b"late", 3))
    assert found.values == {b"y": b"2"}


def test_who_rested_long_while_others_were_written_is_forgotten() -> None:
    found = ledger(
        Row(0, b"x", b"1", 0, time=1_000),
        Row(1, b"y", b"1", 0, time=1_001),
        Row(2, b"z", b"1", 0, time=2_000),
    )
    assert found.forget(1_000) == set()
    assert found.forget(999) == {b"x"}
    assert found.values == {b"y": b"1", b"z": b"1"}
    assert found.newest[b"x"] is None
    assert found.forget(999) == set()


def test_nobody_is_forgotten_for_a_time_in_which_nobody_wrote() -> None:
    found = ledger(Row(0, b"x", b"1", 0, time=1_000), Row(1, CLAIM_KEY, b"", None, time=10**9))
    assert found.forget(1) == set()


def test_who_is_written_again_after_being_forgotten_is_remembered() -> None:
    found = ledger(Row(0, b"x", b"1", 0), Row(1, b"x", None, 0))
    assert found.values == {}
    found.add(Row(2, b"x", b"2", 0))
    assert found.values == {b"x": b"2"}


def test_a_late_row_brings_nothing_back_that_was_forgotten() -> None:
    found = ledger(
        Row(0, CLAIM_KEY, b"", None),
        Row(1, b"x", None, 0),
        Row(2, CLAIM_KEY, b"", None),
        Row(3, b"x", b"late", 0),
    )
    assert found.values == {}
    assert found.overwritten & found.newest.keys() == {b"x"}


@dataclass
class Owner:
    """Handles records as the watch stage does; each row that it sends arrives when the test lets it."""

    log: list[Row]
    states: dict[bytes, list[int]] = field(default_factory=dict)
    following: int = 0
    token: int | None = None
    expected: int = 0
    pending: list[tuple[bytes, bytes]] = field(default_factory=list)
    offsets: list[int] = field(default_factory=list)
    fenced: bool = False

    def read(self) -> None:
        """Learn what the log says, and send a claim."""
        found = ledger(*self.log)
        self.states = {key: json.loads(found.values.get(key, b"[]")) for key in SUBJECTS}
        self.following = int(found.values.get(CURSOR, b"0"))
        self.token, self.expected, self.offsets = None, len(self.log), []
        self.pending = [(CLAIM_KEY, b"")]

    def handle(self) -> None:
        """Count the next record, send its subject's state and the cursor."""
        key = SUBJECTS[self.following % 2]
        if self.following not in self.states[key]:
            self.states[key].append(self.following)
        self.following += 1
        self.send([key])

    def send(self, keys: list[bytes]) -> None:
        rows = [(key, json.dumps(self.states[key]).encode()) for key in keys]
        self.pending = [*rows, (CURSOR, b"%d" % self.following)]
        self.offsets = []

    def deliver(self) -> None:
        """Let the next row arrive; behind the last one the owner learns all their offsets."""
        key, value = self.pending.pop(0)
        self.offsets.append(len(self.log))
        self.log.append(Row(len(self.log), key, value, self.token))
        if not self.pending:
            self.confirm()

    def confirm(self) -> None:
        if self.token is None:
            (claim,) = self.offsets
            if claim != self.expected:
                self.read()
                return
            self.token, self.expected = claim, claim + 1
            return
        if self.offsets == list(range(self.expected, self.expected + len(self.offsets))):
            self.expected += len(self.offsets)
            return
        since = Ledger(self.token)
        for row in self.log[self.expected :]:
            since.add(row)
        self.fenced = since.token != self.token
        self.expected = len(self.log)
        if not self.fenced and since.overwritten:
            self.send([key for key in SUBJECTS if key in since.overwritten])


Action = Literal["take over", "go on"]


runs = st.tuples(st.integers(0, 2), st.sampled_from(["take over", "go on"]), st.integers(1, 9))
"""One owner has its way for some steps, while what others have sent is on its way."""


@settings(max_examples=1_000)
@given(st.lists(runs, max_size=20))
def test_wherever_the_log_is_cut_the_states_know_all_before_the_cursor(
    turns: list[tuple[int, Action, int]],
) -> None:
    log: list[Row] = []
    owners = [Owner(log) for _ in range(3)]
    steps = [
        (number, action if step == 0 else "go on") for number, action, times in turns for step in range(times)
    ]
    for number, action in steps:
        owner = owners[number]
        if owner.fenced:
            # Its process has ended; what it sent may still arrive, and a new one may take over.
            if owner.pending:
                owner.deliver()
            else:
                owners[number] = Owner(log)
        elif owner.pending:
            owner.deliver()
        elif action == "take over" or owner.token is None:
            owner.read()
        else:
            owner.handle()
        found = ledger(*log)
        counted = [record for key in SUBJECTS for record in json.loads(found.values.get(key, b"[]"))]
        assert len(counted) == len(set(counted))
        assert set(range(int(found.values.get(CURSOR, b"0")))) <= set(counted)
