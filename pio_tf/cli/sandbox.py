"""``pio-tf sandbox start | status | service | fire | stop``: a local AWS to try everything on."""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias

import typer

from pio_tf.cli.command import CommandCall, command

ServiceKind: TypeAlias = Literal["light", "real"]
SparkVersion: TypeAlias = Literal["3.5", "2.4"]
ServiceAction: TypeAlias = Literal["start", "stop", "hang"]
_STATES: dict[ServiceAction, Literal["running", "stopped", "hung"]] = {
    "start": "running",
    "stop": "stopped",
    "hang": "hung",
}


@command(config=False)
def start(
    call: CommandCall,
    alarm_speed: Annotated[
        float,
        typer.Option(min=1.0, help="Let CloudWatch's time pass this much faster: idle alarms in minutes, not hours."),
    ] = 1.0,
    services: Annotated[
        ServiceKind | None,
        typer.Option(
            help="Run stand-ins for Elasticsearch, ZooKeeper and HDFS, or the real ones and HBase. The first start of "
            "real ones downloads 270 MB, with Maven.",
            show_default="light",
        ),
    ] = None,
    password: Annotated[
        bool, typer.Option("--password", help="Let the real Elasticsearch ask for a password.")
    ] = False,
    spark: Annotated[
        SparkVersion | None,
        typer.Option(help="Run this Spark on the machines.", show_default="3.5; 2.4 with real services"),
    ] = None,
) -> None:
    """Start the sandbox in the background."""
    from pio_tf.sandbox.control import default_directory, start_sandbox

    info = start_sandbox(
        default_directory(), alarm_speed=alarm_speed, services=services, password=password, spark=spark
    )
    call.output.done(f"the sandbox answers at {info.url} (process {info.pid})")
    call.output.say("next: pio-tf init --sandbox")
    if call.json:
        _show_status(call)


@command(config=False)
def status(call: CommandCall) -> None:
    """Show whether the sandbox runs, and its machines."""
    _show_status(call)


@command(config=False)
def stop(call: CommandCall) -> None:
    """Stop the sandbox and remove all of its machines and AWS."""
    from pio_tf.cli.results.sandbox import SandboxStopResult
    from pio_tf.sandbox.control import default_directory, stop_sandbox

    stopped = stop_sandbox(default_directory())
    call.output.done("the sandbox is stopped, and nothing of it is left")
    call.show(SandboxStopResult(stopped=stopped))


@command(config=False)
def service(
    call: CommandCall,
    action: Annotated[ServiceAction, typer.Argument(help="hang: it keeps its ports, and answers nothing.")],
    name: Annotated[str, typer.Argument(help="The service, such as elasticsearch or hbase.")],
) -> None:
    """Start, stop or hang a real service of the sandbox."""
    from pio_tf.cli.results.sandbox import SandboxServiceResult
    from pio_tf.sandbox.control import change_service, default_directory

    changed = change_service(default_directory(), name, _STATES[action])
    call.output.done(f"{name} is {changed.state}")
    call.show(SandboxServiceResult(service=changed))


@command(config=False)
def fire(
    call: CommandCall, cluster: Annotated[str, typer.Argument(help="The cluster with a schedule of trainings.")]
) -> None:
    """Let the next scheduled training of a cluster come now."""
    from pio_tf.cli.results.sandbox import SandboxFireResult
    from pio_tf.sandbox.control import default_directory, fire_training

    fire_training(default_directory(), cluster)
    call.output.done(f"the schedule of {cluster} has marked its machines and starts them")
    call.show(SandboxFireResult(cluster=cluster))


def _show_status(call: CommandCall) -> None:
    from pio_tf.cli.results.sandbox import SandboxResult
    from pio_tf.sandbox.control import default_directory, sandbox_status

    call.show(SandboxResult.model_validate(sandbox_status(default_directory())))
