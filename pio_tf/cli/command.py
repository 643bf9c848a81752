"""A command: a function, the options that every command has, and its group in the help."""

from __future__ import annotations

import functools
import inspect
from collections import UserDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Concatenate, ParamSpec

import typer
from msgspec import Struct
from typer.core import TyperCommand, TyperGroup

if TYPE_CHECKING:
    from pio_tf.cli.output import Output
    from pio_tf.cli.results.base import CommandResult
    from pio_tf.cluster.cluster import Cluster

P = ParamSpec("P")
_CONFIG = Annotated[
    Path | None,
    typer.Option("--config", "-c", envvar="PIO_TF_CONFIG", help="Configuration file.", show_default="pio-tf.hcl"),
]
COMMON: Mapping[str, Any] = {
    "verbose": Annotated[bool, typer.Option("--verbose", "-v", help="Show more: AWS calls, and what Terraform reads.")],
    "quiet": Annotated[bool, typer.Option("--quiet", "-q", help="Show results, warnings and errors only.")],
    "debug": Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")],
}
"""Options of every command."""


@dataclass
class CommandCall:
    """One call of a command: its options, its output, its cluster.

    Args:
        config: the file of ``--config``; None: pio-tf.hcl.
        json: whether the result is written as JSON.
    """

    context: typer.Context
    output: Output
    config: Path | None
    json: bool

    @functools.cached_property
    def cluster(self) -> Cluster:
        """The cluster of pio-tf.hcl, which reports its progress to the output."""
        from pio_tf.cli.ci_output import can_ask
        from pio_tf.cluster.cluster import Cluster

        return Cluster.load(self.config, reporter=self.output.reporter, attended=can_ask(), in_blocks=True)

    def show(self, result: CommandResult) -> None:
        """Write the result."""
        self.output.result(result)


class CommandSpec(Struct, frozen=True):
    """A command of pio-tf. Its help is the function's docstring.

    Args:
        config: whether it has ``--config``.
        json: help of ``--json``; empty: it has none.
        kind: how it reads its command line.
    """

    function: Callable[..., None]
    name: str
    config: bool
    json: str
    kind: type[TyperCommand]

    @property
    def summary(self) -> str:
        """The first line of its help."""
        return (self.function.__doc__ or "").split("\n")[0]

    def callback(self) -> Callable[..., None]:
        """Return the function that Typer calls, with the options that commands have in common."""
        function = self.function
        _call, *own = inspect.signature(function, eval_str=True).parameters.values()
        shared: dict[str, Any] = {}
        if self.json:
            shared["json"] = Annotated[bool, typer.Option("--json", help=self.json)]
        if self.config:
            shared["config"] = _CONFIG
        shared |= COMMON

        @functools.wraps(function)
        def callback(context: typer.Context, **options: Any) -> None:  # noqa: ANN401 - as the command line has them
            given: Any = {name: options.pop(name, None) for name in ("json", "config", *COMMON)}
            with _output(context.command_path, **given) as output:
                function(CommandCall(context, output, given["config"], bool(given["json"])), **options)

        keyword = inspect.Parameter.KEYWORD_ONLY
        parameters = [
            inspect.Parameter("context", keyword, annotation=typer.Context),
            *(parameter.replace(kind=keyword) for parameter in own),
            *(
                inspect.Parameter(name, keyword, default=None if name == "config" else False, annotation=kind)
                for name, kind in shared.items()
            ),
        ]
        callback.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        callback.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
        return callback

    def build(self) -> Any:  # noqa: ANN401 - a click command; which click depends on Typer's version
        """Return the command as click knows it."""
        alone = typer.Typer(rich_markup_mode=None, add_completion=False)
        alone.command(self.name, cls=self.kind)(self.callback())
        return typer.main.get_command(alone)


class GroupSpec(Struct, frozen=True):
    """Commands below one name: ``pio-tf sandbox start``.

    Args:
        command: what the name does alone; None: it shows the group's help.
    """

    name: str
    summary: str
    commands: Sequence[CommandSpec]
    command: CommandSpec | None = None

    def build(self) -> Any:  # noqa: ANN401 - as above
        """Return the group as click knows it."""
        app = typer.Typer(
            name=self.name,
            help=self.summary,
            cls=group_class({"Commands": self.commands}),
            no_args_is_help=self.command is None,
            invoke_without_command=self.command is not None,
            callback=self.command.callback() if self.command else (lambda: None),
            rich_markup_mode=None,
            add_completion=False,
        )
        return typer.main.get_command(app)


def command(
    *,
    name: str = "",
    config: bool = True,
    json: str = "Write the result as JSON on standard output.",
    kind: type[TyperCommand] = TyperCommand,
) -> Callable[[Callable[Concatenate[CommandCall, P], None]], CommandSpec]:
    """Make a command of a function, of whose name it takes its own. See :class:`CommandSpec` for the arguments."""
    return lambda function: CommandSpec(function, name or function.__name__.replace("_", "-"), config, json, kind)


class _Commands(UserDict[str, Any]):
    """Commands by name. Each is built when it is first used, for that is most of the time that ``--help`` takes."""

    def __getitem__(self, name: str) -> Any:  # noqa: ANN401 - as above
        entry = self.data[name]
        if isinstance(entry, CommandSpec | GroupSpec):
            entry = self.data[name] = entry.build()
        return entry


def group_class(sections: Mapping[str, Sequence[CommandSpec | GroupSpec]]) -> type[TyperGroup]:
    """Return a class of groups that hold these commands, and list them under these headings."""

    class Sections(TyperGroup):
        def __init__(self, **settings: Any) -> None:  # noqa: ANN401 - Typer's
            super().__init__(**settings)
            self.commands = _Commands({entry.name: entry for entries in sections.values() for entry in entries})

        def list_commands(self, ctx: Any) -> list[str]:  # noqa: ANN401, ARG002 - click's
            return list(self.commands)

        def format_options(self, ctx: Any, formatter: Any) -> None:  # noqa: ANN401 - click's
            """Write each command with the whole first line of its help, which click would cut; then the options."""
            for heading, entries in sections.items():
                with formatter.section(heading):
                    formatter.write_dl([(entry.name, entry.summary) for entry in entries])
            super().format_options(ctx, formatter)

        def format_commands(self, ctx: Any, formatter: Any) -> None:  # noqa: ANN401 - click's
            """Write nothing: the sections of commands precede the options."""

    return Sections


def _output(name: str, *, json: bool, verbose: bool, quiet: bool, **_others: object) -> Output:
    from pio_tf.cli.output import Output, Verbosity
    from pio_tf.errors import ConfigError

    if verbose and quiet:
        raise ConfigError("--verbose and --quiet contradict each other", next_step="leave one of them out")
    verbosity = Verbosity.VERBOSE if verbose else Verbosity.QUIET if quiet else Verbosity.NORMAL
    return Output(json=json, verbosity=verbosity, command=name)
