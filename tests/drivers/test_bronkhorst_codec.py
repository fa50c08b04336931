"""ProPar: the bytes, from the manual and from what the maker's own library says and understands."""

import struct

import propar
import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers import bronkhorst_codec as words
from drivers.bronkhorst_codec import (
    LOCAL,
    Ask,
    Frames,
    Parameter,
    ProparCodec,
    Refused,
    Set,
    body_of,
    framed,
    values_of,
)
from labloop.bench import ProtocolError, SpecError

CAPTURED = "captured from bronkhorst-propar 1.3.0 on a pty"
IDENTIFICATION, TAG = Parameter("identification", 0, 0, "text"), Parameter("tag", 113, 6, "text")

# command, number, sent, received, reply, source
TABLE = [
    (
        Ask((IDENTIFICATION,)), 1, "10 02 01 80 06 04 00 60 00 60 00 10 03",
        "10 02 01 03 10 10 02 00 60 0c 53 4e 4d 31 32 33 34 35 36 37 38 41 10 03", ("SNM12345678A",), CAPTURED,
    ),
    (
        Ask((words.MEASURE,)), 2, "10 02 02 80 05 04 01 20 01 20 10 03", "10 02 02 03 05 02 01 20 3e 80 10 03",
        (16000,), CAPTURED,
    ),
    (
        Set(words.SETPOINT, 16000), 3, "10 02 03 80 05 01 01 21 3e 80 10 03", "10 02 03 03 03 00 00 00 10 03",
        (), CAPTURED,
    ),
    (Set(words.SETPOINT, 16000), 3, "10 02 03 80 05 01 01 21 3e 80 10 03", "10 02 03 03 02 00 00 10 03", (), "p. 16"),
    (
        Set(words.SETPOINT, 0, urgent=True), 0, "10 02 00 80 05 01 01 21 00 00 10 03", "10 02 00 03 03 00 00 05 10 03",
        (), "a stop has the number 0",
    ),
    (
        Ask((words.MEASURE,)), 16, "10 02 10 10 80 05 04 01 20 01 20 10 03",
        "10 02 10 10 03 05 02 01 20 10 10 10 10 10 03", (0x1010,), "10 is doubled wherever it stands",
    ),
    (
        Set(words.NEW_SETPOINT, 40000), 4, "10 02 04 80 05 01 68 26 9c 40 10 03", "10 02 04 03 03 00 06 04 10 03",
        Refused(6, 4), "p. 16",
    ),
]  # fmt: skip

# What stands in the frame, as the manual writes it (there in ASCII, without length and node): asked, answered, values
BODIES = [
    (Ask((words.SETPOINT,)), "0401210121", "0201213E80", (16000,), "p. 22 to 26"),
    (Ask((words.MEASURE,)), "0401200120", "0201203E80", (16000,), "p. 22 to 26, with our index"),
    (Ask((words.COUNTED,)), "0468416841", "026841459CFFAE", (5023.9599609375,), "p. 22 to 26"),
    (
        Ask((words.SERIAL, TAG, words.MEASURE, words.CAPACITY, words.CAPACITY_UNIT, words.FLUID)),
        "04 F1 E3 71 63 00 66 71 66 00 01 A0 01 20 CD 01 4D FF 01 7F 00 71 01 71 00",
        "02 F1 E3 00 4D623231323334354100 66 00 5553455254414700 01 A0 1CD8 CD 3F800000 FF 07 6D6C6E2F6D696E"
        "71 0A 4E322020202020202020",
        ("Mb212345A", "USERTAG", 0x1CD8, 1.0, "mln/min", "N2"), "p. 22 to 26, with our indices and lengths",
    ),
]  # fmt: skip


def codec(command, number=1, node=LOCAL):
    made = ProparCodec(node)
    made._last = number - 1
    made.encode(command)
    return made


@pytest.mark.parametrize("command, number, sent, received, reply, source", TABLE)
def test_exchanges(command, number, sent, received, reply, source):
    made = ProparCodec()
    made._last = number - 1
    assert made.encode(command) == [bytes.fromhex(sent)] and made.expects_reply(command)
    assert made.feed(bytes.fromhex(received)) == reply


@pytest.mark.parametrize("command, number, sent, received, reply, source", TABLE)
def test_one_byte_at_a_time_is_the_same(command, number, sent, received, reply, source):
    made, data = codec(command, number), bytes.fromhex(received)
    for byte in data[:-1]:
        assert made.feed(bytes([byte])) is None
    assert made.feed(data[-1:]) == reply


@pytest.mark.parametrize("command, asked, answered, values, source", BODIES, ids=lambda value: str(value)[:40])
def test_bodies(command, asked, answered, values, source):
    assert body_of(command) == bytes.fromhex(asked)
    assert values_of(bytes.fromhex(answered), command.parameters) == values


