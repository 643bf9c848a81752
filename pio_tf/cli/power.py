"""``pio-tf up | down | extend | resize | list | status``: start, stop, change and show the machines."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Annotated

import typer

from pio_tf.cli.ci_output import can_ask
from pio_tf.cli.command import CommandCall, command
from pio_tf.cli.options import ForOption, NoDeadlineOption, parse_for, parse_runtime, parse_wait
from pio_tf.errors import ConfigError

if TYPE_CHECKING:
    from pio_tf.cluster.cluster import Cluster
    from pio_tf.infra.plan import Plan


@command()
def up(
    call: CommandCall,
    for_: ForOption = None,
    no_deadline: NoDeadlineOption = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Create machines without asking.")] = False,
) -> None:
    """Start the machines and wait for Spark's workers.

    Creates what is missing. It shows the new machines and the cost per hour before, and asks at a terminal. AWS stops
    the machines at their deadline, whatever happens to this computer. pio-tf sets the deadline before it starts a
    machine.
    """
    from pio_tf.cli.results.machines import MachinesResult

    duration = parse_for(for_, no_deadline=no_deadline)

    def agree(plan: Plan) -> None:
        from pio_tf.cli.creation import creation_lines

        lines = creation_lines(call.cluster.config, plan)
        asks = not yes and can_ask()
        for line in lines if not asks else ():
            call.output.say(line)
        if asks:
            call.output.ask(lines)
            if not typer.confirm("Create them?", err=True):
                raise ConfigError(
                    "no machine was created", cause="the creation was not confirmed", next_step="pio-tf up --yes"
                )

    machines = call.cluster.up(duration=duration, deadline=not no_deadline, agree=agree)
    call.show(MachinesResult.model_validate({"machines": machines, "deadline": call.cluster.armed}))


@command()
def extend(
    call: CommandCall,
    duration: Annotated[str, typer.Argument(metavar="DURATION", help="Time from now, such as 90m or 2h.")],
) -> None:
    """Keep the machines running for DURATION from now.

    Sets their deadline, which is never shortened.
    """
    from pio_tf.cli.results.machines import ExtendResult

    seconds = parse_runtime("DURATION", duration)
    call.show(ExtendResult.model_validate(call.cluster.extend(seconds)))


@command()
def down(
    call: CommandCall,
    force: Annotated[
        bool,
        typer.Option("--force", help="End an active run, and stop the machines even if the driver does not answer."),
    ] = False,
    if_idle: Annotated[
        bool, typer.Option("--if-idle", help="Stop only if no run is active. If one is, exit with 0.")
    ] = False,
    idle_for: Annotated[
        str | None,
        typer.Option(
            metavar="DURATION",
            help="With --if-idle: wait this long after the last start and the last run's end.",
            show_default="30m",
        ),
    ] = None,
) -> None:
    """Stop all machines and wait until AWS confirms it.

    Addresses, disks and software stay. Refused while a run is active.
    """
    from pio_tf.cli.results.machines import MachinesResult
    from pio_tf.cluster.defaults import IDLE_FOR

    if if_idle and force:
        raise ConfigError("--if-idle and --force contradict each other", next_step="pio-tf down --if-idle")
    if idle_for is not None and not if_idle:
        raise ConfigError("--idle-for goes with --if-idle", next_step=f"pio-tf down --if-idle --idle-for {idle_for}")
    seconds = IDLE_FOR if idle_for is None else parse_wait("--idle-for", idle_for)
    machines = call.cluster.down_if_idle(idle_for=seconds) if if_idle else call.cluster.down(force=force)
    call.show(MachinesResult.model_validate({"machines": machines, "deadline": None}))


@command()
def resize(
    call: CommandCall,
    machine: Annotated[str, typer.Argument(help="driver, master, worker-2, …, or workers for all of them.")],
    instance_type: Annotated[
        str, typer.Argument(metavar="TYPE", help="One of instance_types in pio-tf.hcl, such as r5.2xlarge.")
    ],
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Change the type without asking.")] = False,
) -> None:
    """Change the instance type of stopped machines.

    Shows memory, cores and price before and after, and asks. Disks and addresses stay. Refused while a run is active.
    """
    from pio_tf.cli.results.resize import ResizeResult
    from pio_tf.infra.cost import price_note

    planned = ResizeResult.of(call.cluster.plan_resize(machine, instance_type))
    if planned.machines:
        call.output.ask([*map(str, planned.machines), price_note(call.cluster.config)])
        if not (yes or (can_ask() and typer.confirm("Change the type?", err=True))):
            raise ConfigError(
                "no type was changed",
                cause="the change was not confirmed",
                next_step=f"pio-tf resize {machine} {instance_type} --yes",
            )
        planned = ResizeResult.of(call.cluster.resize(machine, instance_type))
    call.show(planned)


@command(name="list")
def list_(
    call: CommandCall,
    region: Annotated[
        str | None, typer.Option(help="AWS region.", show_default="pio-tf.hcl's, or as for the AWS CLI")
    ] = None,
    profile: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Profile in the AWS configuration files.", show_default="pio-tf.hcl's"),
    ] = None,
) -> None:
    """Show all clusters of an account and region.

    Finds them by their tags, and needs no pio-tf.hcl. Shows their power and deadlines, and what an hour costs now
    and with all machines stopped.
    """
    from pio_tf.cli.results.clusters import ClustersResult

    cluster = _cluster_of_account(call, region, profile)
    call.show(ClustersResult.of(cluster.clusters(), cluster.config))


def _cluster_of_account(call: CommandCall, region: str | None, profile: str | None) -> Cluster:
    """Return a cluster in the account: that of pio-tf.hcl, if there is one, with another region or profile if asked."""
    from pio_tf.cluster.cluster import Cluster
    from pio_tf.config.load import find_config

    given = {"region": region, "profile": profile}
    if call.config is None and not find_config(environ=os.environ).exists():
        from pio_tf.aws.session import configured_region
        from pio_tf.config.starter import Starter, load_starter

        answers = {**given, "region": region or configured_region(profile)}
        return Cluster(load_starter(Starter().with_answers(answers)), reporter=call.output.reporter)
    if not (region or profile):
        return call.cluster
    config = call.cluster.config
    aws = config.aws.model_copy(update={name: value for name, value in given.items() if value})
    return Cluster(config.model_copy(update={"aws": aws}), reporter=call.output.reporter)


@command()
def status(call: CommandCall) -> None:
    """Show the machines, their deadline and the active run."""
    from pio_tf.cli.results.status import StatusResult

    call.show(StatusResult.of(call.cluster.status()))
