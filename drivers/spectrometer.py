"""The spectrometer of the shipped lab, behind ZMQ: an actor of LECO (Laboratory Experiment COntrol).

Sources: LECO's control protocol (see leco_client.py) and the instrument's own list of methods. What matters:

* ``measure`` and ``rinse`` carry an id that the instrument remembers: a repeated id is answered, never done again, and
  ``last_act`` tells what became of it. So nothing here is ever in doubt.
* A spectrum comes as a frame of its own: float64 little-endian, all wavelengths in nm, then all absorbances; length and
  SHA-256 stand in the JSON.
"""

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
    ProtocolError,
    Reading,
    Setting,
    Signal,
    Stand,
    Value,
    Verdict,
    action,
    refuse_unknown,
    twice_alike,
)

from .leco_client import LecoClient, act_id, actor_of, array_of, finite, refuse_another, report_of

# The server answers at once, also while it measures; a second is a loaded machine's worst.
ANSWER_S = 2.0
OVERHEAD_S, RINSE_S, RINSE_ML = 0.05, 20.0, 2.0
# It tells six decimals of a millilitre.
WASTE_ML = 1e-6
# Faults that the instrument names with the first word of their data.
FAULTS = {"Busy": "busy", "LampOff": "lamp_off", "NotReady": "busy", "UnknownAct": "forgotten", "NoSpectrum": "no_data"}

INTEGRATION = Setting(
    name="integration", argument="integration_ms", unit="ms", low=1.0, high=10_000.0, default=100.0, required=False,
    doc="exposure",
)  # fmt: skip
SPECTRUM = Signal(name="spectrum", array=True, axis="nm", doc="n wavelengths (nm), then n absorbances")
MODEL = "Z0 fibre spectrometer"
EVIDENCE = "the instrument remembers its acts by their ids"


