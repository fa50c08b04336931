"""The dashboard in a browser, as a browser speaks with it: HTTP and a websocket on this machine's loopback."""

import asyncio
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import aiohttp
import pytest
from aiohttp.web_runner import AppRunner, TCPSite

from labloop.campaign import events as e
from labloop.campaign.errors import SpecError
from labloop.dashboard import web
from labloop.dashboard.__main__ import HUNG_UP
from labloop.dashboard.web import HEARS, MOST_PAGES, Door, door_to
from labloop.journal import Reader

from . import journals

WITHIN_S = 300.0
Script = Callable[[aiohttp.ClientSession, str], Awaitable[None]]


@pytest.fixture
def run(tmp_path: Path, written) -> Path:
    told, _ = written(journals.paused)
    shutil.copytree(told, tmp_path / "run")
    return tmp_path / "run"


def played(door: Door, script: Script) -> None:
    """Serve, and play ``script`` with a browser's cookies and the address without its key."""

    async def play() -> None:
        runner = AppRunner(await door._make_app())
        await runner.setup()
        await TCPSite(runner, "127.0.0.1", door.port).start()
        try:
            jar = aiohttp.CookieJar(unsafe=True)  # cookies of an address without a name
            async with aiohttp.ClientSession(cookie_jar=jar, timeout=aiohttp.ClientTimeout(WITHIN_S)) as browser:
                await asyncio.wait_for(script(browser, f"http://127.0.0.1:{door.port}"), WITHIN_S)
        finally:
            await asyncio.wait_for(runner.cleanup(), WITHIN_S)

    asyncio.run(play())


async def seen(page: aiohttp.ClientWebSocketResponse, words: str) -> str:
    """What the page was sent until ``words`` stood in it, without what moves the cursor."""
    drawn = ""
    while words not in drawn:
        message = await page.receive()
        assert message.type in (aiohttp.WSMsgType.BINARY, aiohttp.WSMsgType.TEXT), f"closed after {drawn!r}"
        data = message.data if isinstance(message.data, bytes) else message.data.encode()
        drawn += re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", data.decode(errors="replace"))
    return drawn


def notes(run: Path) -> list[e.NoteTaken]:
    with Reader(run / "journal.db") as reader:
        return [record.event for record in reader.records() if isinstance(record.event, e.NoteTaken)]


def wait_for_note(run: Path) -> None:
    """No runner lives: labloop itself writes it down, in a process of its own."""
    until_s = time.monotonic() + WITHIN_S
    while notes(run)[-1].text != "hello":
        assert time.monotonic() < until_s, "no note came"
        time.sleep(0.05)


async def ended(page: aiohttp.ClientWebSocketResponse) -> None:
    while (await page.receive()).type in (aiohttp.WSMsgType.BINARY, aiohttp.WSMsgType.TEXT):
        pass


def test_a_page_shows_the_run_and_its_keys_ask_in_the_name_that_was_given(run: Path) -> None:
    door = door_to(run, 0, read_only=False, by="ann on the web")

    async def script(browser: aiohttp.ClientSession, here: str) -> None:
        async with browser.get(door.address) as index:
            text = await index.text()
            assert index.status == 200 and f"ws://127.0.0.1:{door.port}/ws" in text
            assert "googleapis" not in index.headers["Content-Security-Policy"]
            assert list(index.cookies) == [f"labloop-{door.port}"]  # another server's pages have another one
        async with browser.ws_connect(f"{here}/ws?width=120&height=40", origin=here) as page:
            await seen(page, "RUNNER GONE")
            await page.send_str(json.dumps(["stdin", "n"]))
            await seen(page, "A note for the next shift")
            await page.send_str(json.dumps(["stdin", "hello\r"]))
            await asyncio.to_thread(wait_for_note, run)
            await page.send_str(json.dumps(["stdin", "q"]))
            await ended(page)

    played(door, script)
    assert notes(run)[-1] == e.NoteTaken(text="hello", by="ann on the web")


def test_read_only_is_read_only_there_too(run: Path) -> None:
    door = door_to(run, 0, read_only=True, by="ann")

    async def script(browser: aiohttp.ClientSession, here: str) -> None:
        async with browser.get(door.address):
            pass
        async with browser.ws_connect(f"{here}/ws?width=120&height=40", origin=here) as page:
            assert "Resume" not in await seen(page, "Quit")
            await page.send_str(json.dumps(["stdin", "nrsp\x18\x18q"]))
            await ended(page)

    played(door, script)
    assert list((run / "requests").iterdir()) == []


