"""What stood at the instruments when the bench was made safe, and whether it still stands there at the next start.

    made safe     whatever ends a run, or lets it rest: each instrument that was stopped (or is kept) is asked,
                  read-only, what somebody may change there by its own keys (its driver's stands()), and that is a
                  fact (SettingsLeft). The guard does the same (SafeStateReached.found)
    next start    once it is known what became of what was begun, and before anything is configured: asked again
    all alike     SettingsRead(resumed), and only then is anything configured
    another       the run pauses and says where, what stood there and what stands there now. Put back, a resume finds it
                  alike; right as it is, a person says so, by force and with a reason

Nothing is compared that nobody noted: of a runner that was killed with its guard, of an instrument that did not answer
or that others have had since (by hand, or in another run), of one on which something goes on, and of what may change by
itself. What was counted at rest in a pause is compared as well, where that pause ended in a safe state: what was moved
between the two is somebody's. So a note holds from the safe state to the first thing that the next start does there,
and no longer.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Collection
from typing import Final

from labloop.bench import BenchError, Permit, Stand
from labloop.campaign import events as e
from labloop.campaign.errors import LabloopError
from labloop.campaign.flags import sound_stands
from labloop.campaign.state import RUNNING

from .memory import RunMemory
from .reach import Ended, InstrumentGone
from .rereading import asks
from .step import StepHand

LOG: Final = logging.getLogger("labloop.run")
# Real seconds. An instrument at 9600 baud has told all within half a second; a line that is dead costs no more.
ENOUGH_S: Final = 5.0
# An exchange that is broken off ends within its slice of 20 ms; what goes on after this is a driver that hangs.
BREAKS_OFF_S: Final = 1.0


class LeftStanding:
    """What stands at the instruments of one run while it does not go on.

    ``listed``: what the lab's own list begins when the bench is made safe.
    """

    def __init__(self, hand: StepHand, memory: RunMemory, listed: Collection[Permit] = ()) -> None:
        self._hand = hand
        self._memory = memory
        self._listed = listed
        self._on: set[str] = set()  # instruments on which something is on, as they said at the last look

    # --- made safe ------------------------------------------------------------------------------------------------

    async def note(self) -> None:
        """Note what stands there now that the bench is safe; what an earlier safe state left is still to be compared.

        Raises StoreError.
        """
        state = self._memory.state
        if state.left is not None:
            return
        await self._let_end()
        not_safe = {text.partition(":")[0].partition(".")[0] for text in state.unsafe}
        names = [
            name
            for name, station in self._hand.stations.items()
            if (name in state.configured or self._hand.reach.unsettled(name))
            and not (name in not_safe or station.port.lost or station.stranger)
        ]
        asked = {name: asyncio.ensure_future(self._of(name)) for name in names}
        if not asked:
            return
        _, late = await asyncio.wait(asked.values(), timeout=None if self._hand.clock.virtual else ENOUGH_S)
        for name in [name for name, one in asked.items() if one in late]:
            self._hand.stations[name].port.interrupt()
        if late:
            _, late = await asyncio.wait(late, timeout=BREAKS_OFF_S)
        for name in [name for name, one in asked.items() if one in late]:
            LOG.error("what stands at %s is not noted, and will not be compared: its driver does not return", name)
            asked[name].cancel()
        stands = {name: said for name, one in asked.items() if one not in late and (said := one.result())}
        self._memory.record(e.SettingsLeft(stands=stands, t_s=self._now()))

    async def _let_end(self) -> None:
        """Wait for a valve that turns, say; no longer than for an instrument that does not answer."""
        declared, clock = self._hand.envelope.declared, self._hand.clock
        takes_s = [declared[one.instrument].expected(one.action, one.values).duration_s for one in self._listed]
        if takes_s and max(takes_s) > 0.0:
            await clock.wait(asyncio.Event(), min(max(takes_s), ENOUGH_S * clock.speed))

    async def _of(self, name: str) -> dict[str, Stand]:
        try:
            said = await self._hand.reach.call(name, self._hand.stations[name].driver.stands)
        except BenchError as error:
            LOG.warning("what stands at %s is not noted, and will not be compared: %s", name, error)
            return {}
        except Exception:  # a driver's own mistake must not keep the end from being written down
            LOG.exception("what stands at %s is not noted, and will not be compared: its driver failed", name)
            return {}
        # What goes on may end by itself: by its act, or by the instrument's own watchdog.
        ends = self._hand.reach.unsettled(name) or self._hand.envelope.declared[name].silence_s > 0.0
        return {where: one for where, one in sound_stands(said).items() if not (ends and one.value is True)}

    # --- the next start -------------------------------------------------------------------------------------------

    async def compare(
        self, busy: Collection[str], watch: Callable[[Collection[str]], Awaitable[None]],
        resumed: Callable[[], Awaitable[None]], kept: Collection[str] = (),
    ) -> None:  # fmt: skip
        """Return once nothing is another than it was left, or a person has said that it is right as it is.

        ``busy``: instruments on which something goes on, as they said just now. ``watch`` begins to watch the bench,
        and winds up the watchdogs of these: it may take a while. ``resumed`` waits until the run is paused no more.
        ``kept``: what the lab's ``keep`` lets go on; what of it does is wound up as well.
        Raises InstrumentFault, InstrumentGone, LinkInterrupted, and what these two do.
        """
        state, asked = self._memory.state, False
        while state.unread and (asked or self._then()):
            found, moved = await self.look(busy)
            on = {*busy, *(self._on & {one.partition(".")[0] for one in kept})}
            if state.state == RUNNING and not moved:
                if on and not asked:  # what is configured then may be waited for; it is looked at again first
                    await watch(on)
                    asked = True
                    continue
                self._memory.record(e.SettingsRead(found=found, resumed=True, t_s=self._now()))
                return
            if state.state == RUNNING:
                self._memory.record(
                    e.SettingsRead(found=found, moved=moved, resumed=True, t_s=self._now()),
                    e.CampaignPaused(reason=asks(moved, "the bench was made safe")),
                )
            if not asked:
                await watch(on)  # nothing else is configured yet
            asked = True
            await resumed()

    async def look(self, busy: Collection[str]) -> tuple[dict[str, str], dict[str, str]]:
        """What stands there now, and what of it is another than it was left, by ``instrument.setting``.

        Raises InstrumentFault, InstrumentGone, LinkInterrupted.
        """
        found: dict[str, str] = {}
        moved: dict[str, str] = {}
        for name, then in self._then().items():
            station = self._hand.stations.get(name)
            if station is None or name in busy:
                continue
            try:
                now = await self._hand.reach.named(name, station.driver.stands)
            except (LabloopError, Ended, InstrumentGone):
                raise
            except Exception as error:  # a driver's own mistake is asked about: no start would ever come by it
                LOG.exception("what stands at %s is not known: its driver failed", name)
                moved[name] = f"its driver cannot tell what stands there: {type(error).__name__}: {error}"
                continue
            if any(one.value is True for one in now.values()):
                self._on.add(name)
            for where, one in now.items():
                found[f"{name}.{where}"] = shown(one)
                if where in then and differs(then[where], one) and not self._by_itself(name, where, one):
                    known = f" ({one.said})" if one.said else ""
                    moved[f"{name}.{where}"] = f"stood at {shown(then[where])}, stands at {shown(one)}{known}"
        return found, moved

    def _then(self) -> dict[str, dict[str, Stand]]:
        """What stood at each instrument: as it was left, but of what it counts, what it had counted at rest in a pause
        that the run did not outlive, unless the lab's own list has moved it since."""
        state = self._memory.state
        listed = {one.instrument for one in self._listed}
        then = dict(state.left or {})
        for name, counted in state.counted.items():
            if name not in listed:
                then[name] = {**then.get(name, {}), **counted}
        return then

    def _by_itself(self, name: str, where: str, now: Stand) -> bool:
        """Whether it stands where the instrument's own watchdog, or configure(), brings it."""
        own = self._hand.envelope.declared[name].standing.get(where)
        return own is not None and not differs(Stand(value=own.value, unit=own.unit, within=now.within), now)

    def _now(self) -> float:
        return round(self._hand.clock.now_s(), 6)


def differs(then: Stand, now: Stand) -> bool:
    """Whether these are two, beyond what their instrument can tell apart. What is told in another unit is not compared.

    What goes on is no number.
    """
    numbers = [one.value for one in (then, now) if not isinstance(one.value, bool | str)]
    if len(numbers) < 2:
        return then.value != now.value
    if then.unit != now.unit:  # other code tells it otherwise
        return False
    return abs(numbers[0] - numbers[1]) > max(then.within, now.within) + 1e-9 * abs(numbers[0])


def shown(one: Stand) -> str:
    """In words."""
    if isinstance(one.value, bool):
        return "on" if one.value else "off"
    return f"{one.value:.6g} {one.unit}".rstrip() if isinstance(one.value, int | float) else one.value