class Spectrometer(Driver):
    """A fibre spectrometer as a LECO actor. The port's address names it: ``?actor=N1.spectrometer``."""

    kind = "LECO spectrometer"
    signals = (
        Signal(name="state", doc="idle, measuring or rinsing"),
        Signal(name="lamp", doc="on or off"),
        Signal(name="waste", unit="mL", doc="rinsed into the waste so far"),
    )

    def __init__(self, exchange: Exchange, **options: Any) -> None:
        super().__init__(exchange, **options)
        self._client = LecoClient(exchange, actor_of(options, exchange.address), ANSWER_S, FAULTS)
        self._begun = ""
        self._opened: Identity | None = None  # who answered first

    @classmethod
    def declare(cls, options: Mapping[str, Any]) -> dict[str, Action]:
        """The actions. Raises SpecError for options that are not known."""
        refuse_unknown(options, ("actor",), cls.__name__)
        return super().declare(options)

    @classmethod
    def expected(cls, action: str, values: Mapping[str, Value], options: Mapping[str, Any]) -> Expected:
        """The exposure, or the rinse."""
        if action == "measure":
            return Expected(duration_s=float(values["integration_ms"]) / 1000.0 + OVERHEAD_S)
        return Expected(duration_s=RINSE_S, least_s=RINSE_S, achieved={"waste": Amount(RINSE_ML, "mL")})

    @classmethod
    def watchdog(cls, options: Mapping[str, Any]) -> str:
        """A measurement and a rinse end by themselves."""
        return "the instrument itself: a rinse ends by itself"

    @classmethod
    def numbered(cls, options: Mapping[str, Any]) -> bool:
        """It tells one."""
        return True

    def open(self) -> Identity:
        """Sign in, and ask who it is. Raises InstrumentFault when another actor answers."""
        self._client.sign_in()
        try:
            found = self._who()
        except InstrumentFault as fault:
            if "AttributeError" not in str(fault):
                raise  # it starts, or is busy
            raise InstrumentFault(f"no {MODEL} answers: {fault}", kind="identity") from fault
        if found.model != MODEL:
            raise InstrumentFault(f"{found.model!r} answers where a {MODEL} was expected", kind="identity")
        self._opened = self._opened or found
        return found

    def read(self) -> Mapping[str, Reading]:
        """State, lamp and waste now."""
        said = twice_alike(lambda: self._client.parameters("state", "lamp", "waste_ml"), "its parameters")
        return {
            "state": Reading(value=str(said["state"])),
            "lamp": Reading(value=str(said["lamp"])),
            "waste": Reading(value=finite(said["waste_ml"]), unit="mL"),
        }

    def stands(self) -> Mapping[str, Stand]:
        """The lamp, and how much went into the waste so far, when it is idle.

        Not the exposure, which each measurement brings along.
        """
        said = self._client.parameters("state", "lamp", "waste_ml")
        stands = {"lamp": Stand(value=str(said["lamp"]))}
        if said["state"] == "idle":
            stands["waste"] = Stand(value=finite(said["waste_ml"]), unit="mL", within=WASTE_ML, counts=True)
        return stands

    @action(INTEGRATION, gives=(SPECTRUM,), repeatable=True, evidence=EVIDENCE)
    def measure(self, integration_ms: float) -> None:
        """Take a spectrum with an exposure in ms (1 to 10000)."""
        self._begin("measure", {"integration_time_ms": integration_ms})

    @action(act=True, repeatable=True, evidence=EVIDENCE)
    def rinse(self) -> None:
        """Wash the sample out of the cell (20 s, 2 mL into the waste)."""
        self._begin("rinse", {})

    def progress(self, elapsed_s: float) -> Progress:
        """Ask for the act that was begun; fetch the spectrum when it is done. Raises InstrumentFault when cut short."""
        report = self._last(act_id(self.act))
        if report is None:
            raise InstrumentFault("it does not know the act that it began", kind="forgotten")
        if report["state"] == "running":
            left_s = finite(report["duration_s"]) - finite(report["elapsed_s"])
            return Progress(done=False, again_in_s=min(max(left_s, 0.05), 5.0))
        if report["state"] == "unknown":
            raise InstrumentFault(f"it does not know what became of its {self._begun}", kind="forgotten")
        if report["state"] != "done":
            raise InstrumentFault(f"its {self._begun} was stopped", kind="stopped")
        if self._begun == "rinse":
            return Progress(done=True, achieved=_waste(report))
        integration = Amount(finite(report["result"].get("integration_time_ms")), "ms")
        return Progress(
            done=True,
            achieved={"integration": integration},
            readings={"spectrum": Reading()},
            arrays={"spectrum": self._spectrum()},
        )

    def happened(self, action: str, settings: Mapping[str, Amount], before: Mapping[str, Amount], act: str) -> Verdict:
        """Ask what became of the act with this id."""
        report = self._last(act_id(act))
        if report is None:
            return Verdict(state="not_begun", why="it knows no act of this id")
        achieved = _waste(report) if action == "rinse" else {}
        states = {
            "running": Verdict(state="running", why="it is at it"),
            "done": Verdict(state="done", why="it remembers the act as done", achieved=achieved),
            "stopped": Verdict(state="partial", why="it remembers the act as stopped", achieved=achieved),
            "unknown": Verdict(state="cannot_tell", why="it knows the act, and not what became of it"),
        }
        return states[report["state"]]

    def stop(self) -> None:
        """Cut short what runs; harmless twice."""
        self._client.call("stop")

    def close(self) -> None:
        """Sign out."""
        self._client.sign_out()

    # --- how it is said -----------------------------------------------------------------------------------------

    def _who(self) -> Identity:
        said = self._client.parameters("serial_number", "model", "firmware")
        return Identity(
            model=str(said["model"]), firmware=str(said["firmware"]), serial=str(said["serial_number"]),
            first_reply=repr(said),
        )  # fmt: skip

    def _refuse_another(self) -> None:
        """Raise LinkError where another answers by its name than when the line was opened."""
        if self._opened is not None:
            refuse_another(self._client.actor, self._opened, self._who())

    def _begin(self, kind: str, kwargs: Mapping[str, Any]) -> None:
        self._refuse_another()
        self._begun = kind
        report_of(self._client.call(kind, {"act": act_id(self.act), **kwargs}).value)

    def _last(self, act: str) -> dict[str, Any] | None:
        """The report of an act. None: it knows none of this id (raises LinkError where that is another's word)."""
        said = self._client.call("last_act", {"act": act}).value
        if said is None:
            self._refuse_another()
            return None
        return report_of(said)

    def _spectrum(self) -> bytes:
        answer = self._client.call("spectrum", {"act": act_id(self.act)})
        data, points = array_of(answer), answer.value.get("wavelengths")
        if not isinstance(points, int) or points < 2:
            raise ProtocolError(f"a spectrum of {points!r} wavelengths")
        if len(data) != 16 * points:  # it came as it was sent: asked again, it would be the same
            raise InstrumentFault(f"a spectrum of {len(data)} bytes for {points} wavelengths", kind="no_data")
        return data


def _waste(report: Mapping[str, Any]) -> dict[str, Amount]:
    found = report.get("result")
    return {"waste": Amount(finite(found.get("waste_ml")), "mL")} if isinstance(found, dict) else {}
