"""What is installed on machines that pio-tf did not make, read over SSH."""

from __future__ import annotations

import asyncio
import base64
import shlex
from importlib import resources
from typing import TYPE_CHECKING

from msgspec import Struct

from pio_tf.errors import RemoteError
from pio_tf.pio.existing_env import ExistingEnv, read_env
from pio_tf.remote.bash import in_bash

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pio_tf.remote.ssh import ClusterConnection

_SECONDS = 60.0


class InstalledSoftware(Struct, frozen=True):
    """What a machine has. An empty text: it was not found."""

    spark_home: str = ""
    spark_version: str = ""
    start_all: str = ""
    """Spark's own script that starts master and workers."""
    java_home: str = ""
    java_version: str = ""
    starts_spark: tuple[str, ...] = ()
    """What starts Spark at a boot: units, crontab, rc.local."""
    pio_home: str = ""
    pio_version: str = ""
    engines: tuple[str, ...] = ()
    """Directories with an engine.json."""
    env: ExistingEnv | None = None
    """pio-env.sh; None: there is none."""


async def survey(
    remote: ClusterConnection, machines: Iterable[str], *, spark_home: str = "", pio_home: str = ""
) -> dict[str, InstalledSoftware | RemoteError]:
    """Return what each machine has, or why it could not be looked at.

    Args:
        spark_home, pio_home: places that the user has named; empty: the usual ones.
    """
    script = resources.files(__package__).joinpath("survey.sh").read_text(encoding="utf-8")
    command = in_bash(f"set -- {shlex.quote(spark_home)} {shlex.quote(pio_home)}\n{script}", login=True)

    async def one(machine: str) -> InstalledSoftware | RemoteError:
        try:
            return read_survey((await remote.run(machine, command, timeout=_SECONDS)).stdout)
        except RemoteError as error:
            return error

    names = [*machines]
    return dict(zip(names, await asyncio.gather(*map(one, names)), strict=True))


def read_survey(text: str) -> InstalledSoftware:
    """Return what the script has printed. A profile may have printed other lines before."""
    found: dict[str, list[str]] = {}
    for line in text.splitlines():
        name, tab, value = line.partition("\t")
        if tab and value:
            found.setdefault(name, []).append(value)

    def last(name: str) -> str:
        return found.get(name, [""])[-1]

    text = base64.b64decode(last("pio_env")).decode("utf-8", "replace")
    return InstalledSoftware(
        spark_home=last("spark_home"),
        spark_version=last("spark_version"),
        start_all=last("start_all"),
        java_home=last("java_home"),
        java_version=last("java_version"),
        starts_spark=tuple(found.get("starts_spark", ())),
        pio_home=last("pio_home"),
        pio_version=last("pio_version"),
        engines=tuple(found.get("engine", ())),
        env=read_env(text) if text else None,
    )
