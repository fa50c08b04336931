"""Hands: links, ports, limits, and the words that drivers are written in. These names are what a driver imports."""

from labloop.campaign.errors import SpecError
from labloop.campaign.events import Amount, Reading, Stand, Value

from .address import parse_address
from .declared import Declaration, declare, driver_class, port_keys
from .doubt import Steady, Sure, twice_alike
from .driver import Driver
from .errors import (
    BenchError,
    InstrumentFault,
    LeaseLost,
    LinkError,
    LinkInterrupted,
    LinkTimeout,
    ProtocolError,
    SafetyError,
)
from .framing import EnclosedFramer, FixedFramer, LineCodec, LineFramer, shown
from .gate import Gate, NoRoom, NotYet, Wish
from .holding import Hold, HoldingDriver, hold_expected, hold_settings
from .in_process import InProcessLink, InProcessMessageLink
from .instrument import (
    Action,
    Codec,
    Exchange,
    Expected,
    Identity,
    Instrument,
    Progress,
    Sent,
    Setting,
    Signal,
    Verdict,
    action,
    actions_of,
)
from .lab import Lab, connect_real, open_lab
from .link import Link, Traffic
from .loading import load_class, put_on_path
from .permit import Permit
from .port import Port
from .safety import Envelope
from .settings import as_amounts, quantity_of, refuse_unknown, resolve, written
from .standing import Standing
from .station import WHERE_TO_LOOK, Station
from .totals import Totals, drawn
from .transport import open_link
from .watch import Changes, Trip, Watch

__all__ = [
    "WHERE_TO_LOOK",
    "Wish",
    "Trip",
    "Totals",
    "Standing",
    "Stand",
    "Permit",
    "NotYet",
    "NoRoom",
    "Gate",
    "Changes",
    "Action",
    "Amount",
    "BenchError",
    "Codec",
    "Declaration",
    "Driver",
    "EnclosedFramer",
    "Envelope",
    "Exchange",
    "Expected",
    "FixedFramer",
    "Hold",
    "HoldingDriver",
    "Identity",
    "InProcessLink",
    "InProcessMessageLink",
    "Instrument",
    "InstrumentFault",
    "Lab",
    "LeaseLost",
    "LineCodec",
    "LineFramer",
    "Link",
    "LinkError",
    "LinkInterrupted",
    "LinkTimeout",
    "Port",
    "Progress",
    "ProtocolError",
    "Reading",
    "SafetyError",
    "Sent",
    "Setting",
    "Signal",
    "SpecError",
    "Station",
    "Steady",
    "Sure",
    "Traffic",
    "Value",
    "Verdict",
    "Watch",
    "action",
    "actions_of",
    "as_amounts",
    "connect_real",
    "declare",
    "drawn",
    "driver_class",
    "hold_expected",
    "hold_settings",
    "load_class",
    "open_lab",
    "open_link",
    "parse_address",
    "port_keys",
    "put_on_path",
    "quantity_of",
    "refuse_unknown",
    "resolve",
    "shown",
    "twice_alike",
    "written",
]
