"""A web server on this machine that takes what apprise sends to ``json://`` and answers as it is told to."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from queue import Queue
from typing import Any

WITHIN_S = 300.0


class Listener:
    """``answers``: HTTP codes of the next requests, 200 after them (0: none before ``let_go`` is set)."""

    def __init__(self, port: int) -> None:
        self.address = f"json://ann:tokenA@127.0.0.1:{port}/tokenB"
        self.answers: list[int] = []
        self.got: Queue[tuple[str, str]] = Queue()
        self.let_go = threading.Event()

    def next(self) -> tuple[str, str]:
        """Title and body of the next message."""
        return self.got.get(timeout=WITHIN_S)


@contextmanager
def listening() -> Iterator[Listener]:
    """Serve until left."""

    class Answer(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            told = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            listener.got.put((told["title"], told["message"]))
            code = listener.answers.pop(0) if listener.answers else 200
            if not code:
                listener.let_go.wait(WITHIN_S)
            self.send_response(code or 200)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Answer)
    listener = Listener(server.server_address[1])
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    try:
        yield listener
    finally:
        listener.let_go.set()
        server.shutdown()
        server.server_close()
