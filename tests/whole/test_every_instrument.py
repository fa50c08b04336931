"""What befalls the line of each shipped instrument in a campaign, and what the run then says and does.

Another instrument on the port, another of the maker's models, wrong line settings, the plug pulled and put back in the
middle of a step, the mains gone in the middle of a step. See solo for the campaign.
"""

from collections.abc import Callable, Iterator
from functools import partial
from random import Random
from typing import Any

import pytest
from solo import Solo, wrong_in
from test_kill_anywhere import memory_folder

from drivers.leco import LecoActor
from labloop.bench import Driver
from labloop.campaign import events as e
from labloop.campaign import state as s
from tests.drivers.stand import shipped, stand_of

EVERY = pytest.mark.parametrize("driver", shipped(), ids=lambda driver: driver.__name__)
SWEEP = [0.04, 0.25, 0.76, 0.96]
# Where in the step it happens, as a part of all that its line is used.
WHERE = pytest.mark.parametrize("where", [0.5, *(pytest.param(one, marks=pytest.mark.slow) for one in SWEEP)])
Place = Callable[..., Solo]


@pytest.fixture
def place() -> Iterator[Place]:
    """A bench for a driver, in a folder of its own."""
    with memory_folder() as folder:

        def made(driver: type[Driver], **what: Any) -> Solo:
            mine = folder / str(len(list(folder.iterdir())))
            mine.mkdir()
            return Solo(mine, driver, **what)

        yield made


@pytest.fixture(scope="module")
def wholes() -> Iterator[Callable[[type[Driver]], Solo]]:
    """The run of a driver that nothing befalls, once."""
    known: dict[type[Driver], Solo] = {}
    with memory_folder() as folder:

        def whole(driver: type[Driver]) -> Solo:
            if driver not in known:
                mine = folder / driver.__name__
                mine.mkdir()
                known[driver] = Solo(mine, driver)
                assert known[driver].run() == 0
                assert wrong_in(known[driver], known[driver]) == []
            return known[driver]

        yield whole


def answering(it: Solo, changed: Callable[[bytes], bytes]) -> None:
    """From here on all that its line says is changed like this (a message: its content)."""
    usual = it.line.receive

    def receive(*said: Any) -> Any:
        answer = usual(*said)
        if it.line.kind == "serial":
            return changed(answer)
        heard = [(peer, [*frames[:-1], changed(frames[-1])]) for peer, frames in answer]
        return [(peer, frames) for peer, frames in heard if frames[-1]]

    it.line.receive = receive


def refused(it: Solo) -> str:
    """What it is refused with at the start: nothing was set, nothing moved, the place is named, and a way out."""
    assert it.run() == 3
    assert it.steps == [] and it.spans == []
    assert not any(isinstance(fact, e.InstrumentConfigured) for fact in it.facts)
    reason = it.state.reason
    place = it.port.partition("?actor")[0]
    assert reason.startswith("it") and place in reason and "in the lab file" in reason, reason
    return reason


# --- who is there, and how it is spoken to --------------------------------------------------------------------------


@pytest.mark.parametrize("driver", [one for one in shipped() if stand_of(one).sibling], ids=lambda one: one.__name__)
def test_another_model_is_refused_with_what_it_was_asked_and_what_it_said(place: Place, driver: type[Driver]) -> None:
    mine, other = stand_of(driver).sibling
    it = place(driver)
    changed: list[bytes] = []

    def as_another(said: bytes) -> bytes:
        if mine in said:
            changed.append(said)
        return said.replace(mine, other)

    answering(it, as_another)
    reason = refused(it)
    assert changed and "was sent and" in reason and "came back" in reason, reason
    assert other.decode("latin-1") in reason and "Connect what belongs there" in reason


@pytest.mark.parametrize(
    "driver", [one for one in shipped() if one.numbered(stand_of(one).options)], ids=lambda one: one.__name__
)
def test_another_serial_number_than_the_lab_files_is_refused(place: Place, driver: type[Driver]) -> None:
    it = place(driver, serial="12344711")
    assert it.run() == 0, it.state.reason
    other = place(driver, serial="12344711")
    answering(other, lambda said: said.replace(b"12344711", b"12344712"))
    reason = refused(other)
    assert "with serial number 12344712 answers where 12344711 was expected" in reason and "came back" in reason


@EVERY
def test_something_else_on_the_port_is_refused(place: Place, driver: type[Driver]) -> None:
    it = place(driver)
    usual = it.line.receive

    def receive(*said: Any) -> Any:
        usual(*said[:-2], b"" if it.line.kind == "serial" else [], said[-1])
        if it.line.kind == "serial":
            return b"HEIDOLPH MR 3004\r\n" if said[-2] else b""
        return [(said[0], [b"HEIDOLPH"])] if said[-2] else []

    it.line.receive = receive
    reason = refused(it)
    assert "HEIDOLPH" in reason or "nothing came" in reason, reason


