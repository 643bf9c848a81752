"""What is known of one run."""

from __future__ import annotations

import dataclasses
import getpass
import json
import math
import os
import re
import secrets
import socket
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import Any, Literal, TypeAlias, get_args

from pio_tf.json_text import parse_json

RunState: TypeAlias = Literal["running", "succeeded", "failed", "cancelled", "lost", "unknown"]
"""``lost``: its process is gone without a word (the driver restarted, or it was killed). ``unknown``: it was running
when this client last heard of it, and the driver cannot be asked now."""
ENDED = frozenset({"succeeded", "failed", "cancelled", "lost"})
_ID = re.compile(r"\d{8}T\d{6}Z-[0-9a-f]{4}")


@dataclass(frozen=True)
class Client:
    """Somebody who works on a cluster: a process on a computer."""

    owner: str
    host: str
    pid: int
    since: str
    """ISO 8601, UTC, by that computer's clock."""

    @classmethod
    def here(cls) -> Client:
        """This process."""
        return cls(_user(), socket.gethostname(), os.getpid(), now())

    def __str__(self) -> str:
        return f"{self.owner} on {self.host} (process {self.pid}, since {self.since})"


@dataclass(frozen=True)
class RunRecord:
    """A run, as it is kept in ``record.json``, in the client's directory and beside an upload.

    Times are seconds since 1970 by the driver's clock; None where it has not come to that.
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
    """Names of workers that took no part: AWS had no capacity for them."""
    pio_tf: str = ""
    state: RunState = "running"
    started: float | None = None
    ended: float | None = None
    exit_status: int | None = None
    cancelled_by: str = ""
    cause: str = ""
    """Of a failure: what happened, in one sentence."""
    model: str = ""
    """What the run has made, where Elasticsearch told: the index behind the engine's alias, or the engine instance."""
    proofs: tuple[dict[str, object], ...] = ()
    """``{"name": …, "held": true | false | null, "detail": …}``: what proves, or disproves, that there is a model."""
    upload: str = ""
    """``s3://bucket/prefix`` where log and record go to, besides; whoever sees it to its end uploads them."""
    ui_port: int = 0
    """Where the Spark driver shows its page; 0: nobody knows."""
    traces: dict[str, Any] = field(default_factory=dict)
    """What a training of this engine leaves in Elasticsearch: a :class:`pio_tf.training.proof.Traces`."""
    before: dict[str, Any] = field(default_factory=dict)
    """How it was there before: a :class:`pio_tf.training.proof.Before`."""
    log_bytes: int = 0
    deadline: str = ""
    """ISO 8601, UTC: when AWS was to stop the machines, as it was when the run began; empty: no deadline."""

    @property
    def seconds(self) -> float | None:
        """From its start to its end."""
        return None if self.started is None or self.ended is None else self.ended - self.started

    def with_(self, **changes: Any) -> RunRecord:  # noqa: ANN401 - as dataclasses.replace has it
        """The same record with other values."""
        return dataclasses.replace(self, **changes)

    def to_json(self) -> str:
        """One line of JSON."""
        return json.dumps({"version": 1, **dataclasses.asdict(self)}, ensure_ascii=False)

    @classmethod
    def from_json(cls, text: str) -> RunRecord:
        """What :meth:`to_json` wrote; what a newer pio-tf has added to it is left out.

        Raises:
            ValueError: it is something else.
        """
        try:
            raw = parse_json(text)
            known = {item.name: raw[item.name] for item in dataclasses.fields(cls) if item.name in raw}
            known["client"] = Client(**known["client"])
            for name in {"machines", "absent", "proofs"} & known.keys():
                known[name] = tuple(known[name])
            record = cls(**known)
            _check_kinds(record)
        except (ValueError, LookupError, TypeError, AttributeError, OverflowError) as error:
            raise ValueError(f"not the record of a run: {type(error).__name__}: {error}") from error
        return record


_TEXTS = ("id", "cluster", "command", "engine_dir", "pio_tf", "cancelled_by", "cause", "model", "upload")


def _check_kinds(record: RunRecord) -> None:
    """Raises TypeError where something in a record is of another kind than it should be."""
    client, times = record.client, (record.started, record.ended)
    wrong = [name for name in _TEXTS if not isinstance(getattr(record, name), str)]
    wrong += [name for name in ("owner", "host", "since") if not isinstance(getattr(client, name), str)]
    wrong += [
        name for name, kind in (("traces", dict), ("before", dict)) if not isinstance(getattr(record, name), kind)
    ]
    wrong += ["started or ended" for time in times if time is not None and not _is_finite(time)]
    whole = (
        client.pid,
        record.ui_port,
        record.log_bytes,
        *(() if record.exit_status is None else (record.exit_status,)),
    )
    wrong += ["a number" for number in whole if not isinstance(number, int)]
    wrong += ["machines" for machine in (*record.machines, *record.absent) if not isinstance(machine, str)]
    wrong += ["proofs" for proof in record.proofs if not isinstance(proof, dict)]
    if record.state not in get_args(RunState):
        wrong.append("state")
    if wrong:
        raise TypeError(f"not of the right kind: {', '.join(wrong)}")


def _is_finite(value: object) -> bool:
    return isinstance(value, (int, float)) and math.isfinite(value)


def new_run_id() -> str:
    """``20261123T182359Z-3f9c``: sorts by its time of birth; the end tells two of the same second apart."""
    return f"{datetime.now(timezone.utc):%Y%m%dT%H%M%SZ}-{secrets.token_hex(2)}"


def is_run_id(text: str) -> bool:
    """Whether it has that form: nothing else is taken for the name of a directory."""
    return _ID.fullmatch(text) is not None


def now() -> str:
    """``2026-11-23T18:23:59Z``."""
    return datetime.now(timezone.utc).isoformat(timespec="seconds").replace("+00:00", "Z")


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user without a name
        return str(os.getuid())
