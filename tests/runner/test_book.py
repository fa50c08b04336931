"""The bench outlives runs: who has it, and what it still owes an answer to."""

from collections.abc import Callable
from contextlib import closing
from itertools import count
from pathlib import Path

import pytest

from labloop.campaign import events as e
from labloop.runner.book import BY_HAND, GUARD, NO_END, NO_WORD, BenchBook, BenchOwes
from labloop.runner.lease import Lease

QUESTION = {"7.trial.0.0.1": "Was pump.dispense of trial 7 done?"}


@pytest.fixture
def book() -> BenchBook:
    seconds = count()
    return BenchBook.memory("bench", lambda: f"2026-01-01T00:00:{next(seconds):02d}+00:00")


def test_a_bench_that_owes_an_answer_refuses_every_other_run_until_it_is_settled(
    book: BenchBook, tmp_path: Path
) -> None:
    mine = str(tmp_path)
    (tmp_path / "journal.db").touch()
    book.take_lease(mine, "live", {})
    book.release_lease(mine, QUESTION)
    with pytest.raises(BenchOwes, match=rf"Was pump.dispense of trial 7 done.*labloop request {mine} resolve 7"):
        book.take_lease("runs/b", "live", {})
    book.take_lease("by hand", "live", {}, looks=True)
    book.release_lease("by hand", {})
    book.take_lease(mine, "live", {})
    book.release_lease(mine, {})
    book.take_lease("runs/b", "live", {})


def test_a_question_of_a_run_whose_folder_is_gone_binds_nobody(book: BenchBook) -> None:
    book.take_lease("runs/a", "live", {})
    book.release_lease("runs/a", QUESTION)
    book.take_lease("runs/b", "live", {})


def test_who_was_killed_there_had_the_bench_until_somebody_else_took_it(book: BenchBook) -> None:
    book.take_lease(BY_HAND, "live", {})
    assert book.others_until == ""
    for _ in range(2):  # before anybody has ever given it back, and after
        book.take_lease(BY_HAND, "live", {})
        *_, taken = (record for record in book.journal.records() if isinstance(record.event, e.LeaseTaken))
        assert book.others_until == taken.at
        book.release_lease(BY_HAND, {})
        book.take_lease(BY_HAND, "live", {})
        *_, released = (record for record in book.journal.records() if isinstance(record.event, e.LeaseReleased))
        assert book.others_until == released.at


def test_whoever_paused_a_run_that_ended_holds_its_bench(book: BenchBook, tmp_path: Path) -> None:
    mine, other = str(tmp_path / "a"), str(tmp_path / "b")
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "journal.db").touch()
    book.take_lease(mine, "live", {}, person="ann")
    book.release_lease(mine, {}, holds={"ann": "lunch"})
    for run in (other, BY_HAND):
        with pytest.raises(BenchOwes, match=rf"ann \(lunch\) paused the run {mine}.* resume --force --why"):
            book.take_lease(run, "live", {}, person="bob")
    for run, more in ((BY_HAND, {"looks": True}), (BY_HAND, {"person": "ann"}), (other, {"person": "ann"})):
        book.take_lease(run, "live", {}, **more)
        book.release_lease(run, {})
    with pytest.raises(BenchOwes, match="ann"):
        book.take_lease(other, "live", {}, person="bob")
    book.record(e.HoldsKept(run=mine))
    book.take_lease(other, "live", {}, person="bob")
    book.release_lease(other, {})


def test_a_hold_is_the_runs_own_to_ask_about_once_it_has_its_bench_again(book: BenchBook, tmp_path: Path) -> None:
    mine = str(tmp_path)
    (tmp_path / "journal.db").touch()
    book.take_lease(mine, "live", {}, person="ann")
    book.release_lease(mine, {}, holds={"ann": "lunch"})
    book.take_lease(mine, "live", {}, person="bob")
    book.release_lease(mine, {})
    book.take_lease("runs/b", "live", {}, person="bob")


def test_a_hold_of_a_run_whose_folder_is_gone_binds_nobody(book: BenchBook, tmp_path: Path) -> None:
    book.take_lease(str(tmp_path / "a"), "live", {})
    book.release_lease(str(tmp_path / "a"), {}, holds={"ann": "lunch"})
    book.take_lease("runs/b", "live", {}, person="bob")


def test_a_run_whose_start_asked_nobody_keeps_its_claim_as_one_that_was_killed(book: BenchBook, tmp_path: Path) -> None:
    mine = str(tmp_path)
    (tmp_path / "journal.db").touch()
    book.take_lease(mine, "live", {})
    book.release_lease(mine, {}, unasked=True)
    for other in ("runs/b", BY_HAND):
        with pytest.raises(BenchOwes, match=f"ended without a word.*labloop resume {mine}"):
            book.take_lease(other, "live", {})
    book.take_lease(mine, "live", {})
    assert not book.guarded(mine, 0), "how its lease ended is known"
    book.release_lease(mine, {})
    book.take_lease("runs/b", "live", {})


def test_a_run_that_can_never_ask_any_more_binds_nobody_once_its_folder_is_moved(
    book: BenchBook, tmp_path: Path
) -> None:  # fmt: skip
    mine = tmp_path / "a"
    mine.mkdir()
    (mine / "journal.db").touch()
    book.take_lease(str(mine), "live", {})
    book.release_lease(str(mine), {}, unasked=True)
    with pytest.raises(BenchOwes, match="gone for good: move its folder elsewhere"):
        book.take_lease("runs/b", "live", {})
    mine.rename(tmp_path / "away")
    book.take_lease("runs/b", "live", {})


