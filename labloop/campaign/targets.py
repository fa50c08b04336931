"""``notify:`` of the lab file: who is told what, outside the dashboard.

    phone:   {env: LABLOOP_PHONE}
    channel: {file: ~/.config/labloop/channel, about: [finished, new_best], simulated: true}

A target is a reference to its address and never the address itself: an address of apprise holds a token or a password,
and lab files are copied into every run, sent to colleagues and kept under version control.
"""

import re
from typing import Annotated, Any, Final, Literal, get_args

from pydantic import BeforeValidator, WithJsonSchema, field_validator, model_validator

from .models import Model, Rule, Text, Truth

About = Literal["halted", "waiting", "alarm", "new_best", "finished"]
# What somebody who sleeps wants to be told; each new best in the first hour of a campaign is not among it.
USUALLY: Final[tuple[About, ...]] = ("halted", "waiting", "alarm", "finished")
_VARIABLE: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_WAY_OUT: Final = (
    "Put the address into an environment variable, or into a file that you alone can read, and name that: "
    "{env: LABLOOP_PHONE} or {file: ~/.config/labloop/phone}"
)


def _many(raw: Any) -> Any:
    many = raw if isinstance(raw, (list, tuple)) else [raw]
    if not many:
        raise Rule(f"names nothing. Write some of {', '.join(get_args(About))}, or leave it out")
    return many


def refuse_address(raw: Any) -> None:
    """Refuse an address, and do not show it: a complaint ends in logs and on other people's screens. Raises Rule."""
    if isinstance(raw, str) and "://" in raw:
        raise Rule(f"an address stands here, and it may hold a secret (not shown). {_WAY_OUT}", about_key=True)
    for one in raw.values() if isinstance(raw, dict) else raw if isinstance(raw, (list, tuple)) else ():
        refuse_address(one)


class Target(Model):
    """Where messages go. Exactly one of ``env`` and ``file`` names what holds the address (an apprise URL).

    ``simulated``: told of simulated runs too. Campaigns in virtual time tell nobody.
    """

    env: Text | None = None
    file: Text | None = None
    about: Annotated[
        tuple[About, ...],
        BeforeValidator(_many),
        WithJsonSchema({"type": "array", "items": {"enum": list(get_args(About))}}),
    ] = USUALLY
    simulated: Truth = False

    @model_validator(mode="before")
    @classmethod
    def _no_address(cls, raw: Any) -> Any:
        refuse_address(raw)
        return raw

    @field_validator("env")
    @classmethod
    def _env(cls, name: str | None) -> str | None:
        if name is not None and _VARIABLE.fullmatch(name) is None:
            raise Rule("is no name of an environment variable. Write it like LABLOOP_PHONE")
        return name

    @model_validator(mode="after")
    def _one(self) -> "Target":
        if (self.env is None) == (self.file is None):
            raise Rule("needs either env or file. Write {env: LABLOOP_PHONE} or {file: ~/.config/labloop/phone}")
        return self
