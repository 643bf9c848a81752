"""Messages for pydantic's validation errors: ``spark.workers: must be at least 1, got 0``."""

from __future__ import annotations

import json
import re
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

from pio_tf.config.kinds import SecretReference
from pio_tf.config.problems import Mistakes, Problem, nearest_line
from pio_tf.config.schema import Config, block_class
from pio_tf.config.storage import SOURCE_TYPES
from pio_tf.secret_names import contains_secret_name

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from pydantic import BaseModel, ValidationError
    from pydantic_core import ErrorDetails

    from pio_tf.config.hcl_document import HclDocument

NO_SPOT = (
    "Spot instances are not supported: they cannot be stopped and started again with their disk and address, and AWS "
    "may reclaim one during a training. Remove this: machines are on demand, and while stopped, they cost only their "
    "disks"
)
_LOGIN_IN_URL = re.compile(r"//[^/\s]*@")
_LONGEST_VALUE = 60
_SOURCE_STEPS = 3
"""Length of the location of a source block: ``("source", "PGSQL", "jdbc")``."""
_STORAGE = ("elasticsearch", "hbase", "hdfs", "source", "repository")
_BACKEND_ARGUMENTS = ("terraform", "backend", "arguments")
_WAIVERS = ("guard", "waive")

_WORDS: dict[str, str] = {
    "string_type": "must be text in quotes",
    "int_type": "must be a whole number",
    "int_parsing": "must be a whole number",
    "int_from_float": "must be a whole number",
    "int_parsing_size": "must be a whole number of a sensible size",
    "finite_number": "must be a finite number",
    "float_type": "must be a number",
    "float_parsing": "must be a number",
    "bool_type": "must be true or false",
    "bool_parsing": "must be true or false",
    "list_type": 'must be a list, like ["a", "b"]',
    "dict_type": 'must be a map, like { key = "value" }',
    "model_type": "must be a block",
    "path_type": "must be the path of a file, in quotes",
}
_WORDS_WITH_DATA: dict[str, Callable[[dict[str, Any]], str]] = {
    "greater_than_equal": lambda data: f"must be at least {data['ge']}",
    "greater_than": lambda data: f"must be more than {data['gt']}",
    "less_than_equal": lambda data: f"must be at most {data['le']}",
    "too_short": lambda data: f"must have at least {data['min_length']} item{'' if data['min_length'] == 1 else 's'}",
    "literal_error": lambda data: f"must be one of {data['expected'].replace(chr(39), chr(34))}",
}


def translate(error: ValidationError, document: HclDocument) -> list[Problem]:
    """Return a validation error's details as problems with lines, without those that follow from an earlier problem."""
    problems: list[Problem] = []
    for detail in error.errors(include_url=False):
        raised = detail.get("ctx", {}).get("error")
        if isinstance(raised, Mistakes):
            # The rules between blocks say nothing reliable if one of these blocks could not be read.
            if not any(unread.split(".")[0] in _STORAGE for unread in document.unread):
                problems += [document.problem(name, message) for name, message in raised.mistakes]
            continue
        problem = _describe(detail, document)
        if problem is not None and problem not in problems:
            problems.append(problem)
    return problems


def unknown_name(name: str, valid: Iterable[str]) -> str:
    """Return ``unknown name, did you mean "workers"? Known here: …``."""
    known = sorted(valid)
    close = get_close_matches(name, known, n=1)
    suggestion = f', did you mean "{close[0]}"?' if close else "."
    return f"unknown name{suggestion} Known here: {', '.join(known)}"


def _describe(detail: ErrorDetails, document: HclDocument) -> Problem | None:
    """Return an error as a problem; None if an earlier problem explains it."""
    kind, location, value = detail["type"], detail["loc"], detail["input"]
    name = _dotted(location)
    if kind == "missing":
        what = "this block is required" if "." not in name else "is required, and this block does not have it"
        return None if name in document.unread else document.problem(name, what)
    if kind == "extra_forbidden":
        option = str(location[-1]).lower()
        if "spot" in option or "market" in option or (isinstance(value, str) and value.lower() == "spot"):
            return document.problem(name, NO_SPOT)
        model = _model_at(location[:-1])
        return document.problem(name, unknown_name(str(location[-1]), model.model_fields if model else ()))
    if isinstance(value, SecretReference):
        return document.problem(name, f"only a password can be {value}; write the value itself")
    if kind in ("union_tag_not_found", "union_tag_invalid"):
        return _about_a_type(detail, f"{name}.type", document)
    if kind in ("value_error", "assertion_error") and _model_at(location) is not None:
        return _about_a_block(detail, name, document)
    if location[:3] == _BACKEND_ARGUMENTS:  # pydantic reports each of the types that it may have; one is enough
        return document.problem(name, "must be text, a whole number, true or false, or a list or map of text")
    return document.problem(name, _words(detail) + _got(value, name, document))


