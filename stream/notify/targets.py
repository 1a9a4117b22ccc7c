"""Where alerts are told: Apprise's services, named by URL.

Errors:
    SettingsError   a URL that Apprise cannot use, or Apprise is not installed; what is secret in it is not told
"""

import asyncio
import hashlib
import logging
import re
from collections.abc import Sequence

from pydantic import SecretStr

from stream.notify.message import Message
from stream.settings import SettingsError

ATTEMPT_SECONDS = 60.0
"""A service that has not answered after so long has not taken the message."""
_SCHEME = re.compile(r"[a-z][a-z0-9+.-]*://", re.IGNORECASE)

logger = logging.getLogger(__name__)


class Target:
    """One of the services, ready to be told."""

    def __init__(self, url: str, number: int) -> None:
        import apprise  # noqa: PLC0415  # only workers that tell people have it

        # It logs why a URL is of no use, with all of it; and why a message was not taken, without.
        theirs = logging.getLogger("apprise")
        theirs.setLevel(logging.CRITICAL)
        service = apprise.Apprise.instantiate(url)
        theirs.setLevel(logging.WARNING)
        if service is None:
            scheme = _SCHEME.match(url)
            shown = f" ({scheme[0]}…)" if scheme else ""
            raise SettingsError(
                f"notify.urls: number {number}{shown} is no URL that Apprise can use; "
                "see https://github.com/caronc/apprise/wiki for how those of each service are written"
            )
        self.key = hashlib.sha256(url.encode()).hexdigest()[:12]
        """Names the target where its URL would tell secrets."""
        self.name = f"{service.service_name} (notify.urls number {number})"
        self._service = apprise.Apprise()
        self._service.add(service)
        self._format = apprise.NotifyFormat.TEXT

    async def tell(self, message: Message) -> bool:
        """Whether the service took the message."""
        try:
            async with asyncio.timeout(ATTEMPT_SECONDS):
                told = await self._service.async_notify(
                    title=message.title, body=message.body, notify_type=message.kind, body_format=self._format
                )
        except TimeoutError:
            logger.warning("%s does not answer", self.name)
            return False
        except Exception as error:  # noqa: BLE001  # its services are many, and each fails in ways of its own
            # What it says may have the URL in it.
            logger.warning("%s failed: %s", self.name, type(error).__name__)
            return False
        return bool(told)


def open_targets(urls: Sequence[SecretStr]) -> list[Target]:
    """The services of these URLs."""
    if not urls:
        raise SettingsError(
            "notify.urls is empty: name where alerts are to be told, such as slack://… or mailto://…"
        )
    try:
        return [Target(url.get_secret_value(), number) for number, url in enumerate(urls, start=1)]
    except ImportError as error:
        raise SettingsError(
            f"telling alerts needs more packages ({error.name} is missing): "
            "run pip install '.[notify]' in Downtick's folder"
        ) from error
