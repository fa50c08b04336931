"""The lookout: what comes from outside while the run is busy. Requests in the inbox, and the heart that must beat.

An abort does not wait its turn: it is acted on when it is seen, before anything is journaled (stopping is always
allowed, and a slow disk must not hold it up). Everything else is journaled first and then done.

The inbox is looked at whenever its folder changes, which costs a microsecond to find out, and a few times a second all
the same: a file system that stamps folders coarsely may hide a second change behind the first.
"""

import asyncio
import math
import time
from collections.abc import Callable, Coroutine
from typing import Any, Final

from labloop.bench import Action
from labloop.campaign import events as e
from labloop.campaign.spec import CampaignSpec, LabSpec
from labloop.campaign.state import PAUSED, RUNNING, CampaignState
from labloop.campaign.text import duration

from . import requests
from .amending import AMEND, Amender
from .answers import Answer, answered, no
from .hands import Hands
from .memory import RunMemory
from .watching import hold_s

# Real seconds between two looks at the folder's stamp. With the link's slice of 20 ms and one exchange this keeps an
# abort within 250 ms (test_abort); at 50 looks a second the processor spends 0.3 % on it.
LOOK_S: Final = 0.02
# Real seconds between two looks into the inbox, changed or not, and between two heartbeats.
TICK_S: Final = 0.2
# Real seconds of one look after which the wishes that are left wait for the next: of thousands each takes some commits,
# and neither an abort among them nor the heart nor the watch over the bench waits for all of that.
TURN_S: Final = 0.05
# Looks into the inbox after a change was seen: kernels stamp folders in steps of 4 to 10 ms, so a file that comes
# within the same step as the one before it changes no stamp.
LINGER: Final = 3

End = Callable[[str, str, int, str], None]  # kind, reason, exit code, by whom