def test_an_answer_to_an_earlier_question_or_of_another_node_is_passed_over():
    answer = framed(1, 3, bytes.fromhex("0201203E80"))
    made = codec(Ask((words.MEASURE,)), 2)
    assert made.feed(answer) is None
    assert made.feed(b"\x00\x10noise\x10" + framed(2, 3, bytes.fromhex("0201200001"))) == (1,)
    other = codec(Ask((words.MEASURE,)), 1, node=4)
    assert other.feed(answer) is None
    assert other.feed(framed(1, 4, bytes.fromhex("0201200001"))) == (1,)


def test_numbers_go_round_and_leave_0_to_a_stop():
    made, numbers = ProparCodec(), []
    for _ in range(256):
        numbers.append(made.encode(Ask((words.MEASURE,)))[0].replace(b"\x10\x10", b"\x10")[2])
    assert numbers == [*range(1, 256), 1]
    stop = Set(words.SETPOINT, 0, urgent=True)
    assert made.encode(stop)[0][2] == 0 and made.urgent(stop) and not made.urgent(Set(words.SETPOINT, 0))
    assert made.encode(Ask((words.MEASURE,)))[0][2] == 2 and made.probe(stop) is None


@pytest.mark.parametrize(
    ("command", "body", "said"),
    [
        (Ask((words.MEASURE,)), "04", "protocol error"),
        (Ask((words.MEASURE,)), "05", "rejected by the node"),
        (Ask((words.MEASURE,)), "00 09 01", "status 09, the line or the bus failed"),
        (Ask((words.MEASURE,)), "00 00 05", "no answer to the question for measure"),
        (Ask((words.MEASURE,)), "02 01 21 3e 80", "no answer to the question for measure"),
        (Ask((words.MEASURE,)), "02 02 20 3e 80", "no answer to the question for measure"),
        (Ask((words.MEASURE,)), "02 01 a0 3e 80", "no answer to the question for measure"),
        (Ask((words.MEASURE,)), "01 01 20 3e 80", "no answer to the question for measure"),
        (Ask((words.MEASURE,)), "02 01 20 3e", "too short for measure"),
        (Ask((words.MEASURE,)), "02 01 20 3e 80 00", "1 bytes more than were asked for"),
        (Ask((words.COUNTED,)), "02 68 41 7f 80 00 00", "counter value is said to be inf"),
        (Ask((words.SERIAL,)), "02 71 63 05 4d 31", "is no serial number"),
        (Ask((words.SERIAL,)), "02 71 63 00 4d 31", "is no serial number"),
        (Ask((words.SERIAL,)), "02 71 63 02 4d ff", "is no serial number"),
        (Ask((words.SERIAL,)), "02 71 63", "is no serial number"),
        (Set(words.SETPOINT, 1), "02 01 21 00 01", "no answer to a setting"),
        (Set(words.SETPOINT, 1), "00 00 05 00", "no answer to a setting"),
    ],
)
def test_what_is_no_answer_is_refused(command, body, said):
    made = codec(command)
    with pytest.raises(ProtocolError, match=said):
        made.feed(framed(1, 3, bytes.fromhex(body)))


def test_a_frame_that_contradicts_itself_is_refused():
    for data in ("10 02 01 03 06 02 01 20 3e 80 10 03", "10 02 01 10 03", "10 02 01 03 05 10 07"):
        made = codec(Ask((words.MEASURE,)))
        with pytest.raises(ProtocolError):
            made.feed(bytes.fromhex(data))
        assert made.feed(framed(1, 3, bytes.fromhex("0201203E80"))) == (16000,)
    made = codec(Ask((words.MEASURE,)))
    with pytest.raises(ProtocolError, match="is no frame"):
        made.feed(b"\x10\x02" + b"x" * 300)


def test_a_frame_that_begins_in_another_is_found():
    made = codec(Ask((words.MEASURE,)))
    with pytest.raises(ProtocolError, match="is no frame"):
        made.feed(bytes.fromhex("10 02 01 03 05 02") + framed(1, 3, bytes.fromhex("0201203E80")))
    assert made.feed(b"") == (16000,)


@pytest.mark.parametrize(
    "parameter, value",
    [
        (words.MEASURE, 1),
        (words.CAPACITY, 1.0),
        (words.SETPOINT, -1),
        (words.SETPOINT, 0x10000),
        (words.SETPOINT, 0.5),
        (words.LIMIT, float("nan")),
        (words.LIMIT, 1e39),
        (words.LIMIT, "1"),
        (words.COUNTER_UNIT, "litre"),
        (words.COUNTER_UNIT, "\N{MICRO SIGN}l"),
    ],
)
def test_what_may_not_be_set_or_does_not_fit_is_never_encoded(parameter, value):
    with pytest.raises(SpecError):
        Set(parameter, value)


