"""The worker's web server: `/metrics`, `/healthz`, `/readyz`."""

from collections.abc import Callable, Mapping
from functools import partial

from aiohttp import web
from mode import Service
from prometheus_client import CollectorRegistry, Gauge
from prometheus_client.aiohttp import make_aiohttp_handler

from stream.command import UsageError
from stream.settings import WebSettings

Check = Callable[[], bool]


def _as_number(check: Check) -> float:
    return float(check())


class WebServer(Service):
    """Serves metrics and health.

    `healthz` answers 200 as long as the event loop turns; `readyz` only while every check holds, so
    that an orchestrator sees a worker as ready when it has its model loaded and its partitions.
    """

    def __init__(
        self, settings: WebSettings, registry: CollectorRegistry, checks: Mapping[str, Check]
    ) -> None:
        super().__init__()
        self._settings = settings
        self._registry = registry
        self._checks = checks
        ready = Gauge("downtick_ready", "Whether a check of /readyz holds.", ["check"], registry=registry)
        for name, check in checks.items():
            ready.labels(name).set_function(partial(_as_number, check))

    async def on_start(self) -> None:
        """Bind the port; `UsageError` if it is taken."""
        application = web.Application()
        application.router.add_get("/metrics", make_aiohttp_handler(self._registry))
        application.router.add_get("/healthz", self._healthz)
        application.router.add_get("/readyz", self._readyz)
        self._runner = web.AppRunner(application, access_log=None)
        await self._runner.setup()
        site = web.TCPSite(self._runner, self._settings.host, self._settings.port)
        try:
            await site.start()
        except OSError as error:
            raise UsageError(
                f"cannot serve metrics on {self._settings.host}:{self._settings.port}: {error.strerror}; "
                "choose another `web.port` (0 takes a free one)"
            ) from error
        port = self._runner.addresses[0][1]
        self.log.info("metrics and health at http://%s:%d", self._settings.host, port)

    async def on_stop(self) -> None:
        """Close the port."""
        await self._runner.cleanup()

    async def _healthz(self, request: web.Request) -> web.Response:  # noqa: ARG002
        return web.json_response({"status": "alive"})

    async def _readyz(self, request: web.Request) -> web.Response:  # noqa: ARG002
        checks = {name: check() for name, check in self._checks.items()}
        ready = all(checks.values())
        return web.json_response({"ready": ready, "checks": checks}, status=200 if ready else 503)
