"""The record of one run, and the client that started it."""

from __future__ import annotations

import getpass
import json
import os
import re
import secrets
import socket
from dataclasses import asdict, field, replace
from datetime import datetime, timezone
from typing import Any, Final, Literal, TypeAlias

from pydantic import ConfigDict, TypeAdapter
from pydantic.dataclasses import dataclass

RunState: TypeAlias = Literal["running", "succeeded", "failed", "cancelled", "lost", "unknown"]
"""``lost``: its process is gone without an exit status (the driver restarted, or it was killed). ``unknown``: it was
running when this client last heard of it, and the driver is unreachable now."""
ENDED = frozenset({"succeeded", "failed", "cancelled", "lost"})
_ID = re.compile(r"\d{8}T\d{6}Z-[0-9a-f]{4}")
_CHECKED: Final = ConfigDict(strict=True, allow_inf_nan=False, defer_build=True)
"""The settings of models for files that another version of pio-tf has written."""


@dataclass(frozen=True, config=_CHECKED)
class Client:
    """A process that works on a cluster."""

    owner: str
    host: str
    pid: int
    since: str
    """ISO 8601, UTC, by that computer's clock."""

    @classmethod
    def here(cls) -> Client:
        """Return this process."""
        return cls(_user(), socket.gethostname(), os.getpid(), now())

    def __str__(self) -> str:
        return f"{self.owner} on {self.host} (process {self.pid}, since {self.since})"


@dataclass(frozen=True, config=_CHECKED)
class RunRecord:
    """A run, as ``record.json`` describes it in the client's directory and in S3.

    Times are seconds since 1970 by the driver's clock; None if the run has not come to that.
    """

    id: str
    cluster: str
    client: Client
    command: str
    """Without secrets."""
    engine_dir: str
    machines: tuple[str, ...] = ()
    """``driver r3.2xlarge i-0123``, one for each machine."""
    absent: tuple[str, ...] = ()
    """Names of workers that took no part, because AWS had no capacity for them."""
    pio_tf: str = ""
    state: RunState = "running"
    started: float | None = None
    ended: float | None = None
    exit_status: int | None = None
    cancelled_by: str = ""
    cause: str = ""
    """The failure, in one sentence, if the run failed."""
    model: str = ""
    """The model, if Elasticsearch names it: the index behind the engine's alias, or the engine instance."""
    proofs: tuple[dict[str, object], ...] = ()
    """``{"name": …, "held": true | false | null, "detail": …}``: evidence for or against a model."""
    upload: str = ""
    """``s3://bucket/prefix`` for log and record; the client that follows the run to its end uploads them."""
    ui_port: int = 0
    """Port of the Spark driver's web page; 0: unknown."""
    traces: dict[str, Any] = field(default_factory=dict)
    """The traces that a training of this engine leaves in Elasticsearch: see :class:`pio_tf.training.proof.Traces`."""
    engine: dict[str, Any] = field(default_factory=dict)
    """The engine that it trains: see :class:`pio_tf.engine.driver_engine.EngineFacts`."""
    before: dict[str, Any] = field(default_factory=dict)
    """Elasticsearch before the run: see :class:`pio_tf.training.proof.Before`."""
    custody: dict[str, Any] = field(default_factory=dict)
    """The models before the run: see :class:`pio_tf.training.custody.custody.Custody`."""
    usage: dict[str, Any] = field(default_factory=dict)
    """Its memory and cores: see :class:`pio_tf.training.spark_usage.SparkUsage`."""
    sign: str = ""
    """The name of its failure in :mod:`pio_tf.training.failure_patterns`; empty: it has none there."""
    log_bytes: int = 0
    on_success: int | None = None
    """The exit status of train.on_success; None: it did not run, or not to its end."""
    told_by: str = ""
    """client or driver: the sender of the message about its end; empty: no message, or not yet."""
    deadline: str = ""
    """When AWS was to stop the machines, as of the run's start: ISO 8601, UTC; empty: no deadline."""
    scheduled: str = ""
    """The time of AWS's schedule that began it: ISO 8601, UTC; empty: a client did."""

    @property
    def seconds(self) -> float | None:
        """Duration from its start to its end."""
        return None if self.started is None or self.ended is None else self.ended - self.started

    @property
    def instance_types(self) -> tuple[str, ...]:
        """The type of each machine."""
        return tuple(machine.split(" ")[1] for machine in self.machines)

    def with_(self, **changes: Any) -> RunRecord:  # noqa: ANN401 - as dataclasses.replace has it
        """Return the same record with other values."""
        return replace(self, **changes)

    def to_json(self) -> str:
        """Return one line of JSON."""
        return json.dumps({"version": 1, **asdict(self)}, ensure_ascii=False)

    @classmethod
    def from_json(cls, text: str) -> RunRecord:
        """Read what :meth:`to_json` wrote; ignore what a newer pio-tf has added.

        Raises:
            ValueError: the text is something else.
        """
        return _READER.validate_json(text)


_READER = TypeAdapter(RunRecord)


def new_run_id() -> str:
    """Return an id such as ``20261123T182359Z-3f9c``. Ids sort by time; the suffix separates those of one second."""
    return f"{datetime.now(timezone.utc):%Y%m%dT%H%M%SZ}-{secrets.token_hex(2)}"


def is_run_id(text: str) -> bool:
    """Return whether a text has the form of an id: pio-tf uses nothing else as a directory's name."""
    return _ID.fullmatch(text) is not None


def now() -> str:
    """Return the time as ``2026-11-23T18:23:59Z``."""
    return datetime.now(timezone.utc).isoformat(timespec="seconds").replace("+00:00", "Z")


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user may have no name
        return str(os.getuid())
