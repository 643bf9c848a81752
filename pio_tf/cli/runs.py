"""``pio-tf train | check | runs | runs show | logs | cancel``: runs, and the checks before one."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pio_tf.cli.command import CommandCall, command
from pio_tf.cli.options import ForOption, NoDeadlineOption, SkipCheckOption, parse_for, parse_month
from pio_tf.errors import ConfigError, NotReady

_RUN = "Id of the run, or the beginning of it."


@command()
def train(
    call: CommandCall,
    spark_arguments: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="-- SPARK-SUBMIT ARGUMENTS",
            help="Arguments for spark-submit, after those of pio-tf. With --attach: the id of a run, or the beginning "
            "of it.",
        ),
    ] = None,
    detach: Annotated[
        bool, typer.Option("--detach", help="Return once the run has begun. After it, the machines stop themselves.")
    ] = False,
    attach: Annotated[
        bool, typer.Option("--attach", help="Follow a run, by default the latest, to its end; then stop the machines.")
    ] = False,
    build: Annotated[bool, typer.Option("--build", help="Run `pio build` before the checks.")] = False,
    skip_check: SkipCheckOption = None,
    upload: Annotated[
        str | None,
        typer.Option(metavar="s3://BUCKET/PREFIX", help="Copy log and record there.", show_default="train.upload"),
    ] = None,
    workers: Annotated[
        int | None, typer.Option(metavar="N", help="Start and use only N workers.", show_default="all")
    ] = None,
    no_apply: Annotated[
        bool, typer.Option("--no-apply", help="Create and change nothing: use the cluster as it was last applied.")
    ] = False,
    for_: ForOption = None,
    no_deadline: NoDeadlineOption = False,
    keep_up: Annotated[bool, typer.Option("--keep-up", help="Leave the machines running afterwards.")] = False,
) -> None:
    """Start the machines, train, and stop them again.

    Checks machines and services, runs `pio train` on the Spark cluster, and confirms that there is a model. Ctrl-C ends
    the run and stops the machines. If the client is killed or loses its connection, the run continues: `pio-tf runs`
    finds it, `pio-tf train --attach` follows it.
    """
    from pio_tf.cli.results.runs import RunResult

    words = spark_arguments or []
    for_a_new_run = detach or build or skip_check or no_apply or for_ or no_deadline or workers is not None
    if attach and (len(words) > 1 or any(word.startswith("-") for word in words) or for_a_new_run):
        raise ConfigError(
            "--attach takes a run that has begun, and no options for a new run", next_step="pio-tf train --attach [RUN]"
        )
    duration = parse_for(for_, no_deadline=no_deadline)
    if attach:
        record = call.cluster.attach(words[0] if words else "", keep_up=keep_up or None, upload=upload)
    else:
        record = call.cluster.train(
            words,
            keep_up=keep_up or None,
            detach=detach,
            build=build,
            skip_checks=skip_check or (),
            upload=upload,
            workers=workers,
            apply=not no_apply,
            duration=duration,
            deadline=not no_deadline,
        )
    call.show(RunResult.of(record, call.cluster.prices))


@command()
def check(call: CommandCall, skip_check: SkipCheckOption = None) -> None:
    """Check that machines and services are ready to train.

    Changes nothing.
    """
    from pio_tf.cli.results.runs import ChecksResult

    call.output.leave_checks_to_result()
    result = ChecksResult.model_validate({"checks": call.cluster.check(skip=skip_check or ())})
    call.show(result)
    if result.failed:
        raise typer.Exit(NotReady.exit_code)


@command()
def runs(call: CommandCall) -> None:
    """List the runs.

    Shows the runs that this computer knows and, while the driver is running, those on the driver.
    """
    if call.context.invoked_subcommand is not None:
        call.context.obj = call.config
        return
    from pio_tf.cli.results.runs import RunsResult

    call.show(RunsResult.of(call.cluster.runs(), call.cluster.prices))


@command()
def cost(
    call: CommandCall,
    month: Annotated[
        str | None, typer.Option(metavar="YYYY-MM", help="In UTC.", show_default="this one, until now")
    ] = None,
) -> None:
    """Estimate what the cluster costs in a month.

    Disks, trainings, and what the same machines would cost if they were left on. The prices are those of AWS's price
    list for the cluster's region, which is asked once in 30 days.
    """
    from pio_tf.cli.results.runs import CostResult

    call.show(CostResult.of(call.cluster.cost(parse_month("--month", month) if month else None)))


@command()
def report(
    call: CommandCall,
    output: Annotated[
        Path | None,
        typer.Option("--output", metavar="FILE", help="File to write.", show_default=".pio-tf/<cluster>/report.html"),
    ] = None,
) -> None:
    """Write an HTML report about the runs.

    One file that loads nothing from elsewhere: durations, cost, memory and results as plots, a table behind them, and
    failures with their causes. It is about the runs that `pio-tf runs` shows.
    """
    from pio_tf.cli.results.runs import ReportResult

    path, found = call.cluster.report(output)
    call.show(ReportResult(path=path, runs=len(found)))


@command()
def show(
    call: CommandCall,
    run: Annotated[str, typer.Argument(metavar="RUN", help=_RUN, show_default="the latest")] = "",
) -> None:
    """Show one run: its engine, its proofs, and how it ended."""
    from pio_tf.cli.results.runs import RunDetailsResult

    call.config = call.config or call.context.obj
    record = call.cluster.run(run)
    call.show(RunDetailsResult.with_advice(record, call.cluster.prices, call.cluster.size_advice(record)))


@command(json="Write each line as a JSON object, on a line of its own.")
def logs(
    call: CommandCall,
    run: Annotated[str, typer.Argument(metavar="RUN", help=_RUN, show_default="the latest")] = "",
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Follow the log until the run has ended.")] = False,
) -> None:
    """Show the log of a run.

    Ctrl-C stops following; the run continues.
    """
    from pio_tf.cli.results.runs import LogLine

    def write_json(line: str) -> None:
        call.output.write_line(LogLine(line=line))

    call.cluster.logs(run, write_json, on_text=None if call.json else call.output.write, follow=follow)


@command()
def cancel(
    call: CommandCall,
    run: Annotated[str, typer.Argument(metavar="RUN", help=_RUN, show_default="the active one")] = "",
) -> None:
    """End a run. The machines keep running.

    Ends its processes on the driver and its executors. If no client uses them, the machines stop themselves after
    train.linger.
    """
    from pio_tf.cli.results.runs import RunResult

    call.show(RunResult.of(call.cluster.cancel(run), call.cluster.prices))


@command()
def notify(
    call: CommandCall,
    test: Annotated[bool, typer.Option("--test", help="Send a test message to each place.")] = False,
) -> None:
    """Show where messages about trainings go, and try it.

    The notify block of pio-tf.hcl names the places, and the results that a message is sent about.
    """
    from pio_tf.cli.results.runs import NotifyResult

    block = call.cluster.config.notify
    tested = call.cluster.test_notifications() if test else ()
    places = [{"place": name, "tested": name in tested} for name in block.places]
    call.show(NotifyResult.model_validate({"places": places, "on": block.on}))
