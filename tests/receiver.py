"""A web server that takes messages, as a chat's would."""

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from stream.broker import free_port


class Receiver:
    """Takes what is posted to it, while it is `open`; otherwise it answers that it cannot."""

    def __init__(self) -> None:
        self.port = free_port()
        self.open = True
        self.titles: list[str] = []
        self.refused = 0

    @property
    def url(self) -> str:
        """As Apprise knows it."""
        return f"json://127.0.0.1:{self.port}"

    def take(self, body: bytes) -> bool:
        """Whether the message is taken."""
        if not self.open:
            self.refused += 1
            return False
        self.titles.append(json.loads(body)["title"])
        return True

    def wait_for(self, titles: int, seconds: float = 60) -> list[str]:
        """Return what has come once so many messages have."""
        deadline = time.monotonic() + seconds
        while len(self.titles) < titles:
            assert time.monotonic() < deadline, self.titles
            time.sleep(0.1)
        return self.titles


@contextmanager
def receiving() -> Iterator[Receiver]:
    """A receiver that serves until the end of the block."""
    receiver = Receiver()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:  # the name that http.server looks for
            body = self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(200 if receiver.take(body) else 503)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Nothing is logged."""

    server = ThreadingHTTPServer(("127.0.0.1", receiver.port), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield receiver
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
