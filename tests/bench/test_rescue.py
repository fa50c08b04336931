"""The safe state from cold, on ports that answer, that answer wrongly, and that do not answer at all."""

import os
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from labloop.bench import Port, Stand, open_link, rescue
from labloop.bench.declared import declare
from labloop.bench.rescue import Rescue
from labloop.campaign.errors import SpecError
from labloop.journal.codec import EventCodec
from labloop.runner.guard import fact_of
from tests.bench.labs import make_lab
from tests.bench.lines import PtyDevice, answers
from tests.bench.test_transport import serve_once

HEATER = '''
    """A heater with a counter: what the tests of the rescue drive."""

    from labloop.bench import *  # noqa: F403
    from tests.bench.lines import WordCodec


    class Heater(Driver):
        """A heater."""

        kind = "heater"

        def __init__(self, exchange, **options):
            super().__init__(exchange, **options)
            self.codec = WordCodec()

        @classmethod
        def declare(cls, options):
            return super().declare({})

        def ask(self, word):
            return self.exchange(self.codec, word, 20.0)

        def open(self):
            name = self.ask("name?")
            if name == "kettle":
                raise InstrumentFault(f"{name} answers where a box was expected", kind="identity")
            return Identity(model=name)

        def configure(self):
            self.ask("set 1")

        def counters(self):
            return {"moved": Amount(float(self.ask("value?")), "uL")}

        def read(self):
            return {"warm": Reading(value=float(self.ask("warm?")), unit="degC")}

        @action()
        def off(self):
            """Switch off."""
            self.ask("off?")

        def progress(self, elapsed_s):
            return Progress(done=True)

        def brake(self):
            self.exchange.tell(self.codec, "set 0")

        def stop(self):
            self.ask("stop")
'''
# No answer comes to these: what answers has as long as a busy computer needs.
CURT = HEATER.replace("20.0", '0.2 if word == "cold?" or self.codec._asked == word.rstrip("?") else 20.0')
DEAF = HEATER.replace("20.0", "0.2")
SOUND: dict[str, Any] = {"value": ["1.5"] * 3 + ["2.5"] * 9, "warm": "60.0", "off": "yes"}


@pytest.fixture
def device() -> Iterator[Callable[..., PtyDevice]]:
    devices: list[PtyDevice] = []

    def make(**values: Any) -> PtyDevice:
        devices.append(PtyDevice(answers(**(SOUND | values))))
        return devices[-1]

    yield make
    for one in devices:
        one.unplug()


def connect(address: str) -> Port:
    return Port(open_link(address))


@pytest.fixture(autouse=True)
def in_no_hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    """What answers is read, however busy this computer is."""
    monkeypatch.setattr("labloop.bench.rescue.READ_S", 60.0)


def lab_of(tmp_path: Path, more: str = "", module: str = "hot", **ports: str) -> Any:
    modules = dict.fromkeys(ports, "hot") | {"a": module}
    lines = "".join(
        f'\n          {name}: {{driver: "drivers.{modules[name]}:Heater", port: "{port}"}}'
        for name, port in ports.items()
    )
    text = f"labloop: 1\ninstruments:{lines}\n{more}".replace("\n          ", "\n  ")
    return make_lab(tmp_path, text, hot=HEATER, curt=CURT, deaf=DEAF)


def test_what_is_no_number_keeps_nothing_else_from_being_written_down(tmp_path: Path, device: Any) -> None:
    a, b = device(warm="nan"), device(value=["1.5", "nan"])
    lab = lab_of(tmp_path, a=f"serial://{a.path}", b=f"serial://{b.path}")
    fact = fact_of(1, "run", "its runner was gone", Rescue(lab, connect).run(), 1.0)
    assert EventCodec().decode(EventCodec().encode(fact), 1) == fact and not fact.errors
    assert fact.found["a"].readings["warm"].value is None and "no number" in fact.found["a"].readings["warm"].flag
    assert fact.found["a"].before and fact.found["a"].after and not fact.found["a"].notes
    assert not (fact.found["b"].before or fact.found["b"].after)
    assert fact.found["b"].notes == ["b: its counter says moved = nan"]


