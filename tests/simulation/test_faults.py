"""Faults on the line: what each kind does, that a seed repeats them, and that they are named when unknown."""

import json
from typing import Any

import pytest

from labloop.simulation.bench import SimulatedBench
from labloop.simulation.clock import VirtualClock
from labloop.simulation.faults import KINDS, LATE_S, NOISE, SILENCE_S, UNPLUG_S, Faults, FaultySerialLine, parse_faults

PUMPS = "serial:///dev/serial/by-id/usb-FTDI_A1-if00?baud=19200"
SPECTROMETER = "zmq+tcp://127.0.0.1:12300?actor=N1.spectrometer"
WORD = b"\x0200SNE1000V3.923\x03"


def line(plan: dict[str, Any], faults: str | None, port: str = PUMPS) -> Any:
    bench = SimulatedBench(plan | {"faults": faults}, VirtualClock())
    bench.devices["pump_agno3"].receive(b"0\r", 0.0)  # Past the power-up alarm, beside the line.
    return bench.lines[port]


def test_without_faults_nothing_happens(plan: dict[str, Any]) -> None:
    clear = line(plan, None)
    assert [clear.receive(b"0VER\r", n) for n in range(50)] == [WORD] * 50


def test_drop_takes_one_byte(plan: dict[str, Any]) -> None:
    answer = line(plan, "drop=1").receive(b"0VER\r", 0.0)
    assert len(answer) == len(WORD) - 1
    assert any(answer == WORD[:n] + WORD[n + 1 :] for n in range(len(WORD)))


def test_flip_turns_one_bit(plan: dict[str, Any]) -> None:
    answer = line(plan, "flip=1").receive(b"0VER\r", 0.0)
    assert sum((a ^ b).bit_count() for a, b in zip(answer, WORD, strict=True)) == 1


def test_late_comes_later_unasked(plan: dict[str, Any]) -> None:
    late = line(plan, "late=1")
    assert late.receive(b"0VER\r", 0.0) == b""
    assert late.due(0.0) == LATE_S
    assert late.receive(b"", LATE_S - 0.01) == b""
    assert late.receive(b"", LATE_S) == WORD


def test_double_and_unsolicited(plan: dict[str, Any]) -> None:
    assert line(plan, "double=1").receive(b"0VER\r", 0.0) == WORD + WORD
    assert line(plan, "unsolicited=1").receive(b"0VER\r", 0.0) == NOISE + WORD


def test_silence_hears_nothing_for_a_while(plan: dict[str, Any]) -> None:
    stuck = line(plan, "silence=1")
    assert stuck.receive(b"0RAT1MM\r0RUN\r", 0.0) == b""
    assert stuck.devices["pump_agno3"].drive.status == "S"
    stuck.faults.probabilities.clear()
    assert stuck.receive(b"0VER\r", SILENCE_S - 0.1) == b""
    assert stuck.receive(b"0VER\r", SILENCE_S) == WORD


def test_unplug_loses_what_is_said_in_that_time(plan: dict[str, Any]) -> None:
    pulled = line(plan, "unplug=1")
    assert pulled.receive(b"0VER\r", 0.0) == b"" and pulled.unplugged_until_s == UNPLUG_S
    pulled.faults.probabilities.clear()
    assert pulled.receive(b"0VER\r", UNPLUG_S) == WORD


def test_what_a_device_says_of_its_own_accord_while_the_cable_is_out_reaches_nobody() -> None:
    class Counting:
        """It says the time once a second."""

        kind, devices, said = "serial", {}, 0

        def receive(self, data: bytes, now_s: float) -> bytes:
            news = b"".join(b"%d " % second for second in range(self.said, int(now_s)))
            self.said = int(now_s)
            return news

    heard = FaultySerialLine(Counting(), Faults({}), 1.0)
    assert heard.receive(b"", 2.0) == b"0 1 "
    heard.unplugged_until_s = 5.0
    assert heard.receive(b"", 4.0) == b""
    assert heard.receive(b"", 7.0) == b"", "it was not listened to before"
    assert heard.receive(b"", 9.0) == b"7 8 "


