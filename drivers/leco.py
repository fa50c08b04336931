"""Any remote actor of LECO (Laboratory Experiment COntrol), over ZMQ: what it can do is written in the lab file.

Sources: LECO's control protocol and schemas/actor.json (pymeasure/leco-protocol), pyleco 0.6.0; leco_client.py has the
wire, leco_options.py what is written in the lab file. What matters:

* An actor wraps an object: ``get_parameters`` and ``set_parameters`` read and write its attributes (``heater.power``
  too), ``call_action`` calls its methods. What an attribute means, and in which unit, only the lab file knows.
* A plain actor does a call before it answers, and hears nothing meanwhile, not even a stop: calls that last belong
  into the actor's background, with ``until`` to see when they are done.
* A plain actor keeps no record of calls. When an answer was lost, what became of it is only known where something can
  be read back: a parameter that was set, or a counter of the actor's own (``counts``). Otherwise a person is asked.
* A counter that begins at 0 with each start of the actor says nothing of what was done before. That it was started
  again shows where a parameter tells one start from another (``starts``), or where the counter has gone back. A counter
  that stood at 0 before and stands there now may be either, and a person is asked.
* An actor that ``remembers`` (the shipped spectrometer, and every instrument that `labloop serve` offers) takes an id
  with each call, does an id once, and tells by ``last_act`` what became of it.
* LECO knows no passwords: beyond this machine, only with keys in the address (server_key, client_key).
"""

import json
import re
from collections.abc import Mapping
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
    Sent,
    Signal,
    SpecError,
    Stand,
    Value,
    Verdict,
    written,
)

from .leco_client import Answer, LecoClient, act_id, actor_of, finite, refuse_another, report_of
from .leco_options import Doing, Options, Told, read_options
from .leco_values import achieved_of, alike, amount_of, numbers_of, reading_of, remainder_of, stand_of, unit_of

# A counter that is off by this part of what was asked for has counted it all, or nothing of it.
COUNTED = 1e-3
# Under which name counters() keeps which start of the actor it is; no action can be called so.
START = "actor's start"
ZERO = (
    "it did nothing, or was started again after it had done something (starts: in the lab file, a parameter that is "
    "another one after each start, would tell)"
)
LOOK_S = 0.5


