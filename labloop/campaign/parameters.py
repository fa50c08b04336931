"""Parameters: what may be varied, and how a value of each is read and checked.

Numbers are kept in the unit that the parameter declares. A mixture makes one parameter of each component; its settings
are the components' amounts.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, Any, ClassVar, Literal, NamedTuple, TypeAlias

from pydantic import Discriminator, Tag, ValidationInfo, WithJsonSchema, field_validator

from .described import Columns, check_smiles, descriptors_of, read_described
from .errors import SpecError
from .events import Value
from .mixture import Mixture
from .models import KEY, Condition, Model, Rule, Truth, Unit, did_you_mean, files_of, in_unit, located
from .ranges import Range
from .units import number_text, parse_quantity, quote
from .values import as_word

__all__ = ["Choice", "Choices", "Mixture", "Molecule", "Molecules", "Parameter", "Range", "Written"]

MOST_CHOICES = 100_000
BRACKETED = "is a list to YAML. Write a name with brackets in quotes: '[NH4+]'"
TAGS = ("<range>", "<choices>", "<molecules>", "<mixture>")  # kinds of parameters, in a path of pydantic's


FAVOURED = 5.0  # how much likelier a choice is that is named without a weight
# Weights of the choices in the order written, where a person expects the optimum.
Likelier = Annotated[tuple[float, ...] | None, WithJsonSchema({"type": ["object", "array", "string", "number"]})]


class Choice(NamedTuple):
    """One value to choose, with the numbers that describe it."""

    value: Value
    descriptors: tuple[float, ...] = ()


class Choices(Model):
    """One of a list: ``{choices: [DMF, DMSO, NMP]}``; of a CSV file with descriptors; ordered ones have neighbours."""

    unit: Unit = ""
    descriptors: Columns = ()
    choices: Annotated[tuple[Choice, ...], WithJsonSchema({"type": ["array", "string"]})]
    ordered: Truth = False
    active_when: Condition | None = None
    shared: Literal["batch"] | None = None
    likely: Likelier = None

    @property
    def values(self) -> tuple[Value, ...]:
        """What can be chosen, in the order written."""
        return tuple(choice.value for choice in self.choices)

    @property
    def table(self) -> tuple[tuple[float, ...], ...]:
        """Descriptors: one row a choice, columns as ``descriptors`` names them."""
        return tuple(choice.descriptors for choice in self.choices)

    @field_validator("likely", mode="plain")
    @classmethod
    def _likely(cls, raw: Any, info: ValidationInfo) -> tuple[float, ...] | None:
        return _weights(raw, [choice.value for choice in info.data.get("choices", ())])

    @field_validator("choices", mode="plain")
    @classmethod
    def _choices(cls, raw: Any, info: ValidationInfo) -> tuple[Choice, ...]:
        names = info.data.get("descriptors", ())
        if isinstance(raw, str):
            rows: list[Any] = [*read_described(files_of(info).find(raw))]
        elif isinstance(raw, (list, tuple)):
            rows = list(raw)
            if names and not all(isinstance(row, Mapping) for row in rows):
                raise Rule(
                    "descriptors need a table. Name a CSV file, or write each choice as {name: DMF, dipole: 3.8}"
                )
        else:
            raise Rule("must be a list of values, or a CSV file")
        if not rows:
            raise Rule("is empty. Write at least one choice")
        if len(rows) > MOST_CHOICES:
            raise Rule(f"has more than {MOST_CHOICES} entries. Use candidates instead")
        return _distinct([_choice(row, names, at, info) for at, row in enumerate(rows)])

    def read(self, raw: Any) -> Value:
        """Find the choice that is meant. Raises SpecError."""
        for value in self.values:
            if value == raw and isinstance(value, bool) == isinstance(raw, bool):
                return value
        if self.unit and isinstance(raw, str):
            return self.read(parse_quantity(raw, self.unit).value)
        texts = {as_word(value): value for value in self.values}
        either = {str(value): value for value in self.values} | texts  # tables of pandas say True
        if str(raw) in either:
            return either[str(raw)]
        raise SpecError(f"{quote(raw)} is none of the choices. {did_you_mean(str(raw), texts)}")

    def fault(self, value: Value) -> str | None:
        """Say why a value is not allowed, or None."""
        try:
            self.read(value)
        except SpecError as error:
            return str(error)
        return None


class Molecule(NamedTuple):
    """A molecule's name and its SMILES."""

    name: str
    smiles: str


