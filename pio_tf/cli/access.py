"""``pio-tf ssh | ui | host-keys``: the machines themselves, for people."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated, Any, Optional

import typer
from typer.core import TyperCommand

from pio_tf.cli.app import app
from pio_tf.cli.options import ConfigOption, JsonOption

if TYPE_CHECKING:
    from pio_tf.cli.output import Rows
    from pio_tf.cli.schemas.access import AcceptResult
    from pio_tf.cluster import Cluster
    from pio_tf.remote.host_keys import ConsoleKeys, HostKey
    from pio_tf.remote.tunnel import ForwardedPage, WebPage

host_keys_app = typer.Typer(
    help="The machines' SSH host keys, as they are pinned here: without a command, lists them.",
    invoke_without_command=True,
)
app.add_typer(host_keys_app, name="host-keys")


class CommandAfterDashes(TyperCommand):
    """What stands after ``--`` is the command, also where no machine is named before it."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:  # noqa: ANN401 - whose it is depends on Typer's version
        """Keep the command from being taken for the machine."""
        dashes = args.index("--") if "--" in args else len(args)
        rest = super().parse_args(ctx, args[:dashes])
        ctx.params["command"] = [*(ctx.params["command"] or ()), *args[dashes + 1 :]]
        return rest


@app.command(cls=CommandAfterDashes)
def ssh(
    machine: Annotated[str, typer.Argument(help="driver, master, worker-2, …, or an instance id.")] = "driver",
    command: Annotated[
        Optional[list[str]],  # noqa: UP045 - evaluated by Typer on Python 3.10 too
        typer.Argument(metavar="-- COMMAND", help="Run this there instead, in the user's shell, as ssh does."),
    ] = None,
    config: ConfigOption = None,
) -> None:
    """Open a shell on a machine, or run a command there. The exit code is the shell's or the command's."""
    import asyncio

    from pio_tf.cli.output import Terminal
    from pio_tf.cluster import Cluster
    from pio_tf.remote.shell import open_shell
    from pio_tf.remote.ssh import connect_cluster
    from pio_tf.remote.target import find_target

    async def log_in() -> int:
        async with connect_cluster(
            cluster.config, targets, reporter=terminal.reporter, console_keys=_console_keys(cluster)
        ) as remote:
            with terminal:  # its live display has to be gone before the shell comes
                connection = await remote.connection(name)
            words = " ".join(command) if command else None
            stdin = sys.stdin.fileno() if sys.stdin else None
            return await open_shell(connection, name, words, stdin=stdin, stdout=1, stderr=2)

    with Terminal() as terminal:
        cluster = Cluster.load(config, reporter=terminal.reporter)
        targets = cluster.targets()
        name = find_target(targets, machine).name
        status = asyncio.run(log_in())
    raise typer.Exit(status)


