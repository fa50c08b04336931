"""What the models of both files are made of: the base class, and fields that read quantities, times and expressions.

A field's own validator raises ``Rule``: one sentence with the rule and the way out. Where it stands is added later
from the document's positions (see complaints).
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import (
    BaseModel,
    ConfigDict,
    PlainValidator,
    ValidationError,
    ValidationInfo,
    WithJsonSchema,
    model_validator,
)
from pydantic_core import InitErrorDetails, PydanticCustomError

from .errors import SpecError
from .expression import parse_expression
from .formula import Expression
from .reading import Path_
from .units import Quantity, check_unit, convert, parse_quantity

T = TypeVar("T")


class Rule(PydanticCustomError):
    """A rule that a value breaks, and the way out, in one sentence each; ``about_key``: that the key itself breaks."""

    def __new__(cls, text: str, about_key: bool = False) -> "Rule":
        return super().__new__(cls, "rule", "{text}", {"text": text, "about_key": about_key})

    def __init__(self, text: str, about_key: bool = False) -> None:
        """Made in ``__new__``, as pydantic's own errors are."""


class AboutKey:
    """Stands for the value in a fault that is the key's."""


KEY = AboutKey()


@dataclass(frozen=True, slots=True)
class Unknown:
    """Stands for the value of a key that no model knows; carries the sentence about it, and the key that was meant."""

    sentence: str
    meant: str | None = None


@dataclass(slots=True)
class Files:
    """Where relative paths start, what stands for a path, every file that was named.

    ``lab``: a lab file instead of the one that the campaign names. ``kept``: only what ``instead`` knows may be named.
    ``spare``: what stands for a path at which there is no file.
    """

    folder: Path
    instead: Mapping[str, Path] = field(default_factory=dict)
    named: dict[str, Path] = field(default_factory=dict)
    lab: Path | None = None
    kept: bool = False
    spare: Mapping[str, Path] = field(default_factory=dict)

    def find(self, written: str) -> Path:
        """Turn a path as written into the file meant. Raises Rule when there is none."""
        if not written or "\0" in written or len(written) > 1000:
            raise Rule("this is no path. Name a file, relative to the file that names it")
        if self.kept and written not in self.instead:
            raise Rule("is no file of which this run kept a copy. Put the folder's copy back")
        path = self.instead.get(written) or self.folder / Path(written).expanduser()
        try:
            if written in self.spare and not path.exists():
                path = self.spare[written]
            self.named[written] = path
            if path.is_dir():
                raise Rule(f"{path} is a folder. Name a file")
            if not path.is_file():
                raise Rule(f"there is no file {path}. Check the name (paths start at {self.folder})")
        except OSError as error:
            raise Rule(f"{path} cannot be read ({error.strerror}). Check the path") from error
        return path


# Each is a stage of the recipe or a sample of its own: what is beyond is a slip of the keys, and fills the memory.
MOST_REPEATS = 1000
CUT = object()  # stands in a list for an entry that was cut out, so that the others keep their numbers


class Model(BaseModel):
    """Base of all models: frozen, keys that are not known refused with a suggestion."""

    model_config = ConfigDict(frozen=True, extra="forbid", arbitrary_types_allowed=True, validate_default=False)

    @model_validator(mode="before")
    @classmethod
    def _name_unknown_keys(cls, data: Any) -> Any:
        if not isinstance(data, dict) or cls.model_config.get("extra") == "allow":
            return data
        known = keys_of(cls)
        if all(key in known for key in data):
            return data
        free = [key for key in known if key not in data]
        return {
            key: value if key in known else Unknown(unknown_key(key, known), suggest(str(key), free))
            for key, value in data.items()
        }


def keys_of(model: type[BaseModel]) -> list[str]:
    """The keys of a model, as they are written in YAML."""
    return [info.alias or name for name, info in model.model_fields.items()]


def unknown_key(key: object, known: Iterable[str]) -> str:
    """Say what a key that is not known could have been."""
    known = list(known)
    close = suggest(str(key), known)
    return f"unknown key. {f'Did you mean {close}?' if close else 'Known here: ' + ', '.join(known)}"


def suggest(word: str, known: Iterable[str], cutoff: float = 0.6) -> str | None:
    """The known word that is nearest, or None."""
    known = list(known)
    word = word[:80]
    folded = {name.lower().replace("-", "_").replace(" ", "_"): name for name in known}
    plain = word.lower().replace("-", "_").replace(" ", "_")
    close = get_close_matches(plain, list(folded), n=1, cutoff=cutoff)
    return folded[close[0]] if close else None


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """`` Did you mean x?``, or the list of what is known."""
    known = list(known)
    close = suggest(word, known)
    if close:
        return f"Did you mean {close}?"
    return f"Known here: {', '.join(known[:20])}{', ...' if len(known) > 20 else ''}" if known else "None is declared"


def checked(read: Callable[[Any], T]) -> Callable[[Any], T]:
    """Make a reader of ours a pydantic validator: SpecError becomes Rule."""

    def validate(raw: Any) -> T:
        try:
            return read(raw)
        except SpecError as error:
            raise Rule(str(error)) from error

    return validate


def located(faults: Iterable[tuple[Path_, str, Any]], title: str) -> ValidationError:
    """Several broken rules below one field, each with its own path; a value of ``KEY`` means the key is at fault."""
    details = [
        InitErrorDetails(type=Rule(text, isinstance(value, AboutKey)), loc=path, input=value)
        for path, text, value in faults
    ]
    return ValidationError.from_exception_data(title, details)


