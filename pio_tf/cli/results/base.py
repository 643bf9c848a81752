"""The parts that the results of all commands share."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Annotated, Any, ClassVar, Literal, NamedTuple, TypeAlias

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PlainSerializer, WithJsonSchema

Moment: TypeAlias = Annotated[
    datetime,
    PlainSerializer(lambda moment: moment.isoformat(), return_type=str),
    WithJsonSchema({"type": "string", "format": "date-time"}, mode="serialization"),
]
Number: TypeAlias = Annotated[int | float, WithJsonSchema({"type": "number"})]
"""A number that is written as it was given: 20, not 20.0."""
TextOrNone: TypeAlias = Annotated[str | None, BeforeValidator(lambda text: text or None)]
"""A text that the library leaves empty, and JSON null, if there is none."""

Shown: TypeAlias = str | Callable[[Any], object]
"""An attribute of an object, or a function of the object."""
Columns: TypeAlias = Mapping[str, Shown]
"""The values in a table's columns for one item, by their headings."""
Outputs: TypeAlias = Mapping[str, tuple[Shown, str]]
"""The outputs that a CI job makes from a result, by name, and their meanings."""


_GAP = 2
"""Blanks between two columns of a table."""
_NOTHING = "-"


class Table(NamedTuple):
    """A result as people read it."""

    columns: Sequence[str] = ()
    rows: Sequence[Sequence[str]] = ()
    wraps: bool = False
    """True if the last column is prose, which a terminal breaks to its width."""
    spare: Sequence[str] = ()
    """Columns that a terminal leaves out, in this order, if it is too narrow for all."""

    @property
    def width(self) -> int:
        """The columns of a terminal that it takes."""
        cells = zip(self.columns, *self.rows, strict=True)
        return sum(max(map(len, column)) + _GAP for column in cells) - _GAP

    def narrowed(self, width: int) -> Table:
        """Return the table for a terminal of a width: if need be, without columns that say nothing or little."""
        table = self
        empty = [name for name, *cells in zip(self.columns, *self.rows, strict=True) if set(cells) == {_NOTHING}]
        for name in dict.fromkeys((*empty, *self.spare)):
            if table.width <= width:
                break
            place = list(table.columns).index(name)
            rows = [[*row[:place], *row[place + 1 :]] for row in table.rows]
            table = table._replace(columns=[*table.columns[:place], *table.columns[place + 1 :]], rows=rows)
        return table


class ResultData(BaseModel):
    """A part of a result. It can be made of any object with attributes of the same names."""

    model_config = ConfigDict(
        frozen=True,
        from_attributes=True,
        json_schema_serialization_defaults_required=True,
        defer_build=True,  # a command uses one result of the many in its module
    )


class CommandResult(ResultData):
    """A command's result."""

    ROWS: ClassVar[str] = ""
    """The field whose items are the rows of the table; empty: there is no table."""
    COLUMNS: ClassVar[Columns] = {}
    SPARE: ClassVar[Sequence[str]] = ()
    """Columns that a narrow terminal leaves out, the least important first."""
    WRAPS: ClassVar[bool] = False
    """True if the last column is prose."""
    OUTPUTS: ClassVar[Outputs] = {}

    version: Literal[1] = Field(default=1, description="version of the schema")

    def table(self) -> Table:
        """Return the rows that people read."""
        items = getattr(self, self.ROWS) if self.ROWS else ()
        rows = [[_cell(item, show) for show in self.COLUMNS.values()] for item in items]
        return Table(tuple(self.COLUMNS), rows, self.WRAPS, self.SPARE)

    def closing(self) -> str:
        """Return the text below the table."""
        return ""

    def outputs(self) -> dict[str, object]:
        """Return what a CI job hands on to its next steps, by name: text, numbers, true and false."""
        return {name: _shown(self, show) for name, (show, _meaning) in self.OUTPUTS.items()}

    def markdown(self) -> str:
        """Return what a CI job's summary shows in place of the table; empty for the table."""
        return ""


def _shown(item: object, show: Shown) -> object:
    return getattr(item, show) if isinstance(show, str) else show(item)


def _cell(item: object, show: Shown) -> str:
    value = _shown(item, show)
    if isinstance(value, list | tuple):
        return ", ".join(value)
    return _NOTHING if value in (None, "") else str(value)


class ErrorData(ResultData):
    """The error of a command."""

    what: str = Field(description="what happened, in one sentence")
    cause: str = Field(description="why; empty if unknown")
    next_step: str = Field(description="what to do about it")
    exit_code: int = Field(description="see [exit codes](commands.md#exit-codes)")
    details: dict[str, Any] = Field(
        description="facts, as the error has them: machine, run, exit_status, file, problems, …"
    )


class ErrorResult(CommandResult):
    """The error of any command, on one line."""

    error: ErrorData
