"""How a New Era pump is spoken to: one exchange and what its answer is worth.

An alarm that stands eats the command that meets it, and a basic frame has no checksum: so a question is asked again
after an alarm, and what decides something is believed when it was said twice alike (in safe mode, once).
"""

import math
from collections.abc import Mapping

from labloop.bench import Exchange, InstrumentFault, LinkTimeout, ProtocolError, Stand

from .new_era_codec import ALARMS, ANSWERS, DAMAGED, ERRORS, Command, NewEraCodec, Reply, Volumes, volumes

PUMPING = {"I": "infuses", "W": "withdraws", "X": "purges"}
# An answer of 25 characters takes 13 ms at 19200 baud; a pump answers within 100 ms.
ANSWER_S = 1.0
STOP_S = 0.3
# With one answer in ten damaged, five unlike pairs in a row happen once in some thousand times, and then the runner
# asks anew.
AGREE_TRIES = 5


class Line:
    """One pump on its line. ``reset``: it was switched off and on since it was set up (its counters are lost).

    ``alarm``: the last one said, to whatever question: its answer clears it, and the act that it ended must know.
    ``missed``: an answer was lost since the last RUN, and with it perhaps the alarm that it was to say.
    """

    def __init__(self, exchange: Exchange, address: int) -> None:
        self._send = exchange
        self._codec = NewEraCodec(address)
        self.reset = False
        self.alarm = ""
        self._missed = self._unheard = False

    @property
    def missed(self) -> bool:
        return self._missed or self._unheard

    @missed.setter
    def missed(self, missed: bool) -> None:
        self._missed, self._unheard, self._codec.unheard = missed, False, 0

    @property
    def safe(self) -> bool:
        """Whether frames carry a checksum."""
        return self._codec.safe

    @safe.setter
    def safe(self, on: bool) -> None:
        self._codec.safe = on

    def brake(self) -> None:
        """Pause pumping, and wait for no answer; it is heard in passing (the codec's overhears)."""
        self._send.tell(self._codec, Command("STP"))

    def stop(self) -> None:
        """Stop pumping and end the program; harmless twice. Raises InstrumentFault when it pumps on."""
        # Each of these may be eaten: one by an alarm, one only pauses, one may be lost on the line.
        for last in (False, False, False, True):
            try:
                reply = self.exchange("STP", STOP_S)
            except (LinkTimeout, ProtocolError):
                if last:
                    raise
                continue
            if reply.status == "S" and not reply.alarm:
                break
        # The answer to a stop may have been one that came late; this one is certain.
        status = self.ask("").status
        if status in PUMPING:
            raise InstrumentFault(f"it {PUMPING[status]} after it was told to stop", kind="runaway")

    def same(self, question: str, wanted: float, units: Mapping[str, float]) -> None:
        """Make sure of what was set: acknowledged is not done, and a flipped bit makes another number of it."""
        match = ANSWERS[question].fullmatch(self.ask(question).data)
        said = float(match[1]) * units[match[2]] if match else math.nan
        if not math.isclose(said, wanted, rel_tol=1e-6):
            raise ProtocolError(f"{question} reads back as {said:g} where {wanted:g} was sent; nothing was started")

    def look(self) -> tuple[Reply, Volumes, str]:
        """The counters, and the alarm that stood before."""
        first = self.exchange("DIS")
        reply = self.believe("DIS", self.exchange("DIS") if first.alarm else first)
        return reply, volumes(reply.data), first.alarm

    def sure(self) -> tuple[Reply, Volumes, str]:
        """The same, said twice alike while the pump stands."""
        reply, now, alarm = self.look()
        for _ in range(AGREE_TRIES):
            if self.safe or reply.status in PUMPING:
                return reply, now, alarm
            again, same, later = self.look()
            alarm = alarm or later
            if (again.status, same) == (reply.status, now):
                return again, same, alarm
            reply, now = again, same
        raise ProtocolError(f"the counters read differently each time, last {now}")

    def standing(self) -> dict[str, Stand]:
        """What stands there until somebody changes it at its keys; while it pumps, its counters are on their way."""
        found = {"diameter": Stand(value=float(self.set_to("DIA")), unit="mm")}
        reply, now, _ = self.sure()
        found["pumping"] = Stand(value=reply.status in PUMPING)
        said = "it was switched off and on since, and counts anew" if self.reset else ""
        moved = {} if reply.status in PUMPING else {"infused": now.infused, "withdrawn": now.withdrawn}
        within_ul = 1.5 * now.resolution  # two readings, each good to one unit of its last digit
        return found | {
            name: Stand(value=ul, unit="uL", within=within_ul, counts=True, said=said) for name, ul in moved.items()
        }

    def set_to(self, text: str) -> str:
        """What the pump is set to, said twice alike."""
        said = self.ask(text).data
        for _ in range(AGREE_TRIES):
            if self.safe:
                return said
            before, said = said, self.ask(text).data
            if said == before:
                return said
        raise ProtocolError(f"{text} is answered differently each time, last with {said!r}")

    def perhaps(self, text: str) -> str | None:
        """The same of what not every pump has; None: it says twice that it does not know this command."""
        try:
            return self.set_to(text)
        except ProtocolError:
            if self.exchange(text).error == "":
                return None
            raise

    def ask(self, text: str) -> Reply:
        """A question: an alarm that stands is noted, and the question asked again."""
        reply = self.exchange(text)
        if reply.alarm:
            reply = self.exchange(text)
        return self.believe(text, reply)

    def order(self, text: str) -> None:
        """Something to set or do; an alarm means that it was not done."""
        self.believe(text, self.exchange(text))

    def exchange(self, text: str, within_s: float = ANSWER_S) -> Reply:
        try:
            reply: Reply = self._send(self._codec, Command(text), within_s)
        finally:
            self.note(self._codec.alarm)
            self._codec.alarm = ""
            self._unheard = self._codec.unheard > 0  # as it stands now: another thread may ask during the next one
        return reply

    def note(self, alarm: str) -> None:
        self.reset = self.reset or alarm == "R"
        self.alarm = alarm or self.alarm

    def believe(self, text: str, reply: Reply) -> Reply:
        if reply.alarm:
            kind, why = ALARMS[reply.alarm]
            raise InstrumentFault(f"{text or 'a question'}: {why}", kind=kind)
        if reply.error in DAMAGED:
            raise ProtocolError(f"{text or 'a question'} reached it damaged: {ERRORS[reply.error]} (?{reply.error})")
        if reply.error == "NA" and (not text or text in ANSWERS):  # a question is never out of place
            raise ProtocolError(f"{text or 'a question'} was answered as an order is (?NA), one that was given before")
        if reply.error is not None:
            raise InstrumentFault(f"{text}: {ERRORS[reply.error]} (?{reply.error})", kind="refused")
        return reply