def files_of(info: ValidationInfo) -> Files:
    """The files that the document's paths refer to."""
    found = (info.context or {}).get("files")
    if not isinstance(found, Files):
        raise TypeError("models are validated with context={'files': Files(...)}")
    return found


def _text(raw: Any) -> str:
    if isinstance(raw, (int, float)) and not isinstance(raw, bool):
        raw = str(raw)
    if not isinstance(raw, str):
        raise Rule("must be text. Write a word or a sentence")
    if len(raw) > 2000:
        raise Rule("is longer than 2000 characters. Write it shorter")
    return raw


def _whole(raw: Any) -> int:
    if isinstance(raw, float) and raw.is_integer() and abs(raw) < 1e15:
        raw = int(raw)
    if isinstance(raw, bool) or not isinstance(raw, int):
        raise Rule("must be a whole number")
    if abs(raw) > 10**15:
        raise Rule("is larger than any count here. Write a smaller number")
    return raw


def _positive(raw: Any) -> int:
    value = _whole(raw)
    if value < 1:
        raise Rule("must be at least 1")
    return value


def _repeats(raw: Any) -> int:
    value = _positive(raw)
    if value > MOST_REPEATS:
        raise Rule(f"must be {MOST_REPEATS} at the most")
    return value


def _number(raw: Any) -> float:
    if isinstance(raw, str):
        raise Rule("must be a plain number, without a unit")
    return parse_quantity(raw).value


def _truth(raw: Any) -> bool:
    if not isinstance(raw, bool):
        raise Rule("must be true or false")
    return raw


def _count(raw: Any) -> int:
    if isinstance(raw, str):
        number, _, word = raw.strip().partition(" ")
        if word.strip() not in ("", "trial", "trials"):
            raise Rule("counts trials. Write a whole number, or 20 trials")
        if number.isascii() and number.isdigit() and len(number) < 10:
            raw = int(number)
    return _positive(raw)


def read_seconds(raw: Any) -> float:
    """Read a time above zero, which needs a unit. Raises SpecError or Rule."""
    quantity = parse_quantity(raw)
    if not quantity.unit:
        raise Rule("is a time and needs a unit. Write it like 30 s, 5 min, 2 h or 3 d")
    seconds = convert(quantity.value, quantity.unit, "s")
    if seconds <= 0:
        raise Rule("must be longer than 0 s")
    return seconds


def _share(raw: Any) -> float:
    """Read a share: 0.05, or 5 percent. Raises SpecError or Rule."""
    share = parse_quantity(raw, "").value if not isinstance(raw, str) else convert(*_written(raw), "")
    if not 0.0 < share < 1.0:
        raise Rule("is a share and must be between 0 and 1. Write it like 5 percent")
    return share


def _written(raw: str) -> tuple[float, str]:
    quantity = parse_quantity(raw)
    return quantity.value, quantity.unit


def _quantity(raw: Any) -> Quantity:
    return parse_quantity(raw)


def _unit(raw: Any) -> str:
    if raw is None:
        return ""
    if not isinstance(raw, str):
        raise Rule("must be a unit. Write it like uL/min, degC or percent")
    return check_unit(raw)


def _condition(raw: Any) -> Expression:
    if not isinstance(raw, str):
        raise Rule("must be a condition. Write it like solvent == DMF")
    return parse_expression(raw)


_QUANTITY_SCHEMA = {"type": ["number", "string"], "description": "a number, or a number and a unit: 90 degC"}
_TIME_SCHEMA = {"type": "string", "description": "a time with its unit: 5 min", "examples": ["30 s", "5 min", "2 h"]}

Text = Annotated[str, PlainValidator(checked(_text)), WithJsonSchema({"type": ["string", "number"]})]
Whole = Annotated[int, PlainValidator(checked(_whole)), WithJsonSchema({"type": "integer"})]
Positive = Annotated[int, PlainValidator(checked(_positive)), WithJsonSchema({"type": "integer", "minimum": 1})]
Repeats = Annotated[
    int, PlainValidator(checked(_repeats)), WithJsonSchema({"type": "integer", "minimum": 1, "maximum": MOST_REPEATS})
]
Number = Annotated[float, PlainValidator(checked(_number)), WithJsonSchema({"type": "number"})]
Truth = Annotated[bool, PlainValidator(checked(_truth)), WithJsonSchema({"type": "boolean"})]
Count = Annotated[int, PlainValidator(checked(_count)), WithJsonSchema({"type": ["integer", "string"]})]
Seconds = Annotated[float, PlainValidator(checked(read_seconds)), WithJsonSchema(_TIME_SCHEMA)]
Share = Annotated[float, PlainValidator(checked(_share)), WithJsonSchema({"type": ["number", "string"]})]
AnyQuantity = Annotated[Quantity, PlainValidator(checked(_quantity)), WithJsonSchema(_QUANTITY_SCHEMA)]
Unit = Annotated[str, PlainValidator(checked(_unit)), WithJsonSchema({"type": "string", "examples": ["uL/min"]})]
Condition = Annotated[Expression, PlainValidator(checked(_condition)), WithJsonSchema({"type": "string"})]


def in_unit(raw: Any, info: ValidationInfo) -> float:
    """Read a quantity into the unit that the model declares (its ``unit`` key comes before). Raises Rule."""
    unit = info.data.get("unit")
    try:
        return parse_quantity(raw).value if unit is None else parse_quantity(raw, unit).value
    except SpecError as error:
        raise Rule(str(error)) from error
