"""``spark``: the master has every worker of this cluster ALIVE, with room for the executor that is asked for."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pio_tf.errors import ConfigError, RemoteError
from pio_tf.pio.engine import read_engine, with_engine
from pio_tf.training.preflight.model import Finding, NoAnswer, failed, ok
from pio_tf.training.preflight.tcp import http_refusal

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pio_tf.model import MachineOutput
    from pio_tf.training.preflight.model import Preflight

_SIZE = re.compile(r"(\d+)\s*([kmgt]?)b?", re.IGNORECASE)
_MIB = {"": 1 / 1024**2, "k": 1 / 1024, "m": 1.0, "g": 1024.0, "t": 1024.0**2}
"""spark.executor.memory without a unit is in bytes (Utils.memoryStringToMb)."""


@dataclass(frozen=True)
class _Worker:
    """A worker as the master has it."""

    host: str
    state: str
    cores: int
    cores_used: int
    memory_mib: int
    memory_used_mib: int

    @property
    def free_cores(self) -> int:
        return self.cores - self.cores_used

    @property
    def free_mib(self) -> int:
        return self.memory_mib - self.memory_used_mib


async def check_spark(preflight: Preflight) -> Finding:
    """Ask the master for its workers.

    A standalone master gives a worker's memory to executors by their heap alone: it does not count what the JVM needs
    beside it.
    """
    config, master = preflight.config, preflight.outputs.master
    at = f"{master.private_ip}:{config.spark.master_ui_port}"
    look = f"look at its log: `journalctl -u pio-tf-spark` on {master.name}"
    try:
        raw = await preflight.remote.http_get_json(
            master.private_ip, config.spark.master_ui_port, "/json/", timeout=preflight.limits.answer
        )
        workers = [_worker(item) for item in raw["workers"]]
        holders = [str(app["name"]) for app in raw.get("activeapps", [])]
    except RemoteError as error:
        if error.details.get("kind") != "http":
            raise
        why = http_refusal(error, timeout=preflight.limits.answer)
        return failed(f"the master does not answer at {at}: {why}", look)
    except (KeyError, TypeError, ValueError, AttributeError):
        return failed(f"what answers at {at} is no Spark master", "check spark.master_ui_port, and what listens there")
    alive = {worker.host: worker for worker in workers if worker.state == "ALIVE"}
    missing = [machine for machine in preflight.outputs.workers if machine.private_ip not in alive]
    if missing:
        return _not_alive(missing, workers)
    return _room(preflight, await _settings(preflight), alive, holders)


async def _settings(preflight: Preflight) -> Mapping[str, str]:
    """With what engine.json changes, where it can be read: ``engine`` tells where it cannot."""
    try:
        return with_engine(preflight.settings, read_engine((await preflight.driver_facts()).variant_text))
    except (ConfigError, NoAnswer, RemoteError):
        return preflight.settings


def _not_alive(missing: list[MachineOutput], workers: list[_Worker]) -> Finding:
    states = {worker.host: worker.state for worker in workers}
    seen = ", ".join(f"{one.name} ({one.private_ip}): {states.get(one.private_ip, 'never seen')}" for one in missing)
    return failed(
        f"the master lacks {len(missing)} of its workers: {seen}",
        f"look at the worker's log: `journalctl -u pio-tf-spark` on {missing[0].name}; or restart all: pio-tf down, "
        "pio-tf up",
    )


def _room(
    preflight: Preflight, settings: Mapping[str, str], alive: Mapping[str, _Worker], holders: list[str]
) -> Finding:
    memory = _mib(settings.get("spark.executor.memory", preflight.sizing.executor_memory))
    asked = settings.get("spark.executor.cores", str(preflight.sizing.executor_cores))
    cores = int(asked) if asked.isdigit() else 1
    ours = {machine.name: alive[machine.private_ip] for machine in preflight.outputs.workers}
    small = [
        f"{name} has {worker.free_mib} of {worker.memory_mib} MiB and {worker.free_cores} of {worker.cores} cores free"
        for name, worker in ours.items()
        if worker.free_mib < memory or worker.free_cores < cores
    ]
    executor = f"{memory:g} MiB and {cores} cores"
    if not small:
        return ok(f"{len(ours)} workers ALIVE, each with room for an executor of {executor}")
    if holders:
        held = f"; held by {', '.join(holders)}"
        next_step = "wait for it to end, or end it: its page is at the master's, with a link to kill it"
    else:
        held = ""
        next_step = (
            "lower spark.executor_memory or spark.executor_cores, or take a larger spark.instance_type: a worker "
            "offers its machine's memory less 1 GiB"
        )
    return failed(f"no room for an executor of {executor}: {', '.join(small)}{held}", next_step)


def _mib(text: str) -> float:
    """MiB of what Spark takes for memory: ``20g``, ``20gb``, ``26973m``. 0 for what it does not understand."""
    match = _SIZE.fullmatch(text.strip())
    return int(match[1]) * _MIB[match[2].lower()] if match else 0.0


def _worker(raw: Any) -> _Worker:  # noqa: ANN401 - a part of Spark's JSON
    return _Worker(
        host=str(raw["host"]),
        state=str(raw["state"]),
        cores=int(raw["cores"]),
        cores_used=int(raw["coresused"]),
        memory_mib=int(raw["memory"]),
        memory_used_mib=int(raw["memoryused"]),
    )
