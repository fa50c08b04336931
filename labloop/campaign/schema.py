"""JSON Schemas of both files, for editors: made from the models that read them."""

from typing import Any

from .grammar import CampaignSpec
from .lab_spec import LabSpec
from .steps import INTERRUPTED

_DIALECT = "https://json-schema.org/draft/2020-12/schema"
_SETTINGS: dict[str, Any] = {
    "type": ["object", "null"],
    "description": "settings: a quantity, a word, true or false, or an expression over $parameters",
    "properties": {"save_as": {"type": "string"}},
}
_STEP: dict[str, Any] = {
    "anyOf": [
        {"type": "string", "pattern": r"^[^.]+\.[^.]+$"},
        {"type": "object", "patternProperties": {r"^[^.]+\.[^.]+$": _SETTINGS}},
    ]
}
_STAGE: dict[str, Any] = {
    "description": "instrument.action: {setting: value}, or together: [...]",
    "anyOf": [
        {"type": "string", "pattern": r"^[^.]+\.[^.]+$"},
        {
            "type": "object",
            "properties": {
                "together": {"type": "array", "items": {"$ref": "#/$defs/Step"}},
                "if_interrupted": {"enum": list(INTERRUPTED)},
                "start_within": {"type": "string"},
                "save_as": {"type": "string"},
                "when": {"type": "string"},
            },
            "patternProperties": {r"^[^.]+\.[^.]+$": _SETTINGS},
            "additionalProperties": False,
        },
    ],
}


def campaign_schema() -> dict[str, Any]:
    """The JSON Schema of a campaign file."""
    return _schema(CampaignSpec, "A labloop campaign", ["campaign", "parameters", "outcomes"])


def lab_schema() -> dict[str, Any]:
    """The JSON Schema of a lab file."""
    return _schema(LabSpec, "A labloop lab", ["instruments"])


def _schema(model: type[CampaignSpec] | type[LabSpec], title: str, required: list[str]) -> dict[str, Any]:
    schema = model.model_json_schema(by_alias=True, mode="validation")
    schema = _with_stages(schema)
    schema.setdefault("$defs", {}).update({"Stage": _STAGE, "Step": _STEP})
    return {"$schema": _DIALECT, **schema, "title": title, "required": required}


def _with_stages(schema: Any) -> Any:
    """Refer to the stage wherever a phase stands."""
    if isinstance(schema, dict):
        if schema == {"title": "Stage"}:
            return {"$ref": "#/$defs/Stage"}
        return {key: _with_stages(value) for key, value in schema.items()}
    return [_with_stages(one) for one in schema] if isinstance(schema, list) else schema
