"""The facts of a step: one action on one instrument, one attempt. Read together with those of a run, see events."""

from .values import Amount, Fact, Reading


class StepStarted(Fact, frozen=True, kw_only=True):
    """Committed before the first byte leaves. ``act`` changes matter; ``before`` is what its counters said.

    ``step`` is unique in the journal and is the act's identity. ``stage`` and ``index`` say where it stands in the
    recipe of ``phase`` (``trial``, ``cleanup``, ``setup``, ...): steps of one stage run together. ``expected_s``: how
    long its driver says that it will take (0.0: it does not say, or it is over at once).
    """

    step: str
    trial: int | None = None
    phase: str
    number: int = 0
    stage: int
    index: int
    attempt: int = 1
    instrument: str
    action: str
    settings: dict[str, Amount] = {}
    act: bool = False
    before: dict[str, Amount] = {}
    expected_s: float = 0.0
    t_s: float = 0.0


class StepKept(Fact, frozen=True, kw_only=True):
    """What whoever takes this step up again must know of it: since when it is watched, and what its driver keeps."""

    step: str
    kept: dict[str, Amount] = {}
    since_t_s: float = 0.0
    t_s: float = 0.0


class StepRejoined(Fact, frozen=True, kw_only=True):
    """It went on without a runner, and is watched again. ``unwatched_s``: for how long nobody did."""

    step: str
    unwatched_s: float = 0.0
    t_s: float = 0.0


class StepFinished(Fact, frozen=True, kw_only=True):
    """Done: what was achieved (read back) and read. ``by``: who said so, when it was not the step itself."""

    step: str
    achieved: dict[str, Amount] = {}
    readings: dict[str, Reading] = {}
    save_as: str = ""
    t_s: float = 0.0
    by: str = ""


class StepFailed(Fact, frozen=True, kw_only=True):
    """Not done, or cut short.

    ``fault``: link, protocol, safety, interrupted, not_done, discarded, or the instrument's own word (stall, ...).
    ``remainder``: the settings that would deliver what is missing, where the driver can.
    """

    step: str
    fault: str
    reason: str
    achieved: dict[str, Amount] = {}
    remainder: dict[str, Amount] = {}
    t_s: float = 0.0
    by: str = ""


class StepInDoubt(Fact, frozen=True, kw_only=True):
    """Nobody can tell whether it happened, or a person must say what becomes of it.

    ``question``, and what each answer will do; ``achieved`` and ``remainder`` as far as the instrument knows.
    """

    step: str
    question: str
    answers: dict[str, str] = {}
    achieved: dict[str, Amount] = {}
    remainder: dict[str, Amount] = {}
