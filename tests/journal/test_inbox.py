"""Wishes: whole, in order, journaled once whatever happens in between."""

import os

import pytest

from labloop.campaign.events import Requested
from labloop.journal import Journal, StoreError
from labloop.journal.inbox import ASIDE, LIMIT, Posted, done, post, take


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "run" / "requests"


def test_a_wish_is_taken_as_it_was_posted(folder):
    id = post(folder, "refill", ["pump_water", "50 mL"], by="Mia", why="new bottle")
    wishes, refused = take(folder)
    assert wishes == [Posted(id=id, request="refill", arguments=["pump_water", "50 mL"], by="Mia", why="new bottle")]
    assert refused == []
    assert take(folder)[0] == wishes  # until it is done
    done(folder, id)
    done(folder, id)
    assert take(folder) == ([], [])
    assert folder.stat().st_mode & 0o777 == 0o700


def test_what_was_read_before_is_not_read_again_and_forgotten_when_it_is_gone(folder):
    ids = [post(folder, "note", [word]) for word in "ab"]
    read = {}
    wishes, _ = take(folder, read=read)
    (folder / f"{ids[0]}.json").write_bytes(b"{")
    assert take(folder, read=read) == (wishes, []) and list(read) == ids
    done(folder, ids[0])
    assert take(folder, read=read)[0] == wishes[1:] and list(read) == ids[1:]


def test_an_abort_behind_thousands_that_make_no_sense_is_given_at_the_first_look(folder):
    abort = post(folder, "abort")
    for number in range(ASIDE + 1):
        (folder / f"{number}-bad.json").write_bytes(b"{")
    wishes, refused = take(folder)
    assert [wish.id for wish in wishes] == [abort] and len(refused) == ASIDE
    assert len(take(folder)[1]) == 1 and take(folder) == (wishes, [])


def test_no_inbox_is_an_empty_one(folder):
    assert take(folder) == ([], [])


def test_wishes_come_in_the_order_they_were_posted_whatever_the_clock_does(folder):
    clock = iter([1_000, 1_000, 999, 5, 2_000, 0])
    ids = [post(folder, "note", [str(n)], now_ns=lambda: next(clock)) for n in range(6)]
    wishes, _ = take(folder)
    assert [wish.arguments for wish in wishes] == [[str(n)] for n in range(6)]
    assert [wish.id for wish in wishes] == ids and len(set(ids)) == 6


def test_a_crash_between_journal_and_inbox_grants_nothing_twice(folder, path, stamp):
    id = post(folder, "pause")
    with Journal.create(path, stamp) as journal:
        for wish in take(folder)[0]:
            journal.append(Requested(id=wish.id, request=wish.request))
            break  # killed here, before done()
    other = post(folder, "resume")
    with Journal.open(path, stamp) as journal:
        known = {record.event.id for record in journal.records()}
        wishes, _ = take(folder, known)
    assert known == {id} and [wish.id for wish in wishes] == [other]
    assert not (folder / f"{id}.json").exists()


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{",
        b"[]",
        b'{"request": 1}',
        b'{"arguments": []}',
        b'{"request": "pause", "sudo": true}',
        b'{"request": "pause", "arguments": "all"}',
        b'{"request": "\xff"}',
        b"[" * 50_000,
        b'{"request": "' + b"x" * LIMIT + b'"}',
    ],
    ids=lambda data: repr(data[:30]),
)
def test_what_makes_no_sense_is_moved_aside_with_the_reason(folder, data):
    id = post(folder, "pause")
    (folder / "0-bad.json").write_bytes(data)
    wishes, refused = take(folder)
    assert [wish.id for wish in wishes] == [id]
    assert [one.name for one in refused] == ["0-bad.json"] and refused[0].reason
    assert (folder / "refused" / "0-bad.json").read_bytes() == data
    assert (folder / "refused" / "0-bad.json.why").read_text() == refused[0].reason
    assert take(folder) == (wishes, [])


def test_neither_pipe_nor_link_makes_the_runner_wait_or_look_elsewhere(folder, tmp_path):
    post(folder, "pause")
    os.mkfifo(folder / "1.json")
    (tmp_path / "secret").write_text('{"request": "stop"}')
    (folder / "2.json").symlink_to(tmp_path / "secret")
    (folder / "3.json").mkdir()
    wishes, refused = take(folder)
    assert [wish.request for wish in wishes] == ["pause"]
    assert [one.name for one in refused] == ["1.json", "2.json", "3.json"]
    assert all("is not a plain file" in one.reason for one in refused)
    assert (tmp_path / "secret").exists()


def test_a_file_that_is_still_being_written_is_not_seen(folder):
    post(folder, "pause")
    (folder / ".part-abc").write_bytes(b'{"request": "st')
    assert [wish.request for wish in take(folder)[0]] == ["pause"]


@pytest.mark.parametrize("id", ["", "../journal", "a/b", "/etc/passwd"])
def test_nothing_outside_the_inbox_is_done_away_with(folder, id):
    with pytest.raises(StoreError, match="names no request"):
        done(folder, id)
