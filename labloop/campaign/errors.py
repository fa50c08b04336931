"""Whose fault it is: the complaints of the campaign's own rules.

A complaint names the place, the value, the rule and the way out.
"""


class LabloopError(Exception):
    """What labloop says to a person; never a defect of labloop itself."""


class SpecError(LabloopError):
    """A file or a wish is wrong; nothing has moved. ``complaints`` has one line each, ``file:line:column: ...``."""

    def __init__(self, *complaints: str) -> None:
        self.complaints = tuple(complaints)
        super().__init__("\n".join(complaints))


class UnitError(SpecError):
    """A quantity that cannot be read or converted."""


class StateError(LabloopError):
    """A fact or a wish that the present state does not allow (a table has no such arrow)."""
