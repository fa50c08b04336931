"""A mixture: amounts that sum to a total, of components that may be described.

A description (numbers, or a SMILES) belongs to the component, not to the mixture: how alike two mixtures are is the
planner's to work out, from how much of each is in them. Settings are the amounts and nothing else.
"""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, ClassVar, Literal, NamedTuple

from pydantic import Field, ValidationInfo, WithJsonSchema, field_validator, model_validator

from .described import Columns, check_name, check_smiles, descriptors_of, read_described
from .models import KEY, Model, Positive, Rule, Unit, files_of, in_unit, located
from .ranges import Range
from .units import number_text, quote

_QUANTITY = {"type": ["number", "string"]}


class Component(NamedTuple):
    """One component: its name, the numbers that describe it, and its SMILES ("": none)."""

    name: str
    descriptors: tuple[float, ...] = ()
    smiles: str = ""

    def written(self, names: tuple[str, ...]) -> str | dict[str, Any]:
        """As it stands in a campaign file."""
        if not names and not self.smiles:
            return self.name
        told = {"smiles": self.smiles} if self.smiles else {}
        return {"name": self.name, **told, **dict(zip(names, self.descriptors, strict=True))}


class Mixture(Model):
    """Amounts that sum to a total: ``{mixture: [A, B, C], sum: 1, at_most: 2}``.

    ``at_most``: so many components are above zero; ``at_least``: what a component that is there has at least.
    """

    unit: Unit = ""
    descriptors: Columns = ()
    components: Annotated[tuple[Component, ...], Field(alias="mixture"), WithJsonSchema({"type": ["array", "string"]})]
    sum: Annotated[float, WithJsonSchema(_QUANTITY)] = 1.0
    at_most: Positive | None = None
    at_least: Annotated[float | None, WithJsonSchema(_QUANTITY)] = None
    active_when: ClassVar[None] = None
    shared: Literal["batch"] | None = None

    @property
    def mixture(self) -> tuple[str, ...]:
        """The components' names, in the order written."""
        return tuple(one.name for one in self.components)

    @property
    def table(self) -> tuple[tuple[float, ...], ...]:
        """Descriptors: one row a component, columns as ``descriptors`` names them."""
        return tuple(one.descriptors for one in self.components)

    @property
    def smiles(self) -> tuple[str, ...]:
        """The SMILES, in the same order; empty where the components have none."""
        return tuple(one.smiles for one in self.components if one.smiles)

    @field_validator("components", mode="plain")
    @classmethod
    def _components(cls, raw: Any, info: ValidationInfo) -> tuple[Component, ...]:
        names = info.data.get("descriptors", ())
        rows = read_described(files_of(info).find(raw)) if isinstance(raw, str) else raw
        if not isinstance(rows, (list, tuple)) or len(rows) < 2:
            raise Rule("must be a list of two or more names, like [A, B, C], or a CSV file of them")
        if not isinstance(raw, str):  # a file may have more columns than are asked for
            _no_more_than(rows, names)
        found = [_component(row, names, at) for at, row in enumerate(rows)]
        if len({one.name for one in found}) < len(found):
            raise Rule("names a component twice. Keep it once")
        if any(one.smiles for one in found) and not all(one.smiles for one in found):
            bare = next(at for at, one in enumerate(found) if not one.smiles)
            rule = "has no smiles. Give every component one, or none"
            raise located([((bare,), rule, found[bare].name)], "mixture")
        return tuple(found)

    @field_validator("sum", "at_least", mode="plain")
    @classmethod
    def _amount(cls, raw: Any, info: ValidationInfo) -> float | None:
        if raw is None:
            return None
        value = in_unit(raw, info)
        if value <= 0:
            raise Rule("must be above 0")
        return value

    @model_validator(mode="after")
    def _agree(self) -> "Mixture":
        most = self.at_most or len(self.components)
        if self.at_least is not None and self.at_least > self.sum:
            raise located(
                [(("at_least",), f"is above the sum of {number_text(self.sum)}. Lower it", self.at_least)], "mixture"
            )
        if most > len(self.components):
            rule = f"there are only {len(self.components)} components. Lower it"
            raise located([(("at_most",), rule, most)], "mixture")
        return self

    def component(self) -> Range:
        """The range that each component has by itself."""
        return Range.model_validate({"range": [0.0, self.sum], "unit": self.unit, "shared": self.shared})


def _no_more_than(rows: Sequence[Any], names: tuple[str, ...]) -> None:
    """Refuse a key that describes a component and is not among the descriptors. Raises ValidationError."""
    for at, row in enumerate(rows):
        for key in row if isinstance(row, Mapping) else ():
            if key not in ("name", "smiles", *names):
                rule = f"{quote(key)} is none of the descriptors. Write descriptors: [{', '.join((*names, str(key)))}]"
                raise located([((at, str(key)), rule, KEY)], "mixture")


def _component(row: Any, names: tuple[str, ...], at: int) -> Component:
    if not isinstance(row, Mapping):
        if names:
            raise Rule("descriptors need a table. Name a CSV file, or write each component as {name: DMF, dipole: 3.8}")
        row = {"name": row}
    name, smiles = row.get("name"), row.get("smiles")
    if not isinstance(name, str):
        rule = "has no name. Write {name: DMF, ...}" if name is None else "must be a name, a word"
        raise located([((at,), rule, dict(row) if name is None else name)], "mixture")
    try:
        check_name(name)
    except Rule as rule_of_names:
        raise located([((at,), rule_of_names.message(), name)], "mixture") from rule_of_names
    if smiles in (None, ""):
        return Component(name, descriptors_of(row, names, at))
    return Component(name, descriptors_of(row, names, at), check_smiles(str(smiles), at))
