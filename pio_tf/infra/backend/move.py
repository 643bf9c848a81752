"""What `terraform init` is to do with the state where its place has changed: move it, find it there, or nothing.

A state is never written over by another one, and nothing is moved that is not also kept where it was.
"""

from __future__ import annotations

import json
import os
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from python_terraform import IsFlagged

from pio_tf.errors import ConfigError, TerraformError
from pio_tf.events import Done, Step
from pio_tf.infra.backend.objects import Objects, open_objects
from pio_tf.infra.backend.s3 import s3_backend

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from pio_tf.config.schema import Config
    from pio_tf.events import Reporter
    from pio_tf.infra.backend.s3 import S3Backend

_LOCAL = "terraform.tfstate"


@dataclass(frozen=True)
class State:
    """What tells one state from another."""

    lineage: str
    serial: int
    resources: int

    def __str__(self) -> str:
        return f"serial {self.serial}, lineage {self.lineage}, {self.resources} resources"

    def holds(self, other: State) -> bool:
        """Whether this is the same state, not older."""
        return self.lineage == other.lineage and self.serial >= other.serial


@dataclass(frozen=True)
class Recorded:
    """Where the state was when Terraform was initialised last."""

    type: str
    arguments: Mapping[str, Any]

    def is_at(self, backend: S3Backend) -> bool:
        """Whether that is the place of this backend, whatever its other arguments are."""
        return (self.arguments.get("bucket"), self.arguments.get("key"), self.endpoint) == (
            backend.bucket,
            backend.key,
            _endpoint(backend.arguments),
        )

    @property
    def endpoint(self) -> str:
        """Of another API than AWS's; else empty."""
        return _endpoint(self.arguments)

    @property
    def url(self) -> str:
        """``s3://bucket/key``."""
        return f"s3://{self.arguments.get('bucket')}/{self.arguments.get('key')}"


@contextmanager
def state_in_place(config: Config, *, reporter: Reporter) -> Iterator[dict[str, object]]:
    """Around `terraform init`: yields its options; afterwards the state is where pio-tf.hcl says.

    Raises:
        ConfigError: two states would meet, or a shared one would become a private one; nothing was changed.
        AwsError: the bucket cannot be asked.
        TerraformError: after the move, another state is there than was to be moved.
    """
    refuse_leaving(config)
    backend, recorded = s3_backend(config), recorded_backend(config.stack_dir)
    if backend is None or (recorded is not None and recorded.type != "s3"):
        yield {}  # what Terraform has to say of another backend, it says
    elif recorded is None:
        with _from_here(config, backend, reporter) as options:
            yield options
    elif recorded.is_at(backend):
        yield {"reconfigure": IsFlagged}  # the same place: credentials, endpoints or the like have changed
    else:
        with _from_s3(config, recorded, backend, reporter) as options:
            yield options


def refuse_leaving(config: Config) -> None:
    """Refuse to go back from a shared state to one in the stack's directory.

    Raises:
        ConfigError: pio-tf.hcl has no backend, but the state is in S3.
    """
    recorded = recorded_backend(config.stack_dir)
    if config.terraform.backend is not None or recorded is None or recorded.type != "s3":
        return
    directory = config.stack_dir
    raise ConfigError(
        f"the state of {config.cluster.name} is at {recorded.url}, and pio-tf.hcl has no terraform.backend any more",
        cause="a copy on this computer would part from the one that others go on using, so pio-tf makes none",
        next_step='put `backend "s3"` back into pio-tf.hcl. If nobody else uses that state: `pio-tf generate`, '
        f"`terraform -chdir={directory} init -migrate-state`, then remove {recorded.url}",
        details={"state": recorded.url},
    )


def recorded_backend(directory: Path) -> Recorded | None:
    """The backend that a stack was initialised with; None: none, so that its state is in the directory."""
    try:
        raw = json.loads((directory / ".terraform" / _LOCAL).read_text(encoding="utf-8"))["backend"]
        found = Recorded(str(raw["type"]), dict(raw["config"] or {}))
    except (OSError, ValueError, LookupError, TypeError):
        return None
    return None if found.type == "local" and not found.arguments.get("path") else found


def read_state(text: bytes | str, *, named: str) -> State | None:
    """A state's identity; None of an empty one, which holds nothing that could be lost.

    Raises:
        TerraformError: it is no state.
    """
    if not text.strip():
        return None
    try:
        raw = json.loads(text)
        state = State(str(raw["lineage"]), int(raw["serial"]), len(raw.get("resources") or ()))
        outputs = bool(raw.get("outputs"))
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise TerraformError(
            f"{named} is not a Terraform state",
            cause=f"{type(error).__name__}: {error}",
            next_step="bring back a good one: from its older versions in S3, or from a backup; then try again",
        ) from error
    return state if state.resources or outputs else None


