"""The first thing said to a bench: who is there, on every line at once."""

import asyncio
import threading
from contextlib import ExitStack
from types import SimpleNamespace
from typing import Any

import pytest

from labloop.bench import Identity, InstrumentFault, LinkError, Port
from labloop.campaign import events as e
from labloop.campaign import state as s
from labloop.campaign.lab_spec import OnLost
from labloop.runner.opening import Opening
from labloop.runner.reach import InstrumentGone, Reach

WAITED_S = 60.0  # for another line; far beyond what a crowded machine needs


def asked(identify: dict[str, Any]) -> list[str]:
    """Identify a bench of these instruments, each on a line of its own: whose identity became a fact."""
    return sorted(fact.instrument for fact in asked_of(identify))


def asked_of(identify: dict[str, Any]) -> list[e.InstrumentIdentified]:
    """The same: the facts."""
    facts: list[e.Fact] = []

    async def opened(stations: Any) -> None:
        memory: Any = SimpleNamespace(state=s.CampaignState(), record=lambda *new: facts.extend(new))
        clock: Any = SimpleNamespace(speed=1.0)
        reach = Reach(stations, memory, clock, asyncio.Event(), OnLost())
        hand: Any = SimpleNamespace(reach=reach, stations=stations, book=None, knows=SimpleNamespace())
        assert await Opening(SimpleNamespace(), hand, memory).identify() == ""  # type: ignore[arg-type]

    with ExitStack() as stack:
        stations: Any = {}
        for name, ask in identify.items():
            link: Any = SimpleNamespace(address=name, resume=lambda: None, interrupt=lambda: None, close=lambda: None)
            port = Port(link)
            stack.callback(port.close)
            driver = SimpleNamespace(alarm="", taken="")
            stations[name] = SimpleNamespace(port=port, driver=driver, identify=ask, identity=None, stranger="")
        asyncio.run(asyncio.wait_for(opened(stations), WAITED_S))
    return [fact for fact in facts if isinstance(fact, e.InstrumentIdentified)]


def test_no_line_waits_for_another() -> None:
    both = threading.Barrier(2)  # each answers only when the other is being asked

    def identify(*was: str) -> Identity:
        both.wait(WAITED_S)
        return Identity(model="M", firmware="1", first_reply="")

    assert asked({"furnace": identify, "scale": identify}) == ["furnace", "scale"]


def test_who_does_not_answer_is_told_once_all_were_asked() -> None:
    answered: list[str] = []

    def fault(*was: str) -> Identity:
        raise InstrumentFault("speaks Modbus, and nothing that a scale would say", "identity")

    def slow(*was: str) -> Identity:
        answered.append("furnace")
        return Identity(model="M", firmware="1", first_reply="")

    with pytest.raises(InstrumentFault, match="speaks Modbus"):
        asked({"scale": fault, "furnace": slow})
    assert set(answered) == {"furnace"}


def test_who_is_somebody_else_is_told_though_another_line_stays_away(monkeypatch: pytest.MonkeyPatch) -> None:
    away: list[str] = []

    def fault(*was: str) -> Identity:
        raise InstrumentFault("speaks Modbus, and nothing that a scale would say", "identity")

    def gone(*was: str) -> Identity:
        raise LinkError("its cable is out")

    async def waits(reach: Reach, name: str, error: Exception, returns: int) -> int:
        reach._given_up.add(id(reach.stations[name].port))
        away.append(name)
        return await asyncio.Future()  # until a person says resume

    async def at_once(reach: Reach, seconds: float) -> None: ...

    monkeypatch.setattr(Reach, "regain", waits)
    monkeypatch.setattr(Reach, "wait", at_once)
    with pytest.raises(InstrumentFault, match="speaks Modbus"):
        asked({"scale": fault, "furnace": gone})
    assert away == ["furnace"]


@pytest.mark.parametrize("turned", [0, 1, 2])
def test_what_a_line_has_turned_once_is_not_who_it_is(turned: int) -> None:
    serials = ["B123456789"] * 4
    serials[turned] = "B123456799"
    answers = iter([Identity(model="M", serial=one, first_reply=str(n)) for n, one in enumerate(serials)])
    (fact,) = asked_of({"scale": lambda *was: next(answers)})
    assert (fact.serial, fact.first_reply) == ("B123456789", "0")


def test_who_is_busy_when_first_asked_is_who_it_says_afterwards() -> None:
    answers = iter([Identity(model="M", busy=True, first_reply="alarm"), Identity(model="M", serial="7")])
    (fact,) = asked_of({"pump": lambda *was: next(answers)})
    assert (fact.serial, fact.first_reply) == ("7", "alarm")


def test_who_says_something_else_each_time_is_given_up() -> None:
    answers = iter([Identity(model="M", serial=str(n)) for n in range(9)])
    with pytest.raises(InstrumentGone, match="it says another time that it is another: M 0, M 1, M 2, M 3"):
        asked_of({"scale": lambda *was: next(answers)})
