"""Where a driver stands when it is tested: tests/drivers/stands/ has a file for each module, STANDS by class name."""

import importlib
import inspect
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from labloop.bench import Driver

FOLDER = Path(__file__).parents[2] / "drivers"
MODULES = sorted(path.stem for path in FOLDER.glob("*.py"))


def shipped() -> list[type[Driver]]:
    """Every driver of the folder, by module. What has no kind is what several are made of, and no driver itself."""
    modules = [importlib.import_module(f"drivers.{name}") for name in MODULES]
    return [
        member
        for module in modules
        for member in vars(module).values()
        if inspect.isclass(member) and issubclass(member, Driver) and member.__module__ == module.__name__
        if member.kind
    ]


@dataclass(frozen=True, kw_only=True)
class Stand:
    """``port`` as a lab file writes it, ``options`` of the driver, ``simulation`` of the simulator alone.

    ``act``: an action that lasts, with settings in the middle of their limits, as (value, unit). ``stopped``: what
    happened() says when it was begun, ran for 5 s and was stopped, ``tells``: before it was stopped. ``acts`` False:
    nothing it does changes matter.
    ``hearing``: what of the simulator's state changes by being asked. ``rests_s``: how long it takes to come to rest.
    ``sibling``: what of its answers tells another of the maker's models, and what that one says there; left out where
    nothing on the wire tells them apart. ``unnoticed``: why nothing tells that it was switched off and on.
    ``proving``: of ``simulation``, what every action can be done with.
    """

    port: str
    simulator: str
    act: tuple[str, Mapping[str, tuple[Any, str]]]
    options: Mapping[str, Any] = field(default_factory=dict)
    simulation: Mapping[str, Any] = field(default_factory=dict)
    stopped: str = "partial"
    tells: str = "running"
    acts: bool = True
    proving: Mapping[str, Any] = field(default_factory=dict)
    sibling: tuple[bytes, bytes] | tuple[()] = ()
    unnoticed: str = ""
    hearing: frozenset[str] = frozenset()
    rests_s: float = 0.0


def stand_of(driver: type[Any]) -> Stand:
    """The stand of a driver's class."""
    module = importlib.import_module(f"tests.drivers.stands.{driver.__module__.rpartition('.')[2]}")
    found: Stand = module.STANDS[driver.__name__]
    return found
