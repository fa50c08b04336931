"""New Era pumps: the alarm of a power cut is said once. What others were told of it, or lost, is evidence too."""

from pathlib import Path

import pytest

from drivers.new_era import NE1000
from labloop.bench import Amount, InProcessLink, LinkError, Port
from labloop.bench.rescue import Found, Rescue
from labloop.campaign.spec import lab_from_dict
from tests.drivers.rigs import Rig

ROOT = Path(__file__).parents[2]
AMOUNTS = {"rate": Amount(60.0, "uL/min"), "time": Amount(20.0, "s")}
NORMAL = "'SNE1000V3.923'"


class Ears:
    """The line of a rig. ``deaf``: it loses the next answer to this; ``cut``: it breaks after an alarm."""

    def __init__(self, it: Rig) -> None:
        self._line = it.port.link._line  # type: ignore[attr-defined]
        self.deaf = b""
        self.cut = self._told = False
        self.unplugged_until_s = float("-inf")

    def receive(self, data: bytes, now_s: float) -> bytes:
        said: bytes = self._line.receive(data, now_s)
        if self.deaf and self.deaf in data:
            self.deaf = b""
            return b""
        if self.cut and self._told and data:
            self.cut, self.unplugged_until_s = False, now_s + 1.0
        self._told = self._told or b"A?R" in said
        return said

    def due(self, now_s: float) -> float | None:
        due_s: float | None = self._line.due(now_s)
        return due_s


def switched_off_in_the_middle() -> tuple[Rig, Ears, dict[str, Amount]]:
    """A pump whose counters stand at 0 again, as they did before an act; its runner is dead."""
    it = Rig(NE1000).ready()
    before = it.driver.counters()
    assert before["infused"].value == 0.0
    it.begin("dispense", rate=(60.0, "uL/min"), time=(20.0, "s"))
    it.wait(5.0)
    it.device.power_cycle(it.clock.now_s())
    assert it.ledger[-1].amount > 4.0
    return it, Ears(it), before


def rescued(it: Rig, line: Ears) -> Found:
    """What a guard finds on a line."""
    address = "serial:///dev/pumps?baud=19200"
    pump = {"driver": "drivers.new_era:NE1000", "port": address, **it.options}
    lab = lab_from_dict({"labloop": 1, "root": str(ROOT), "instruments": {"it": pump}}, ROOT)

    def connect(where: str) -> Port:
        it.clock.advance_to(max(it.clock.now_s(), line.unplugged_until_s))
        return Port(InProcessLink(where, line, it.clock), inline=True)

    return Rescue(lab, connect).run().found["it"]


@pytest.mark.parametrize("lost", ["", "its first answer", "an answer about its counters", "its line"])
def test_what_a_guard_was_told_or_lost_is_handed_on(lost: str) -> None:
    it, line, before = switched_off_in_the_middle()
    if lost == "an answer about its counters":  # of another cut, while the guard is at work
        it.driver.open()
        line.deaf = b"DIS"
    line.deaf = b"VER" if lost == "its first answer" else line.deaf
    line.cut = lost == "its line"
    found = rescued(it, line)
    assert found.state == "stopped" and found.after["infused"].value == 0.0
    assert ("A?R" in found.first_reply) == (lost in ("", "its line"))
    it.restarted().open()
    assert it.happened("dispense", AMOUNTS, before).state == "not_begun", "nobody has told it"
    it.driver.overheard(found.first_reply)
    assert it.happened("dispense", AMOUNTS, before).state == "cannot_tell"
    assert it.driver.witnessed("dispense", AMOUNTS, before, found.after, found.first_reply).state == "cannot_tell"


def test_a_guard_that_heard_everything_leaves_no_doubt() -> None:
    it = Rig(NE1000).ready()
    before = it.driver.counters()
    found = rescued(it, Ears(it))
    assert found.first_reply == NORMAL
    it.restarted().open()
    it.driver.overheard(found.first_reply)
    assert it.happened("dispense", AMOUNTS, before).state == "not_begun"
    it.device.power_cycle(it.clock.now_s())
    assert it.happened("dispense", AMOUNTS, before).state == "cannot_tell"


def test_what_was_heard_before_the_guard_came_spoils_what_it_read() -> None:
    it, line, before = switched_off_in_the_middle()
    told = it.restarted().open().first_reply  # the dead runner's: written down, and then it died
    found = rescued(it, line)
    assert found.first_reply == NORMAL
    it.restarted().open()
    it.driver.overheard(told)
    assert it.driver.witnessed("dispense", AMOUNTS, before, found.after, found.first_reply).state == "cannot_tell"


def test_a_lost_answer_is_an_alarm_that_may_have_been() -> None:
    it = Rig(NE1000).ready()
    line = Ears(it)
    it.port.link._line = line  # type: ignore[attr-defined]
    it.begin("dispense", rate=(60.0, "uL/min"), time=(20.0, "s"))
    assert it.driver.alarm == ""
    line.deaf = b"DIS"
    with pytest.raises(LinkError):
        it.look()
    lost = it.driver.alarm
    assert lost and "A?R" not in lost
    it.restarted()
    assert it.driver.alarm == ""
    it.driver.overheard(lost)
    assert it.driver.alarm == lost


def test_what_was_told_before_an_act_runs_says_nothing_of_it() -> None:
    """Else an act that began well after a power cut would be in doubt at the next crash."""
    it = Rig(NE1000).ready()
    line = Ears(it)
    it.port.link._line = line  # type: ignore[attr-defined]
    it.begin("dispense", "act-1", rate=(60.0, "uL/min"), time=(3.0, "s"))
    it.finish()
    values = it.driver.resolved("dispense", AMOUNTS)
    it.device.power_cycle(it.clock.now_s())
    line.deaf = b"RAT"
    with pytest.raises(LinkError):
        it.driver.prepare("dispense", values, "act-2")
    assert it.driver.alarm == ""
    it.driver.prepare("dispense", values, "act-2")
    it.begin("dispense", "act-2", rate=(60.0, "uL/min"), time=(20.0, "s"))
    assert it.driver.alarm == ""
    it.device.power_cycle(it.clock.now_s())
    it.driver.counters()
    assert it.driver.alarm == "A?R"
