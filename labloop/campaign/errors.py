"""Whose fault it is: the complaints of the campaign's own rules.

A complaint names the place, the value, the rule and the way out.
"""


class LabloopError(Exception):
    """What labloop says to a person; never a defect of labloop itself."""


MOST_COMPLAINTS = 100  # more than anybody reads; a hostile file has thousands, and they must not fill a terminal


class SpecError(LabloopError):
    """A file or a wish is wrong; nothing has moved. ``complaints`` has one line each, ``file:line:column: ...``."""

    def __init__(self, *complaints: str) -> None:
        more = len(complaints) - MOST_COMPLAINTS
        kept = complaints[:MOST_COMPLAINTS]
        self.complaints = (*kept, f"... and {more} more complaints") if more > 0 else kept
        super().__init__("\n".join(self.complaints))


class UnitError(SpecError):
    """A quantity that cannot be read or converted."""


class StateError(LabloopError):
    """A fact or a wish that the present state does not allow (a table has no such arrow)."""