class Molecules(Model):
    """One of several molecules: SMILES, or a CSV file with the columns name and smiles."""

    molecules: Annotated[tuple[Molecule, ...], WithJsonSchema({"type": ["array", "string"]})]
    active_when: Condition | None = None
    shared: Literal["batch"] | None = None
    likely: Likelier = None
    unit: ClassVar[str] = ""
    ordered: ClassVar[bool] = False

    @property
    def values(self) -> tuple[Value, ...]:
        """The names, in the order written."""
        return tuple(molecule.name for molecule in self.molecules)

    @property
    def smiles(self) -> tuple[str, ...]:
        """The SMILES, in the same order."""
        return tuple(molecule.smiles for molecule in self.molecules)

    @field_validator("likely", mode="plain")
    @classmethod
    def _likely(cls, raw: Any, info: ValidationInfo) -> tuple[float, ...] | None:
        return _weights(raw, [molecule.name for molecule in info.data.get("molecules", ())])

    @field_validator("molecules", mode="plain")
    @classmethod
    def _molecules(cls, raw: Any, info: ValidationInfo) -> tuple[Molecule, ...]:
        if isinstance(raw, str):
            raw = read_described(files_of(info).find(raw))
        if not isinstance(raw, (list, tuple)) or not raw:
            raise Rule("must be a list of SMILES, or a CSV file with the columns name and smiles")
        found: list[Molecule] = []
        names: set[str] = set()
        for at, one in enumerate(raw):
            if isinstance(one, Mapping):
                if "smiles" not in one:
                    raise Rule("has no column smiles. Name the columns name and smiles")
                one = Molecule(str(one.get("name", one["smiles"])), str(one["smiles"]))
            elif isinstance(one, (list, tuple)):
                raise located([((at,), BRACKETED, one)], "molecules")
            else:
                one = Molecule(str(one), str(one))
            check_smiles(one.smiles, at)
            if one.name in names:
                raise located([((at,), "stands twice. Keep it once", one.name)], "molecules")
            names.add(one.name)
            found.append(one)
        return tuple(found)

    def read(self, raw: Any) -> Value:
        """Find the molecule that is meant, by name or SMILES. Raises SpecError."""
        for molecule in self.molecules:
            if raw in molecule:
                return molecule.name
        raise SpecError(f"{quote(raw)} is none of the molecules. {did_you_mean(str(raw), map(str, self.values))}")

    def fault(self, value: Value) -> str | None:
        """Say why a value is not allowed, or None."""
        return None if value in self.values else f"{quote(value)} is none of the molecules"


def _weights(raw: Any, values: Sequence[Value]) -> tuple[float, ...] | None:
    """How likely each value is to be the best, as weights: a name or several, or names with numbers. Raises Rule."""
    if raw is None or not values:
        return None
    places = {str(value): at for at, value in enumerate(values)}
    several = _whole(raw, places)
    said = raw if isinstance(raw, Mapping) else several
    if not said or not all(isinstance(name, (str, int, float)) for name in said):
        raise Rule("must be a choice, a list of some, or some with weights. Write likely: DMF, or likely: {DMF: 3}")
    named = raw if isinstance(raw, Mapping) else dict.fromkeys(several, FAVOURED)
    weights = [1.0] * len(values)
    for name, weight in named.items():
        if str(name) not in places:
            raise located([((str(name),), f"is none of the choices. {did_you_mean(str(name), places)}", KEY)], "likely")
        if isinstance(weight, bool) or not isinstance(weight, (int, float)) or not 0.0 < weight < math.inf:
            raise located([((str(name),), "must be a number above 0: the others have 1", weight)], "likely")
        weights[places[str(name)]] = float(weight)
    return tuple(weights)


def _whole(raw: Any, places: Mapping[str, int]) -> Sequence[Any]:
    """The names in a list. YAML takes ``[NH4+]`` for a list of one: where that is none and this is, this is meant."""
    if not isinstance(raw, (list, tuple)):
        return [raw]
    if len(raw) == 1 and str(raw[0]) not in places and f"[{raw[0]}]" in places:
        return [f"[{raw[0]}]"]
    return [
        f"[{one[0]}]" if isinstance(one, (list, tuple)) and len(one) == 1 and f"[{one[0]}]" in places else one
        for one in raw
    ]


def _kind(data: Any) -> str:
    """Which kind of parameter is meant, by its keys."""
    if isinstance(data, dict):
        for key in ("choices", "molecules", "mixture", "range", "integer"):
            if key in data:
                return f"<{key}>" if key != "integer" else "<range>"
        for key in data:
            close = did_you_mean(str(key), ("choices", "molecules", "mixture", "range"))
            if close.startswith("Did you mean "):
                return f"<{close[13:-1]}>"
    return "<range>"


Parameter: TypeAlias = Range | Choices | Molecules
Written: TypeAlias = Annotated[
    Annotated[Range, Tag("<range>")]
    | Annotated[Choices, Tag("<choices>")]
    | Annotated[Molecules, Tag("<molecules>")]
    | Annotated[Mixture, Tag("<mixture>")],
    Discriminator(_kind),
]


def _choice(row: Any, names: Iterable[str], at: int, info: ValidationInfo) -> Choice:
    numbers: tuple[float, ...] = ()
    if isinstance(row, Mapping):
        numbers = descriptors_of(row, names, at)
        if "name" not in row:
            raise located([((at,), "has no name. Write {name: DMF, ...}", dict(row))], "choices")
        row = row["name"]
    if isinstance(row, float) and not math.isfinite(row):
        raise located([((at,), "must be a finite number or a word", row)], "choices")
    if isinstance(row, (list, tuple)):
        raise located([((at,), BRACKETED, row)], "choices")
    if not isinstance(row, (str, int, float)) or row == "":
        raise located([((at,), "must be a word or a number", row)], "choices")
    if isinstance(row, str) and info.data.get("unit"):
        row = in_unit(row, info)
    return Choice(row, numbers)


def _distinct(choices: list[Choice]) -> tuple[Choice, ...]:
    seen: dict[str, int] = {}
    for at, choice in enumerate(choices):
        key = number_text(float(choice.value)) if isinstance(choice.value, (int, float)) else choice.value
        key = f"{type(choice.value) is bool} {key}"
        if key in seen:
            raise located([((at,), f"stands twice (first at [{seen[key]}]). Keep it once", choice.value)], "choices")
        seen[key] = at
    return tuple(choices)