class Lookout:
    """Looks into the inbox of one run and beats its heart. ``end``: how the run is told to end.

    ``fits``: the answer, held against the bench. ``spec``: the campaign as it is now. ``amender``: who grants wishes to
    amend it. ``pause_s``: how long a pause may leave the bench as it is, once nothing runs any more (lab seconds); and
    as long may a run wait for what it ``awaits`` of a person.
    """

    def __init__(
        self, memory: RunMemory, end: End, now_s: Callable[[], float], beat: Callable[[], None],
        pause_s: float = math.inf, fits: Callable[[Answer], Answer] = lambda answer: answer,
        spec: CampaignSpec | None = None, awaits: Callable[[CampaignState], str] = lambda state: "",
    ) -> None:  # fmt: skip
        self.spec = spec
        self.hands: Hands | None = None  # who does what a person asks for by hand (None: nobody)
        self._memory = memory
        self._end = end
        self._now_s = now_s
        self._beat = beat
        self._pause_s = pause_s
        self._fits = fits
        self._awaits = awaits
        self.amender: Amender | None = None
        self._rests_since_s: float | None = None

    async def keep_looking(self) -> None:
        """Look until cancelled. Raises StoreError: the journal or the run's lock is lost."""
        stamp, linger, tick = 0, 0, 0.0
        while True:
            now = self._memory.inbox_stamp()
            if now != stamp:
                stamp, linger = now, LINGER
            if linger or tick >= TICK_S:
                linger = max(linger - 1, 0)
                if self.take_requests():
                    linger = LINGER
            if tick >= TICK_S:
                tick = 0.0
                self.end_long_pause()
                self._beat()
            await asyncio.sleep(LOOK_S)
            tick += LOOK_S

    async def keep_looking_in_virtual_time(self) -> None:
        """The same for a run whose time leaps: few can say resume in no time, and a pause ends as a long one does."""
        paused = asyncio.Event()
        self._memory.listeners.append(lambda record: paused.set() if self._memory.state.state == PAUSED else None)
        while True:
            await paused.wait()
            self.take_requests()
            self.end_long_pause()
            await asyncio.sleep(1.0)  # of the run's own time
            if self._memory.state.state != PAUSED:
                paused.clear()

    async def beating(self, going: Coroutine[Any, Any, None]) -> None:
        """Let it come to its end, and beat meanwhile; for what is done when nobody looks any more.

        Raises what either of them does.
        """
        doing = asyncio.ensure_future(going)
        try:
            while not (await asyncio.wait([doing], timeout=TICK_S))[0]:
                self._beat()
        finally:
            doing.cancel()
        await doing

    def end_long_pause(self) -> None:
        """A bench does not stay hot all night because somebody paused it: after its time it is made safe (see rest)."""
        state, now_s = self._memory.state, self._now_s()
        awaits = self._awaits(state) if state.state == RUNNING else ""
        busy = any(does not in ("idle", "lost") for does in state.instruments.values())
        if busy or not (state.state == PAUSED or awaits):
            self._rests_since_s = None
        elif self._rests_since_s is None or (self.hands is not None and self.hands.busy):
            self._rests_since_s = now_s
        elif now_s - self._rests_since_s >= self._pause_s:
            if awaits:
                self._memory.record(e.CampaignPaused(reason=awaits))
            who = f" by {' and '.join(state.holds)}" if state.holds else ""
            why = f"paused{who} for {duration(self._pause_s)} ({state.reason}), and nobody said resume"
            self._end("rest", why, 6, "")

    def take_requests(self) -> bool:
        """Journal and answer what lies in the inbox; an abort is acted on first. Whether something is left there.

        Of many wishes as many as one turn allows, and one at the least.
        """
        memory = self._memory
        wishes = sorted(memory.requests(), key=lambda wish: wish.request != "abort")
        until_s = time.monotonic() + TURN_S
        for wish in wishes:
            if wish.request == "abort" and wish.id not in memory.state.requests:
                self._end("abort", why(wish), 4, wish.by)
        for at, wish in enumerate(wishes):
            if at and time.monotonic() > until_s:
                return True
            if wish.request == AMEND and self.amender is not None:
                self.amender.take(wish)
                continue
            effect = ""
            if memory.state.requests.get(wish.id) is None:  # else answered before a crash: only its file was left
                effect = self._grant(wish)
            memory.request_done(wish.id)
            if effect in ("stop", "abort"):
                self._end(effect, why(wish), 4, wish.by)
        return False

    def last_words(self) -> None:
        """Answer what came while the run was ending, as where no runner lives; the next start would take it as its own.

        An amendment is for the next start to prove. Raises StoreError.
        """
        for wish in self._memory.requests():
            self._beat()  # of thousands, its guard would take it to hang
            if wish.request != AMEND:
                if self._memory.state.requests.get(wish.id) is None:
                    self._grant(wish, alive=False)
                self._memory.request_done(wish.id)

    def _grant(self, wish: e.Requested, alive: bool = True) -> str:
        """Journal and answer one wish: its effect. One whose runner was killed before it answered is answered now."""
        memory = self._memory
        again = wish.id in memory.state.requests
        if not again:
            memory.record(wish)
        if again and wish.request == "abort":  # acted on before it was journaled, and a person has said resume since
            answer = Answer(accepted=True, message="it ended the runner that saw it")
        elif again and wish.request == "act":  # what was begun was asked after, and nothing is done twice
            answer = no("its runner ended before it answered. What became of it is in the log; look at the bench")
        elif wish.request == "abort" and not alive:
            answer = Answer(accepted=True, message="the run was ending already")
        else:
            answer = answered(lambda: self._answer(wish, alive))
        memory.bench_record(*answer.stock, *answer.totals)  # first: what is answered is true
        memory.record(*answer.facts, e.RequestAnswered(id=wish.id, accepted=answer.accepted, message=answer.message))
        return answer.effect

    def _answer(self, wish: e.Requested, alive: bool) -> Answer:
        """What comes of a wish now, held against the bench. Raises SpecError for one that is wrong."""
        says = requests.answer(self._memory.state, wish, alive=alive, t_s=self._now_s(), spec=self.spec)
        return self._by_hand(wish, self._fits(says))

    def _by_hand(self, wish: e.Requested, answer: Answer) -> Answer:
        """The same answer, where nothing is done by hand that stands in its way; an act by hand is begun."""
        hands = self.hands
        if wish.request == "resume" and answer.accepted and hands is not None and hands.busy:
            return no(f"{hands.busy} is done by hand: say resume when it is over")
        if answer.act is None or not answer.accepted:
            return answer
        if hands is None:
            return no("the bench was made safe meanwhile, and nobody has its lines. Resume first, and pause again")
        refused = hands.ask(answer.act, wish.why)
        return no(refused) if refused else answer


def lookout_of(
    spec: CampaignSpec, lab: LabSpec, action: Callable[[str, str], Action], memory: RunMemory, end: End,
    now_s: Callable[[], float], beat: Callable[[], None], awaits: Callable[[CampaignState], str] = lambda state: "",
) -> Lookout:  # fmt: skip
    """The lookout of a campaign on a lab: its pause, and what a wish may say of the bench.

    ``action``: what is declared of an action. ``awaits``: see Lookout.
    """
    totals = {**lab.totals, **spec.totals}
    pause_s = hold_s(spec, lab)
    return Lookout(
        memory, end, now_s, beat, pause_s, lambda says: requests.fitting(says, lab, totals, action), spec, awaits
    )  # fmt: skip


def why(wish: e.Requested) -> str:
    """The reason that a person gave, else who it was."""
    return wish.why or f"{wish.request} by {wish.by or 'a person'}"