# --- against the maker's library --------------------------------------------------------------------------------------

PARAMETERS = [value for value in vars(words).values() if isinstance(value, Parameter)]
THEIRS = {"byte": propar.PP_TYPE_INT8, "word": propar.PP_TYPE_INT16, "float": propar.PP_TYPE_FLOAT,
          "text": propar.PP_TYPE_STRING}  # fmt: skip
SIZES = {"byte": 1, "word": 2, "float": 4, "text": 0}


def theirs(parameter, **more):
    return {
        "node": 3, "proc_nr": parameter.process, "parm_nr": parameter.number, "parm_type": THEIRS[parameter.form],
        "proc_index": parameter.process, "parm_index": parameter.number, "parm_size": SIZES[parameter.form], **more,
    }  # fmt: skip


def worth(parameter):
    return {
        "byte": st.integers(0, 255),
        "word": st.integers(0, 65535),
        "float": st.floats(width=32, allow_nan=False, allow_infinity=False),
        "text": st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=20),
    }[parameter.form]


asked = st.lists(st.sampled_from(PARAMETERS), min_size=1, max_size=8, unique=True).map(
    lambda some: tuple(sorted(some, key=lambda one: one.process))
)


@pytest.mark.parametrize("parameter", PARAMETERS, ids=lambda one: one.name)
def test_every_parameter_is_in_the_makers_table(parameter):
    rows = propar.database().get_propar_parameter(parameter.process, parameter.number)
    kinds = {THEIRS[parameter.form] & 0x60 for _ in rows}
    assert kinds <= {row["parm_type"] & 0x60 for row in rows}
    names = {row["parm_name"].lower().replace(" 100%", "").replace("bht ", "") for row in rows}
    assert parameter.name in names


@given(asked)
def test_questions_are_those_of_the_makers_library(parameters):
    message = {"node": 3, "seq": 7}
    built = propar._propar_builder().build_pp_request_parameter_message(message, [theirs(one) for one in parameters])
    assert bytes(built["data"]) == body_of(Ask(parameters))


@given(asked.flatmap(lambda some: st.tuples(*[worth(one).map(lambda value, one=one: (one, value)) for one in some])))
def test_answers_of_the_makers_library_are_read(pairs):
    parameters = [theirs(one, data=value) for one, value in pairs]
    built = propar._propar_builder().build_pp_send_parameter_message({"node": 3, "seq": 1}, parameters)
    made = codec(Ask(tuple(one for one, _ in pairs)))
    assert made.feed(framed(1, 3, bytes(built["data"]))) == tuple(value for _, value in pairs)


@given(st.sampled_from(words.MAY_BE_SET).flatmap(lambda one: worth(one).map(lambda value: (one, value))))
def test_settings_are_understood_by_the_makers_library(pair):
    parameter, value = pair
    value = value[:4] if isinstance(value, str) else value
    body = list(body_of(Set(parameter, value)))
    (read,) = propar._propar_builder().read_pp_send_parameter_message({"data": body, "len": len(body)})
    assert (read["proc_nr"], read["parm_nr"], read["status"]) == (parameter.process, parameter.number, 0)
    got = read["data"]
    got = struct.unpack(">f", struct.pack(">I", got))[0] if parameter.form == "float" else got
    assert (got.strip() if isinstance(got, str) else got) == value


# --- whatever comes ---------------------------------------------------------------------------------------------------


@given(st.integers(0, 255), st.integers(0, 255), st.binary(min_size=1, max_size=255), st.integers(1, 9))
def test_a_frame_is_read_as_it_was_written_in_any_portions(number, node, body, portion):
    data, frames, found = framed(number, node, body), Frames(), []
    for at in range(0, len(data), portion):
        frames.push(data[at : at + portion])
        found += [one for one in iter(frames.pop, None)]
    assert found == [bytes([number, node, len(body)]) + body]


@given(
    st.sampled_from([row[0] for row in TABLE]),
    st.lists(st.binary(max_size=60) | st.sampled_from([b"\x10\x02", b"\x10\x03", b"\x10\x02\x01\x03"]), max_size=30),
)
def test_random_bytes_raise_nothing_but_protocol_errors_and_take_no_room(command, pieces):
    made = codec(command)
    for piece in pieces:
        try:
            made.feed(piece)
        except ProtocolError:
            for _ in range(4096):
                try:
                    made.feed(b"")
                    break
                except ProtocolError:
                    continue
            else:
                raise AssertionError("a complaint that takes no byte") from None
        assert len(made._frames._rest) <= 2 * 258 + 60
