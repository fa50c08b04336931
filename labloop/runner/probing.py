"""Who is on a port? Each known driver asks once, in the way it asks who is there, and sets nothing.

Known are the serial instruments of the lab files that are given (labloop's own bench.yaml has every driver it ships),
each with its line settings. Whoever is of that model answers, whatever its name: a ``name`` in the lab file does not
count here, and what it calls itself is told as its number.

What stands on the port hears questions that are not its own: a driver's open() only asks, but nobody can promise what
an unknown device makes of it. So it is done when a person asks for it, port by port. And an alarm is told once, to
whoever asks first: whoever calls this takes the bench before, where it is known which one it is.
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from labloop.bench import BenchError, Port, open_link, parse_address
from labloop.bench.declared import Declaration, declare
from labloop.bench.loading import shipped_root
from labloop.campaign.errors import SpecError
from labloop.campaign.spec import LabSpec, read_lab

from . import folder as run_files
from . import registry


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """One driver to try: its line settings as a lab file writes them, and the entry it comes from."""

    declaration: Declaration
    line: str

    @property
    def driver(self) -> str:
        """``drivers.ika:RCT``."""
        return f"{self.declaration.driver.__module__}:{self.declaration.driver.__name__}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Heard:
    """One driver on one port. ``model``: who answered it; ``error``: why nobody did."""

    address: str
    driver: str
    model: str = ""
    serial: str = ""
    error: str = ""


def known(lab: LabSpec | None = None) -> list[Known]:
    """Each serial driver of a lab file once (None: of labloop's own bench). Raises SpecError."""
    if lab is None:
        root = shipped_root()
        if root is None:
            raise SpecError("labloop's own bench.yaml is not installed here. Name a lab file with --lab")
        lab = read_lab(Path(root) / "campaigns" / "bench.yaml")
    found: dict[type, Known] = {}
    for name, declaration in declare(lab).items():
        port = urlsplit(lab.instruments[name].port or "")
        if port.scheme == "serial":
            found.setdefault(declaration.driver, Known(declaration=declaration, line=port.query))
    return list(found.values())


def evidence() -> dict[str, Path]:
    """{a line of this machine: the killed run whose evidence it is}; nobody else may ask there. Raises StoreError.

    An alarm is told once: what an instrument says first belongs to the run that was killed on it.
    """
    found: dict[str, Path] = {}
    for run in registry.killed():
        _, _, lab = run_files.read(run)
        for instrument in lab.instruments.values():
            if instrument.port is not None:
                found[line_of(instrument.port)] = run
    return found


def line_of(address: str) -> str:
    """Which line an address leads to: the device's own path, however it is named; host and port of others."""
    parsed = parse_address(address)
    return os.path.realpath(parsed.place) if parsed.scheme == "serial" else parsed.place


def probe(place: str, drivers: list[Known]) -> Iterator[Heard]:
    """Ask on ``place`` (``serial:///dev/ttyUSB0``), driver by driver, and give what each heard; it is closed again."""
    for one in drivers:
        address = f"{place}?{one.line}" if one.line and not place.startswith("tcp:") else place  # bytes as they are
        try:
            port = Port(open_link(address))
        except BenchError as error:
            yield Heard(address=address, driver=one.driver, error=str(error))
            continue
        try:
            yield _ask(port, address, one)
        finally:
            port.close()


def _ask(port: Port, address: str, one: Known) -> Heard:
    """Ask twice: what another driver has said before may stand in the instrument's ear and spoil the first question."""
    anyone = one.declaration.driver.anyone(one.declaration.options)
    driver = one.declaration.driver(port.exchange("", address), **anyone)
    heard = Heard(address=address, driver=one.driver)
    for _ in range(2):
        try:
            identity = port.submit(driver.open).result()
        except BenchError as error:
            heard = Heard(address=address, driver=one.driver, error=str(error))
        else:
            return Heard(address=address, driver=one.driver, model=identity.model, serial=identity.serial)
    return heard
