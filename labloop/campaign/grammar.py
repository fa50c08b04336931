"""The campaign file as a model: what may be varied, what is wanted, which steps do the work.

The fields of CampaignSpec are the keys of the file. Its values are ready to use: quantities in declared units, tables
read, expressions parsed. Whether the parts fit together is checked beside it (see checks), by the readers in spec.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, PrivateAttr, ValidationInfo, WithJsonSchema, field_validator, model_validator

from .candidates import candidate_rows
from .conduct import Budget, Design, Every, Pause, Phase, StopWhen
from .described import check_name
from .errors import SpecError
from .events import Value
from .expression import parse_expression
from .formula import Expression
from .limits import Limit, read_limits
from .models import (
    CUT,
    Condition,
    Files,
    Model,
    Repeats,
    Rule,
    Text,
    files_of,
    located,
)
from .outcomes import OutcomeSpec, plain_bounds
from .parameters import Choices, Mixture, Molecules, Parameter, Written
from .reading import Document, Path_, path_text
from .rules import Ruled
from .steps import Stage, moved, read_phase, resolved
from .tables import read_table, rows_of

PHASES = ("setup", "each_batch", "trial", "cleanup", "teardown")


class Candidates(Model):
    """The only settings that may be proposed, as rows; none twice unless ``repeats``."""

    table: Any = None
    repeats: bool = False
    rows: Annotated[tuple[dict[str, Value], ...], WithJsonSchema({})] = Field(default=(), exclude=True)


class CampaignSpec(Ruled):
    """A campaign, read and checked. Fields are the keys of the file; see docs/yaml.md."""

    labloop: Literal[1] = 1
    campaign: Text = "campaign"
    title: Text = ""
    lab: Annotated[Path | None, WithJsonSchema({"type": "string"})] = None
    parameters: dict[str, Written] = {}
    constraints: Annotated[tuple[Expression, ...], WithJsonSchema({"type": "array", "items": {"type": "string"}})] = ()
    candidates: Annotated[
        Candidates | None,
        WithJsonSchema(
            {
                "anyOf": [
                    {"type": "string"},
                    {"type": "array", "items": {"type": "object"}},
                    {"type": "object", "properties": {"table": {}, "repeats": {"type": "boolean"}}},
                ]
            }
        ),
    ] = None
    outcomes: dict[str, OutcomeSpec] = {}
    setup: Phase = ()
    each_batch: Phase = ()
    trial: Phase = ()
    cleanup: Phase = ()
    teardown: Phase = ()
    every: tuple[Every, ...] = ()
    design: Design = Design()
    budget: Budget = Budget()
    cost: Condition | None = None
    stop_when: StopWhen = StopWhen()
    engine: dict[str, Any] = {}
    teaches: tuple[str, ...] = ()
    remeasure: Repeats = 1
    remake: Repeats = 1
    limits: Annotated[tuple[Limit, ...], WithJsonSchema({"anyOf": [{"type": "object"}, {"type": "array"}]})] = ()
    approval: Literal["human"] | None = None
    pause: Pause | None = None

    _document: Document = PrivateAttr(default_factory=lambda: Document({}))
    _files: Files = PrivateAttr(default_factory=lambda: Files(Path()))

    # --- what was read --------------------------------------------------------------------------------------------

    @property
    def folder(self) -> Path:
        """Where relative paths start."""
        return self._files.folder

    @property
    def source(self) -> str:
        """The exact text of the file (empty when it came from a dict)."""
        return self._document.text

    @property
    def files(self) -> dict[str, Path]:
        """Every file named, by the path as written."""
        return dict(self._files.named)

    def made_from(self, document: Document, files: Files) -> "CampaignSpec":
        """Remember the document and the files this was read from."""
        self._document, self._files = document, files
        return self

    def place(self, path: str | Path_, key: bool = False) -> str:
        """Say where a value (or its key) is written: ``file:line:column``; the path itself when it came from a dict."""
        if isinstance(path, str):
            texts = {path_text(known): known for known in self._document.values}
            path = texts.get(path, tuple(part for part in path.split(".") if part))
        return self._document.place(path, key) or path_text(path)

    def complaint(self, path: Path_, rule: str, key: bool = False) -> str:
        """Write a complaint about the value at ``path`` (or its key), as reading the file does."""
        return self._document.complaint(path, rule, key=key)

    def written(self, key: str) -> Any:
        """What stands at a key of the file, as it was written; None: nothing."""
        return self._document.value.get(key)

    def file(self, written: str) -> Path:
        """The file that a path as written means."""
        return self._files.named.get(written, self._files.folder / written)

    def target_of(self, outcome: str) -> Path | None:
        """The target file of an outcome, or None."""
        written = self.outcomes[outcome].target
        return None if written is None else self.file(written)

    def steps_of(self, phase: str) -> tuple[Stage, ...]:
        """The stages of a phase; ``every.0`` is the first entry of ``every``. Raises SpecError for an unknown one."""
        if phase.startswith("every.") and phase[6:].isdigit() and int(phase[6:]) < len(self.every):
            return self.every[int(phase[6:])].do
        if phase not in PHASES:
            raise SpecError(f"{phase} is no phase. Known here: {', '.join(PHASES)}, every.0")
        stages: tuple[Stage, ...] = getattr(self, phase)
        return stages

    def dump(self) -> dict[str, Any]:
        """The campaign as plain JSON values, tables written out: ``spec_from_dict`` makes the same of it anywhere."""
        plain = {key: value for key, value in self._document.value.items() if key not in ("parameters", "candidates")}
        plain["parameters"] = {name: self._dumped(name) for name in self.parameters}
        if self.candidates is not None:
            plain["candidates"] = {
                "table": [dict(row) for row in self.candidates.rows],
                "repeats": self.candidates.repeats,
            }
        if self.lab is not None:
            plain["lab"] = str(self.lab.resolve())
        if "outcomes" in plain:
            plain["outcomes"] = {name: self._dumped_outcome(name, one) for name, one in plain["outcomes"].items()}
        return plain

    def _dumped_outcome(self, name: str, written: dict[str, Any]) -> dict[str, Any]:
        plain = {key: plain_bounds(one) if key in ("window", "detects") else one for key, one in written.items()}
        path = self.target_of(name)
        return plain if path is None else {**plain, "target": str(path.resolve())}

    def _dumped(self, name: str) -> dict[str, Any]:
        written, parameter = dict(self._document.value["parameters"][name]), self.parameters[name]
        if isinstance(parameter, Choices):
            names = parameter.descriptors
            written["choices"] = [
                {"name": choice.value, **dict(zip(names, choice.descriptors, strict=True))} if names else choice.value
                for choice in parameter.choices
            ]
        elif isinstance(parameter, Molecules):
            written["molecules"] = [{"name": one.name, "smiles": one.smiles} for one in parameter.molecules]
        elif isinstance(parameter, Mixture):
            written["mixture"] = [one.written(parameter.descriptors) for one in parameter.components]
        return written

    # --- reading --------------------------------------------------------------------------------------------------

    @field_validator("labloop", mode="plain")
    @classmethod
    def _version(cls, raw: Any) -> int:
        if raw != 1 or isinstance(raw, bool):
            raise Rule("is a version of the file's grammar that is not known here. Write labloop: 1")
        return 1

    @field_validator("campaign")
    @classmethod
    def _name(cls, name: str) -> str:
        if not name or not all(c.isalnum() or c in "-_." for c in name) or not name[0].isalnum() or len(name) > 80:
            raise Rule("names folders too: use up to 80 letters, digits, - and _, a letter or digit first")
        return name

    @field_validator("lab", mode="plain")
    @classmethod
    def _lab(cls, raw: Any, info: ValidationInfo) -> Path | None:
        files = files_of(info)
        if files.lab is not None:
            return files.lab
        if raw is None:
            return None
        if not isinstance(raw, (str, Path)):
            raise Rule("must be the path of a lab file")
        return files.find(str(raw))

    @field_validator("parameters", "outcomes", mode="before")
    @classmethod
    def _names(cls, raw: Any) -> Any:
        if isinstance(raw, dict):
            faults = []
            for name in raw:
                try:
                    check_name(name if isinstance(name, str) else "")
                except Rule as rule:
                    faults.append(((str(name),), rule.message(), None))
            if faults:
                raise located(faults, "names")
        return raw

    @field_validator("constraints", mode="plain")
    @classmethod
    def _constraints(cls, raw: Any) -> tuple[Expression, ...]:
        if isinstance(raw, str) or not isinstance(raw, (list, tuple)):
            raise Rule("must be a list. Begin each with a dash: - a + b <= 95 percent")
        found, faults = [], []
        for at, one in enumerate(raw):
            try:
                if one is not CUT:
                    if not isinstance(one, str):
                        raise SpecError("must be a comparison, like a + b <= 95 percent")
                    found.append(parse_expression(one))
            except SpecError as error:
                faults.append(((at,), str(error), one))
        if faults:
            raise located(faults, "constraints")
        return tuple(found)

    @field_validator("candidates", mode="plain")
    @classmethod
    def _candidates(cls, raw: Any, info: ValidationInfo) -> Candidates | None:
        if raw is None:
            return None
        repeats = False
        if isinstance(raw, dict) and "table" in raw:
            unknown = [key for key in raw if key not in ("table", "repeats")]
            if unknown or not isinstance(raw.get("repeats", False), bool):
                raise Rule("knows the keys table and repeats (true or false)")
            repeats, raw = raw.get("repeats", False), raw["table"]
        if "parameters" not in info.data:
            return None
        try:
            rows = read_table(files_of(info).find(raw)) if isinstance(raw, str) else rows_of(raw)
            return Candidates(repeats=repeats, rows=candidate_rows(rows, flat_parameters(info.data["parameters"])))
        except SpecError as error:
            raise Rule(str(error)) from error

    @field_validator(*PHASES, mode="plain")
    @classmethod
    def _phase(cls, raw: Any, info: ValidationInfo) -> tuple[Stage, ...]:
        return read_phase(raw, (str(info.field_name),))

    @field_validator("every", mode="before")
    @classmethod
    def _every(cls, raw: Any) -> Any:
        return [one for one in raw if one is not CUT] if isinstance(raw, (list, tuple)) else raw

    @field_validator("limits", mode="plain")
    @classmethod
    def _limits(cls, raw: Any) -> tuple[Limit, ...]:
        return read_limits(raw, ("limits",))

    @model_validator(mode="after")
    def _filled(self) -> "CampaignSpec":
        if self.design.initial.trials == 0:
            count = min(max(2 * len(flat_parameters(self.parameters)), 5), 20)
            initial = self.design.initial.model_copy(update={"trials": count})
            self.__dict__["design"] = self.design.model_copy(update={"initial": initial})
        names = list(flat_parameters(self.parameters))
        for phase in PHASES:
            self.__dict__[phase] = resolved(getattr(self, phase), names)
        self.__dict__["every"] = tuple(
            every.model_copy(update={"do": moved(resolved(every.do, names), ("every", at))})
            for at, every in enumerate(self.every)
        )
        return self


def flat_parameters(written: Mapping[str, Parameter | Mixture]) -> dict[str, Parameter]:
    """Each parameter by the name that settings use; a mixture gives one of each component."""
    flat: dict[str, Parameter] = {}
    for name, parameter in written.items():
        if isinstance(parameter, Mixture):
            flat.update(dict.fromkeys(parameter.mixture, parameter.component()))
        else:
            flat[name] = parameter
    return flat
