"""What people do while a run goes on, each deed at its time."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from labloop.journal import inbox

WATCHED = "limits: {hotplate: {plate: {max: 100 degC, stale_after: 5 s}}}\n"

Deed = Callable[[Path, Any, float], object]  # inbox, the bench's devices by name, lab seconds


class People:
    """What people do, each deed at its time (lab seconds): a wish, or a hand on a device, past labloop."""

    def __init__(self, folder: Path, *deeds: tuple[float, Deed]) -> None:
        self.inbox, self.deeds = folder / "run" / "requests", sorted(deeds, key=lambda one: one[0])

    def __call__(self, bench: Any, now_s: float) -> None:
        while self.deeds and now_s >= self.deeds[0][0]:
            self.deeds.pop(0)[1](self.inbox, bench.devices, now_s)


def wish(request: str, *arguments: str, by: str, why: str = "") -> Deed:
    return lambda box, devices, now_s: inbox.post(box, request, list(arguments), by=by, why=why)


def hand(name: str, *said: bytes) -> Deed:
    """The keys of an instrument do what its commands do."""
    return lambda box, devices, now_s: [devices[name].receive(data, now_s) for data in said]
