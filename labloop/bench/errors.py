"""Whose fault it is, on the bench. Bytes go into a message as repr, cut to 200 characters."""

from labloop.campaign.errors import LabloopError


class BenchError(LabloopError):
    """Something on the bench did not go as told."""


class LinkError(BenchError):
    """The cable: port gone, port in use, no answer within the deadline."""


class LinkTimeout(LinkError):
    """No whole answer within the deadline; whether the command was done is not known."""


class LinkInterrupted(LinkError):
    """interrupt() was called while an exchange waited (somebody stops the bench)."""


class LeaseLost(BenchError):
    """Somebody else controls the bench: nothing was sent, and nothing may be sent any more."""


class ProtocolError(BenchError):
    """An answer that makes no sense."""


class InstrumentFault(BenchError):
    """The instrument says so itself. ``kind`` is a word that a campaign may list under ``teaches`` (``stall``)."""

    def __init__(self, message: str, kind: str = "fault") -> None:
        self.kind = kind
        super().__init__(message)


class SafetyError(BenchError):
    """We refused: the act would leave the envelope. Nothing was sent."""
