"""Event <-> JSON: all of them, there and back; older formats up; newer ones refused."""

import types
import typing

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from labloop.campaign import events
from labloop.journal import EventError, Journal, Reader, StoreDamaged, StoreNewer
from labloop.journal.codec import CODEC, FORMAT, UPCASTERS, EventCodec

ALL = typing.get_args(events.Event)
SCALARS = {
    float: st.floats(allow_nan=False, allow_infinity=False),
    int: st.integers(-(2**63), 2**63 - 1),
    str: st.text(max_size=20),
    bool: st.booleans(),
    type(None): st.none(),
}


def strategy(hint) -> st.SearchStrategy:
    if hint in SCALARS:
        return SCALARS[hint]
    if isinstance(hint, type) and issubclass(hint, msgspec.Struct):
        hints = typing.get_type_hints(hint)
        return st.builds(hint, **{field.name: strategy(hints[field.name]) for field in msgspec.structs.fields(hint)})
    arguments = [strategy(part) for part in typing.get_args(hint)]
    if typing.get_origin(hint) is list:
        return st.lists(arguments[0], max_size=3)
    if typing.get_origin(hint) is dict:
        return st.dictionaries(arguments[0], arguments[1], max_size=3)
    assert typing.get_origin(hint) in (types.UnionType, typing.Union), hint
    return st.one_of(arguments)


@pytest.mark.parametrize("kind", ALL, ids=lambda kind: kind.__name__)
def test_every_event_comes_back_as_it_went(kind):
    @settings(max_examples=30, deadline=None, database=None)
    @given(strategy(kind))
    def there_and_back(event):
        back = CODEC.decode(CODEC.encode(event), FORMAT)
        assert back == event and type(back) is kind

    there_and_back()


@settings(max_examples=20, deadline=None, database=None)
@given(st.lists(st.one_of([strategy(kind) for kind in ALL]), min_size=1, max_size=5))
def test_any_list_of_events_comes_back_out_of_a_journal(some):
    with Journal.memory(lambda: "2026-01-01T00:00:00.000000+00:00") as journal:
        journal.append(*some)
        assert [record.event for record in journal.records()] == some
        assert journal.verify() == len(some)


@pytest.mark.parametrize(
    "event",
    [
        events.TrialStarted(trial=1, t_s=float("inf")),
        events.TrialMeasured(trial=1, outcomes={"y": events.Reading(value=float("nan"))}),
        events.NoteTaken(text="\ud800"),
        events.NoteTaken(text=object()),
        events.TrialStarted(trial="one"),
        events.Requested(id="1", request="pause", arguments=("a", "b")),
        events.Amount(1.0, "mL"),
    ],
)
def test_what_would_come_back_otherwise_is_refused(event):
    with pytest.raises(EventError, match="cannot be kept: "):
        CODEC.encode(event)


class Poured(events.Fact, kw_only=True):
    """An event of a fake later format: ``volume_ml`` was ``amount`` in litres before."""

    volume_ml: float
    by: str = ""


class PouredOnce(events.Fact, kw_only=True, tag="Poured"):
    """The same event in format 1."""

    amount: float


class PouredTwice(events.Fact, kw_only=True, tag="Poured"):
    """The same event in format 2."""

    volume_l: float


def to_2(old: dict) -> dict:
    return {"type": "Poured", "volume_l": old["amount"]}


def to_3(old: dict) -> dict:
    return {"type": "Poured", "volume_ml": old["volume_l"] * 1000, "by": "nobody"}


def test_old_formats_are_read_beside_new_ones_in_one_file(path, stamp):
    ways = {1: to_2, 2: to_3}
    first, second, third = EventCodec(PouredOnce), EventCodec(PouredTwice, 2, ways), EventCodec(Poured, 3, ways)
    with Journal.create(path, stamp, codec=first) as journal:
        journal.append(PouredOnce(amount=0.25))
    with Journal.open(path, stamp, codec=second) as journal:
        assert [r.event for r in journal.records()] == [PouredTwice(volume_l=0.25)]
        journal.append(PouredTwice(volume_l=0.5))
    with Journal.open(path, stamp, codec=third) as journal:
        journal.append(Poured(volume_ml=750.0))
        assert [r.event for r in journal.records()] == [
            Poured(volume_ml=250.0, by="nobody"), Poured(volume_ml=500.0, by="nobody"), Poured(volume_ml=750.0),
        ]  # fmt: skip
        assert journal.verify() == 3
    with Reader(path, codec=second) as reader:
        records = reader.records()
        assert [next(records).event, next(records).event] == [PouredTwice(volume_l=0.25), PouredTwice(volume_l=0.5)]
        with pytest.raises(StoreNewer, match=r"row 3: is written in format 3; this labloop reads formats up to 2"):
            next(records)


def test_a_gap_in_the_way_up_is_found_when_the_codec_is_made():
    with pytest.raises(ValueError, match="no way up from format"):
        EventCodec(Poured, 3, {2: to_3})
    assert sorted(UPCASTERS) == list(range(1, FORMAT))


def test_an_unknown_type_speaks_of_a_newer_labloop(path, stamp):
    with Journal.create(path, stamp, codec=EventCodec(Poured)) as journal:
        journal.append(Poured(volume_ml=1.0))
    with Reader(path) as reader, pytest.raises(StoreNewer, match=r"row 1: .*'Poured'.*newer labloop"):
        list(reader.records())


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"{}", b'{"type":"TrialStarted"}', b"\xff"])
def test_what_is_no_event_is_shown(body):
    with pytest.raises(StoreDamaged, match="is not an event"):
        CODEC.decode(body, FORMAT)


def test_a_field_that_is_not_known_came_from_a_newer_labloop():
    with pytest.raises(StoreNewer, match=r"unknown field `x`.*Use the newer labloop"):
        CODEC.decode(b'{"type":"NoteTaken","text":"a","x":1}', FORMAT)
