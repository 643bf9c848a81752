"""``pio-tf train``: start, configure, check, train, prove, stop."""

from __future__ import annotations

from typing import Annotated, Optional

import typer

from pio_tf.cli.app import app
from pio_tf.cli.check import SkipCheckOption
from pio_tf.cli.options import ConfigOption, ForOption, JsonOption, NoDeadlineOption


@app.command()
def train(
    spark_arguments: Annotated[
        Optional[list[str]],  # noqa: UP045 - evaluated by Typer on Python 3.10 too
        typer.Argument(
            metavar="-- SPARK-SUBMIT ARGUMENTS",
            help="Passed on to spark-submit, after ours. With --attach: the run, by its id or the beginning of it.",
        ),
    ] = None,
    detach: Annotated[
        bool, typer.Option("--detach", help="Return once the run has begun; it and the machines go on.")
    ] = False,
    attach: Annotated[
        bool,
        typer.Option(
            "--attach", help="Follow a run, the latest unless one is named, to its end; then stop the machines."
        ),
    ] = False,
    build: Annotated[bool, typer.Option("--build", help="Run `pio build` before the checks.")] = False,
    skip_check: SkipCheckOption = None,
    upload: Annotated[
        Optional[str],  # noqa: UP045 - as above
        typer.Option(
            metavar="s3://BUCKET/PREFIX", help="Where log and record are copied to.", show_default="train.upload"
        ),
    ] = None,
    no_apply: Annotated[
        bool,
        typer.Option(
            "--no-apply", help="Train on the cluster as it was applied last: create and change nothing, as in CI."
        ),
    ] = False,
    for_: ForOption = None,
    no_deadline: NoDeadlineOption = False,
    keep_up: Annotated[bool, typer.Option("--keep-up", help="Leave the machines running afterwards.")] = False,
    json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """Start the machines, check, run `pio train` on the Spark cluster, prove that there is a model, stop the machines.

    Ctrl-C ends the run, and stops the machines. A run whose client is killed or loses its connection goes on: `pio-tf
    runs` finds it again, `pio-tf train --attach` follows it.
    """
    from pio_tf.cli.options import parse_runtime
    from pio_tf.cli.output import Terminal
    from pio_tf.cli.tables.runs import run_rows
    from pio_tf.cluster import Cluster
    from pio_tf.errors import ConfigError

    words = spark_arguments or []
    to_begin_with = detach or build or skip_check or no_apply or for_ or no_deadline
    if attach and (len(words) > 1 or any(word.startswith("-") for word in words) or to_begin_with):
        raise ConfigError(
            "--attach takes a run that has begun, and nothing else to begin it with",
            next_step="pio-tf train --attach [RUN]",
        )
    duration = parse_runtime("--for", for_, no_deadline=no_deadline)
    with Terminal(json=json) as terminal:
        cluster = Cluster.load(config, reporter=terminal.reporter)
        if attach:
            record = cluster.attach(words[0] if words else "", keep_up=keep_up or None, upload=upload)
        else:
            record = cluster.train(
                words,
                keep_up=keep_up or None,
                detach=detach,
                build=build,
                skip_checks=skip_check or (),
                upload=upload,
                apply=not no_apply,
                duration=duration,
                deadline=not no_deadline,
            )
        terminal.result(run_rows(record))
