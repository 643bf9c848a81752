"""``pio-tf provision``: machines that are there, prepared as at their first boot."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Optional

import typer

from pio_tf.cli.app import app
from pio_tf.cli.options import ConfigOption, JsonOption

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pio_tf.cli.output import Rows
    from pio_tf.cli.schemas.software import ProvisionResult
    from pio_tf.training.provisioning import ProvisionedMachine


@app.command()
def provision(
    machine: Annotated[
        Optional[str],  # noqa: UP045 - evaluated by Typer on Python 3.10 too
        typer.Argument(help="Name of a machine: driver, master, worker-1, ….", show_default="all that run"),
    ] = None,
    rollback: Annotated[
        Optional[str],  # noqa: UP045 - as above
        typer.Option(
            metavar="NAME",
            help="Only go back to the version of a component that was in use before: spark, java, hadoop, hbase, pio.",
        ),
    ] = None,
    json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """Install on running machines what pio-tf.hcl asks for, a new version beside the old; repair a first boot."""
    from pio_tf.cli.output import Terminal
    from pio_tf.cluster import Cluster

    with Terminal(json=json) as terminal:
        cluster = Cluster.load(config, reporter=terminal.reporter)
        terminal.result(prepared_rows(cluster.provision(machine or "", rollback=rollback or "")))


def prepared_rows(machines: Sequence[ProvisionedMachine]) -> Rows:
    """One row a machine."""
    from pio_tf.cli.output import Rows

    data: ProvisionResult = {
        "version": 1,
        "machines": [{"name": one.machine, "versions": dict(one.versions)} for one in machines],
    }
    return Rows(
        columns=("MACHINE", "HAS"),
        rows=tuple(
            (one.machine, ", ".join(f"{name} {version}" for name, version in one.versions.items()) or "-")
            for one in machines
        ),
        data=data,
    )