@contextmanager
def _from_here(config: Config, backend: S3Backend, reporter: Reporter) -> Iterator[dict[str, object]]:
    """From the stack's directory into S3."""
    path = config.stack_dir / _LOCAL
    here = read_state(path.read_bytes(), named=str(path)) if path.is_file() else None
    if here is None:
        yield {}
        return
    objects = open_objects(config, backend)
    there = _state_at(objects, backend.key)
    _refuse_meeting(config, here, str(path), there, backend)
    kept = _keep(path)
    if there is not None:
        reporter(Step(f"The state is at {backend.url} already: the copy in the stack is put aside as {kept.name}"))
        path.unlink()
        yield {"reconfigure": IsFlagged}
        return
    reporter(Step(f"Moving the state to {backend.url}: {here}; a copy stays here as {kept.name}"))
    yield _MOVE
    _check_arrival(here, _state_at(objects, backend.key), backend, kept=str(kept))
    reporter(Done(f"the state is at {backend.url}"))


@contextmanager
def _from_s3(config: Config, recorded: Recorded, backend: S3Backend, reporter: Reporter) -> Iterator[dict[str, object]]:
    """From one object in S3 to another."""
    source = _open_recorded(config, recorded, backend)
    before = _state_at(source, str(recorded.arguments["key"]))
    objects = open_objects(config, backend)
    there = _state_at(objects, backend.key)
    if before is None:
        yield {"reconfigure": IsFlagged}
        return
    _refuse_meeting(config, before, recorded.url, there, backend)
    if there is not None:
        reporter(Step(f"The state is at {backend.url} already; the one at {recorded.url} is left as it is"))
        yield {"reconfigure": IsFlagged}
        return
    reporter(Step(f"Moving the state to {backend.url}: {before}; a copy stays at {recorded.url}"))
    yield _MOVE
    _check_arrival(before, _state_at(objects, backend.key), backend, kept=recorded.url)
    reporter(Done(f"the state is at {backend.url}"))


# Whoever has either state locked is at work on it: that is not waited for, since what was found may be old by then.
_MOVE: dict[str, object] = {"migrate_state": IsFlagged, "force_copy": IsFlagged, "lock_timeout": "0s"}


def _open_recorded(config: Config, recorded: Recorded, backend: S3Backend) -> Objects:
    changes = {"region": recorded.arguments.get("region") or backend.aws.region, "endpoint_url": recorded.endpoint}
    aws = backend.aws.model_copy(update={name: value or None for name, value in changes.items()})
    return open_objects(config, replace(backend, bucket=str(recorded.arguments["bucket"]), aws=aws))


def _state_at(objects: Objects, key: str) -> State | None:
    found = objects.read(key)
    return read_state(found.body, named=f"s3://{objects.bucket}/{key}") if found else None


def _refuse_meeting(config: Config, moved: State, place: str, there: State | None, backend: S3Backend) -> None:
    if there is None or there.holds(moved):
        return
    if there.lineage == moved.lineage:
        why = f"the one in S3 is older: {there}; the other one: {moved}"
    else:
        why = f"they are different states. In S3: {there}; the other one: {moved}"
    raise ConfigError(
        f"{config.where('terraform.backend')}: there is a state at {backend.url}, and another one at {place}",
        cause=why,
        next_step="nothing was changed. Find out which one describes the machines that there are, and move the other "
        f"one away: `terraform -chdir={config.stack_dir} show` shows a state. To keep two clusters, give each its own "
        "cluster.name",
        details={"state": backend.url, "other": place},
    )


def _check_arrival(moved: State, there: State | None, backend: S3Backend, *, kept: str) -> None:
    if there is not None and there.holds(moved):
        return
    raise TerraformError(
        f"the state did not arrive at {backend.url}",
        cause=f"moved was {moved}; there is {there or 'none'}",
        next_step=f"nothing is lost: {kept} has it. Put it back with `terraform state push`",
    )


def _keep(path: Path) -> Path:
    """A copy beside a state, which nobody else can read; git is told to ignore such names."""
    copy = path.with_name(f"{path.name}.before-s3-{datetime.now(timezone.utc):%Y%m%dT%H%M%SZ}")
    with os.fdopen(os.open(copy, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        file.write(path.read_bytes())
    return copy


def _endpoint(arguments: Mapping[str, Any]) -> str:
    endpoints = arguments.get("endpoints")
    found = endpoints.get("s3") if isinstance(endpoints, dict) else None
    return str(found or arguments.get("endpoint") or "")
