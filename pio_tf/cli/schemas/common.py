"""What the JSON of every command has: its version, or an error."""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypedDict

Version = Annotated[Literal[1], "of the schema"]


class ErrorData(TypedDict):
    """What went wrong."""

    what: Annotated[str, "what happened, in one sentence"]
    cause: Annotated[str, "why; empty where it is not known"]
    next_step: Annotated[str, "what to do about it"]
    exit_code: Annotated[int, "see [exit codes](commands.md#exit-codes)"]
    details: Annotated[dict[str, Any], "facts, as the error has them: machine, run, exit_status, file, problems, …"]


class ErrorResult(TypedDict):
    """An error of any command, on one line."""

    version: Version
    error: ErrorData
