"""``pio-tf ssh | ui | host-keys``: access to the machines for users."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperCommand

from pio_tf.cli.ci_output import can_ask, in_ci
from pio_tf.cli.command import CommandCall, command
from pio_tf.errors import ConfigError, PioTfError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pio_tf.cluster.cluster import Cluster
    from pio_tf.remote.host_keys import HostKey
    from pio_tf.remote.ssh import ClusterConnection
    from pio_tf.remote.target import SshTarget
    from pio_tf.remote.tunnel import ForwardedPage, WebPage


class CommandAfterDashes(TyperCommand):
    """A command line on which all words after ``--`` are a command, even if no machine is named before it."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:  # noqa: ANN401 - which click depends on Typer's version
        """Keep the command from being taken for the machine."""
        dashes = args.index("--") if "--" in args else len(args)
        rest = super().parse_args(ctx, args[:dashes])
        ctx.params["command"] = [*(ctx.params["command"] or ()), *args[dashes + 1 :]]
        return rest


@command(json="", kind=CommandAfterDashes)
def ssh(
    call: CommandCall,
    machine: Annotated[str, typer.Argument(help="driver, master, worker-2, …, or an instance id.")] = "driver",
    command: Annotated[
        list[str] | None,
        typer.Argument(metavar="-- COMMAND", help="Run this command instead, in the user's shell, as ssh does."),
    ] = None,
) -> None:
    """Open a shell on a machine, or run a command there.

    The exit code is that of the shell or the command.
    """
    import asyncio

    from pio_tf.remote.shell import open_shell
    from pio_tf.remote.target import find_target
    from pio_tf.training.runs.driver_runs import renewing

    async def log_in() -> int:
        async with _connection(call, targets) as remote:
            connection = await remote.connection(name)
            call.output.pause()  # the shell needs the terminal for itself
            words = " ".join(command) if command else None
            stdin = sys.stdin.fileno() if sys.stdin else None
            async with renewing(remote):
                return await open_shell(connection, name, words, stdin=stdin, stdout=1, stderr=2)

    cluster = call.cluster
    targets = cluster.targets()
    name = find_target(targets, machine).name
    raise typer.Exit(asyncio.run(log_in()))


@command()
def ui(
    call: CommandCall,
    worker: Annotated[
        list[int] | None,
        typer.Option("--worker", metavar="N", help="Forward worker N's page too. May be repeated.", show_default=False),
    ] = None,
    no_browser: Annotated[bool, typer.Option("--no-browser", help="Only show the addresses.")] = False,
) -> None:
    """Forward Spark's web pages to this computer, until Ctrl-C.

    Forwards the master's page and that of the running application.
    """
    import asyncio

    from pio_tf.cli.results.access import PagesResult
    from pio_tf.remote.tunnel import serve_pages, spark_pages

    def show(pages: tuple[ForwardedPage, ...]) -> None:
        call.show(PagesResult.of(pages))
        sys.stdout.flush()  # a program that reads them from a pipe needs them now
        if not (call.json or no_browser or in_ci()):
            _open_browser(next((page for page in pages if page.page.name == "application"), pages[0]), pages[0])
        call.output.say("Ctrl-C ends it")

    async def serve(pages: tuple[WebPage, ...]) -> None:
        async with _connection(call, targets) as remote:
            await serve_pages(remote, pages, show, reporter=call.output.reporter)

    cluster = call.cluster
    targets = cluster.targets()
    pages = spark_pages(cluster.config, targets, _spark_settings(cluster), workers=worker or ())
    asyncio.run(serve(pages))


@command()
def host_keys(call: CommandCall) -> None:
    """List the pinned SSH host keys of the machines."""
    if call.context.invoked_subcommand is not None:
        call.context.obj = call.config
        return
    from pio_tf.cli.results.access import HostKeysResult
    from pio_tf.remote.known_hosts import KnownHosts
    from pio_tf.remote.target import known_hosts_file

    known = KnownHosts(known_hosts_file(call.cluster.config))
    names: dict[str, str] = {}
    if known.pins():
        try:
            names = {machine.instance_id: machine.name for machine in call.cluster.outputs().machines}
        except PioTfError:  # the keys are listed without Terraform, too
            names = {}
    call.show(HostKeysResult.of(known, names))