def _about_a_type(detail: ErrorDetails, name: str, document: HclDocument) -> Problem | None:
    if name in document.unread:
        return None
    types = ", ".join(json.dumps(kind) for kind in SOURCE_TYPES)
    if detail["type"] == "union_tag_not_found":
        return document.problem(name, f"is required: one of {types}")
    return document.problem(name, f"must be one of {types}{_got(detail['input']['type'], name, document)}")


def _about_a_block(detail: ErrorDetails, name: str, document: HclDocument) -> Problem | None:
    """Place a rule between several values at the one before a colon (``cidr: must …``), else at the first mentioned."""
    prefix = f"{name}." if name else ""
    if any(unread.startswith(prefix) for unread in document.unread):
        return None  # one of the values could not be read, which is reported already
    message = _raised(detail)
    about, colon, rest = message.partition(": ")
    if colon and re.fullmatch(r"[a-z][A-Za-z0-9_.-]*", about):
        return document.problem(prefix + about, rest)
    mentioned = [word for word in re.findall(r"[a-z_]+", message) if prefix + word in document.lines]
    line = nearest_line(prefix + mentioned[0] if mentioned else name, document.lines)
    return Problem(line, name, message)


def _words(detail: ErrorDetails) -> str:
    kind = detail["type"]
    if kind == "value_error":
        return _raised(detail)
    if kind in _WORDS_WITH_DATA:
        return _WORDS_WITH_DATA[kind](detail.get("ctx", {}))
    return _WORDS.get(kind) or detail["msg"].replace("Input should be", "must be").rstrip(".")


def _raised(detail: ErrorDetails) -> str:
    return str(detail.get("ctx", {}).get("error", detail["msg"]))


def _got(value: object, name: str, document: HclDocument) -> str:
    if any(name == origin or origin.startswith(f"{name}.") for origin in document.from_environment):
        return " (the value comes from the environment, and is not shown)"
    shown = value if isinstance(value, str) else ""
    if contains_secret_name(name) or contains_secret_name(shown) or _LOGIN_IN_URL.search(shown):
        return " (the value is not shown)"
    return f", got {_show(value)}"


def _show(value: object) -> str:
    if isinstance(value, dict):
        return "a map"
    if isinstance(value, list):
        return "a list" if value else "an empty list"
    try:
        text = json.dumps(value, ensure_ascii=False)
    except (TypeError, ValueError):
        text = str(value)
    if not text.isprintable():  # a no-break space looks like a space
        text = "".join(c if c.isprintable() else json.dumps(c).strip('"') for c in text)
    return text if len(text) <= _LONGEST_VALUE else text[: _LONGEST_VALUE - 1] + "…"


def _dotted(location: tuple[int | str, ...]) -> str:
    """Return the name as the user wrote it, without pydantic's steps for keys, unions and the backend's map."""
    steps = [str(step) for step in location if step != "[key]"]
    if tuple(steps[:3]) == _BACKEND_ARGUMENTS:
        steps = ["terraform", "backend", *steps[3:4]]
    if steps[:3] == ["terraform", "backend", "type"]:
        steps = steps[:2]
    if steps[:1] == ["source"]:
        del steps[2:3]  # the type, which pydantic adds
    return ".".join(steps)


def _model_at(location: tuple[int | str, ...]) -> type[BaseModel] | None:
    if location[:1] == ("source",):
        return SOURCE_TYPES.get(str(location[2])) if len(location) == _SOURCE_STEPS else None
    model: type[BaseModel] | None = Config
    steps = (*location[:2], *location[3:]) if location[:2] == _WAIVERS else location  # without the label
    for step in steps:
        model = block_class(model, str(step)) if model is not None else None
    return model
