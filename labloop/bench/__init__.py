"""Hands: links, ports, limits, and the words that drivers are written in. These names are what a driver imports."""

from labloop.campaign.errors import SpecError
from labloop.campaign.events import Amount, Reading, Value

from .address import parse_address
from .doubt import Steady, twice_alike
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
from .framing import EnclosedFramer, FixedFramer, LineFramer, shown
from .holding import Hold, hold_settings
from .in_process import InProcessLink, InProcessMessageLink
from .instrument import (
    Action,
    Codec,
    Exchange,
    Expected,
    Identity,
    Instrument,
    Progress,
    Setting,
    Signal,
    Verdict,
    action,
    actions_of,
)
from .lab import Declaration, Lab, Station, connect_real, declare, driver_class, open_lab, port_keys
from .link import Link, Traffic
from .loading import load_class, put_on_path
from .port import Port
from .safety import Envelope, Watch, drawn
from .settings import as_amounts, quantity_of, refuse_unknown, resolve, written
from .transport import open_link

__all__ = [
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
    "Identity",
    "InProcessLink",
    "InProcessMessageLink",
    "Instrument",
    "InstrumentFault",
    "Lab",
    "LeaseLost",
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
    "Setting",
    "Signal",
    "SpecError",
    "Station",
    "Steady",
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
