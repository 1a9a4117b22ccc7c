"""Where a group begins to tell, and how long a target is waited for."""

from types import SimpleNamespace
from typing import Any

from aiokafka import TopicPartition
from alert_records import alert
from prometheus_client import CollectorRegistry
from pydantic import SecretStr

from stream.metrics import NotifyMetrics
from stream.notify.message import Message, message_of
from stream.notify.stage import NotifyStage
from stream.notify.targets import Target
from stream.records import AlertState
from stream.settings import NotifySettings, Settings

TOPIC = Settings().topics.alerts
PLACES = [TopicPartition(TOPIC, number) for number in range(3)]


class Consumer:
    """What a group has committed, in a topic whose partitions hold the offsets from 5 to 9."""

    def __init__(self, committed: dict[TopicPartition, int]) -> None:
        self._committed = committed
        self.positions: dict[TopicPartition, int] = {}

    def partitions_for_topic(self, _: str) -> set[int]:
        return {place.partition for place in PLACES}

    async def committed(self, place: TopicPartition) -> int | None:
        return self._committed.get(place)

    async def beginning_offsets(self, places: list[TopicPartition]) -> dict[TopicPartition, int]:
        return dict.fromkeys(places, 5)

    async def end_offsets(self, places: list[TopicPartition]) -> dict[TopicPartition, int]:
        return dict.fromkeys(places, 10)

    async def commit(self, offsets: dict[TopicPartition, int]) -> None:
        self._committed |= offsets

    def seek(self, place: TopicPartition, offset: int) -> None:
        self.positions[place] = offset


class Service(Target):
    """A target that takes so many attempts to take a message."""

    def __init__(self, attempts: int) -> None:
        self.name, self.key = "a target", "0"
        self.left = attempts
        self.asked = 0

    async def tell(self, _: Message) -> bool:
        self.asked += 1
        self.left -= 1
        return self.left <= 0


def stage(target: Target, **notify: Any) -> NotifyStage:
    settings = Settings(notify=NotifySettings(urls=[SecretStr("json://127.0.0.1")], **notify))
    return NotifyStage(settings, target, NotifyMetrics(CollectorRegistry()))


async def begun(committed: dict[TopicPartition, int], assigned: list[TopicPartition]) -> Consumer:
    teller, consumer = stage(Service(1)), Consumer(committed)
    teller._consumer = consumer
    await teller.begin(assigned)
    assert teller.ready
    return consumer


async def test_a_group_that_is_new_begins_at_the_end_and_goes_on_from_there_after_a_restart() -> None:
    committed: dict[TopicPartition, int] = {}
    consumer = await begun(committed, PLACES)
    assert consumer.positions == dict.fromkeys(PLACES, 10)
    assert committed == dict.fromkeys(PLACES, 10)


async def test_all_that_was_assigned_is_read_again_from_what_was_committed() -> None:
    consumer = await begun(dict.fromkeys(PLACES, 7), PLACES[:2])
    assert consumer.positions == dict.fromkeys(PLACES[:2], 7)


async def test_a_partition_that_is_new_to_a_known_group_is_told_from_its_beginning() -> None:
    consumer = await begun({PLACES[0]: 7}, PLACES[1:])
    assert consumer.positions == dict.fromkeys(PLACES[1:], 5)


async def test_what_fires_again_is_told_also_where_its_end_was_muted() -> None:
    target = Service(1)
    teller = stage(target)
    revisions = [
        alert(),
        alert(peak_negative=20),
        alert(state=AlertState.RESOLVED, muted="quiet hours"),
        alert(peak_negative=5),
    ]
    asked = []
    for revision in revisions:
        record = SimpleNamespace(value=revision.to_bytes(), offset=0, topic=TOPIC)
        assert await teller._handle(record)
        asked.append(target.asked)
    assert asked == [1, 1, 1, 2]


async def test_a_target_that_was_given_up_is_tried_once_with_each_message_until_it_takes_one() -> None:
    target = Service(4)
    teller = stage(target, retry_seconds=1.5)
    message = message_of(alert())
    assert message is not None
    asked = []
    for _ in range(4):
        assert await teller._tell(message)
        asked.append(target.asked)
    # Two attempts until it was given up, one in vain, and one that was taken.
    assert asked == [2, 3, 4, 5]
    target.left, target.asked = 2, 0
    assert await teller._tell(message)
    assert target.asked == 2