@command()
def accept(
    call: CommandCall,
    machine: Annotated[str, typer.Argument(help="driver, master, worker-2, …, an instance id, or bastion.")],
    fingerprint: Annotated[
        str | None,
        typer.Option("--fingerprint", metavar="SHA256:…", help="Accept this key, and no other, without asking."),
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Accept any key that it shows, without asking.")] = False,
) -> None:
    """Pin the host key that a machine shows now.

    It replaces the pinned key. pio-tf shows both, and asks.
    """
    import asyncio

    from pio_tf.cli.results.access import AcceptResult
    from pio_tf.remote.host_keys import accept_host_key
    from pio_tf.remote.target import find_target

    call.config = call.config or call.context.obj
    config, targets, output = call.cluster.config, call.cluster.targets(), call.output
    name = machine if machine == "bastion" else find_target(targets, machine).name

    async def read_host_key() -> HostKey:
        remote = _connection(call, targets)
        try:
            return await remote.read_host_key(name)
        finally:
            await remote.close()

    key = asyncio.run(read_host_key())
    shown = key.shown.fingerprint
    is_pinned = key.is_pinned and fingerprint in (None, shown)
    if is_pinned:
        output.done(f"{name} shows the key that is pinned: {shown}")
    else:
        output.ask(_key_lines(name, key))
        _confirm(name, key, fingerprint=fingerprint, yes=yes)
        accept_host_key(config, key)
        output.done(f"{name}: pinned {shown}")
    call.show(AcceptResult(machine=name, fingerprint=shown, changed=not is_pinned))


def _connection(call: CommandCall, targets: Sequence[SshTarget]) -> ClusterConnection:
    """Return a connection to these machines, which takes unknown host keys from their consoles."""
    from pio_tf.remote.ssh import ClusterConnection

    def console_keys(instance_id: str) -> tuple[str, ...]:
        from pio_tf.aws.session import Aws
        from pio_tf.machines.console import host_keys_from_console

        return host_keys_from_console(Aws(call.cluster.config).client("ec2"), instance_id)

    return ClusterConnection(
        call.cluster.config,
        targets,
        reporter=call.output.reporter,
        console_keys=console_keys,
        attended=can_ask(),
    )


def _spark_settings(cluster: Cluster) -> dict[str, str]:
    """Return Spark's settings of pio-tf.hcl: spark.conf, and ``--conf`` in train.spark_arguments, which wins."""
    from pio_tf.pio.command import read_arguments

    config = cluster.config
    options = read_arguments(config.train.spark_arguments, where=config.where("train.spark_arguments"))
    given = {name.removeprefix("--conf "): value for name, value in options.items() if name.startswith("--conf ")}
    return {**config.spark.conf, **{name: value for name, value in given.items() if value is not None}}


def _open_browser(*wanted: ForwardedPage) -> None:
    """Open the first of these pages that answers, in a browser with windows: one in the terminal would take it over."""
    import os
    import webbrowser

    has_windows = sys.platform == "darwin" or any(os.environ.get(n) for n in ("DISPLAY", "WAYLAND_DISPLAY", "BROWSER"))
    page = next((page for page in wanted if not page.silent_because), None)
    if page and has_windows:
        webbrowser.open(page.url)


def _key_lines(name: str, key: HostKey) -> list[str]:
    old = [f"{name} had: {pin.fingerprint} ({pin.key.get_algorithm()}, {pin.learned})" for pin in key.pinned]
    console = {
        True: "its console, as AWS has it, shows the same key",
        False: "NOT one of the keys on its console, as AWS has it",
        None: "AWS shows no keys on its console; on the machine: ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub",
    }[key.on_console]
    shown = f"it shows: {key.shown.fingerprint} ({key.shown.key.get_algorithm()}; {console})"
    return [*(old or [f"{name} has no pinned key"]), shown]


def _confirm(name: str, key: HostKey, *, fingerprint: str | None, yes: bool) -> None:
    """Raise ConfigError if the key is not accepted."""
    if fingerprint is not None:
        accepted, cause = fingerprint == key.shown.fingerprint, f"it shows another key than {fingerprint}"
    elif yes or can_ask():
        accepted, cause = yes or typer.confirm("Accept it?", default=False, err=True), "it was not confirmed"
    else:
        accepted, cause = False, "pio-tf cannot ask: this is a CI job, or standard input is no terminal"
    if not accepted:
        raise ConfigError(
            f"the host key of {name} was not accepted",
            cause=cause,
            next_step=f"compare it on the machine; then: pio-tf host-keys accept {name} --fingerprint FINGERPRINT",
        )
