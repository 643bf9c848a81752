"""Moves the state where pio-tf.hcl says, before `terraform init`: from the stack's directory or another object to S3.

No state is written over another one, and the old place keeps its copy. Terraform cannot do it: where there is no state
yet, both `init -migrate-state` and `state push` give the copy a new lineage and serial (Terraform 1.15), so that a move
that was cut off would leave two states that look foreign to each other; and `init -migrate-state` overwrites any state.
"""

from __future__ import annotations

from contextlib import nullcontext
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from msgspec import Struct
from msgspec.structs import replace

from pio_tf.errors import ConfigError, Locked
from pio_tf.events import Step
from pio_tf.infra.backend.s3 import open_objects, s3_backend, s3_endpoint
from pio_tf.infra.backend.state import State, lock_file, lock_object, read_state
from pio_tf.json_text import parse_json

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from pio_tf.config.schema import Config
    from pio_tf.events import Reporter
    from pio_tf.infra.backend.s3 import S3Backend

_LOCAL = "terraform.tfstate"


class RecordedBackend(Struct, frozen=True):
    """The backend that a stack was initialised with last."""

    type: str
    arguments: Mapping[str, Any]

    @property
    def url(self) -> str:
        """``s3://bucket/key``."""
        return f"s3://{self.arguments.get('bucket')}/{self.arguments.get('key')}"


def move_state(config: Config, *, reporter: Reporter, by_hand: str) -> bool:
    """Bring the state to the place that pio-tf.hcl names. Return whether `terraform init` must then reconfigure.

    Args:
        by_hand: the command line of Terraform in the stack, for next steps.

    Raises:
        ConfigError: a different state is there, or a shared state would become a private one; nothing was changed.
        AwsError: S3 does not answer, or denies it.
        Locked: another client is using the state, here or there.
    """
    refuse_leaving(config, by_hand=by_hand)
    backend, recorded = s3_backend(config), recorded_backend(config.stack_dir)
    if backend is None or (recorded is not None and recorded.type != "s3"):
        return False  # Terraform itself reports a change of any other backend
    if recorded is None:
        _move_from_stack(config, backend, reporter, by_hand)
    elif (recorded.url, s3_endpoint(recorded.arguments)) != (backend.url, s3_endpoint(backend.arguments)):
        _move_from_s3(config, recorded, backend, reporter, by_hand)
    return True


def refuse_leaving(config: Config, *, by_hand: str) -> None:
    """Refuse to go back from a shared state to one in the stack's directory.

    Raises:
        ConfigError: pio-tf.hcl has no backend, but the state is in S3.
    """
    recorded = recorded_backend(config.stack_dir)
    if config.terraform.backend is not None or recorded is None or recorded.type != "s3":
        return
    raise ConfigError(
        f"the state of {config.cluster.name} is at {recorded.url}, and pio-tf.hcl has no terraform.backend any more",
        cause="a copy on this computer would diverge from the state that other clients use, so pio-tf makes none",
        next_step='put `backend "s3"` back into pio-tf.hcl. If no other client uses that state: `pio-tf generate`, '
        f"`{by_hand} init -migrate-state`, then remove {recorded.url}",
        details={"state": recorded.url},
    )


def recorded_backend(directory: Path) -> RecordedBackend | None:
    """Return the backend that a stack was initialised with; None if its state is in the directory."""
    try:
        raw = parse_json((directory / ".terraform" / _LOCAL).read_text(encoding="utf-8"))["backend"]
        found = RecordedBackend(str(raw["type"]), dict(raw["config"] or {}))
    except (OSError, ValueError, LookupError, TypeError):
        return None
    return None if found.type == "local" and not found.arguments.get("path") else found


def _move_from_stack(config: Config, backend: S3Backend, reporter: Reporter, by_hand: str) -> None:
    path = config.stack_dir / _LOCAL
    if not path.is_file() or read_state(path.read_bytes(), name=str(path)) is None:
        return
    with lock_file(path, by_hand=by_hand) as content:
        written = _copy(content, str(path), config, backend, by_hand)
        backup = path.with_name(f"{_LOCAL}.before-s3-{datetime.now(timezone.utc):%Y%m%dT%H%M%SZ}")
        path.chmod(0o600)
        path.replace(backup)
    if written:
        reporter(Step(f"Moving the state to {backend.url}; a copy stays here as {backup.name}"))
    else:
        reporter(Step(f"The state is at {backend.url} already: the copy in the stack is renamed to {backup.name}"))


def _move_from_s3(
    config: Config, recorded: RecordedBackend, backend: S3Backend, reporter: Reporter, by_hand: str
) -> None:
    arguments, key = recorded.arguments, str(recorded.arguments["key"])
    region, endpoint = arguments.get("region") or backend.aws.region, s3_endpoint(arguments) or None
    aws = backend.aws.model_copy(update={"region": region, "endpoint_url": endpoint})
    source = open_objects(config, replace(backend, bucket=str(arguments["bucket"]), aws=aws))
    with lock_object(source, f"{key}.tflock", path=recorded.url, by_hand=by_hand):
        found = source.read(key)
        if found is not None and read_state(found.body, name=recorded.url) is not None:
            written = _copy(found.body, recorded.url, config, backend, by_hand)
            done = f"Moving the state to {backend.url}" if written else f"The state is at {backend.url} already"
            reporter(Step(f"{done}; the one at {recorded.url} is left as it is"))


def _copy(content: bytes, source: str, config: Config, backend: S3Backend, by_hand: str) -> bool:
    """Write a state to S3 unless it is there already. Return whether it was written."""
    state = read_state(content, name=source)
    assert state is not None  # noqa: S101 - the caller has checked
    objects = open_objects(config, backend)
    lock = lock_object(objects, backend.lock_key, path=backend.url, by_hand=by_hand)
    with lock if backend.locks_by_object else nullcontext():
        found = objects.read(backend.key)
        existing = read_state(found.body, name=backend.url) if found else None
        if existing is not None:
            _refuse_another(config, existing, backend.url, state, source, by_hand)
            return False
        if found is None:
            written = objects.create(backend.key, content)
        else:  # an empty state, of a cluster that was destroyed
            written = objects.replace(backend.key, content, etag=found.etag)
    if written is None:
        raise Locked(
            f"another client has just written a state to {backend.url}",
            cause="it was not there a moment ago",
            next_step="nothing was changed here; try again, to see which state that is",
        )
    return True


def _refuse_another(config: Config, existing: State, url: str, moved: State, source: str, by_hand: str) -> None:
    if existing.lineage != moved.lineage:
        why = f"they are different states. In S3: {existing}; the other one: {moved}"
    elif existing.serial < moved.serial:
        why = f"the one in S3 is older: {existing}; the other one: {moved}"
    else:
        return
    raise ConfigError(
        f"{config.where('terraform.backend')}: there is a state at {url}, and another one at {source}",
        cause=why,
        next_step="nothing was changed. Find out which one describes the existing machines, and move the other one "
        f"away: `{by_hand} show` shows a state. To keep two clusters, give each its own "
        "cluster.name",
        details={"state": url, "other": source},
    )
