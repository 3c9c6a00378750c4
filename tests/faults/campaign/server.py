"""A server on this machine, in a process of its own, that misbehaves as the path of the address says."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar

Plan = Callable[["Handler"], None]


class Handler(BaseHTTPRequestHandler):
    """Looks up what to do."""

    plans: ClassVar[dict[str, Plan]] = {}
    files: Path

    def log_message(self, *_: object) -> None:
        """Be silent."""

    def do_GET(self) -> None:
        """Answer."""
        name, _, rest = self.path.strip("/").partition("/")
        with suppress(OSError):
            if name == "file":
                self.whole((self.files / rest).read_bytes())
            else:
                self.plans[name](self)
        self.close_connection = True

    def head(self, code: int = 200, **headers: object) -> None:
        """Status and headers; ``_`` in their names stands for ``-``."""
        self.send_response(code)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), str(value))
        self.end_headers()

    def whole(self, body: bytes, **headers: object) -> None:
        """A body with its length."""
        self.head(200, Content_Length=len(body), **headers)
        self.wfile.write(body)


@contextmanager
def serving(files: Path, plans: dict[str, Plan] | None = None) -> Iterator[str]:
    """The address of a running server.

    Args:
        files: served below ``file/``.
        plans: what is done for the first part of an address.
    """
    with ThreadingHTTPServer(
        ("127.0.0.1", 0), type("Own", (Handler,), {"plans": plans or {}, "files": files})
    ) as server:
        server.daemon_threads = True
        pid = os.fork()
        if not pid:
            try:
                server.serve_forever(poll_interval=0.05)
            finally:
                os._exit(0)
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)


def slowly(handler: Handler, pause: float = 0.02, count: int = 1500) -> None:
    """A byte now and then."""
    for _ in range(count):
        handler.wfile.write(b"x")
        time.sleep(pause)