class LecoActor(Driver):
    """An actor of LECO. The port's address names it: ``?actor=N1.furnace``; the options are in leco_options.py."""

    kind = "LECO actor"

    def __init__(self, exchange: Exchange, **options: Any) -> None:
        super().__init__(exchange, **options)
        self._has: Options = read_options(options)
        self._client = LecoClient(exchange, actor_of(options, exchange.address), self._has.answer_s)
        self._doing: Doing | None = None
        self._values: Mapping[str, Value] = {}
        self._answer = Answer()
        self._sent = False
        self._counted: float | None = None  # what its counter stood at when the act began
        self._start = ""  # and which start of the actor that was, where it says so
        self._opened: Identity | None = None  # who answered first

    # --- known without a port -----------------------------------------------------------------------------------

    @classmethod
    def declare(cls, options: Mapping[str, Any]) -> dict[str, Action]:
        """The actions that the lab file gives it. Raises SpecError for options that make no sense."""
        return {name: doing.action for name, doing in read_options(options).doings.items()}

    @classmethod
    def tells(cls, options: Mapping[str, Any]) -> tuple[Signal, ...]:
        """The readings that the lab file gives it."""
        return tuple(one.signal for one in read_options(options).readings)

    @classmethod
    def complaint(cls, action: str, values: Mapping[str, Value], options: Mapping[str, Any]) -> str:
        """A number that is not whole, where the actor takes an integer."""
        for one in read_options(options).doings[action].given:
            value = values.get(one.setting.name)
            if one.whole and value is not None and float(value) != round(float(value)):
                return f"{one.setting.name} = {value} is not a whole number"
        return ""

    @classmethod
    def sent(cls, action: str, values: Mapping[str, Value], options: Mapping[str, Any]) -> Sent:
        """What this action sets to a number that the lab file gives, and others by a setting."""
        doings = read_options(options).doings
        goes = {one.parameter: one.setting.name for doing in doings.values() for one in doing.given if one.parameter}
        constants = doings[action].constants.items()
        return {
            goes[name]: (float(number),) for name, number in constants
            if name in goes and isinstance(number, int | float) and not isinstance(number, bool)
        }  # fmt: skip

    @classmethod
    def expected(cls, action: str, values: Mapping[str, Value], options: Mapping[str, Any]) -> Expected:
        """As the lab file says."""
        doing = read_options(options).doings[action]
        achieved = {}
        if doing.counts is not None and doing.counts.setting in values:
            achieved[doing.counts.setting] = amount_of(doing, doing.counts.setting, values)
        return Expected(duration_s=doing.lasts_s, achieved=achieved)

    @classmethod
    def watchdog(cls, options: Mapping[str, Any]) -> str:
        """As the lab file says."""
        return read_options(options).watchdog

    @classmethod
    def numbered(cls, options: Mapping[str, Any]) -> bool:
        """Where the lab file says which parameter it is (``identity: {serial: ...}``)."""
        return bool(read_options(options).serial)

    # --- on the wire --------------------------------------------------------------------------------------------

    def open(self) -> Identity:
        """Sign in, and ask who it is. Raises InstrumentFault when something else answers."""
        self._client.sign_in()
        if not self._names_itself:
            self._client.ask("pong")
            return Identity(model=self._client.actor, first_reply="pong")
        found = self._who()
        if self._has.pattern and not re.search(self._has.pattern, found.model):
            raise InstrumentFault(f"{found.model!r} answers where {self._has.pattern!r} was expected", kind="identity")
        self._opened = self._opened or found
        return found

    def read(self) -> Mapping[str, Reading]:
        """Every parameter that the lab file reads."""
        return self._readings(self._has.readings)

    def counters(self) -> Mapping[str, Amount]:
        """The actor's own counters, by action (the reports of one that remembers say it), and which start it is."""
        counted = {} if self._has.remembers else {name: one for name, one in self._has.doings.items() if one.counts}
        counters = {name: Amount(self._count(doing), unit_of(doing)) for name, doing in counted.items()}
        return counters | ({START: Amount(start)} if (start := self._which_start()) else {})

    def stands(self) -> Mapping[str, Stand]:
        """What the lab file says that nobody but a person changes (``stands``): of others nobody knows that.

        Nothing while a parameter says that it is at something (``until``).
        """
        named = self._has.stands
        ends = [doing.until for doing in self._has.doings.values() if doing.until is not None and doing.until.words]
        asked = dict.fromkeys([one.parameter for one in named.values()] + [one.parameter for one in ends])
        said = self._client.parameters(*asked) if named else {}
        if not named or any(str(said[one.parameter]) not in (*one.words, *one.fails) for one in ends):
            return {}
        return {name: stand_of(one, said[one.parameter]) for name, one in named.items()}

    def begin(self, action: str, settings: Mapping[str, Value], act: str) -> None:
        """Set the parameters, read them back, and call."""
        if action not in self._has.doings:
            raise SpecError(f"{self._client.actor} has no action {action!r}")
        self.act, self._sent, self._answer = act, False, Answer()
        doing = self._doing = self._has.doings[action]
        self._values = settings
        self._refuse_another()
        if doing.counts is not None and not self._has.remembers:
            self._counted, self._start = self._count(doing), self._which_start()
        parameters = self._parameters_of(doing, settings)
        if parameters:
            self._sent = True
            self._client.set_parameters(parameters)
            self._refuse_unlike(doing, parameters)
        if doing.call:
            kwargs = {one.argument: one.sent(settings[one.setting.name]) for one in doing.given
                      if one.argument and one.setting.name in settings}  # fmt: skip
            if self._has.remembers:
                kwargs["act"] = act_id(act)
            self._sent = True
            self._answer = self._client.call(doing.call, kwargs, doing.answer_s)

    def progress(self, elapsed_s: float) -> Progress:
        """One look at the parameter that says when it is done. Raises InstrumentFault when it says that it failed."""
        doing = self._doing
        if doing is None:
            return Progress(done=True)
        if self._has.remembers:
            return self._remembered(doing)
        done = self._is_done(doing, self._values)
        if done:
            self._refuse_another()
        achieved, kept = {}, {}
        if doing.counts is not None and self._counted is not None:
            got = self._count(doing) - self._counted
            if wrong := self._started_again(self._start) or self._gone_back(doing, got):
                raise InstrumentFault(f"{wrong}: how much it did is not known", kind="reset")
            achieved[doing.counts.setting] = Amount(max(got, 0.0), unit_of(doing))
            kept["counted"] = Amount(self._counted, unit_of(doing))
            kept |= {START: Amount(self._start)} if self._start else {}
        if not done:
            left_s = doing.lasts_s - elapsed_s
            return Progress(done=False, achieved=achieved, kept=kept, again_in_s=min(max(left_s, LOOK_S), 5.0))
        self._refuse_less(doing, achieved)
        return self._given(doing, achieved, self._answer.value)

    def rejoin(
        self, action: str, settings: Mapping[str, Value], act: str, kept: Mapping[str, Amount], elapsed_s: float,
        unwatched_s: float,
    ) -> None:  # fmt: skip
        """What is seen by a parameter, or remembered, is watched on; a call's return value is lost."""
        self.act, self._sent, self._answer = act, True, Answer()
        self._doing, self._values = self._has.doings[action], settings
        counted = kept.get("counted", kept.get(action))  # as it was when it began, or as it was read just before
        self._counted = None if counted is None else float(counted.value)  # None: it cannot say how much
        self._start = str(kept[START].value) if START in kept else ""

    def happened(self, action: str, settings: Mapping[str, Amount], before: Mapping[str, Amount], act: str) -> Verdict:
        """Ask its memory, or compare its counter or its parameters with what was asked for."""
        doing = self._has.doings[action]
        values = self.resolved(action, settings)
        self._refuse_another()
        start = str(before[START].value) if START in before else ""
        if self._has.remembers:
            return self._recalled(doing, values, act, start)
        ours = act == self.act
        if ours and not self._sent:
            return Verdict(state="not_begun", why="nothing of it was sent")
        if (doing.counts is not None or doing.call) and (again := self._started_again(start)):
            return Verdict(state="cannot_tell", why=f"{again}: what it did before that is not known")
        if doing.counts is not None and action in before:
            return self._counted_since(doing, values, float(before[action].value), start)
        if doing.call:
            if doing.until is not None and not self._is_done(doing, values):
                return Verdict(state="running", why=f"its {doing.until.parameter} says that it is at it")
            return Verdict(state="cannot_tell", why="the actor keeps no record of what was called")
        if wrong := self._unlike(self._parameters_of(doing, values)):
            return Verdict(state="not_begun", why=wrong)
        state = "done" if self._is_done(doing, values) else "running"
        return Verdict(state=state, why="its parameters are as asked for")

    def stop(self) -> None:
        """What the lab file says; harmless twice. Raises InstrumentFault when a parameter is not taken."""
        if self._has.stop_call:
            self._client.call(self._has.stop_call)
        if self._has.stop_constants:
            self._client.set_parameters(self._has.stop_constants)
            if wrong := self._unlike(self._has.stop_constants):
                raise InstrumentFault(f"after its stop {wrong}", kind="runaway")

    def close(self) -> None:
        """Sign out."""
        self._client.sign_out()

    # --- who it is ----------------------------------------------------------------------------------------------

    @property
    def _names_itself(self) -> list[str]:
        return [one for one in (self._has.identity, self._has.serial) if one]

    def _who(self) -> Identity:
        said = self._client.parameters(*self._names_itself)
        serial = str(said[self._has.serial]) if self._has.serial else ""
        model = str(said.get(self._has.identity, self._client.actor))
        return Identity(model=model, serial=serial, first_reply=repr(said))

    def _refuse_another(self) -> None:
        """Raise LinkError where another answers by the actor's name than when the line was opened."""
        if self._opened is not None:
            refuse_another(self._client.actor, self._opened, self._who())

    # --- how it is said -----------------------------------------------------------------------------------------

    def _parameters_of(self, doing: Doing, values: Mapping[str, Value]) -> dict[str, Any]:
        given = {one.parameter: one.sent(values[one.setting.name]) for one in doing.given
                 if one.parameter and one.setting.name in values}  # fmt: skip
        return given | dict(doing.constants)

    def _refuse_unlike(self, doing: Doing, parameters: Mapping[str, Any]) -> None:
        if doing.reads_back and (wrong := self._unlike(parameters)):
            raise InstrumentFault(f"it does not take what it is told: {wrong}", kind="setup")

    def _unlike(self, wanted: Mapping[str, Any]) -> str:
        """The first parameter that is not as wanted, in words ("": all are)."""
        said = self._client.parameters(*wanted)
        for name, value in wanted.items():
            if not alike(said[name], value):
                return f"{name} is {json.dumps(said[name])} where {json.dumps(value)} was sent"
        return ""

    def _is_done(self, doing: Doing, values: Mapping[str, Value]) -> bool:
        until = doing.until
        if until is None:
            return True
        said = self._client.parameters(until.parameter)[until.parameter]
        if str(said) in until.fails:
            raise InstrumentFault(f"its {until.parameter} says {said}", kind="failed")
        if until.near:
            return abs(finite(said) - float(values[until.near])) <= until.within
        return str(said) in until.words

    def _refuse_less(self, doing: Doing, achieved: Mapping[str, Amount]) -> None:
        """Raise InstrumentFault when it is over, and its counter shows less than was asked for."""
        for name, got in achieved.items():
            wanted, done = float(self._values[name]), float(got.value)
            if done < wanted - COUNTED * abs(wanted):
                unit = unit_of(doing)
                why = f"it ended after {written(done, unit)} of {written(wanted, unit)}"
                raise InstrumentFault(f"{why} (stopped by hand, or switched off and on)", kind="stopped")

    def _count(self, doing: Doing) -> float:
        assert doing.counts is not None
        return finite(self._client.parameters(doing.counts.parameter)[doing.counts.parameter])

    def _which_start(self) -> str:
        """Which start of the actor it is, in its own words ("": the lab file names no parameter that says so)."""
        starts = self._has.starts
        return str(self._client.parameters(starts)[starts]) if starts else ""

    def _started_again(self, start: str) -> str:
        """That this is another start of the actor than it was, in words ("": it is not, or nobody can tell)."""
        if not start or (now := self._which_start()) == start:
            return ""
        return f"it was started again since ({self._has.starts} was {start}, and is {now})"

    def _gone_back(self, doing: Doing, got: float) -> str:
        """That its counter shows less than before, in words ("": it does not)."""
        assert doing.counts is not None
        if got >= -COUNTED * abs(float(self._values[doing.counts.setting])):
            return ""
        return f"{doing.counts.parameter} has gone back, it was cleared or started again"

    def _counted_since(self, doing: Doing, values: Mapping[str, Value], before: float, start: str) -> Verdict:
        assert doing.counts is not None
        name, unit = doing.counts.setting, unit_of(doing)
        wanted = float(values[name])
        busy = doing.until is not None and not self._is_done(doing, values)
        got = self._count(doing) - before
        if again := self._started_again(start):  # asked behind the count too: what goes off in between counts from 0
            return Verdict(state="cannot_tell", why=f"{again}: what it did before that is not known")
        if got < -COUNTED * abs(wanted):
            return Verdict(state="cannot_tell", why=f"{doing.counts.parameter} has gone back: it was cleared meanwhile")
        why = f"{doing.counts.parameter} has gone up by {written(got, unit)}, {written(wanted, unit)} were asked for"
        achieved = {name: Amount(max(got, 0.0), unit)}
        if busy:
            return Verdict(state="running", why=why, achieved=achieved)
        if got >= wanted - COUNTED * abs(wanted):
            return Verdict(state="done", why=why, achieved=achieved)
        if got <= COUNTED * abs(wanted):
            if not start and abs(before) <= COUNTED * abs(wanted):
                at_zero = f"{doing.counts.parameter} stands at 0 as it did before"
                return Verdict(state="cannot_tell", why=f"{at_zero}: {ZERO}")
            return Verdict(state="not_begun", why=why)
        return Verdict(
            state="partial", why=why, achieved=achieved, remainder=remainder_of(doing, values, achieved)
        )  # fmt: skip

    def _remembered(self, doing: Doing) -> Progress:
        report = self._last(act_id(self.act))
        if report is None:
            raise InstrumentFault("it does not know the act that it began", kind="forgotten")
        if report["state"] == "running":
            left_s = finite(report["duration_s"]) - finite(report["elapsed_s"])
            return Progress(done=False, again_in_s=min(max(left_s, 0.05), 5.0))
        if report["state"] != "done":
            why = f": {report['why']}" if report.get("why") else ""
            raise InstrumentFault(f"its {doing.call} is {report['state']}{why}", kind="stopped")
        return self._given(doing, achieved_of(doing, report), report["result"])

    def _recalled(self, doing: Doing, values: Mapping[str, Value], act: str, start: str) -> Verdict:
        report = self._last(act_id(act))
        if report is None and (again := self._started_again(start)):
            return Verdict(state="cannot_tell", why=f"{again}, and knows no act of this id: it may have forgotten it")
        if report is None:
            return Verdict(state="not_begun", why="it knows no act of this id")
        states = {"running": "running", "done": "done", "stopped": "partial", "unknown": "cannot_tell"}
        state = states[report["state"]]
        achieved = achieved_of(doing, report)
        remainder = remainder_of(doing, values, achieved) if state == "partial" else {}
        why = f"it remembers the act as {report['state']}"
        return Verdict(state=state, why=why, achieved=achieved, remainder=remainder)

    def _last(self, act: str) -> dict[str, Any] | None:
        said = self._client.call("last_act", {"act": act}).value
        return None if said is None else report_of(said)

    def _given(self, doing: Doing, achieved: Mapping[str, Amount], result: Any) -> Progress:
        """What it gives at its end: parameters, and what the call returned or left behind."""
        readings = dict(self._readings([one for one in doing.gives if one.parameter]))
        arrays: dict[str, bytes] = {}
        for one in doing.gives:
            name = one.signal.name
            if one.parameter:
                continue
            answer = self._answer if not one.call else self._client.call(one.call, {"act": act_id(self.act)})
            value = result if not one.call else answer.value
            if one.result:
                value = value.get(one.result) if isinstance(value, Mapping) else None
            if one.signal.array:
                arrays[name] = numbers_of(value, answer)
                readings[name] = Reading(unit=one.signal.unit)
            else:
                readings[name] = reading_of(one, value)
        return Progress(done=True, achieved=achieved, readings=readings, arrays=arrays)

    def _readings(self, told: tuple[Told, ...] | list[Told]) -> dict[str, Reading]:
        names = list(dict.fromkeys(one.parameter for one in told))
        said = self._client.parameters(*names) if names else {}
        return {one.signal.name: reading_of(one, said[one.parameter]) for one in told}
