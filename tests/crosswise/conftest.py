"""Clients and simulators that we did not write; ours stand on real ports, theirs in an environment of their own."""

import contextlib
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from labloop.bench import Driver, LinkError, Port, open_link
from tests.drivers.stand import stand_of
from tests.served import serve_plan as serve_plan
from tests.simulation.conftest import crosswise_python as crosswise_python


@pytest.fixture
def serve_stand(serve_plan: Callable[..., Any]) -> Callable[..., Any]:
    """``serve_stand(drivers.x.X, speed=60, **options)``: its simulator on a pty; ``device("it")`` is the path."""

    def serve(
        driver: type[Driver], speed: float = 60.0, simulation: dict[str, Any] | None = None, **options: Any
    ) -> Any:
        stand = stand_of(driver)
        given = {**stand.options, **stand.simulation, **(simulation or {}), **options}
        instruments = {"it": {"simulator": stand.simulator, "port": stand.port, "options": given}}
        return serve_plan({"instruments": instruments, "seed": 3}, speed=speed)

    return serve


@pytest.fixture
def on_port() -> Iterator[Callable[..., Any]]:
    """``on_port(drivers.x.X, address, **options)``: the driver on a real port."""
    ports: list[Port] = []

    def connect(driver: type[Any], address: str, **options: Any) -> Any:
        ports.append(Port(open_link(address)))
        return driver(ports[-1].exchange("it", address), **options)

    yield connect
    for port in ports:
        port.close()


@pytest.fixture
def run_client(crosswise_python: Callable[..., Path]) -> Callable[..., str]:
    """``run_client("alicat==0.9.0", code, *arguments)``: what a program that uses that client prints."""

    def run(requirement: str, code: str, *arguments: str) -> str:
        command = [str(crosswise_python(requirement)), "-c", code, *arguments]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run


@pytest.fixture
def run_server() -> Iterator[Callable[..., int]]:
    """``run_server(lambda port: [command, ...])``: a server of theirs on a free TCP port, ready; the port."""
    running: list[subprocess.Popen[str]] = []

    def run(command: Callable[[int], list[str]], tries: int = 5) -> int:
        with socket.create_server(("127.0.0.1", 0)) as free:
            number = int(free.getsockname()[1])
        running.append(subprocess.Popen(command(number), stderr=subprocess.PIPE, text=True))
        deadline_s = time.monotonic() + 300.0
        while time.monotonic() < deadline_s:
            if running[-1].poll() is not None:  # somebody else may have taken the port meanwhile
                assert tries > 1, running[-1].communicate()[1]
                return run(command, tries - 1)
            with contextlib.suppress(LinkError):
                open_link(f"tcp://127.0.0.1:{number}").close()
                return number
            time.sleep(0.05)
        raise AssertionError("their server did not come up within five minutes")

    yield run
    for process in running:
        process.kill()
        process.communicate()
