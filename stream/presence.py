"""Whether the broker answers, and still has the topics. Nothing else tells: who reads finds that nothing comes."""

from collections.abc import Awaitable, Callable

from aiokafka.errors import KafkaError
from mode import Service

from stream.kafka import BrokerError

LOOK_SECONDS = 10.0


class BrokerPresence(Service):
    """Asks now and then; `ready` is what the last answer was worth."""

    def __init__(self, ask: Callable[[], Awaitable[object]], every_seconds: float = LOOK_SECONDS) -> None:
        """`ask` raises `BrokerError` where the broker is away, or topics are not as needed."""
        super().__init__()
        self._ask = ask
        self._every = every_seconds
        self.ready = True

    @Service.task
    async def _look(self) -> None:
        while not self.should_stop:
            await self.sleep(self._every)
            await self.look()

    async def look(self) -> None:
        """Ask once; say so where that changes what is known."""
        try:
            await self._ask()
        except (BrokerError, KafkaError, OSError, TimeoutError) as error:
            if self.ready:
                self.log.error("nothing is read until this is mended: %s", error)
            self.ready = False
        else:
            if not self.ready:
                self.log.info("the broker has all topics again")
            self.ready = True
