"""The parts of a command's JSON that docs/pio-tf.schema.json does not describe."""

from __future__ import annotations

import copy
from functools import cache
from typing import TYPE_CHECKING, Any

from jsonschema import Draft202012Validator

from scripts.json_reference import json_schema

if TYPE_CHECKING:
    from pio_tf.cli.results.base import CommandResult


def mistakes(value: object, result: type[CommandResult]) -> list[str]:
    """Return each difference: a wrong type, a field that is missing, one that the schema does not know."""
    schema = {"$ref": f"#/$defs/{result.__name__}", "$defs": _closed_definitions()}
    return [f"{error.json_path}: {error.message}" for error in Draft202012Validator(schema).iter_errors(value)]


@cache
def _closed_definitions() -> dict[str, Any]:
    """Return the definitions of the schema, closed: as published, they let programs skip new fields."""
    definitions: dict[str, Any] = copy.deepcopy(json_schema()["$defs"])
    for definition in definitions.values():
        definition["additionalProperties"] = False
    return definitions
