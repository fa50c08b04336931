"""EmStat Pico: the bytes, from the maker's examples and captured traces; and the scripts."""

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.emstat_codec import ABORT, LISTEN, Answer, Command, EmStatCodec, Variable, literal, package
from drivers.emstat_scripts import cyclic
from labloop.bench import ProtocolError

EXAMPLES = "PalmSens/MethodSCRIPT_Examples, README of the C and Python examples"
CAPTURED = "captured from labmcp-palmsens against the maker's parser"
FIRMWARE = ("tespico1600#Sep 30 2025 12:00:00", "R*")

# command, received, answer, source; what is sent is the command and LF
TABLE = [
    ("t", b"tespico1600#Sep 30 2025 12:00:00\nR*\n", Answer(FIRMWARE), CAPTURED),
    ("i", b"iESPSIM01\n", Answer(("iESPSIM01",)), CAPTURED),
    ("c", b"c!0003\n", Answer(wrong="0003"), CAPTURED),
    ("e\nvar p\n", b"e\n", Answer(), EXAMPLES),
    ("e\nvar p\n", b"eM0000\n", Answer(), f"{EXAMPLES}: older firmware"),
    ("e\nvar p\n", b"e!4001: Line 3, Col 5\n", Answer(wrong="4001: Line 3, Col 5"), CAPTURED),
    (ABORT, b"Z\n", Answer(), CAPTURED),
    (ABORT, b"Z!0006\n", Answer(wrong="0006"), CAPTURED),
    (
        "i",
        b"Pda7F85F3Fu;ba48D503Dp,10,288\n*\n\niESPSIM01\n",
        Answer(("iESPSIM01",)),
        "a script's last lines come first",
    ),
]
PACKAGES = [
    ("Pda7F85F3Fu;ba48D503Dp,10,288", [("da", -0.499905), ("ba", -57.847747e-6)], EXAMPLES),
    ("Pda8000000 ;ba8FCCDFDf,10,200,40", [("da", 0.0), ("ba", 16.567805e-9)], CAPTURED),
    ("PdaDF5E100n;ba81FE106p,10,203,40", [("da", 0.1), ("ba", 2.089222e-6)], CAPTURED),
    ("Peb8030D40u", [("eb", 0.2)], "MethodSCRIPT manual: 200000 uV"),
]


def codec(asked):
    made = EmStatCodec()
    made.encode(Command(asked))
    return made


@pytest.mark.parametrize("command, received, reply, source", TABLE)
def test_questions(command, received, reply, source):
    made = EmStatCodec()
    assert made.encode(Command(command)) == [command.encode() + b"\n"] and made.expects_reply(Command(command))
    assert made.feed(received) == reply


@pytest.mark.parametrize("command, received, reply, source", TABLE)
def test_one_byte_at_a_time_is_the_same(command, received, reply, source):
    made = codec(command)
    for byte in received[:-1]:
        assert made.feed(bytes([byte])) is None
    assert made.feed(received[-1:]) == reply


@pytest.mark.parametrize("text, variables, source", PACKAGES)
def test_packages(text, variables, source):
    found = package(text)
    assert [one.kind for one in found] == [kind for kind, _ in variables]
    assert [one.number for one in found] == [pytest.approx(number, rel=1e-9, abs=1e-15) for _, number in variables]


def test_what_else_a_package_tells():
    assert package("Pba     nan ,12,20B") == [Variable("ba", None, 2, "ba     nan ,12,20B")]
    assert package("Pba8000001u,1A,20B")[0].status == 0xA


@pytest.mark.parametrize(
    "asked, received",
    [
        ("i", b"LSCI,MODEL336\n"),
        ("t", b"Z!0006\n"),
        ("e\nvar p\n", b"iESPSIM01\n"),
        ("i", b"\xff\xfe\n"),
        ("i", b"9" * 600),
    ],
)
def test_what_answers_something_else_is_refused(asked, received):
    with pytest.raises(ProtocolError):
        codec(asked).feed(received)


def test_listening_says_nothing_and_takes_whole_lines_only():
    made = EmStatCodec()
    assert made.encode(Command(LISTEN)) == [] and made.listens(Command(LISTEN)) and not made.listens(Command("t"))
    assert made.feed(b"") is None and made.feed(b"M00") is None
    assert made.feed(b"05\nPda8000000 ;ba8000000 \n\nPd") == Answer(("M0005", "Pda8000000 ;ba8000000 ", ""))
    assert made.feed(b"") is None


def test_what_an_older_firmware_says_in_the_same_breath_is_kept():
    made = codec("e\nvar p\n")
    assert made.feed(b"eM0005\nPda8000000 ;ba8000000 \n") == Answer()
    made.encode(Command(LISTEN))
    assert made.feed(b"") == Answer(("M0005", "Pda8000000 ;ba8000000 "))


@given(st.sampled_from(["t", "i", "e\n", "Z", LISTEN]), st.lists(st.binary(max_size=200), max_size=12))
def test_random_bytes_raise_nothing_but_protocol_errors(asked, pieces):
    made = codec(asked)
    for piece in pieces:
        try:
            made.feed(piece + b"\n")
        except ProtocolError:
            made.reset()


@given(st.text(max_size=40))
def test_random_packages_raise_nothing_but_protocol_errors(text):
    with suppress(ProtocolError):
        package("P" + text)


@given(st.integers(-(2**27), 2**27 - 1), st.sampled_from("afpnum kMG"))
def test_what_a_package_says_is_what_is_read(digits, prefix):
    factor = dict(zip("afpnum kMG", range(-18, 10, 3), strict=True))[prefix]
    (found,) = package(f"Pba{digits + 2**27:07X}{prefix},10,20B")
    assert found.number == pytest.approx(digits * 10.0**factor, rel=1e-12)


@given(st.floats(-2, 2).map(lambda value: round(value, 9)))
def test_what_a_script_is_told_is_what_was_meant(value):
    text = literal(value)
    number, prefix = (text[:-1], text[-1]) if text[-1] in "mun" else (text, "")
    told = int(number) * {"": 1.0, "m": 1e-3, "u": 1e-6, "n": 1e-9}[prefix]
    assert told == pytest.approx(value, rel=2e-9, abs=1e-12)
    assert "." not in text


def test_a_script_word_for_word():
    technique = cyclic(begin_v=0.0, vertex1_v=0.5, vertex2_v=-0.5, step_v=0.01, rate_v_s=0.1, scans=3,
                       equilibrate_s=0.0, range_a=100e-6)  # fmt: skip
    assert technique.script.splitlines() == [
        "e", "var p", "var c", "var d", "var q", "var t", "set_pgstat_chan 0", "set_pgstat_mode 2",
        "set_max_bandwidth 40", "set_range_minmax da -500m 500m", "set_range ba 100u", "set_autoranging ba 100n 100u",
        "set_e 0", "cell_on",
        "meas_loop_cv p c 0 500m -500m 10m 100m nscans(3)", "copy_var p q", "copy_var c d", "pck_start", "pck_add p",
        "pck_add c", "pck_add q", "pck_add d", "pck_end", "endloop", "on_finished:", "cell_off",
    ]  # fmt: skip
    assert technique.points == 600
