"""Machines that exist keep their Spark if only pio-tf's default asks for another."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from pio_tf.config.components import spark_version
from pio_tf.config.software import fits_build
from pio_tf.errors import ConfigError, RemoteError
from pio_tf.remote.bash import shell_path
from pio_tf.training.preflight.probe import probe_command, read_answers

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pio_tf.config.schema import Config
    from pio_tf.remote.ssh import ClusterConnection

_DRIVER_SECONDS = 30.0
_INSTALLED = "/opt/spark/"
"""The bootstrap script installs each version there. It leaves another Spark alone."""


async def refuse_other_spark(remote: ClusterConnection, config: Config, machines: Sequence[str]) -> None:
    """Refuse to replace the Spark of machines by a default that their PredictionIO does not run on.

    pio-tf.hcl may say nothing of a PredictionIO that you have built yourself. A later pio-tf may have another default.
    The driver's PredictionIO decides if it says what it was built for; else the Spark that is installed does.

    Raises:
        ConfigError: with the machines, their versions, and how to keep or to replace that Spark.
        RemoteError: a machine is unreachable.
    """
    if config.spark.version is not None or config.software.pio.is_own_build:
        return
    wanted = spark_version(config)
    links = await asyncio.gather(*(remote.run(name, f"readlink {shell_path(config.spark.home)}") for name in machines))
    installed = {
        name: link.stdout.strip().removeprefix(_INSTALLED)
        for name, link in zip(machines, links, strict=True)
        if link.stdout.startswith(_INSTALLED)
    }
    if all(fits_build(wanted, built=version) for version in installed.values()):
        return
    built = await _built_for(remote, config)
    refused = {name: one for name, one in installed.items() if not fits_build(wanted, built=built or one)}
    if not refused:
        return
    there = built or next(iter(refused.values()))
    cause = f"the driver's PredictionIO was built for Spark {there}" if built else "another Spark is installed"
    raise ConfigError(
        f"Spark {wanted}, this pio-tf's default for PredictionIO {config.pio.version}, would replace "
        + ", ".join(f"{version} on {name}" for name, version in refused.items()),
        cause=cause,
        next_step=f'set spark.version = "{there}" in {config.where("spark")} to keep that Spark, or '
        f'spark.version = "{wanted}" to replace it, for Apache\'s binary',
        details={"installed": refused, "default": wanted, "built_for": built},
    )


async def _built_for(remote: ClusterConnection, config: Config) -> str | None:
    """Return the Spark that the driver's PredictionIO was built for; None if neither the jar nor the driver says it."""
    try:
        return read_answers(
            await remote.run(remote.driver.name, probe_command(config, {}), timeout=_DRIVER_SECONDS)
        ).built_for
    except RemoteError as error:
        if error.details.get("kind") not in ("timeout", "command"):
            raise
        return None