@app.command()
def ui(
    worker: Annotated[
        Optional[list[int]],  # noqa: UP045 - evaluated by Typer on Python 3.10 too
        typer.Option("--worker", metavar="N", help="Also the page of worker N; may be repeated.", show_default=False),
    ] = None,
    no_browser: Annotated[bool, typer.Option("--no-browser", help="Only show the addresses.")] = False,
    json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """Bring Spark's web pages to this computer, until Ctrl-C: the master's, and the running application's."""
    import asyncio

    from pio_tf.cli.output import Terminal
    from pio_tf.cli.surroundings import in_ci
    from pio_tf.cluster import Cluster
    from pio_tf.remote.ssh import connect_cluster
    from pio_tf.remote.tunnel import serve_pages, spark_pages

    def show(pages: tuple[ForwardedPage, ...]) -> None:
        terminal.result(_page_rows(pages))
        sys.stdout.flush()  # who reads them from a pipe needs them now
        if not (json or no_browser or in_ci()):
            _open_browser(next((page for page in pages if page.page.name == "application"), pages[0]), pages[0])
        terminal.say("Ctrl-C ends it")

    async def serve(pages: tuple[WebPage, ...]) -> None:
        async with connect_cluster(
            cluster.config, targets, reporter=terminal.reporter, console_keys=_console_keys(cluster)
        ) as remote:
            await serve_pages(remote, pages, show, reporter=terminal.reporter)

    with Terminal(json=json) as terminal:
        cluster = Cluster.load(config, reporter=terminal.reporter)
        targets = cluster.targets()
        pages = spark_pages(cluster.config, targets, _spark_settings(cluster), workers=worker or ())
        asyncio.run(serve(pages))


@host_keys_app.callback()
def host_keys(ctx: typer.Context, json: JsonOption = False, config: ConfigOption = None) -> None:
    """The machines' SSH host keys, as they are pinned here: without a command, lists them."""
    from pio_tf.cli.output import Terminal
    from pio_tf.cluster import Cluster

    if ctx.invoked_subcommand is not None:
        ctx.obj = config
        return
    with Terminal(json=json) as terminal:
        terminal.result(_pin_rows(Cluster.load(config, reporter=terminal.reporter)))


@host_keys_app.command("accept")
def accept(
    ctx: typer.Context,
    machine: Annotated[str, typer.Argument(help="driver, master, worker-2, …, an instance id, or bastion.")],
    fingerprint: Annotated[
        Optional[str],  # noqa: UP045 - evaluated by Typer on Python 3.10 too
        typer.Option("--fingerprint", metavar="SHA256:…", help="Accept this key, and no other, without asking."),
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Accept whichever key it shows, without asking.")] = False,
    json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """Pin the host key that a machine shows now, in place of the old one. Shows both, and asks."""
    import asyncio

    from pio_tf.cli.output import Terminal
    from pio_tf.cluster import Cluster
    from pio_tf.remote.host_keys import accept_host_key
    from pio_tf.remote.ssh import look_at_host_key
    from pio_tf.remote.target import find_target

    with Terminal(json=json) as terminal:
        cluster = Cluster.load(config or ctx.obj, reporter=terminal.reporter)
        targets = cluster.targets()
        name = machine if machine == "bastion" else find_target(targets, machine).name
        key = asyncio.run(
            look_at_host_key(
                cluster.config, targets, name, reporter=terminal.reporter, console_keys=_console_keys(cluster)
            )
        )
        terminal.pause()  # what is live has to be gone before a question comes
        if key.is_pinned and fingerprint in (None, key.shown.fingerprint):
            terminal.done(f"{name} shows the key that is pinned: {key.shown.fingerprint}")
            terminal.result(_accept_rows(name, key, changed=False))
            return
        for line in _key_lines(name, key):
            terminal.say(line)
        _confirm(name, key, fingerprint=fingerprint, yes=yes)
        accept_host_key(cluster.config, key)
        terminal.done(f"{name}: pinned {key.shown.fingerprint}")
        terminal.result(_accept_rows(name, key, changed=True))


def _console_keys(cluster: Cluster) -> ConsoleKeys:
    """Asks AWS only if it comes to that."""

    def ask(instance_id: str) -> tuple[str, ...]:
        from pio_tf.aws.session import Aws
        from pio_tf.machines.console import host_keys_from_console

        return host_keys_from_console(Aws(cluster.config).client("ec2"), (instance_id,))[instance_id]

    return ask


def _spark_settings(cluster: Cluster) -> dict[str, str]:
    """Those that pio-tf.hcl asks for: spark.conf, and ``--conf`` in train.spark_arguments, which wins."""
    from pio_tf.pio.spark_arguments import read_arguments

    config = cluster.config
    options = read_arguments(config.train.spark_arguments, where=config.where("train.spark_arguments"))
    given = {name.removeprefix("--conf "): value for name, value in options.items() if name.startswith("--conf ")}
    return {**config.spark.conf, **{name: value for name, value in given.items() if value is not None}}


def _page_rows(pages: tuple[ForwardedPage, ...]) -> Rows:
    from pio_tf.cli.output import Rows

    return Rows(
        columns=("PAGE", "ADDRESS HERE", "LEADS TO", "NOW"),
        rows=tuple(
            (
                one.page.name,
                one.url,
                f"{one.page.host}:{one.page.port}",
                f"does not answer yet: {one.silent_because}" if one.silent_because else "answers",
            )
            for one in pages
        ),
        data={
            "version": 1,
            "pages": [
                {
                    "name": one.page.name,
                    "url": one.url,
                    "host": one.page.host,
                    "port": one.page.port,
                    "answers": not one.silent_because,
                }
                for one in pages
            ],
        },
    )


def _open_browser(*wanted: ForwardedPage) -> None:
    """The first of these pages that answers, where there is a browser with a window of its own: one that runs in the
    terminal would take it over."""
    import os
    import webbrowser

    has_windows = sys.platform == "darwin" or any(os.environ.get(n) for n in ("DISPLAY", "WAYLAND_DISPLAY", "BROWSER"))
    page = next((page for page in wanted if not page.silent_because), None)
    if page and has_windows:
        webbrowser.open(page.url)


def _pin_rows(cluster: Cluster) -> Rows:
    from pio_tf.cli.output import Rows
    from pio_tf.errors import PioTfError
    from pio_tf.remote.known_hosts import KnownHosts
    from pio_tf.remote.target import known_hosts_file

    file = known_hosts_file(cluster.config)
    pins = KnownHosts(file).pins()
    names: dict[str, str] = {}
    if pins:
        try:
            names = {machine.instance_id: machine.name for machine in cluster.outputs().machines}
        except PioTfError:  # the keys are listed without Terraform, too
            names = {}
    data = [
        {
            "machine": "bastion" if pin.name.startswith("[") else names.get(pin.name),
            "id": pin.name,
            "type": pin.key.get_algorithm(),
            "fingerprint": pin.fingerprint,
            "learned": pin.learned,
        }
        for pin in pins
    ]
    return Rows(
        columns=("MACHINE", "ID", "TYPE", "FINGERPRINT", "LEARNED BY"),
        rows=tuple(tuple(value or "-" for value in row.values()) for row in data),
        data={"version": 1, "file": str(file), "host_keys": data},
        closing="" if data else "no host keys are pinned yet: the first connection to a machine pins its key",
    )


def _accept_rows(name: str, key: HostKey, *, changed: bool) -> Rows:
    from pio_tf.cli.output import Rows

    data: AcceptResult = {"version": 1, "machine": name, "fingerprint": key.shown.fingerprint, "changed": changed}
    return Rows((), (), data)


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
    """Raises ConfigError where the key is not accepted."""
    from pio_tf.cli.surroundings import can_ask
    from pio_tf.errors import ConfigError

    if fingerprint is not None:
        accepted, cause = fingerprint == key.shown.fingerprint, f"it shows another key than {fingerprint}"
    elif yes or can_ask():
        accepted, cause = yes or typer.confirm("Accept it?", default=False, err=True), "it was not confirmed"
    else:
        accepted, cause = False, "nobody can be asked: this is a CI job, or standard input is no terminal"
    if not accepted:
        raise ConfigError(
            f"the host key of {name} was not accepted",
            cause=cause,
            next_step=f"compare it on the machine; then: pio-tf host-keys accept {name} --fingerprint FINGERPRINT",
        )
