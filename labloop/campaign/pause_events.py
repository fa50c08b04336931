"""The facts of a pause and of what people do to a bench meanwhile. Read together with the others, see events."""

from .values import Fact, Stand, Timed


class CampaignPaused(Timed, frozen=True, kw_only=True):
    """No new step starts until CampaignResumed. ``by``: whose hold it is ("": labloop's own, which anybody may end).

    While it is paused, another person may place a hold of their own.
    """

    reason: str
    by: str = ""


class HoldReleased(Fact, frozen=True, kw_only=True):
    """The hold that ``of`` placed is over: ``by`` themselves, or by somebody else by force, who says ``why``."""

    of: str
    by: str = ""
    why: str = ""


class SettingsRead(Fact, frozen=True, kw_only=True):
    """What the instruments say: when a paused run is at rest, and before steps may begin again.

    ``found``: {instrument.action: a word} of what was done with them last; of a start, before anything is configured,
    {instrument.setting: what it stands at}. ``resumed``: steps may begin again, unless something is ``moved``: another
    than at rest, or than it was left (SettingsLeft), {where: what it says now}. ``counted``: at rest, what each counts
    of what it moved: no safe state changes that, so that a start after one can still compare it.
    """

    found: dict[str, str] = {}
    moved: dict[str, str] = {}
    resumed: bool = False
    counted: dict[str, dict[str, Stand]] = {}
    t_s: float = 0.0


class SettingsLeft(Fact, frozen=True, kw_only=True):
    """What stood at the instruments when the bench had been made safe: {instrument: {setting: what it stands at}}.

    The next start compares, before it configures anything. Once more at a start, with ``touched``: what is still to be
    compared, since others have had these instruments meanwhile.
    """

    stands: dict[str, dict[str, Stand]] = {}
    touched: list[str] = []
    t_s: float = 0.0


class MovedAccepted(Fact, frozen=True, kw_only=True):
    """What somebody moved while the run was paused, or stood still, is right as it is."""

    by: str = ""
    why: str = ""


class ByHandSeen(Fact, frozen=True, kw_only=True):
    """What was done by hand, or by another run, on the bench while this run stood still: {act: in words}.

    ``by`` and ``why``: who says that a sample that stood there meanwhile may go on. ``t_s``: when it was over, of what
    the run did itself for a person, and saw to its end (else 0).
    """

    acts: dict[str, str]
    by: str = ""
    why: str = ""
    t_s: float = 0.0


class CampaignResumed(Timed, frozen=True, kw_only=True):
    """Steps may start again, once the settings were read again."""

    by: str = ""
    why: str = ""