def test_stall_and_power_cycle_befall_the_devices(plan: dict[str, Any]) -> None:
    for kind, alarm in (("stall", b"A?S"), ("power_cycle", b"A?R")):
        befallen = line(
            {**plan, "instruments": {"pump_agno3": plan["instruments"]["pump_agno3"]}, "sample": None}, None
        )
        befallen.receive(b"0RAT1MM\r0RUN\r", 0.0)
        befallen.faults = Faults({kind: 1.0})
        assert alarm in befallen.receive(b"0\r", 5.0)


def test_messages_have_the_same_kinds(plan: dict[str, Any]) -> None:
    body = b'{"jsonrpc":"2.0","id":1,"method":"sign_in"}'
    frames = [b"\x00", b"COORDINATOR", b"me", bytes(19) + b"\x01", body]
    (clear,) = line(plan, None, SPECTROMETER).receive(b"p", frames, 0.0)
    assert line(plan, "drop=1", SPECTROMETER).receive(b"p", frames, 0.0) == []
    assert line(plan, "double=1", SPECTROMETER).receive(b"p", frames, 0.0) == [clear, clear]
    ((_, flipped),) = line(plan, "flip=1", SPECTROMETER).receive(b"p", frames, 0.0)
    assert flipped[:4] == clear[1][:4] and flipped[4] != clear[1][4]
    strange, usual = line(plan, "unsolicited=1", SPECTROMETER).receive(b"p", frames, 0.0)
    assert usual == clear and strange[1] != clear[1]
    late = line(plan, "late=1", SPECTROMETER)
    assert late.receive(b"p", frames, 0.0) == [] and late.receive(b"", [], LATE_S) == [clear]
    silent = line(plan, "silence=1", SPECTROMETER)
    assert silent.receive(b"p", frames, 0.0) == []


def test_a_seed_repeats_them_and_one_kind_does_not_move_another(plan: dict[str, Any]) -> None:
    def heard(faults: str) -> list[bytes]:
        faulty = line(plan, faults)
        return [faulty.receive(b"0VER\r", 0.0) for _ in range(200)]

    assert heard("drop=0.1,seed=3") == heard("drop=0.1,seed=3") != heard("drop=0.1,seed=4")
    alone = [len(each) == len(WORD) - 1 for each in heard("drop=0.1,seed=3")]
    with_flips = [len(each) == len(WORD) - 1 for each in heard("drop=0.1,flip=0.2,seed=3")]
    assert alone == with_flips
    assert 8 <= sum(alone) <= 35


@pytest.mark.parametrize(
    ("written", "complaint"),
    [
        ("dorp=0.1", f"'dorp' is unknown; known are {', '.join(KINDS)} and seed"),
        ("drop=often", "drop='often' is not a number"),
        ("drop=2", "drop=2 is a probability and must lie between 0 and 1"),
        ("drop=nan", "must lie between 0 and 1"),
        ("drop=0.1,seed=1.5", "must be a whole number"),
        ("drop", "drop='' is not a number"),
    ],
)
def test_complaints(written: str, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        parse_faults(written)


def test_a_specification_is_words_or_a_table() -> None:
    assert parse_faults("drop=0.01, flip=0.005,seed=3") == {"drop": 0.01, "flip": 0.005, "seed": 3.0}
    assert parse_faults({"late": 0.5}) == {"late": 0.5}
    assert parse_faults(None) == parse_faults("") == {}


def test_a_bench_taken_up_again_goes_on_with_its_dice_and_its_troubles(plan: dict[str, Any]) -> None:
    def bench() -> SimulatedBench:
        return SimulatedBench(plan | {"faults": "drop=0.1,silence=0.02,unplug=0.01,seed=3"}, VirtualClock())

    def heard(one: SimulatedBench, after: int) -> list[bytes]:
        return [one.lines[PUMPS].receive(b"0VER\r", float(n)) for n in range(after, after + 100)]

    whole = bench()
    first, then = heard(whole, 0), heard(whole, 100)
    stopped = bench()
    assert heard(stopped, 0) == first
    again = bench()
    again.restore(json.loads(json.dumps(stopped.state())))
    assert heard(again, 100) == then != first
    assert again.faults.happened == whole.faults.happened