def test_it_reads_before_it_stops_then_does_the_list_and_sets_nothing(tmp_path: Path, device: Any) -> None:
    a, b = device(value=["1.5", "2.5"]), device(value=["7.0", "7.0"])
    lab = lab_of(tmp_path, "safe_state: [b.off: {}]\n", a=f"serial://{a.path}", b=f"serial://{b.path}")
    rescued = Rescue(lab, connect).run()
    assert rescued.errors == ()
    assert a.heard == [b"name?", b"value?", b"warm?", b"set 0", b"stop", b"value?"]
    assert b.heard[:6] == [b"name?", b"value?", b"warm?", b"set 0", b"stop", b"value?"] or b.heard[-1] == b"off?"
    assert b.heard.index(b"off?") > b.heard.index(b"stop")
    found = rescued.found["a"]
    assert (found.state, found.identity, found.notes) == ("stopped", "box", ())
    assert found.before["moved"].value == 1.5 and found.after["moved"].value == 2.5
    assert found.readings["warm"].value == 60.0


def test_what_is_late_with_its_counters_costs_no_step_of_the_list(
    tmp_path: Path, device: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("labloop.bench.rescue.READ_S", 0.3)
    monkeypatch.setattr("labloop.bench.rescue.LIST_AFTER_S", 60.0)
    a = device(value=["1.5", [], [], []])  # it tells them once, before it is stopped
    lab = lab_of(tmp_path, "safe_state: [a.off: {}]\n", a=f"serial://{a.path}")
    assert Rescue(lab, connect).run().errors == () and a.heard[-1] == b"off?"


def test_a_step_of_the_list_on_a_line_that_is_stopped_late_is_not_broken_off_by_its_counters(
    tmp_path: Path, device: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on a circulator's line, which is silent for a quarter of a second before each word."""
    monkeypatch.setattr("labloop.bench.rescue.READ_S", 0.3)
    monkeypatch.setattr("labloop.bench.rescue.LIST_AFTER_S", 0.5)
    a, do = device(stop=[[]], off=[[(0.6, b"off yes\r\n")]]), rescue._Line.do

    def while_it_is_being_stopped(line: Any, permit: Any) -> None:
        submit = line._port.submit

        def then_it_has_stopped(*call: Any) -> Any:
            line._port.submit, step = submit, submit(*call)
            monkeypatch.setattr("labloop.bench.rescue.LIST_AFTER_S", 60.0)
            os.write(a.master, b"stop stopped\r\n")
            return step

        line._port.submit = then_it_has_stopped
        do(line, permit)

    monkeypatch.setattr(rescue._Line, "do", while_it_is_being_stopped)
    lab = lab_of(tmp_path, "safe_state: [a.off: {}]\n", a=f"serial://{a.path}")
    assert Rescue(lab, connect).run().errors == () and a.heard[-2:] == [b"off?", b"value?"]


COUNTING = HEATER.replace('kind = "heater"', 'kind = "heater"\n        signals = (Signal(name="moved", unit="uL"),)')


def test_what_its_counters_have_said_is_not_asked_again(tmp_path: Path, device: Any) -> None:
    a = device(value=["1.5", "2.5"])
    text = f'labloop: 1\ninstruments: {{a: {{driver: "drivers.counts:Heater", port: "serial://{a.path}"}}}}\n'
    lab = make_lab(tmp_path, text, counts=COUNTING)
    found = Rescue(lab, connect).run().found["a"]
    assert a.heard == [b"name?", b"value?", b"set 0", b"stop", b"value?"]
    assert (found.readings["moved"].value, found.readings["moved"].unit) == (1.5, "uL")


HANGING = HEATER.replace('self.ask("stop")', "RETURNS.wait()").replace(
    "from labloop.bench", "import threading\n\n    RETURNS = threading.Event()\n    from labloop.bench", 1
)


def test_a_stop_that_hangs_keeps_nobody_else_on_its_line_from_being_stopped(
    tmp_path: Path, device: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("labloop.bench.port.SILENT_S", 0.3)
    monkeypatch.setattr("labloop.bench.rescue.READ_S", 0.3)
    one = device()
    a, b = (
        f'{{driver: "drivers.{module}:Heater", port: "serial://{one.path}", address: {at}}}'
        for at, module in enumerate(("hanging", "hot_beside"))
    )
    text = f"labloop: 1\ninstruments:\n  a: {a}\n  b: {b}\nsafe_state: [b.off: {{}}]\n"
    rescued = Rescue(make_lab(tmp_path, text, hanging=HANGING, hot_beside=HEATER), connect).run()
    sys.modules["drivers.hanging"].RETURNS.set()
    assert one.heard.count(b"stop") == 1 and b"off?" in one.heard
    assert (rescued.found["a"].state, rescued.found["b"].state) == ("not stopped", "stopped")
    assert len(rescued.errors) == 1 and "a.stop: " in rescued.errors[0] and "driver of a does" in rescued.errors[0]


GLANCING = CURT.replace("        def brake(self)", """        def glance(self):
            yield from self.read().items()
            yield "cold", Reading(value=float(self.ask("cold?")), unit="degC")

        def brake(self)""")


def test_what_was_said_before_its_time_was_over_is_kept(tmp_path: Path, device: Any) -> None:
    one = device(cold=None)
    text = f'labloop: 1\ninstruments:\n  a: {{driver: "drivers.glancing:Heater", port: "serial://{one.path}"}}\n'
    found = Rescue(make_lab(tmp_path, text, glancing=GLANCING), connect).run().found["a"]
    assert found.state == "stopped" and {name: one.value for name, one in found.readings.items()} == {"warm": 60.0}
    assert "cold?" in "".join(found.notes)


STANDING = HEATER.replace("        def brake(self)", """        def stands(self):
            return {"goal": Stand(value=float(self.ask("goal?"))), "on": Stand(value=True), "fan": Stand(value=False)}

        def brake(self)""")


def test_what_somebody_may_change_by_hand_is_read_when_all_is_done_and_not_what_goes_on(
    tmp_path: Path, device: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("labloop.bench.rescue.STANDS_S", 30.0)
    a, b, c = device(goal="5.0"), device(goal="7.0"), device(goal="warm")
    lines = "".join(
        f'  {name}: {{driver: "drivers.hot_and_told:Heater", port: "serial://{one.path}"}}\n'
        for name, one in zip("abc", (a, b, c), strict=True)
    )
    more = "safe_state: [b.off: {}]\nkeep: [a]\n"
    lab = make_lab(tmp_path, f"labloop: 1\ninstruments:\n{lines}{more}", hot_and_told=STANDING)
    rescued = Rescue(lab, connect).run()
    assert rescued.errors == ()
    assert b.heard[-2:] == [b"off?", b"goal?"], "when the lab's own list is through"
    assert rescued.found["b"].stands == {"goal": Stand(value=7.0), "fan": Stand(value=False)}
    assert rescued.found["a"].state == "kept" and rescued.found["a"].stands["goal"] == Stand(value=5.0)
    odd = rescued.found["c"]
    assert odd.state == "stopped" and odd.after and not odd.stands, "it is safe, and what stands is not known"
    assert "what stands there is not known" in odd.notes[0] and "warm" in odd.notes[0]


def test_what_is_kept_is_read_and_not_stopped(tmp_path: Path, device: Any) -> None:
    a = device()
    rescued = Rescue(lab_of(tmp_path, "keep: [a]\n", a=f"serial://{a.path}"), connect).run()
    assert rescued.errors == () and rescued.found["a"].state == "kept"
    assert a.heard == [b"name?", b"value?", b"warm?"]


def test_something_else_hears_nothing_but_the_question_who_it_is(tmp_path: Path, device: Any) -> None:
    a, b = device(name="kettle"), device()
    lab = lab_of(tmp_path, "safe_state: [a.off: {}]\n", a=f"serial://{a.path}", b=f"serial://{b.path}")
    rescued = Rescue(lab, connect).run()
    assert set(a.heard) == {b"name?"}
    assert rescued.errors == ("a.off: not done", "a: something else answers there, and was left alone")
    assert "kettle answers where a box was expected" in rescued.found["a"].notes[0]
    assert rescued.found["b"].state == "stopped"


def test_one_damaged_answer_keeps_nobody_from_being_stopped(tmp_path: Path, device: Any) -> None:
    a = device(name=["kettle", *["box"] * 5])
    rescued = Rescue(lab_of(tmp_path, a=f"serial://{a.path}"), connect).run()
    assert rescued.errors == () and rescued.found["a"].state == "stopped" and b"stop" in a.heard


@pytest.mark.parametrize(
    "module, then", [("hot", []), ("curt", []), ("curt", [(0.0, b"?!\r\n")])], ids=["no time", "no answer", "no sense"]
)
def test_another_that_does_not_answer_twice_is_told_nothing(
    tmp_path: Path, device: Any, monkeypatch: pytest.MonkeyPatch, module: str, then: Any
) -> None:
    """It had said who it is; the second question found no time, or no answer, and then it was told to stop."""
    monkeypatch.setattr("labloop.bench.rescue.READ_S", 2.0)
    a = device(name=["kettle", *[then] * 5])
    rescued = Rescue(lab_of(tmp_path, module=module, a=f"serial://{a.path}"), connect).run()
    assert a.heard == [b"name?"] * 2
    assert rescued.found["a"].state == "something else"


def test_another_one_of_the_same_kind_is_stopped_and_named(tmp_path: Path, device: Any) -> None:
    a = device(name="box2")
    rescued = Rescue(lab_of(tmp_path, a=f"serial://{a.path}"), connect, {"a": ("box", "")}).run()
    assert rescued.errors == () and b"stop" in a.heard
    assert rescued.found["a"].notes == ("a: box2  answers where box  was, and was stopped all the same",)


def test_one_that_does_not_answer_is_stopped_unasked_and_named(tmp_path: Path, device: Any) -> None:
    silent = dict.fromkeys(("name", "value", "warm", "stop"), [[]] * 20)
    a, b = device(**silent), device()
    lab = lab_of(tmp_path, module="deaf", a=f"serial://{a.path}", b=f"serial://{b.path}")
    rescued = Rescue(lab, connect).run()
    assert b"set 0" in a.heard and b"stop" in a.heard
    assert rescued.found["a"].state == "not stopped" and len(rescued.errors) == 1
    assert rescued.errors[0].startswith("a.stop: a on serial:") and "no whole answer" in rescued.errors[0]
    assert rescued.found["b"].state == "stopped"


def test_a_port_that_is_away_costs_the_others_nothing(
    tmp_path: Path, device: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("labloop.bench.rescue.OPEN_S", 1.0)
    b = device()
    rescued = Rescue(lab_of(tmp_path, a="serial:///dev/no-such", b=f"serial://{b.path}"), connect).run()
    assert rescued.found["a"].state == "not reached" and rescued.found["b"].state == "stopped"
    assert (
        len(rescued.errors) == 1 and "a: not reached: serial:///dev/no-such: there is no such port" in rescued.errors[0]
    )


def test_a_port_that_its_dead_holder_still_has_is_waited_for(tmp_path: Path, device: Any) -> None:
    a = device()
    holder = open_link(f"serial://{a.path}")
    lab = lab_of(tmp_path, a=f"serial://{a.path}")
    tried = threading.Event()

    def trying(address: str) -> Port:
        if tried.is_set():
            holder.close()
        tried.set()
        return connect(address)

    assert Rescue(lab, trying).run().errors == ()


def test_a_server_of_one_client_is_asked_again_and_its_instrument_stopped_twice(tmp_path: Path) -> None:
    """The former client is gone, but the server has not noticed yet and hangs up on the next one."""
    heard: list[bytes] = []
    word = answers(**SOUND)

    def script(line: bytes) -> list[tuple[float, bytes]]:
        heard.append(line)
        return word(line)

    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            for _ in range(2):
                listener.accept()[0].close()
            serve_once(listener, script)  # type: ignore[no-untyped-call]

        threading.Thread(target=serve, daemon=True).start()
        lab = lab_of(tmp_path, a=f"tcp://127.0.0.1:{listener.getsockname()[1]}")
        rescued = Rescue(lab, connect).run()
    assert rescued.errors == () and rescued.found["a"].state == "stopped"
    assert heard == [b"name?", b"value?", b"warm?", b"set 0", b"stop", b"set 0", b"stop", b"value?"]


def test_a_drivers_own_mistake_keeps_no_other_line_from_being_stopped(tmp_path: Path, device: Any) -> None:
    a, b = device(value="no number"), device()
    rescued = Rescue(lab_of(tmp_path, a=f"serial://{a.path}", b=f"serial://{b.path}"), connect).run()
    assert {name: one.state for name, one in rescued.found.items()} == {"a": "stopped", "b": "stopped"}
    assert rescued.errors == ()


PICKY = HEATER.replace(
    "return super().declare({})",
    """if "name" not in options:
                raise SpecError("without a name nothing tells this one from any other")
            return super().declare({})

        @classmethod
        def anyone(cls, options):
            return {**options, "name": "*"} if "never" not in options else options""",
)


@pytest.mark.parametrize("where", ["open", "counters", "read"])
def test_a_driver_that_does_not_return_keeps_nothing_from_being_stopped(
    tmp_path: Path, device: Any, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    """It may be what the runner hung in. Another on its line is stopped as well."""
    monkeypatch.setattr("labloop.bench.rescue.READ_S", 2.0)
    line, hangs = device(), f"        def {where}(self):\n"
    hung = HEATER.replace(hangs, f"{hangs}            import time; time.sleep(30.0 * self.hangs)\n")
    hung = hung.replace("self.codec =", "self.hangs = options['address'] == 0\n            self.codec =")
    ports = "".join(
        f'\n  {name}: {{driver: "drivers.hung_{where}:Heater", port: "serial://{line.path}", address: {at}}}'
        for at, name in enumerate("ab")
    )
    lab = make_lab(tmp_path, f"labloop: 1\ninstruments:{ports}\n", **{f"hung_{where}": hung})
    rescued = Rescue(lab, connect).run()
    assert rescued.errors == () and line.heard.count(b"stop") == 2


def test_an_entry_that_is_refused_costs_its_own_instrument_alone(tmp_path: Path, device: Any) -> None:
    """A run may have been begun with a version that asked for less."""
    a, b, c = device(), device(), device()
    text = f"""
        labloop: 1
        instruments:
          a: {{driver: "drivers.hot:Heater", port: "serial://{a.path}"}}
          b: {{driver: "drivers.picky:Heater", port: "serial://{b.path}"}}
          c: {{driver: "drivers.picky:Heater", port: "serial://{c.path}", never: true}}
        keep: [c]
        safe_state: [c.off: {{}}, a.off: {{}}]
        limits: {{c: {{warm: {{max: 90 degC}}}}}}
        interlocks: {{cold: {{when: c.warm > 80 degC, then: halt}}}}
    """
    with pytest.raises(SpecError, match=r"instruments\.b: without a name"):
        declare(make_lab(tmp_path, text, hot=HEATER, picky=PICKY))
    rescued = Rescue(make_lab(tmp_path, text, hot=HEATER, picky=PICKY), connect).run()
    assert {name: found.state for name, found in rescued.found.items()} == {
        "a": "stopped", "b": "stopped", "c": "not reached",
    }  # fmt: skip
    (error,) = rescued.errors
    assert error.startswith("c: not reached, for its entry is refused: ") and "without a name" in error
    assert b"stop" in a.heard and b"stop" in b.heard and a.heard[-1] == b"off?" and not c.heard


# What it can do hangs on its options, and so does what the lab's own list may say.
NAMED = PICKY.replace(
    "return super().declare({})",
    "return super().declare({}) if options['name'] != '*' else {}",
)


def test_a_list_that_an_entry_taken_as_any_cannot_do_costs_no_stop(tmp_path: Path, device: Any) -> None:
    a, b = device(), device()
    text = f"""
        labloop: 1
        instruments:
          a: {{driver: "drivers.hot:Heater", port: "serial://{a.path}"}}
          b: {{driver: "drivers.named:Heater", port: "serial://{b.path}"}}
        safe_state: [b.off: {{}}]
    """
    rescued = Rescue(make_lab(tmp_path, text, hot=HEATER, named=NAMED), connect).run()
    assert {name: found.state for name, found in rescued.found.items()} == {"a": "stopped", "b": "stopped"}
    (error,) = rescued.errors
    assert error.startswith("safe_state: not done") and b"stop" in a.heard and b"stop" in b.heard
