"""``hdfs``: the name nodes, and the directories that must exist."""

from __future__ import annotations

import asyncio
import re
import shlex
from dataclasses import replace
from pathlib import PurePosixPath
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from pio_tf.config.components import find_block
from pio_tf.config.storage import HdfsBlock
from pio_tf.remote.bash import in_bash, shell_path
from pio_tf.training.preflight.context import combine, failed, ok, unused, warning
from pio_tf.training.preflight.probe import event_log_url, hadoop_home
from pio_tf.training.preflight.service_checks import check_hosts

if TYPE_CHECKING:
    from pio_tf.training.preflight.context import CheckContext, CheckResult

QUESTION = b"GET /\r\n"
"""Hadoop's RPC server answers an HTTP request with a hint at its web port (``ipc.Server.RECEIVED_HTTP_REQ_RESPONSE``),
whatever its version and authentication. It reads 7 bytes: more would make it reset the connection."""
_LISTED = re.compile(r"d(?P<mode>[rwxstST-]{9})(?P<acl>\+?)\s+-\s+(?P<owner>\S+)\s+(?P<group>\S+)\s.*\s(?P<path>\S+)")
"""A directory in the output of `hdfs dfs -ls -d`."""
_GROUPS = re.compile(r"(?P<user>\S+) : ?(?P<groups>.*)")
"""The output of `hdfs groups`: the user that the client is, with its groups as the name node knows them."""


async def check_hdfs(context: CheckContext) -> CheckResult:
    """Check the name node and, with the driver's `hdfs` client, the directories.

    One is the directory of models: PredictionIO creates it, if it may, and only logs a failed write. The other is that
    of Spark's event log: without it, Spark does not start.
    """
    block = find_block(context.config, HdfsBlock)
    models, directories = _hdfs_directories(context)
    if block is None and not directories:
        return unused(context, "nothing is in HDFS")
    own = set(block.addresses if block else ())
    # The address of a nameservice has no port: pio-tf asks the name nodes of its own, and the client knows of others.
    named = {(str(url.hostname), url.port) for url in map(urlsplit, directories) if url.hostname and url.port}
    groups = ((own, 1 if block and block.nameservice else len(own)), (named - own, len(named - own)))
    asked = [_check_name_nodes(context, addresses, needed=needed) for addresses, needed in groups if addresses]
    name_nodes = combine(await asyncio.gather(*asked)) if asked else ok("only the hdfs client knows the name nodes")
    if name_nodes.status == "failed" or not directories:
        return name_nodes
    client = f"{hadoop_home(context.config)}/bin/hdfs"
    if (await context.driver_facts()).hdfs != "executable":
        detail = f"{name_nodes.detail}; directories not checked: the driver has no {client}"
        return replace(name_nodes, detail=detail)
    found = await asyncio.gather(
        *(_check_directory(context, client, one, created=one == models) for one in directories)
    )
    paths = ", ".join(urlsplit(directory).path for directory in directories)
    exist = replace(name_nodes, detail=f"{name_nodes.detail}; {paths} exist{'s' if len(directories) == 1 else ''}")
    missing = [one for one in found if one]
    return combine([name_nodes if missing else exist, *missing])


async def _check_name_nodes(context: CheckContext, addresses: set[tuple[str, int]], *, needed: int) -> CheckResult:
    where = context.config.where("hdfs")
    result = await check_hosts(context, sorted(addresses), needed=needed, where=where, question=QUESTION)
    return replace(result, detail=f"name node{'' if len(addresses) == 1 else 's'} {result.detail}")


def _hdfs_directories(context: CheckContext) -> tuple[str, list[str]]:
    """Return the directory that PredictionIO creates for models ("" without one), and all that must exist."""
    config = context.config
    models = [
        f"{source.block.url}{source.block.models_path}"
        for source in config.sources
        if isinstance(source.block, HdfsBlock) and source.name == config.repository.modeldata.source
    ]
    event_log = event_log_url(context.settings)
    needed = [event_log] if urlsplit(event_log).scheme == "hdfs" else []
    return next((one for one in models if one not in needed), ""), list(dict.fromkeys([*models, *needed]))


async def _check_directory(context: CheckContext, client: str, url: str, *, created: bool) -> CheckResult | None:
    """Return None if the directory exists.

    Args:
        created: PredictionIO creates it, with its parents, if it is missing.
    """
    command = f"{shell_path(client)} dfs -test -d {shlex.quote(url)}"
    # A login shell: the client needs JAVA_HOME.
    done = await context.ask(in_bash(command, login=True), timeout=context.limits.hdfs)
    if done.exit_status == 0:
        return None
    # It ends with 1 for a missing directory and for a name node that refuses, but only a missing one leaves no message.
    messages = [line for line in done.stderr.splitlines() if line.startswith(("test: ", "Error: "))]
    if messages or done.exit_status != 1:
        why = messages[0] if messages else (done.stderr.strip().splitlines() or [f"exit status {done.exit_status}"])[-1]
        return warning(f"{url}: the hdfs client could not check it: {why[:300]}", f"try it on the driver: {command}")
    if created:
        return await _check_creation(context, client, url)
    return failed(
        f"{url} does not exist, or is no directory", f"on the driver: {client} dfs -mkdir -p {shlex.quote(url)}"
    )


async def _check_creation(context: CheckContext, client: str, url: str) -> CheckResult:
    """Judge a missing directory, which PredictionIO creates, by the rights to its nearest parent.

    Hadoop 2.7 has no `-test -w`, so this reads them from `-ls -d`. Nothing is written.
    """
    root = url.removesuffix(urlsplit(url).path)
    parents = [f"{root}{parent}" for parent in reversed(PurePosixPath(urlsplit(url).path).parents)]
    program = shell_path(client)
    command = f"{program} groups & {program} dfs -ls -d {shlex.join([*parents, url])}; wait"
    lines = (await context.ask(in_bash(command, login=True), timeout=context.limits.hdfs)).stdout.splitlines()
    if any(line.startswith("-") and line.endswith(f" {url}") for line in lines):
        return failed(f"{url} is a file, not a directory", f"move it away, or set another hdfs.models_path: {url}")
    listed = [match for line in lines if (match := _LISTED.fullmatch(line.strip()))]
    user = next((match for line in lines if (match := _GROUPS.fullmatch(line.strip()))), None)
    if listed and user and not _may_write(user, parent=listed[-1], root=listed[0]):
        parent = listed[-1]
        rights = f"d{parent['mode']} {parent['owner']} {parent['group']}"
        return failed(
            f"{url} does not exist, and {user['user']} may not create it: {parent['path']} is {rights}",
            f"as HDFS's superuser: hdfs dfs -mkdir -p {url} && hdfs dfs -chown {user['user']} {url}",
        )
    return warning(
        f"{url} does not exist: PredictionIO creates it with the first model",
        f"nothing, or on the driver: {client} dfs -mkdir -p {shlex.quote(url)}",
    )


def _may_write(user: re.Match[str], *, parent: re.Match[str], root: re.Match[str]) -> bool:
    """Return whether the user may write to a directory, or may have the right from an access control list.

    The owner of the root directory is HDFS's superuser, and its group the superusers'.
    """
    groups = user["groups"].split()
    if parent["acl"] or root["owner"] == user["user"] or root["group"] in groups:
        return True
    place = 0 if parent["owner"] == user["user"] else 3 if parent["group"] in groups else 6
    return parent["mode"][place + 1] == "w"
