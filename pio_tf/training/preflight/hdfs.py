"""``hdfs``: the name node accepts connections, and the directories are there that nothing else makes."""

from __future__ import annotations

import asyncio
import shlex
from dataclasses import replace
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from pio_tf.config.storage import HdfsBlock
from pio_tf.pio.sources import find_hdfs
from pio_tf.remote.paths import shell_path
from pio_tf.remote.process import in_bash
from pio_tf.training.preflight.model import Finding, failed, ok, skipped, together, warning
from pio_tf.training.preflight.probe import event_log_url, hadoop_home
from pio_tf.training.preflight.tcp import about_hosts

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pio_tf.training.preflight.model import Preflight


async def check_hdfs(preflight: Preflight) -> Finding:
    """Connect to the name node; where the driver has the `hdfs` client, let it look for the directories.

    They are the directory of models, to which PredictionIO's failed write would be a line in the log and no more, and
    that of Spark's event log, without which Spark does not start.
    """
    block = find_hdfs(preflight.config)
    directories = _directories(preflight)
    if block is None and not directories:
        return skipped("nothing is kept in HDFS")
    at = sorted({*([(block.namenode, block.port)] if block else []), *_name_nodes(directories)})
    answers = await about_hosts(preflight, at, needed=len(at), where=preflight.config.where("hdfs"))
    if answers.status != "ok":
        return replace(answers, detail=f"name node {answers.detail}")
    client = f"{hadoop_home(preflight.config)}/bin/hdfs"
    if not directories:
        return ok(f"name node {answers.detail}")
    if (await preflight.driver_facts()).hdfs != "executable":
        return ok(f"name node {answers.detail}; directories not looked for: the driver has no {client}")
    found = await asyncio.gather(*(_look_for(preflight, client, directory) for directory in directories))
    paths = ", ".join(urlsplit(directory).path for directory in directories)
    missing = [finding for finding in found if finding is not None]
    return together([ok(f"name node {answers.detail}; {paths} there"), *missing])


def _directories(preflight: Preflight) -> list[str]:
    """Those that must be there: of models, where PredictionIO keeps them in HDFS, and of Spark's event log."""
    config = preflight.config
    needed = [
        f"hdfs://{source.block.namenode}:{source.block.port}{source.block.models_path}"
        for source in config.sources
        if isinstance(source.block, HdfsBlock) and source.name == config.repository.modeldata.source
    ]
    events = event_log_url(preflight.settings)
    return list(dict.fromkeys([*needed, *([events] if urlsplit(events).scheme == "hdfs" else [])]))


def _name_nodes(directories: list[str]) -> Iterator[tuple[str, int]]:
    """Host and port of each. A name service of several name nodes has neither: the client knows them."""
    for url in map(urlsplit, directories):
        if url.hostname and url.port:
            yield url.hostname, url.port


async def _look_for(preflight: Preflight, client: str, url: str) -> Finding | None:
    """None where it is there."""
    command = f"{shell_path(client)} dfs -test -d {shlex.quote(url)}"
    # A login shell: the client needs JAVA_HOME.
    done = await preflight.ask(in_bash(command, login=True), timeout=preflight.limits.hdfs)
    if done.exit_status == 0:
        return None
    # It ends with 1 for a directory that is missing as for a name node that refuses, but is silent of the first alone.
    said = [line for line in done.stderr.splitlines() if line.startswith(("test: ", "Error: "))]
    if said or done.exit_status != 1:
        why = said[0] if said else (done.stderr.strip().splitlines() or [f"exit status {done.exit_status}"])[-1]
        return warning(f"{url}: the hdfs client could not look: {why[:300]}", f"try it on the driver: {command}")
    return failed(f"{url} is not there, or no directory", f"on the driver: {client} dfs -mkdir -p {shlex.quote(url)}")
