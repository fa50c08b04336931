"""A driver on its simulator, in process and on a virtual clock."""

from collections.abc import Callable, Mapping
from typing import Any

import pytest

from labloop.bench import (
    Amount,
    InProcessLink,
    InProcessMessageLink,
    LinkError,
    LinkInterrupted,
    Port,
    Progress,
    ProtocolError,
    Verdict,
)
from labloop.simulation.bench import SimulatedBench
from labloop.simulation.clock import VirtualClock
from tests.drivers.stand import stand_of


class Rig:
    """One instrument: ``driver``, ``device`` (the simulator), ``clock``, ``port``; ``sent``: what the driver said.

    ``again_s``: how long insist() waits before it tries again.
    """

    again_s = 0.0

    def __init__(
        self, driver: type[Any], *, faults: str | None = None, seed: int = 0, stock: str | None = None,
        simulation: Mapping[str, Any] | None = None, more: Mapping[str, Any] | None = None, **options: Any,
    ) -> None:  # fmt: skip
        stand = stand_of(driver)
        self.options = {**stand.options, **options}
        given = {**self.options, **stand.simulation, **(simulation or {}), **({"stock": stock} if stock else {})}
        plan = {
            "instruments": {
                "it": {"simulator": stand.simulator, "port": stand.port, "options": given},
                **{
                    other: {"simulator": stand.simulator, "port": stand.port, "options": its}
                    for other, its in (more or {}).items()
                },
            },
            "faults": faults,
            "seed": seed,
        }
        self.clock = VirtualClock()
        self.bench = SimulatedBench(plan, self.clock)
        self.device = self.bench.devices["it"]
        line = self.bench.lines[stand.port]
        link = InProcessLink if line.kind == "serial" else InProcessMessageLink
        self.port = Port(link(stand.port, line, self.clock), inline=True)
        self._kind, self._address = driver, stand.port
        self.driver = self.restarted()

    def restarted(self) -> Any:
        """A new driver on the same port, as after a crash of the runner."""
        self.driver = self._kind(self.port.exchange("it", self._address), **self.options)
        return self.driver

    def ready(self) -> "Rig":
        self.driver.open()
        self.driver.configure()
        return self

    def wait(self, seconds: float) -> None:
        self.clock.advance_to(self.clock.now_s() + seconds)

    def begin(self, action: str, act: str = "act-1", **settings: tuple[Any, ...]) -> dict[str, Amount]:
        """Begin an action with settings as (value, unit); returns the settings as the journal has them."""
        amounts = {name: Amount(*value) for name, value in settings.items()}
        self.driver.begin(action, self.driver.resolved(action, amounts), act)
        self.began_s = self.clock.now_s()
        return amounts

    def begin_and_cut_after(self, said: str, action: str, act: str, **settings: tuple[Any, ...]) -> Verdict:
        """Begin an action, interrupt the line when a command that starts so was said, stop; what became of it."""
        exchange, driver = self.driver.exchange, self.driver

        def cutting(codec: Any, command: Any, deadline_s: float) -> Any:
            answer = exchange(codec, command, deadline_s)
            if command.text.startswith(said):
                self.port.link.interrupt()
            return answer

        driver.exchange = cutting
        with pytest.raises(LinkInterrupted):
            self.begin(action, act, **settings)
        driver.exchange = exchange
        self.port.link.resume()
        driver.stop()
        return self.happened(action, {name: Amount(*value) for name, value in settings.items()}, {}, act)

    def look(self) -> Progress:
        return self.driver.progress(self.clock.now_s() - self.began_s)

    def finish(self) -> Progress:
        """Look as often as the driver wants, until it is done."""
        while not (look := self.look()).done:
            self.wait(look.again_in_s)
        return look

    def insist(self, call: Callable[..., Any], *args: Any) -> Any:
        """What a call gives once the line lets it through. Raises AssertionError when it never does."""
        for _ in range(60):
            try:
                return call(*args)
            except (LinkError, ProtocolError):
                self.wait(self.again_s)
        raise AssertionError("no way through in 60 tries")

    def happened(self, action: str, settings: dict[str, Amount], before: Any, act: str = "act-1") -> Verdict:
        return self.driver.happened(action, settings, before, act)

    @property
    def sent(self) -> list[Any]:
        return [one.data for one in self.port.traffic if one.kind == "sent"]

    @property
    def ledger(self) -> list[Any]:
        return list(self.bench.ledger.entries)
