"""JSON Schemas of the files that a user writes, for editors: study files and suites."""

from __future__ import annotations

from typing import Any

from crushtest.registry import TASKS
from crushtest.study.spec import StudySpec
from crushtest.study.suites import WORDS, suites

DIALECT = "https://json-schema.org/draft/2020-12/schema"
NAMES = {"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]}


def study_schema() -> dict[str, Any]:
    """Return the JSON Schema of a study file, with the short forms that it allows and every task's options."""
    schema = StudySpec.model_json_schema()
    parts = schema["$defs"]
    parts["ArmSpec"]["properties"]["against"] = NAMES
    parts["NoiseFloorSpec"]["properties"]["arms"] = NAMES
    keys = schema["properties"]
    recipe = {
        "type": "string",
        "description": "A recipe, such as wanda:sparsity=0.5. Values with commas make an arm each",
    }
    keys["arms"]["items"] = {"anyOf": [recipe, {"$ref": "#/$defs/ArmSpec"}]}
    keys["noise_floor"] = {"anyOf": [{"type": "integer", "minimum": 0}, {"$ref": "#/$defs/NoiseFloorSpec"}]}
    carried = [{"const": suite.name, "description": suite.summary} for suite in suites().values()]
    other = {"type": "string", "description": "A suite file, or names of tasks joined by commas"}
    keys["suite"] = {"default": "quick", "anyOf": [*carried, other, {"$ref": "#/$defs/tasks"}]}
    return {"$schema": DIALECT, **schema, "title": "A study file of crushtest", "$defs": {**parts, **_tasks()}}


def suite_schema() -> dict[str, Any]:
    """Return the JSON Schema of a suite file: a list of tasks, or such a list with words about it."""
    tasks = {"$ref": "#/$defs/tasks"}
    whole = {
        "type": "object",
        "properties": {**{key: {"type": "string"} for key in WORDS}, "tasks": tasks},
        "required": ["tasks"],
        "additionalProperties": False,
    }
    return {"$schema": DIALECT, "title": "A suite file of crushtest", "anyOf": [whole, tasks], "$defs": _tasks()}


def _tasks() -> dict[str, Any]:
    """Return the definition of a list of tasks, each a name or a name with its options."""
    described = [task.describe() for task in TASKS]
    name = {"anyOf": [{"const": task["name"], "description": task["summary"]} for task in described]}
    limit = {"type": "integer", "minimum": 1, "description": "How many items, sampled and spread over the groups"}
    with_options = {
        "type": "object",
        "minProperties": 1,
        "maxProperties": 1,
        "additionalProperties": False,
        "properties": {
            task["name"]: {
                "description": task["summary"],
                "type": ["object", "null"],
                "additionalProperties": False,
                "properties": {**task["options"], "limit": limit},
            }
            for task in described
        },
    }
    return {"tasks": {"type": "array", "minItems": 1, "items": {"anyOf": [name, with_options]}}}