def test_a_run_that_was_killed_is_taken_up_before_another_begins(book: BenchBook, tmp_path: Path) -> None:
    killed = tmp_path / "a"
    killed.mkdir()
    (killed / "journal.db").touch()
    book.take_lease(str(killed), "live", {})
    for looks in (False, True):
        with pytest.raises(BenchOwes, match=f"labloop resume {killed}"):
            book.take_lease(str(tmp_path / "b"), "live", {}, looks=looks)
    book.take_lease(str(killed), "live", {})


def test_stock_of_the_lab_file_is_put_down_once_and_drawn_by_every_run(book: BenchBook) -> None:
    full = {"pump": e.Amount(10.0, "mL")}
    book.take_lease("runs/a", "live", full)
    book.draw("pump", e.Amount(4.0, "mL"), "an act")
    book.release_lease("runs/a", {})
    book.take_lease("runs/b", "live", full)
    assert book.left("pump") == e.Amount(6.0, "mL")


def test_who_was_refused_takes_no_claim_away(tmp_path: Path) -> None:
    killed = tmp_path / "a"
    killed.mkdir()
    (killed / "journal.db").touch()
    for _ in range(3):
        book = BenchBook.open(tmp_path, "bench", lambda: "2026-01-01T00:00:00+00:00")
        if not book.state.leased_to:
            book.take_lease(str(killed), "live", {})
        else:
            with pytest.raises(BenchOwes):
                book.take_lease(str(tmp_path / "b"), "live", {})
        book.close()


def test_a_bench_that_somebody_else_took_is_not_given_back(tmp_path: Path) -> None:
    book = BenchBook.open(tmp_path, "bench", lambda: "2026-01-01T00:00:00+00:00")
    book.take_lease("runs/a", "live", {})
    Lease.take(tmp_path, "runs/b", "runner")
    before = book.journal.last_seq
    book.release_lease("runs/a", QUESTION)
    assert book.journal.last_seq == before and book.state.leased_to == "runs/a"
    book.close()


def again(folder: Path) -> BenchBook:
    return BenchBook.open(folder, "bench", lambda: "2026-01-01T00:00:00+00:00")


def guard_acts(book: BenchBook, *, says: bool) -> None:
    epoch = book.state.epoch + 1
    book.record(e.LeaseTaken(epoch=epoch, run="runs/a", mode=GUARD))
    if says:
        book.record(e.GuardActed(epoch=epoch, run="runs/a", why="its runner was gone", found={}, took_s=0.1))


def unwritten(folder: Path) -> None:
    """A guard that takes the lease, and whose journal takes nothing."""
    lease = Lease.take(folder, "runs/a", "guard")
    lease.release()
    lease.close()


@pytest.mark.parametrize("mode, meanwhile, errors", [
    ("live", lambda book, folder: book.release_lease("runs/a", {}), []),
    ("live", lambda book, folder: guard_acts(book, says=True), [[]]),
    ("live", lambda book, folder: guard_acts(book, says=False), [[NO_END], [NO_WORD]]),
    ("live", lambda book, folder: unwritten(folder), [[NO_WORD]]),
    ("live", lambda book, folder: None, [[NO_WORD]]),  # not even the lease could be written
    ("simulated", lambda book, folder: None, []),  # no guard stands beside it
    ("simulated", lambda book, folder: unwritten(folder), [[NO_WORD]]),
], ids=["given back", "said", "begun", "lease only", "nothing", "no guard", "somebody"])  # fmt: skip
def test_what_a_guard_may_have_done_without_a_word_is_told_to_its_run(
    tmp_path: Path, mode: str, meanwhile: Callable[[BenchBook, Path], None], errors: list[list[str]]
) -> None:
    with closing(again(tmp_path)) as book:
        book.take_lease("runs/a", mode, {})
        assert book.guarded("runs/a", 0) == []
        meanwhile(book, tmp_path)
    for known in (0, 0):  # who was killed before it was a fact of the run finds it again, with what came later
        with closing(again(tmp_path)) as book:
            book.take_lease("runs/a", mode, {})
            told = book.guarded("runs/a", known)
            assert [one.errors for one in told] == errors and book.guarded("runs/b", 0) == []
            guard_acts(book, says=True) if mode == "live" else book.release_lease("runs/a", {})
        errors = sorted([*errors, []], key=lambda one: one == []) if mode == "live" else errors
    with closing(again(tmp_path)) as book:
        assert book.guarded("runs/a", book.state.epoch) == [], "what is known is not told again"


def test_what_the_guard_noted_of_a_counter_is_no_news_once_a_person_says_that_they_refilled_it(book: BenchBook) -> None:
    """Said while nobody ran: the run learns the guard's note at its next start, after that word."""
    diameter, infused = e.Stand(value=14.43, unit="mm"), e.Stand(value=100.0, unit="uL", counts=True)
    stands = {"diameter": diameter, "infused": infused}
    found = {name: e.Witness(state="stopped", stands=stands) for name in ("pump_a", "pump_b", "pump_c")}
    book.take_lease("runs/a", "live", {"pump_c": e.Amount(1.0, "mL")})
    book.record(e.StockSet(name="pump_b", amount=e.Amount(1.0, "mL"), by="ann", wish="before"))
    book.record(e.LeaseTaken(epoch=2, run="runs/a", mode=GUARD))
    book.record(e.GuardActed(epoch=2, run="runs/a", why="its runner was gone", found=found))
    book.record(e.StockSet(name="pump_a", amount=e.Amount(50.0, "mL"), by="ann", wish="after"))
    book.take_lease("runs/a", "live", {})
    (told,) = book.guarded("runs/a", 1)
    assert told.found["pump_a"].stands == {"diameter": diameter}
    assert told.found["pump_b"].stands == told.found["pump_c"].stands == stands
