"""The list of instruments says what each driver declares, in the order of their modules."""

from pathlib import Path
from urllib.parse import urlsplit

import pytest

from drivers.leco import LecoActor
from labloop.bench import Amount, Driver, actions_of
from labloop.bench.settings import resolve
from labloop.campaign.text import duration
from tests.drivers.rigs import Rig
from tests.drivers.stand import shipped, stand_of

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "instruments.md").read_text()


def row(driver: type[Driver]) -> str:
    """What the page must say of one driver."""
    stand = stand_of(driver)
    port = urlsplit(stand.port)
    line = f"{port.scheme}, {port.query}" if port.query else port.scheme
    actions = driver.declare(stand.options)
    does = ", ".join(
        f"`{one.name}`" + (f" ({', '.join(setting.name for setting in one.settings)})" if one.settings else "")
        for one in actions.values()
    )
    reads = ", ".join(one.name + (f" ({one.unit})" if one.unit else "") for one in driver.signals)
    if not actions_of(driver):
        does = reads = "what the lab file says"
    safe = driver.watchdog(stand.options) or "nobody"
    name = f"`{driver.__module__}:{driver.__name__}`"
    number = "told" if driver.numbered(stand.options) else "none"
    return f"| {driver.kind} | {name} | {line} | {does} | {takes(driver)} | {reads or 'nothing'} | {number} | {safe} |"


def takes(driver: type[Driver]) -> str:
    """How long it says that an action will take, by the example that its own tests use."""
    stand = stand_of(driver)
    name, settings = stand.act
    action = driver.declare(stand.options)[name]
    values = resolve(action, {one: Amount(*value) for one, value in settings.items()})
    written = ", ".join(
        f"{one} {value:g} {unit}" if unit else f"{one} {value}" for one, (value, unit) in settings.items()
    )
    expected_s = driver.expected(name, values, stand.options).duration_s
    return f"`{name}`{f' ({written})' if written else ''}: {duration(expected_s)}"


@pytest.mark.parametrize("driver", shipped(), ids=lambda driver: driver.__name__)
def test_a_drivers_row_says_what_it_declares(driver: type[Driver]) -> None:
    assert row(driver) in PAGE.splitlines(), f"put this row into docs/instruments.md:\n{row(driver)}"


def test_the_page_names_no_driver_that_is_not_there_and_each_once() -> None:
    table, _, _ = PAGE.partition("## What each pair was proved against")
    named = [line.split("|")[2].strip(" `") for line in table.splitlines() if "`drivers." in line]
    assert named == [f"{driver.__module__}:{driver.__name__}" for driver in shipped()]


@pytest.mark.parametrize("driver", shipped(), ids=lambda driver: driver.__name__)
def test_the_page_names_what_a_driver_tells_of_what_stands_there(driver: type[Driver]) -> None:
    _, _, rest = PAGE.partition("## What stands there until somebody changes it")
    (told,) = [line.split("|")[2] for line in rest.splitlines() if line.startswith(f"| {driver.kind} |")]
    rig = Rig(driver).ready()
    stands = rig.driver.stands()
    assert all(name in told for name in stands) if driver is not LecoActor else "`stands`" in told
    assert bool(stands) == (told.strip() != "nothing")


@pytest.mark.parametrize("driver", shipped(), ids=lambda driver: driver.__name__)
def test_the_page_says_what_a_pair_was_proved_against(driver: type[Driver]) -> None:
    _, _, proofs = PAGE.partition("## What each pair was proved against")
    assert f"`{driver.__module__}`" in proofs
