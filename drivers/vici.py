"""VICI (Valco) universal actuators EUH, EUD and EUT: a valve with two positions, or with up to 40.

Source: EUH/EUD/EUT manual, p. 14 to 19 ("manual" below). What matters of it:

* 9600 8N1; a command ends in CR, and so does an answer (as delivered, DEL1). ``CP`` is answered ``CP03`` or ``CPA``;
  with LG1, as the older microelectric actuators do, ``Position is  = 3``: three others' clients expect exactly that.
* ``GO3`` and ``GOB`` turn the valve, the shortest way as delivered (SM). It is done once however often it is said.
  Whether it is answered depends on IFM, so no answer is waited for: ``CP`` tells.
* While the valve turns ``CP`` goes on telling its old place: a valve that turns cannot be told from one that never
  heard. After a crash it is told again, which does no harm. One that was seen to come there, and stands elsewhere, was
  turned since.
* There is no command that stops it on its way, and no serial number. Nobody watches the computer: it stays.
* AM and NP (mode, number of positions) are compared with the lab file and never set.
* Several can share a line when each has an ID. Then the ID stands before each command: as it is (manual of the
  microelectric ones, and instruments.md), or behind a slash (the Hein group's vicivalve). The manual can be read either
  way and nobody here has tried it, so ``prefix`` in the lab file is sent as it is written.
* How long a valve takes is from memory: some tenths of a second, large ones up to three.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from labloop.bench import (
    Action,
    Amount,
    Driver,
    Exchange,
    Expected,
    Identity,
    InstrumentFault,
    Progress,
    Reading,
    Setting,
    Signal,
    SpecError,
    Stand,
    Sure,
    Value,
    Verdict,
    action,
    refuse_unknown,
)

from .vici_codec import PREFIX, Command, ViciCodec

# An answer has at most 20 characters, 20 ms at 9600 baud.
ANSWER_S = 0.5
TURN_S, LIMIT_S = 1.0, 10.0
LOOK_S = 0.2
MODES = {"1": "two positions, with stops", "2": "two positions, without stops", "3": "multiposition"}
PLACE = Setting(name="position", argument="position", choices=("",), doc="by its name in the lab file")


@dataclass(frozen=True, slots=True, kw_only=True)
class Valve:
    """What lab.yaml says of a valve: what the actuator calls each position, and what stands before each command."""

    places: Mapping[str, str]
    prefix: str
    any_kind: bool = False

    @property
    def lettered(self) -> bool:
        """It has two positions, called A and B."""
        return "A" in self.places.values() or "B" in self.places.values()


# For whoever only asks who is there.
ANY = Valve(places={"A": "A", "B": "B"} | {str(n): str(n) for n in range(1, 41)}, prefix="", any_kind=True)


class Actuator(Driver):
    """A valve. Options: ``valve: {load: A, inject: B}`` or ``valve: {water: 1, waste: 10}``, and ``prefix``."""

    kind = "VICI valve actuator"
    signals = (Signal(name="position", doc="by its name in the lab file, else as the actuator calls it"),)

    def __init__(self, exchange: Exchange, **options: Any) -> None:
        super().__init__(exchange, **options)
        self._valve = _valve(options)
        self._codec = ViciCodec(self._valve.prefix)
        self._known = Sure()
        self._target = ""
        self._told = False
        self._came = False  # seen where it was sent: elsewhere it was turned since

    # --- known without a port -----------------------------------------------------------------------------------

    @classmethod
    def declare(cls, options: Mapping[str, Any]) -> dict[str, Action]:
        """Turning to the positions of this valve. Raises SpecError for options that make no sense."""
        place = replace(PLACE, choices=tuple(_valve(options).places))
        return {name: replace(one, settings=(place,)) for name, one in super().declare(options).items()}

    @classmethod
    def anyone(cls, options: Mapping[str, Any]) -> Mapping[str, Any]:
        """An actuator of any mode, with any number of positions."""
        return {**options, "valve": ANY}

    @classmethod
    def expected(cls, action: str, values: Mapping[str, Value], options: Mapping[str, Any]) -> Expected:
        """A second."""
        return Expected(duration_s=TURN_S)

    @classmethod
    def watchdog(cls, options: Mapping[str, Any]) -> str:
        """It stays where it is."""
        return "nothing to be made safe: the valve stays where it was sent"

    # --- on the wire --------------------------------------------------------------------------------------------

    def open(self) -> Identity:
        """Ask for its mode and where it is. Raises InstrumentFault where it is another valve than the lab file's."""
        mode = self._ask("AM")
        place = self._ask("CP")
        self._refuse_another(mode)
        return Identity(model=f"VICI actuator, {MODES[mode]}", first_reply=f"AM{mode}, CP{place}")

    def _refuse_another(self, mode: str) -> None:
        if self._valve.any_kind:
            return
        lettered = self._valve.lettered
        if (mode == "3") is lettered and (self._sure("AM") == "3") is lettered:
            there, meant = MODES[mode], "A and B" if lettered else "numbers"
            raise InstrumentFault(
                f"its mode is {mode} ({there}), the lab file names its positions {meant}", kind="identity"
            )
        if lettered:
            return
        positions = int(self._sure("NP"))
        highest = max(int(place) for place in self._valve.places.values())
        if highest > positions:
            raise InstrumentFault(f"it has {positions} positions, the lab file names number {highest}", kind="identity")

    def read(self) -> Mapping[str, Reading]:
        """Where the valve is."""
        return {"position": Reading(value=self._name(self._sure("CP")))}

    def stands(self) -> Mapping[str, Stand]:
        """Where the valve is; nothing while it is on its way."""
        place = self._sure("CP")
        on_its_way = self._told and place != self._target
        return {} if on_its_way else {"position": Stand(value=self._name(place))}

    @action(PLACE, act=True, repeatable=True, evidence="the position is read back")
    def turn(self, position: str) -> None:
        """Turn the valve to a position; nothing moves when it is there."""
        self._target, self._told, self._came = self._valve.places[position], False, False
        if self._sure("CP") == self._target:  # older ones call it a bad command
            self._came = True
            return
        self._told = True
        self.exchange(self._codec, Command(f"GO{self._target}"), ANSWER_S)

    def progress(self, elapsed_s: float) -> Progress:
        """Look where it is. Raises InstrumentFault when it does not get there."""
        place = self._sure("CP")
        reading = {"position": Reading(value=self._name(place))}
        if place == self._target:
            self._came = True
            return Progress(done=True, readings=reading)
        if elapsed_s > LIMIT_S:
            raise InstrumentFault(
                f"it is at {self._name(place)} {elapsed_s:.0f} s after it was sent to {self._name(self._target)}",
                kind="stall",
            )
        return Progress(done=False, readings=reading, again_in_s=LOOK_S)

    def happened(self, action: str, settings: Mapping[str, Amount], before: Mapping[str, Amount], act: str) -> Verdict:
        """Read the position back."""
        place = self._sure("CP")
        wanted = self._valve.places[str(self.resolved(action, settings)["position"])]
        if place == wanted:
            return Verdict(state="done", why=f"it is at {self._name(place)}")
        if act == self.act and self._came:
            why = f"it had come to {self._name(wanted)}, and stands at {self._name(place)} since"
            return Verdict(state="not_begun", why=why)
        if act == self.act and not self._told:
            return Verdict(state="not_begun", why="it was never told to turn")
        why = f"it is at {self._name(place)}, and tells of no other place before it has come there"
        return Verdict(state="cannot_tell", why=why)

    def stop(self) -> None:
        """Nothing can stop a valve on its way, and within seconds it rests: see that somebody is there."""
        self._ask("CP")

    # --- how it is said -----------------------------------------------------------------------------------------

    def _name(self, place: str) -> str:
        return {there: name for name, there in self._valve.places.items()}.get(place, place)

    def _sure(self, question: str) -> str:
        return self._known.ask(lambda: self._ask(question), question)

    def _ask(self, question: str) -> str:
        said: str = self.exchange(self._codec, Command(question), ANSWER_S)
        return said


def _valve(options: Mapping[str, Any]) -> Valve:
    refuse_unknown(options, ("valve", "prefix"), "Actuator")
    prefix = str(options.get("prefix", ""))
    if prefix and not PREFIX.fullmatch(prefix):
        raise SpecError(f"prefix = {prefix!r} is no ID from 0 to 9 or A to Z, nor one behind a slash")
    valve = options.get("valve")
    if isinstance(valve, Valve):
        return replace(valve, prefix=prefix)
    if not isinstance(valve, Mapping) or not valve:
        raise SpecError("an actuator needs the positions of its valve: valve: {load: A, inject: B}")
    places = {str(name): str(place) for name, place in valve.items()}
    if not set(places.values()) <= {"A", "B"} and not all(
        isinstance(place, int) and not isinstance(place, bool) and 1 <= place <= 40 for place in valve.values()
    ):
        raise SpecError(f"valve = {dict(valve)!r}: positions are A and B, or numbers from 1 to 40")
    if len(set(places.values())) < len(places):
        raise SpecError(f"valve = {dict(valve)!r}: two names for one position")
    return Valve(places=places, prefix=prefix)