@EVERY
@pytest.mark.parametrize("wrong", ["garbled", "silent"])
def test_wrong_line_settings_are_refused_with_what_was_sent_and_what_came(
    place: Place, driver: type[Driver], wrong: str
) -> None:
    it = place(driver)
    dice = Random(1)

    def garbled(said: bytes) -> bytes:
        return bytes(one ^ 0x80 if dice.random() < 0.6 else dice.randrange(256) for one in said)

    answering(it, garbled if wrong == "garbled" and it.line.kind == "serial" else lambda said: b"")
    reason = refused(it)
    assert "no whole answer to" in reason or "the answer to" in reason or "was sent and" in reason, reason
    came = "(nothing came)" in reason or "nothing came back" in reason
    assert came == (wrong == "silent" or it.line.kind != "serial"), reason
    assert reason.count("look whether it is switched on") + reason.count("Connect what belongs there") == 1, reason


# --- the plug -------------------------------------------------------------------------------------------------------


def at(where: float, whole: Solo) -> int:
    """The call of the step that is meant; after the last two of them nobody looks any more."""
    return min(max(1, round(where * whole.calls)), whole.calls - 2)


def pulled(it: Solo, seconds: float) -> None:
    it.line.unplugged_until_s = it.clock.now_s() + seconds


def names_the_place(it: Solo) -> None:
    lost = [fact.reason for fact in it.facts if isinstance(fact, e.InstrumentLost)]
    assert lost or it.line.kind == "message", "nobody noticed"  # messages that stay out for a while are asked for again
    for reason in lost:
        assert f"it on {it.port}" in reason, reason
        assert "was sent and" in reason or "no whole answer to" in reason, reason


@EVERY
@WHERE
def test_a_plug_that_is_put_back_in_the_middle_of_a_step(
    place: Place, wholes: Callable[[type[Driver]], Solo], driver: type[Driver], where: float
) -> None:
    whole = wholes(driver)
    it = place(driver, at=at(where, whole), befalls=partial(pulled, seconds=12.0))
    assert it.run() == 0, it.state.reason
    assert wrong_in(it, whole) == []
    assert [trial.state for trial in it.state.trials.values() if trial.state == s.MEASURED] == [s.MEASURED]
    names_the_place(it)


@EVERY
@WHERE
def test_a_plug_that_stays_out_ends_the_run_and_the_step_is_judged_when_it_is_back(
    place: Place, wholes: Callable[[type[Driver]], Solo], driver: type[Driver], where: float
) -> None:
    whole = wholes(driver)
    it = place(driver, at=at(where, whole), befalls=partial(pulled, seconds=float("inf")))
    assert it.run() == 3, it.state.reason
    assert it.state.state == s.STOPPED and f"it on {it.port}" in it.state.reason
    names_the_place(it)
    it.pass_time(5.0)
    it.line.unplugged_until_s = it.clock.now_s()
    code = it.run()
    assert code == (6 if it.state.questions else 0), it.state.reason
    assert wrong_in(it, whole) == []


@pytest.mark.parametrize("driver", [one for one in shipped() if stand_of(one).sibling], ids=lambda one: one.__name__)
def test_another_model_that_answers_when_the_plug_is_back_is_told_nothing(
    place: Place, wholes: Callable[[type[Driver]], Solo], driver: type[Driver]
) -> None:
    def swapped(it: Solo) -> None:
        pulled(it, 5.0)
        answering(it, lambda said: said.replace(*stand_of(driver).sibling))

    it = place(driver, at=max(1, wholes(driver).calls // 2), befalls=swapped)
    code = it.run()
    if code == 0:  # it could not be asked for its name while it was at its act
        assert wrong_in(it, wholes(driver)) == []
        return
    assert code == 3 and it.finished == []
    assert "was sent and" in it.state.reason and stand_of(driver).sibling[1].decode("latin-1") in it.state.reason


@pytest.mark.parametrize("where", [0.0, 0.5])
def test_another_actor_of_leco_that_took_its_name_ends_the_run_though_no_line_was_lost(
    place: Place, wholes: Callable[[type[Driver]], Solo], where: float
) -> None:
    it = place(
        LecoActor,
        at=at(where, wholes(LecoActor)),
        befalls=lambda it: answering(it, lambda said: said.replace(b"0042", b"0043")),
    )
    assert it.run() == 3 and it.finished == [], it.state.reason
    assert "S/N 0043 0043 answers" in it.state.reason and "S/N 0042 0042 was" in it.state.reason


# --- the mains ------------------------------------------------------------------------------------------------------


@EVERY
@WHERE
def test_switched_off_and_on_in_the_middle_of_a_step(
    place: Place, wholes: Callable[[type[Driver]], Solo], driver: type[Driver], where: float
) -> None:
    if why := stand_of(driver).unnoticed:
        pytest.skip(why)
    whole = wholes(driver)
    it = place(
        driver,
        at=at(where, whole),
        befalls=lambda it: it.device.power_cycle(it.clock.now_s()),
    )
    code = it.run()
    assert wrong_in(it, whole) == []
    if code == 0:
        return
    measured = [trial for trial in it.state.trials.values() if trial.state == s.MEASURED]
    assert code == (6 if it.state.questions else 1) and not measured, (code, it.state.reason)
    assert it.said
