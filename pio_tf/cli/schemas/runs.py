"""The JSON of runs, their logs and what is checked before them."""

from __future__ import annotations

from typing import Annotated, Literal, TypedDict

from pio_tf.cli.schemas.common import Version


class ClientData(TypedDict):
    """Who began a run."""

    owner: str
    host: str
    pid: int
    since: Annotated[str, "ISO 8601"]


class ProofData(TypedDict):
    """What tells whether there is a model."""

    name: str
    held: Annotated[bool | None, "null: it could not be asked"]
    detail: str


class RunResult(TypedDict):
    """A run. Times are seconds since 1970 by the driver's clock, null where it has not come to that."""

    version: Version
    id: str
    cluster: str
    client: ClientData
    command: Annotated[str, "without secrets"]
    engine_dir: str
    machines: Annotated[list[str], "name, type and id of each"]
    absent: Annotated[list[str], "workers that took no part: AWS had no capacity for them"]
    pio_tf: Annotated[str, "the version of pio-tf that began it"]
    state: Literal["running", "succeeded", "failed", "cancelled", "lost", "unknown"]
    started: float | None
    ended: float | None
    seconds: Annotated[float | None, "from its start to its end"]
    exit_status: Annotated[int | None, "of `pio train`"]
    cancelled_by: str
    cause: Annotated[str, "of a failure"]
    model: Annotated[str, "the index, or the engine instance, that it made; empty: not known"]
    proofs: list[ProofData]
    ui_port: Annotated[int, "of Spark's page on the driver; 0: not known"]
    log_bytes: int
    deadline: Annotated[
        str | None, "ISO 8601: when AWS was to stop the machines, when the run began; null: no deadline"
    ]


class RunsResult(TypedDict):
    """The runs, oldest first."""

    version: Version
    runs: list[RunResult]


class LogLine(TypedDict):
    """A line of a run's log: one object a line of output."""

    version: Version
    line: str


class CheckData(TypedDict):
    """A check."""

    name: str
    status: Literal["ok", "warning", "failed", "skipped"]
    detail: str
    next_step: str


class ChecksResult(TypedDict):
    """What the checks have found."""

    version: Version
    checks: list[CheckData]
