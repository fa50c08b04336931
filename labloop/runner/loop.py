"""The loop: propose, run, record, repeat.

One task walks each open trial; the loop itself only fills free places and waits for the next fact. It ends in one of
these ways, and every one of them passes through the safe state:

    finished     budget or stopping rule                                    exit 0 (1: nothing was ever measured;
                                                                            3: the bench could not be made safe)
    stop         a person's wish: after the current steps                   exit 4
    interrupt    a signal: current steps are cut short                      exit 4, a second one 130
    abort        a person's wish: the safe state first, then the rest       exit 4
    lost         an instrument is gone, or too many failures in a row       exit 3
    breach       what is measured left the envelope: the safe state first   exit 3 (6: it waits for a person)
    halt         a question only a person can answer                        exit 6
    rest         a pause has had its time: the safe state first; then the runner waits (see rest); virtual: exit 6
    store        what happens cannot be written down any more               StoreError (exit 5)
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from labloop.bench import BenchError, LinkInterrupted
from labloop.campaign import events as e
from labloop.campaign import state as s
from labloop.campaign.constraints import meanings
from labloop.campaign.grammar import flat_parameters
from labloop.campaign.recipe import PlannedStage
from labloop.campaign.spec import CampaignSpec
from labloop.journal import StoreError

from .admission import OutOfStock
from .beside import Beside, raise_first
from .hands import Hands
from .left_standing import LeftStanding
from .lookout import lookout_of
from .memory import RunMemory
from .opening import Opening
from .propose import Proposer
from .reach import Ended, InstrumentGone
from .recovery import made_nothing
from .rejoin import Opened, Rejoining
from .rereading import Rereading
from .schedule import may_start, needs, planned, too_many_in_a_row
from .step import StepHand
from .walk import End, Walk
from .watching import Watcher, hold_s


class Loop:
    """Runs one campaign on one open lab to its end. ``run`` gives the exit code."""

    def __init__(
        self, *, spec: CampaignSpec, pipelined: bool, lab: Any, hand: StepHand, memory: RunMemory, proposer: Proposer,
        tick: Callable[[], None] = lambda: None, gap_s: float = 0.0, opened: Opened | None = None, run: str = "",
    ) -> None:  # fmt: skip
        self.spec = spec
        self.pipelined = pipelined
        self.lab = lab
        self.hand = hand
        self.memory = memory
        self.clock = hand.clock
        self.proposer = proposer
        self.ending: tuple[str, str, int] | None = None  # (kind, reason, exit code)
        self.by = ""
        self.broken: StoreError | None = None  # why nothing can be written down any more
        self._opened = opened
        self.rejoining = Rejoining(hand, gap_s)
        self.lookout = lookout_of(spec, lab.spec, hand.action, memory, self.end, self._now, tick, proposer.awaits)
        self.hands = self.lookout.hands = Hands(hand, memory, lab, run, self.end)
        self._parameters = flat_parameters(spec.parameters)
        self._tasks: dict[int, asyncio.Task[None]] = {}
        self._planned: dict[tuple[int, str], Sequence[PlannedStage]] = {}
        self._safe_task: asyncio.Future[None] | None = None
        self._safe_hand = ThreadPoolExecutor(1, "safe")  # its own: nothing else may be in the way
        self._changed = asyncio.Event()
        memory.listeners.append(lambda record: self._pulse())
        hand.admission.wished = self._wished
        hand.reach.on_gone = lambda gone: self.end("lost", str(gone), 3)
        hand.reach.on_away = self._away
        hand.on_breach = self._breached
        self.watcher = Watcher(hand, memory, self.end, hold_s(spec, lab.spec))
        self.left, rereading = LeftStanding(hand, memory, lab.safe_state), Rereading(hand, memory, self.end)
        self.beside = Beside(self.lookout, self.watcher, rereading, self.hands, self.end, self._store_failed)
        memory.on_failed = self._store_failed

    @property
    def state(self) -> s.CampaignState:
        """What the facts add up to."""
        return self.memory.state

    def _wished(self, trial: int | None) -> Mapping[str, Any]:
        """A trial's settings as quantities and words."""
        return {} if trial is None else meanings(self.state.trials[trial].settings, self._parameters)

    def amend(self, spec: CampaignSpec) -> None:
        """Another text of the campaign is in force. Its recipe is the same, so what is under way stays as it is."""
        self.spec = self.lookout.spec = spec
        self._parameters = flat_parameters(spec.parameters)
        self.proposer.amend(spec)

    # --- how it ends -----------------------------------------------------------------------------------------------

    def end(self, kind: str, reason: str, exit_code: int, by: str = "") -> None:
        """Begin to end. A later, sharper end (abort after stop) overrides an earlier one; finished never does."""
        if kind == "rest" and self.clock.virtual:  # nobody could say resume
            kind = "breach"
        sharp = kind in ("interrupt", "abort", "lost", "breach", "rest", "store")
        overridden = ("stop", "halt", "finished", "rest") if sharp else ("rest",)
        if kind == "rest":  # it waits for a person; one who has said stop has come
            overridden = ("finished",)
        if self.ending is None or self.ending[0] in overridden:
            self.ending, self.by = (kind, reason, exit_code), by
            if kind != "finished":
                self.hand.person.leave.set()
        if sharp and self._safe_task is None:
            self._safe_task = self._make_safe(reason)
        self._pulse()

    def _store_failed(self, error: StoreError) -> None:
        """No step starts any more, those that run are cut short, and the bench is made safe at once."""
        self.broken = self.broken or error
        self.end("store", str(error), 5)

    def interrupted(self, name: str) -> None:
        """A signal. The first ends at the next exchange; the second makes exit code 130 of it."""
        if self.ending and self.ending[0] == "interrupt":
            self.ending = ("interrupt", f"{name}, twice", 130)
        self.end("interrupt", name, 4)

    def _breached(self, why: str) -> bool:
        """A step has read what leaves the envelope: everything is made safe, not only its instrument."""
        self.end("breach", why, 3)
        return True

    @property
    def rests(self) -> bool:
        """Whether it ended only because a pause has had its time: it is paused still, and its bench is safe."""
        return self.ending is not None and self.ending[0] == "rest" and not self.state.questions

    def _why_safe(self) -> str:
        if self.state.questions:
            return "a person is asked"
        return self.ending[1] if self.ending else "error"

    def _make_safe(self, why: str) -> "asyncio.Future[None]":
        """Begin to make the bench safe, now and not at the loop's next turn. Done when that is recorded."""
        self.watcher.rest()
        self.hand.halt.set()
        if self.lab.inline:
            errors: asyncio.Future[list[str]] = asyncio.get_running_loop().create_future()
            errors.set_result(self.lab.safe())
        else:
            errors = asyncio.wrap_future(self._safe_hand.submit(self.lab.safe))

        async def record() -> None:
            try:
                self.memory.record(e.SafeStateReached(why=why, errors=list(await errors)))
                for name in self.hand.stations:
                    self.hand.reach.heard(name)
            finally:
                self.hand.made_safe.set()

        return asyncio.ensure_future(record())

    def _pulse(self) -> None:
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()

    # --- the whole run ---------------------------------------------------------------------------------------------

    async def run(self) -> int:
        """Recover, set up, fill and wait, tear down; the bench is safe whichever way this returns or raises."""
        self.beside.begin(self.clock.virtual)
        try:
            try:
                await self._open()
                self.beside.opened()
                await self.watcher.begin()
                await self._phase("setup", again=bool(self.state.phases.get("setup")))  # nothing made safe since
                await self._phase("each_batch", again=True)
                await self._repeat()
                if self.ending and self.ending[0] == "finished":
                    await self._phase("teardown")
            except (Ended, InstrumentGone, LinkInterrupted):
                pass  # self.ending says why
            except OutOfStock as error:
                self.end("halt", str(error), 6)
            except BenchError as error:
                self.end("lost", str(error), 3)
            await asyncio.gather(*self._tasks.values())
            await self.rejoining.all_ended()
            await self.hands.rests()
        except StoreError as error:
            self._store_failed(error)
        finally:
            if self.ending is None:
                self.end("lost", "labloop itself failed", 3)
            if self._safe_task is None:
                self._safe_task = self._make_safe(self._why_safe())
            going_on = self.rejoining.all_ended(), self.hands.rests()
            ends = await asyncio.gather(self._safe_task, *self._tasks.values(), *going_on, return_exceptions=True)
            ends += await self.beside.over()
        raise_first(self.broken, ends, self.lab.not_safe)
        if self.ending is None or self.ending[2] != 130:  # said twice: at once
            await self.lookout.beating(self.left.note())
        return self._record_end(*(self.ending or ("lost", "the loop ended without a reason", 3)))

    def _record_end(self, kind: str, reason: str, code: int) -> int:
        if self.rests:  # no end: whoever paused it says when it goes on
            return code
        if self.state.questions or kind == "halt" or (kind == "breach" and code == 6):
            self.memory.record(e.CampaignHalted(reason=reason))
            return 6 if kind not in ("interrupt", "abort") else code
        if kind == "finished":
            code = 0 if any(t.state in (s.MEASURED, s.AWAITING) for t in self.state.trials.values()) else 1
            code = 3 if self.state.unsafe else code
            self.memory.record(e.CampaignFinished(reason=reason, exit_code=code))
            return code
        self.memory.record(e.CampaignStopped(reason=reason, exit_code=code, by=self.by))
        return code

    async def _away(self, why: str) -> None:
        """An instrument stays away: pause until a person says that it may go on. Raises Ended."""
        if self.clock.virtual:  # nobody could say so
            self.end("halt", f"{why}. Bring it back, and resume", 6)
        elif self.state.state == s.RUNNING:
            self.memory.record(e.CampaignPaused(reason=f"{why.rstrip('.')}. Bring it back, and say resume"))
        await self._until_resumed()

    async def _until_resumed(self) -> None:
        """Wait until it is paused no more. Raises Ended."""
        while self.state.state != s.RUNNING and not self.ending:
            await self._changed.wait()
        if self.ending:
            raise Ended

    # --- what an earlier run left ----------------------------------------------------------------------------------

    async def _open(self) -> None:
        opening = Opening(self.spec, self.hand, self.memory)
        if stranger := await opening.identify():
            self.end("halt", stranger, 6)
            raise Ended
        await opening.settle()
        if self.state.questions:
            self._halt_for_questions()
            raise Ended
        await opening.rejoin(self.rejoining, self.watcher.begin)
        if self._opened is not None:
            await self._opened()
        await self.left.compare(opening.busy, self.watcher.begin, self._until_resumed, self.lab.spec.keep)
        await opening.configure()

    def _halt_for_questions(self) -> None:
        first, *more = self.state.questions.values()
        self.end("halt", first.question + (f" And {len(more)} more questions." if more else ""), 6)

    # --- phases that belong to no trial ----------------------------------------------------------------------------

    async def _phase(self, phase: str, again: bool = False) -> None:  # again: what the last pass set, and is gone
        stages, number = planned(self.spec, phase, {}), self.state.passes.get(phase, 0) + (not again)
        over = again and phase != "setup" and self.proposer.why_finished(self.state)
        if not stages or not number or over:
            return
        walk = Walk(hand=self.hand, stages=stages, phase=phase, number=number, gate=self._gate_for(0))
        end = await walk.run(forgive=True)
        if end.verdict == "done":
            self.memory.record(*([] if again else [e.PhaseFinished(phase=phase, number=number)]))
        elif end.verdict == "doubt":
            self._halt_for_questions()
            raise Ended
        elif self.ending is None:
            self.end("lost", f"{phase}: {end.why}", 3)
            raise Ended

    # --- fill and wait ---------------------------------------------------------------------------------------------

    async def _repeat(self) -> None:
        while True:
            changed = self._changed
            if self.lookout.take_requests():
                await asyncio.sleep(0)  # of thousands; all else has its turn before the next
            self._reap()
            if self.ending:
                return
            self._start_trials()
            busy = self._in_flight()
            reason = None if busy else self.proposer.why_finished(self.state)
            if reason and not self._tasks:
                self.end("finished", reason, 0)
                return
            if not reason and self.state.state == s.RUNNING:
                due = self.proposer.due_phase(self.state)
                if due is not None and not self._tasks:
                    await self._phase(due)
                    continue
                room = 0 if due else self.proposer.room(self.state, busy)  # a phase that is due waits for a free bench
                if room and await self._propose(room):
                    continue
                if self.clock.virtual and not self._tasks and (awaits := self.proposer.awaits(self.state)):
                    self.end("halt", awaits, 6)  # nobody could come
                    return
            await changed.wait()

    async def _propose(self, room: int) -> bool:
        proposals = await self.proposer.propose(self.state, room)
        if self.ending:
            return True
        self.memory.record(*proposals)
        return bool(proposals) or self.proposer.nothing_left is not None

    def _in_flight(self) -> int:
        """Trials whose outcome is still to come."""
        return sum(self.state.trials[n].state in (s.PROPOSED, s.RUNNING, s.IN_DOUBT) for n in self.state.open_trials)

    def _start_trials(self) -> None:
        for number in sorted(self.state.open_trials - self._tasks.keys()):
            trial = self.state.trials[number]
            if trial.state == s.AWAITING and not trial.acted:
                continue
            if trial.state == s.PROPOSED and self.spec.approval == "human" and trial.approved_by is None:
                continue
            self._tasks[number] = asyncio.ensure_future(self._trial(number))

    def _reap(self) -> None:
        for number, task in list(self._tasks.items()):
            if task.done():
                del self._tasks[number]
                task.result()
        if self.ending is None and (why := too_many_in_a_row(self.state, self.spec.stop_when.failures_in_a_row)):
            self.end("lost", why, 3)

    def _gate_for(self, trial: int) -> Callable[[frozenset[str]], Any]:
        async def gate(instruments: frozenset[str]) -> None:
            while True:
                changed = self._changed
                if self.ending and (self.ending[0] != "finished" or trial):
                    raise Ended
                earlier = [self._needs(n) for n in self.state.open_trials if n < trial]
                earlier.append(self.rejoining.busy(trial or None))
                if self.state.may_begin and may_start(instruments, earlier):
                    return
                await changed.wait()

        return gate

    def _needs(self, number: int) -> frozenset[str]:
        trial = self.state.trials[number]
        if number not in self._tasks:  # nothing of it can start: not approved yet, or a result is owed from elsewhere
            return frozenset()
        made = trial.state not in (s.PROPOSED, s.RUNNING, s.IN_DOUBT)
        stages = self._stages(number, "trial"), self._stages(number, "cleanup")
        return needs(*stages, trial.steps, made=made, pipelined=self.pipelined)

    def _stages(self, number: int, phase: str) -> Sequence[PlannedStage]:
        key = (number, phase)
        if key not in self._planned:
            self._planned[key] = planned(self.spec, phase, self.state.trials[number].settings)
        return self._planned[key]

    # --- one trial -------------------------------------------------------------------------------------------------

    async def _trial(self, number: int) -> None:
        try:
            trial = self.state.trials[number]
            if trial.state in (s.PROPOSED, s.RUNNING):
                await self._make(number)
            if trial.state != s.IN_DOUBT:
                await self._clean_up(number)
        except (Ended, InstrumentGone, LinkInterrupted):
            pass  # self.ending says why; the facts say how far it came
        except OutOfStock as error:
            self.end("halt", str(error), 6)
        finally:
            self._pulse()

    async def _make(self, number: int) -> None:
        trial, stages, gate = self.state.trials[number], self._stages(number, "trial"), self._gate_for(number)
        if trial.state == s.PROPOSED:
            await gate(frozenset(step.instrument for step in stages[0].steps) if stages else frozenset())
            if trial.state != s.PROPOSED:  # vetoed while it waited
                return
            self.memory.record(e.TrialStarted(trial=number, t_s=self._now()))
        walk = Walk(hand=self.hand, stages=stages, phase="trial", trial=number, gate=gate, pipelined=self.pipelined)
        self._judge(number, await walk.run())

    def _judge(self, number: int, end: End) -> None:
        match end.verdict:
            case "done":
                self.memory.record(self.memory.harvest(self.spec, number, self._now()))
            case "fail":
                self.memory.record(e.TrialFailed(trial=number, reason=end.why, t_s=self._now()))
            case "doubt":
                self._halt_for_questions()
            case "refuse":
                self.memory.record(e.TrialAbandoned(trial=number, reason=end.why, t_s=self._now()))
                self.end("lost", f"refused: {end.why}", 3)
            case _:
                self.memory.record(e.TrialAbandoned(trial=number, reason=end.why, again=True, t_s=self._now()))

    async def _clean_up(self, number: int) -> None:
        trial = self.state.trials[number]
        if trial.closed:
            return
        if made_nothing(trial.steps):  # nothing stands on the bench, and a rinse might take the next sample away
            self.memory.record(e.TrialClosed(trial=number, t_s=self._now()))
            return
        stages = self._stages(number, "cleanup")
        walk = Walk(hand=self.hand, stages=stages, phase="cleanup", trial=number, gate=self._gate_for(number))
        end = await walk.run(forgive=True)
        if end.verdict == "done":
            self.memory.record(e.TrialClosed(trial=number, t_s=self._now()))
        elif end.verdict == "doubt":
            self._halt_for_questions()
        else:
            self.end("halt", f"cleanup after trial {number} was not done ({end.why}); a resume does it again", 6)

    def _now(self) -> float:
        return round(self.clock.now_s(), 6)
