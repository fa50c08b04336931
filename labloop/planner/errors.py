"""Whose fault it is when no proposal comes: the space's (nothing is left), the model's, or the planner process's."""

from labloop.campaign.errors import LabloopError


class NothingLeftError(LabloopError):
    """Every point that may be proposed has been: the space or the table of candidates is used up, or was empty."""


class SurrogateError(LabloopError):
    """A model could not be fitted; the message says to what and why. The proposal falls back on the design."""


class PlannerError(LabloopError):
    """The planner's process gives no answer: it died too often, or was late; the message says which."""
