"""JSON Schemas: made from the models, and knowing every key."""

import json
from typing import Any

from labloop.campaign.grammar import CampaignSpec
from labloop.campaign.lab_spec import LabSpec
from labloop.campaign.models import keys_of
from labloop.campaign.schema import campaign_schema, lab_schema


def references(schema: Any) -> set[str]:
    if isinstance(schema, dict):
        found = {schema["$ref"]} if isinstance(schema.get("$ref"), str) else set()
        return found.union(*(references(value) for value in schema.values()))
    return set().union(*(references(one) for one in schema)) if isinstance(schema, list) else set()


def test_the_schemas_are_json_and_whole() -> None:
    for schema, model in ((campaign_schema(), CampaignSpec), (lab_schema(), LabSpec)):
        text = json.dumps(schema)
        assert set(schema["properties"]) == set(keys_of(model))
        assert schema["additionalProperties"] is False
        for reference in references(schema):
            assert reference.removeprefix("#/$defs/") in schema["$defs"], reference
        assert "Stage" in schema["$defs"] and "<" not in "".join(schema["$defs"]) and len(text) > 1000


def test_phases_are_lists_of_stages() -> None:
    assert campaign_schema()["properties"]["trial"]["items"] == {"$ref": "#/$defs/Stage"}
    assert lab_schema()["properties"]["safe_state"]["items"] == {"$ref": "#/$defs/Stage"}
