"""What `terraform init` is to do with the state where its place has changed: move it, find it there, or nothing.

A state is never written over by another one, and nothing is moved that is not also kept where it was.
"""

from __future__ import annotations

import os
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from python_terraform import IsFlagged

from pio_tf.errors import ConfigError, Locked, TerraformError
from pio_tf.events import Step
from pio_tf.infra.backend.locks import hold_file, hold_object
from pio_tf.infra.backend.s3 import open_objects, s3_backend
from pio_tf.json_text import parse_json

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from pio_tf.aws.objects import Objects
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
        return f"serial {self.serial} of lineage {self.lineage}, {self.resources} resources"

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
        Locked: somebody else is at work on the state, here or there.
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
        raw = parse_json((directory / ".terraform" / _LOCAL).read_text(encoding="utf-8"))["backend"]
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
        raw = parse_json(text)
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
    if not path.is_file() or read_state(path.read_bytes(), named=str(path)) is None:
        yield {}
        return
    with hold_file(path, directory=config.stack_dir) as content:
        kept = _keep(path, content)
        moved = _carry(content, str(path), config, backend)
        path.unlink()  # or Terraform would want to move it, over the one that is there
    if moved:
        reporter(Step(f"Moving the state to {backend.url}; a copy stays here as {kept.name}"))
    else:
        reporter(Step(f"The state is at {backend.url} already: the copy in the stack is put aside as {kept.name}"))
    yield {}


@contextmanager
def _from_s3(config: Config, recorded: Recorded, backend: S3Backend, reporter: Reporter) -> Iterator[dict[str, object]]:
    """From one object in S3 to another."""
    key = str(recorded.arguments["key"])
    source = _open_recorded(config, recorded, backend)
    with hold_object(source, f"{key}.tflock", path=recorded.url, directory=config.stack_dir):
        found = source.read(key)
        if found is not None and read_state(found.body, named=recorded.url) is not None:
            moved = _carry(found.body, recorded.url, config, backend)
            done = f"Moving the state to {backend.url}" if moved else f"The state is at {backend.url} already"
            reporter(Step(f"{done}; the one at {recorded.url} is left as it is"))
    yield {"reconfigure": IsFlagged}


def _carry(content: bytes, place: str, config: Config, backend: S3Backend) -> bool:
    """Write a state into S3, unless it is there already; whether it was written.

    Not by `terraform init -migrate-state`: that writes over whatever is there, and gives the copy another lineage, so
    that nobody could tell any more that both are the same state.
    """
    state = read_state(content, named=place)
    assert state is not None  # noqa: S101 - the caller has looked
    objects = open_objects(config, backend)
    lock = hold_object(objects, backend.lock_key, path=backend.url, directory=config.stack_dir)
    with lock if backend.locks_by_object else nullcontext():
        found = objects.read(backend.key)
        there = read_state(found.body, named=backend.url) if found else None
        if there is not None:
            _refuse_meeting(config, state, place, there, backend)
            return False
        if found is None:
            written = objects.create(backend.key, content)
        else:  # an empty one: of a cluster that was destroyed
            written = objects.replace(backend.key, content, etag=found.etag)
    if written is None:
        raise Locked(
            f"somebody else has just written a state to {backend.url}",
            cause="it was not there a moment ago",
            next_step="nothing was changed here; try again, to see which state that is",
        )
    return True


def _open_recorded(config: Config, recorded: Recorded, backend: S3Backend) -> Objects:
    changes = {"region": recorded.arguments.get("region") or backend.aws.region, "endpoint_url": recorded.endpoint}
    aws = backend.aws.model_copy(update={name: value or None for name, value in changes.items()})
    return open_objects(config, replace(backend, bucket=str(recorded.arguments["bucket"]), aws=aws))


def _refuse_meeting(config: Config, moved: State, place: str, there: State, backend: S3Backend) -> None:
    if there.holds(moved):
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


def _keep(path: Path, content: bytes) -> Path:
    """A copy beside a state, which nobody else can read; git is told to ignore such names."""
    copy = path.with_name(f"{path.name}.before-s3-{datetime.now(timezone.utc):%Y%m%dT%H%M%SZ}")
    with os.fdopen(os.open(copy, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        file.write(content)
    return copy


def _endpoint(arguments: Mapping[str, Any]) -> str:
    endpoints = arguments.get("endpoints")
    found = endpoints.get("s3") if isinstance(endpoints, dict) else None
    return str(found or arguments.get("endpoint") or "")
