"""Says pydantic's findings in pio-tf's words: ``spark.workers: must be at least 1, got 0``."""

from __future__ import annotations

import json
import re
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

from pio_tf.config.kinds import SecretReference
from pio_tf.config.problems import Mistakes, Problem
from pio_tf.config.schema import Config, block_class
from pio_tf.config.storage import SOURCE_TYPES
from pio_tf.secret_names import contains_secret_name

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from pydantic import BaseModel, ValidationError
    from pydantic_core import ErrorDetails

    from pio_tf.config.hcl import Document

_SPOT = re.compile(r"spot|market", re.IGNORECASE)
NO_SPOT = (
    "there are no Spot machines: one cannot be stopped and started again with its disk and address, and AWS may take "
    "it away in the middle of a training. Leave this out: machines are on demand, and cost nothing but their disks "
    "while they are stopped"
)
_LOGIN_IN_URL = re.compile(r"//[^/\s]*@")
_LONGEST_VALUE = 60
_SOURCE_STEPS = 3
"""Of the location of a source block: ``("source", "PGSQL", "jdbc")``."""
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
    "too_short": lambda data: f"must have at least {_count(data['min_length'], 'item')}",
    "literal_error": lambda data: f"must be one of {data['expected'].replace(chr(39), chr(34))}",
}


def translate(error: ValidationError, document: Document) -> list[Problem]:
    """A validation error's findings as problems with lines, but for those that only follow from an earlier problem."""
    problems = []
    for found in error.errors(include_url=False):
        raised = found.get("ctx", {}).get("error")
        if isinstance(raised, Mistakes):
            problems += _between_blocks(raised, document)
            continue
        problem = _translate_one(found, document)
        if problem is not None and problem not in problems:
            problems.append(problem)
    return problems


def _between_blocks(raised: Mistakes, document: Document) -> list[Problem]:
    """The rules for sources and repositories; none of them where one of these could not be read."""
    if any(unread.split(".")[0] in _STORAGE for unread in document.unread):
        return []
    return [Problem(line_for(name, document), name, message) for name, message in raised.mistakes]


def line_for(name: str, document: Document) -> int | None:
    """The line of a dotted name, else of the nearest block around it."""
    while name and name not in document.lines:
        name = name.rpartition(".")[0]
    return document.lines.get(name)


def unknown_name(name: str, valid: Iterable[str]) -> str:
    """``unknown name, did you mean "workers"? Known here: …``."""
    known = sorted(valid)
    close = get_close_matches(name, known, n=1)
    suggestion = f', did you mean "{close[0]}"?' if close else "."
    return f"unknown name{suggestion} Known here: {', '.join(known)}"


def _translate_one(found: ErrorDetails, document: Document) -> Problem | None:
    kind, location = found["type"], found["loc"]
    name = _dotted(location)
    if kind == "missing":
        if name in document.unread:
            return None
        what = "this block is required" if "." not in name else "is required, and this block does not have it"
        return Problem(line_for(name, document), name, what)
    if kind == "extra_forbidden":
        if _SPOT.search(str(location[-1])) or (isinstance(found["input"], str) and found["input"].lower() == "spot"):
            return Problem(line_for(name, document), name, NO_SPOT)
        model = _model_at(location[:-1])
        return Problem(
            line_for(name, document), name, unknown_name(str(location[-1]), model.model_fields if model else ())
        )
    if isinstance(found["input"], SecretReference):
        message = f"only a password can be {found['input']}; write the value itself"
        return Problem(line_for(name, document), name, message)
    if kind in ("union_tag_not_found", "union_tag_invalid"):
        return _about_a_type(found, f"{name}.type", document)
    if kind in ("value_error", "assertion_error") and _model_at(location) is not None:
        return _about_a_block(found, name, document)
    if location[:3] == _BACKEND_ARGUMENTS:  # each of the types that it may have complains; one is enough
        message = "must be text, a whole number, true or false, or a list or map of text"
        return Problem(line_for(name, document), name, message)
    return Problem(line_for(name, document), name, _words(found) + _got(found["input"], name, document))


def _about_a_type(found: ErrorDetails, name: str, document: Document) -> Problem | None:
    if name in document.unread:
        return None
    types = ", ".join(json.dumps(kind) for kind in SOURCE_TYPES)
    if found["type"] == "union_tag_not_found":
        return Problem(line_for(name, document), name, f"is required: one of {types}")
    got = _got(found["input"]["type"], name, document)
    return Problem(line_for(name, document), name, f"must be one of {types}{got}")


def _about_a_block(found: ErrorDetails, name: str, document: Document) -> Problem | None:
    """A rule between several values: about the one named before a colon (``cidr: must …``), else the first named."""
    prefix = f"{name}." if name else ""
    if any(unread.startswith(prefix) for unread in document.unread):
        return None  # one of the values could not be read, which is reported already
    message = _raised(found)
    about, colon, rest = message.partition(": ")
    if colon and re.fullmatch(r"[a-z0-9_.]+", about):
        return Problem(line_for(prefix + about, document), prefix + about, rest)
    mentioned = [word for word in re.findall(r"[a-z_]+", message) if prefix + word in document.lines]
    return Problem(line_for(prefix + mentioned[0] if mentioned else name, document), name, message)


def _words(found: ErrorDetails) -> str:
    kind = found["type"]
    if kind == "value_error":
        return _raised(found)
    if kind in _WORDS_WITH_DATA:
        return _WORDS_WITH_DATA[kind](found.get("ctx", {}))
    return _WORDS.get(kind) or found["msg"].replace("Input should be", "must be").rstrip(".")


def _raised(found: ErrorDetails) -> str:
    return str(found.get("ctx", {}).get("error", found["msg"]))


def _count(number: int, thing: str) -> str:
    return f"{number} {thing}" if number == 1 else f"{number} {thing}s"


def _got(value: object, name: str, document: Document) -> str:
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
    return text if len(text) <= _LONGEST_VALUE else text[: _LONGEST_VALUE - 1] + "…"


def _dotted(location: tuple[int | str, ...]) -> str:
    """The name as the user wrote it: without the steps that pydantic adds for keys, unions and the backend's map."""
    steps = [str(step) for step in location if step != "[key]"]
    if tuple(steps[:3]) == _BACKEND_ARGUMENTS:
        steps = ["terraform", "backend", *steps[3:4]]
    if steps[:3] == ["terraform", "backend", "type"]:
        steps = steps[:2]
    if steps[:1] == ["source"]:
        del steps[2:3]  # the type, by which pydantic chose the block
    return ".".join(steps)


def _model_at(location: tuple[int | str, ...]) -> type[BaseModel] | None:
    if location[:1] == ("source",):
        return SOURCE_TYPES.get(str(location[2])) if len(location) == _SOURCE_STEPS else None
    model: type[BaseModel] | None = Config
    steps = (*location[:2], *location[3:]) if location[:2] == _WAIVERS else location  # without the label
    for step in steps:
        model = block_class(model, str(step)) if model is not None else None
    return model
