"""Another bundle takes the place of the one in use while the worker runs; one that cannot be used is refused."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence

from mode import Service

from stream.bundle import Bundle, load_bundle, manifest_hash
from stream.metrics import SwitchMetrics

RETRY_SECONDS = 30.0
"""A bundle that was refused may have been copied half; after so long it is tried again."""

Takeover = Callable[[], None]
"""Puts to use what was prepared; it does not fail."""
Prepare = Callable[[Bundle], Awaitable[Takeover]]
"""Loads what a stage needs of a bundle beside what it uses; raises where the bundle cannot be used."""


class BundleSwitch(Service):
    """Looks now and then into the bundle's folder.

    What it guarantees: nothing is switched before every stage has loaded the new bundle, warm; then all are,
    between two steps of the event loop. Whatever goes wrong before, the old one goes on.
    """

    def __init__(
        self, bundle: Bundle, every_seconds: float, stages: Sequence[Prepare], metrics: SwitchMetrics
    ) -> None:
        super().__init__()
        self._bundle = bundle
        self._every = every_seconds
        self._stages = stages
        self._metrics = metrics
        self._refused: tuple[str, str] | None = None
        self._away = False
        self._again = 0.0

    @Service.task
    async def _look(self) -> None:
        while not self.should_stop:
            await self.sleep(self._every)
            await self.look()

    async def look(self) -> None:
        """Switch where another bundle lies in the folder and can be used."""
        folder = self._bundle.folder
        try:
            seen = await asyncio.to_thread(manifest_hash, folder)
        except OSError as error:
            # For a moment it may be away, while it is replaced.
            if not self._away:
                self.log.warning(
                    "no bundle can be read in %s, %s goes on: %s", folder, self._bundle.hash, error
                )
            self._away = True
            self._metrics.refused()
            return
        self._away = False
        if seen == self._bundle.hash:
            self._refused = None
            self._metrics.in_use()
            return
        if self._was_refused(seen) and time.monotonic() < self._again:
            return
        try:
            bundle = await asyncio.to_thread(load_bundle, folder)
            takeovers = [await prepare(bundle) for prepare in self._stages]
            # What was read since must be what was verified.
            if (await asyncio.to_thread(load_bundle, folder)).hash != bundle.hash:
                return
        except Exception as error:  # noqa: BLE001  # whatever is wrong with it, the old one goes on
            self._refuse(seen, str(error))
            return
        for takeover in takeovers:
            takeover()
        self.log.info("bundle %s took the place of %s", bundle.hash, self._bundle.hash)
        self._bundle, self._refused = bundle, None
        self._metrics.in_use()

    def _was_refused(self, seen: str) -> bool:
        return self._refused is not None and self._refused[0] == seen

    def _refuse(self, seen: str, why: str) -> None:
        self._again = time.monotonic() + RETRY_SECONDS
        self._metrics.refused()
        if self._refused != (seen, why):
            self._refused = (seen, why)
            self.log.error("bundle %s is refused, %s goes on: %s", seen, self._bundle.hash, why)
