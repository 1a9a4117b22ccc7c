"""Where alerts are told: Apprise's services, named by URL.

Errors:
    SettingsError   a URL that Apprise cannot use, or Apprise is not installed; what is secret in it is not told
"""

import hashlib
import logging
from collections.abc import Sequence

from pydantic import SecretStr

from stream.notify.message import Message
from stream.settings import SettingsError

logger = logging.getLogger(__name__)


class Target:
    """One of the services, ready to be told."""

    def __init__(self, url: str, number: int) -> None:
        import apprise  # noqa: PLC0415  # only workers that tell people have it

        # It logs why a URL is of no use, with all of it.
        logging.getLogger("apprise").setLevel(logging.CRITICAL)
        service = apprise.Apprise.instantiate(url)
        if service is None:
            scheme = url.partition("://")[0]
            raise SettingsError(
                f"notify.urls: number {number} ({scheme}://…) is no URL that Apprise can use; "
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
            told = await self._service.async_notify(
                title=message.title, body=message.body, notify_type=message.kind, body_format=self._format
            )
        except Exception:
            # Its services are many, and each fails in ways of its own; the next attempt may do.
            logger.exception("%s failed", self.name)
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