def test_a_page_that_does_not_quit_is_ended(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    door = door_to(run, 0, read_only=True, by="ann")
    pid = run.parent / "pid"
    hung = f"import os, time; open({str(pid)!r}, 'w').write(str(os.getpid())); print('__GANGLION__', flush=True)"
    door.command = f"exec {sys.executable} -c {shlex.quote(hung + '; time.sleep(600)')}"
    monkeypatch.setattr(web, "QUIT_WITHIN_S", 0.1)

    async def script(browser: aiohttp.ClientSession, here: str) -> None:
        async with browser.get(door.address):
            pass
        async with browser.ws_connect(f"{here}/ws", origin=here):
            while not (pid.exists() and pid.read_text()):
                await asyncio.sleep(0.02)

    played(door, script)
    with pytest.raises(ProcessLookupError):
        os.kill(int(pid.read_text()), 0)


@pytest.mark.parametrize("path", ["/", "/?key=wrong", "/ws", "/static/js/textual.js"])
def test_without_the_key_nothing_is_shown(run: Path, path: str) -> None:
    async def script(browser: aiohttp.ClientSession, here: str) -> None:
        async with browser.get(f"{here}{path}") as said:
            assert said.status == 403 and "labloop watch --web" in await said.text()
            assert not said.cookies

    played(door_to(run, 0, read_only=False, by="ann"), script)


@pytest.mark.parametrize("headers", [
    {"Host": "evil.example:8000"}, {"Origin": "https://evil.example"}, {"Origin": "http://127.0.0.1:1"},
    {"Origin": "null"},
])  # fmt: skip
def test_another_name_or_another_page_is_refused_even_with_the_key(run: Path, headers: dict[str, str]) -> None:
    door = door_to(run, 0, read_only=False, by="ann")

    async def script(browser: aiohttp.ClientSession, here: str) -> None:
        async with browser.get(door.address):
            pass
        for path in ("/", "/ws"):
            async with browser.get(f"{here}{path}?key={door._key}", headers=headers) as said:
                assert said.status == 403 and "on this machine" in await said.text()

    played(door, script)


def test_through_a_tunnel_the_page_leads_back_into_it(run: Path) -> None:
    door = door_to(run, 0, read_only=False, by="ann")

    async def script(browser: aiohttp.ClientSession, here: str) -> None:
        async with browser.get(door.address, headers={"Host": "localhost:9000"}) as index:
            page = await index.text()
            assert "ws://localhost:9000/ws" in page
            assert page.count(HEARS) == 1 and "xterm-helper-textarea" in HEARS, "keys go to it before any click"

    played(door, script)


def test_so_many_pages_and_no_more(run: Path) -> None:
    door = door_to(run, 0, read_only=False, by="ann")
    door._pages = MOST_PAGES

    async def script(browser: aiohttp.ClientSession, here: str) -> None:
        async with browser.get(f"{here}/ws?key={door._key}") as said:
            assert said.status == 503

    played(door, script)


def test_a_port_that_is_taken_is_said(run: Path) -> None:
    import socket

    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        with pytest.raises(SpecError, match=r"--port \d+: cannot listen there .* Take another one"):
            door_to(run, other.getsockname()[1], read_only=False, by="ann")


@pytest.fixture
def command(run: Path) -> Iterator["subprocess.Popen[str]"]:
    """``labloop watch RUN --web`` in a process of its own."""
    served = subprocess.Popen(
        [sys.executable, "-P", "-m", "labloop", "watch", str(run), "--web", "--port", "0"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2]), "PYTHONUNBUFFERED": "1"},
    )  # fmt: skip
    yield served
    if served.poll() is None:
        served.kill()
    served.communicate()


@pytest.mark.skipif(sys.platform == "win32", reason="SIGINT to another process")
def test_the_command_serves_on_loopback_alone_until_ctrl_c_and_then_ends_its_pages(
    command: "subprocess.Popen[str]",
) -> None:
    assert command.stdout is not None and command.stderr is not None
    address = command.stdout.readline().strip()
    port = int(re.fullmatch(r"http://127\.0\.0\.1:(\d+)/\?key=[\w-]{20,}", address)[1])  # type: ignore[index]
    assert f"ssh -L {port}:127.0.0.1:{port}" in command.stderr.readline()

    async def look() -> int | None:
        async with aiohttp.ClientSession() as browser:
            while command.poll() is None:
                try:
                    async with browser.ws_connect(address.replace("/?", "/ws?width=120&height=40&")) as page:
                        await seen(page, "RUNNER GONE")
                        if Path("/proc/net/tcp").exists():
                            assert listening_at(port) == [f"0100007F:{port:04X}"]
                        command.send_signal(signal.SIGINT)
                        await ended(page)
                        return page.close_code
                except aiohttp.ClientConnectorError:
                    await asyncio.sleep(0.05)
        raise AssertionError("it ended")

    assert asyncio.run(asyncio.wait_for(look(), WITHIN_S)) == aiohttp.WSCloseCode.GOING_AWAY
    assert command.wait(WITHIN_S) == 0


def listening_at(port: int) -> list[str]:
    listening = [line.split()[1] for line in Path("/proc/net/tcp").read_text().splitlines() if " 0A " in line]
    return [where for where in listening if where.endswith(f":{port:04X}")]


@pytest.mark.skipif(sys.platform == "win32", reason="poll")
def test_a_page_ends_with_a_server_that_was_killed(run: Path) -> None:
    page = subprocess.Popen(
        [sys.executable, "-P", "-m", "labloop.dashboard", str(run)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
        env={
            **os.environ, "PYTHONPATH": str(Path(__file__).parents[2]),
            "TEXTUAL_DRIVER": "textual.drivers.web_driver:WebDriver",
        },
    )  # fmt: skip
    assert page.stdin is not None and page.stdout is not None
    try:
        assert page.stdout.readline() == b"__GANGLION__\n"
        page.stdin.close()  # as the kernel does it for a process that is no more
        assert page.wait(WITHIN_S) == HUNG_UP
    finally:
        page.kill()
        page.stdout.close()
        page.wait(WITHIN_S)
