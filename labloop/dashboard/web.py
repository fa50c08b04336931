"""The dashboard in a browser: textual-serve on this machine's loopback, with a door before it.

textual-serve asks nobody who they are, and whoever reaches it may press every key. So it listens on 127.0.0.1 alone,
and

    the address has a key in it     another user of this machine does not know it; the first page makes a cookie of it
    the Host must be this machine   a name that somebody else points at 127.0.0.1 is not (DNS rebinding)
    the Origin must be the Host     another page in the same browser may not open a connection in its name

Each page is a process of its own, as each terminal is. None outlives the server: see on_shutdown, and __main__ for a
server that was killed.
"""

import asyncio
import contextlib
import hmac
import logging
import os
import secrets
import shlex
import socket
import sys
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from aiohttp import WSCloseCode, web
from aiohttp.typedefs import Handler
from textual_serve import server
from textual_serve.app_service import AppService

from labloop.campaign.errors import SpecError

HOST: Final = "127.0.0.1"
HERE: Final = frozenset({"127.0.0.1", "localhost", "::1"})
# A page left open in a forgotten tab costs a process. A person has one, a shift three.
MOST_PAGES: Final = 10
# A browser answers a goodbye in milliseconds. A tab that was put to sleep does not, and aiohttp would wait 10 s, twice.
GOODBYE_S: Final = 1.0
# A dashboard that is told to quit does so in a moment; one that hangs would hold its page for ever (test_web).
QUIT_WITHIN_S: Final = 10.0
# No third party learns that there is a laboratory here, and a bench without a way to the internet waits for none.
POLICY: Final = "style-src 'self' 'unsafe-inline'; font-src 'self' data:; frame-ancestors 'none'"
# Keys go to the dashboard from the first one on: textual-serve's page leaves them to whoever clicks into it before, and
# who presses ctrl+x twice in a hurry does not.
HEARS: Final = """<script>
new MutationObserver((_, seen) => {
  const keys = document.querySelector(".xterm-helper-textarea");
  if (keys) { seen.disconnect(); keys.focus(); }
}).observe(document.body, {childList: true, subtree: true});
</script>
</body>"""


class Page(AppService):
    """One page's process, which is gone when the page is."""

    async def stop(self) -> None:
        """Tell it to quit, and wait until it has ended."""
        if self._task is None:
            return
        assert self._process is not None
        stopping = asyncio.create_task(super().stop())
        _, late = await asyncio.wait({stopping}, timeout=QUIT_WITHIN_S)
        if late:
            self._process.kill()
        await stopping
        await self._process.wait()


# textual-serve has no other way to say who makes its pages.
server.AppService = Page  # type: ignore[attr-defined]


class Door(server.Server):
    """textual-serve, for whoever has the key."""

    def __init__(self, command: str, port: int, key: str) -> None:
        super().__init__(command, host=HOST, port=port, title="labloop")
        self._key = key
        self._cookie = f"labloop-{port}"  # a browser keeps one jar for all ports of a machine
        self._pages = 0
        self._open: set[web.WebSocketResponse] = set()

    @property
    def address(self) -> str:
        """What is opened in a browser."""
        return f"http://{HOST}:{self.port}/?key={self._key}"

    def initialize_logging(self) -> None:
        """Only what is wrong: a line for each request would hold the key."""
        logging.basicConfig(level=logging.WARNING, format="%(message)s")

    async def _make_app(self) -> web.Application:
        app = await super()._make_app()
        app.middlewares.append(self._look_at)
        return app

    async def on_startup(self, app: web.Application) -> None:
        """Say nothing: who starts it says where it is."""

    async def on_shutdown(self, app: web.Application) -> None:
        """Tell each page that it is over; none is waited for that does not answer."""
        await asyncio.gather(*map(_say_goodbye, self._open))

    @web.middleware
    async def _look_at(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Let in whoever has the key, by the name of this machine, and from no other page."""
        try:
            host = urlsplit(f"//{request.host}").hostname or ""
        except ValueError:  # half an IPv6 address
            host = ""
        origin = request.headers.get("Origin")
        if host not in HERE or (origin is not None and origin != f"http://{request.host}"):
            raise web.HTTPForbidden(text="Open it on this machine, or through a tunnel: http://localhost:PORT/?key=...")
        brought = request.query.get("key", "")
        if not (self._opens(brought) or self._opens(request.cookies.get(self._cookie, ""))):
            raise web.HTTPForbidden(text="Open the whole address that `labloop watch --web` printed; a key is in it.")
        response = await handler(request)
        if not response.prepared:
            response.headers["Content-Security-Policy"] = POLICY
            response.headers["Referrer-Policy"] = "no-referrer"
            if brought:
                response.set_cookie(self._cookie, self._key, httponly=True, samesite="Strict")
        return response

    def _opens(self, key: str) -> bool:
        return hmac.compare_digest(key.encode(errors="replace"), self._key.encode())

    async def handle_index(self, request: web.Request) -> Any:
        """The page, whose links lead to where it was asked for: a tunnel may begin at another port."""
        self.public_url = f"http://{request.host}"
        page: Any = await super().handle_index(request)
        page.text = page.text.replace("</body>", HEARS)
        return page

    async def handle_websocket(self, request: web.Request) -> Any:
        """One page's dashboard."""
        if self._pages >= MOST_PAGES:
            raise web.HTTPServiceUnavailable(text=f"{MOST_PAGES} pages are open already. Close one.")
        self._pages += 1
        try:
            return await super().handle_websocket(request)
        finally:
            self._pages -= 1

    async def _process_messages(self, websocket: web.WebSocketResponse, app_service: AppService) -> None:
        self._open.add(websocket)
        try:
            await super()._process_messages(websocket, app_service)
        finally:
            self._open.discard(websocket)


async def _say_goodbye(websocket: web.WebSocketResponse) -> None:
    with contextlib.suppress(TimeoutError):  # then aiohttp has cut the connection
        await asyncio.wait_for(websocket.close(code=WSCloseCode.GOING_AWAY, message=b"labloop ended"), GOODBYE_S)


def door_to(run: Path | None, port: int, read_only: bool, by: str) -> Door:
    """What serves the run in ``run`` (None: the list of all below this folder). Raises SpecError: the port is taken."""
    with socket.socket() as trial:
        trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            trial.bind((HOST, port))
        except OSError as error:
            raise SpecError(f"--port {port}: cannot listen there ({error.strerror}). Take another one") from error
        port = trial.getsockname()[1]
    # -P: the folder that a person stands in is no place to import labloop from.
    command = [sys.executable, "-P", "-m", "labloop.dashboard", f"--by={by}", *["--read-only"] * read_only]
    command += [str(run.resolve())] if run is not None else []
    # exec: the shell that textual-serve starts makes way, so that what is killed is the dashboard.
    shell = "exec " if os.name == "posix" else ""
    return Door(shell + shlex.join(command), port, secrets.token_urlsafe(16))
