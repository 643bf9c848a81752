"""A saved plan on disk: a directory that one job writes, reviewers read, and another job applies unchanged."""

from __future__ import annotations

import hashlib
import json
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

from msgspec import Struct
from pydantic import TypeAdapter, ValidationError

from pio_tf.atomic_write import write_atomically
from pio_tf.errors import ConfigError, GuardRefused
from pio_tf.json_text import parse_json
from pio_tf.version import __version__

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

PLAN = "plan.tfplan"
PLAN_JSON = "plan.json"
SUMMARY = "plan.md"
LOCKS = "terraform.lock.hcl"
"""Terraform's lock file, without the dot: CI systems tend to leave hidden files out of their uploads."""
MANIFEST = "manifest.json"
MARKER = "<!-- pio-tf plan"
"""The beginning of every summary."""
PLAN_AGAIN = "make a new plan (`pio-tf plan --out {directory}`), have it reviewed, and apply that"

NAMES = (MANIFEST, PLAN, PLAN_JSON, LOCKS, SUMMARY)
"""The files of a saved plan, in the order of removal. The summary is last: while it exists, the others are known to be
pio-tf's."""
_VERSION = 1
"""Version of the manifest's format."""
_SUM = "sha256"


@dataclass(frozen=True)
class PlanTarget:
    """The inputs of a plan, and its target.

    Args:
        pio_tf: pio-tf's version.
        account: number of the AWS account.
        terraform: product and version: ``terraform 1.15.5``.
        stack: the stack's files, each with its SHA-256.
    """

    pio_tf: str
    cluster: str
    account: str
    region: str
    terraform: str
    stack: dict[str, str]


@dataclass(frozen=True)
class StateVersion:
    """The state that a plan starts from.

    Args:
        backend: ``local``, ``s3``, …
        place: of a local state: the id in the file beside it. Empty for any other, which the stack's backend.tf names.
        lineage: Terraform's id of the state; empty before the first apply.
        serial: it grows with every change.
    """

    backend: str
    place: str
    lineage: str
    serial: int


@dataclass(frozen=True)
class Manifest:
    """The content of manifest.json.

    Args:
        providers: Terraform's providers and their versions.
        state_path: of a local state, for error messages: ``host:/path``; else empty.
        who: AWS identity that planned.
        when: UTC, as in 2026-01-31T03:00:00Z.
        files: the other files, each with its SHA-256.
    """

    target: PlanTarget
    providers: dict[str, str]
    state: StateVersion
    state_path: str
    has_changes: bool
    who: str
    when: str
    files: dict[str, str]

    @property
    def stack_digest(self) -> str:
        """One digest of the whole stack."""
        return digest(self.target.stack)

    def to_json(self) -> str:
        """Return the text of manifest.json: with the format's version, the stack's digest and a sum of everything."""
        content = {"version": _VERSION, "stack_digest": self.stack_digest, **asdict(self)}
        return json.dumps({**content, _SUM: digest(content)}, indent=2) + "\n"


_MANIFEST = TypeAdapter(Manifest)


class SavedPlan(Struct, frozen=True):
    """A saved plan that is complete and unchanged.

    Args:
        plan: Terraform's plan file.
        plan_json: without secrets.
        locks: Terraform's lock file: versions and checksums of the providers.
    """

    directory: Path
    manifest: Manifest
    plan: bytes
    plan_json: Mapping[str, Any]
    locks: str


def prepare_directory(directory: Path) -> None:
    """Make the directory and remove an earlier plan from it, so that a failure leaves no old plan to apply.

    Raises:
        ConfigError: the directory cannot be written, or pio-tf did not write its files of these names.
    """
    with _writing(directory):
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        found = [name for name in NAMES if (directory / name).exists()]
        summary = directory / SUMMARY
        if found and not (summary.is_file() and summary.read_bytes().startswith(MARKER.encode())):
            raise ConfigError(
                f"{directory} holds files that pio-tf did not write: {', '.join(found)}",
                cause="a saved plan has files of these names, and would overwrite them",
                next_step="choose another directory for --out",
            )
        for name in NAMES:
            (directory / name).unlink(missing_ok=True)


def write_summary(directory: Path, summary: str, plan_json: Mapping[str, Any]) -> None:
    """Write the readable files. A refused plan has no others, so that pio-tf cannot apply it."""
    with _writing(directory):
        write_atomically(directory / SUMMARY, summary, mode=0o644)
        text = json.dumps(plan_json, ensure_ascii=False, separators=(",", ":")) + "\n"
        write_atomically(directory / PLAN_JSON, text, mode=0o644)


def write_saved_plan(saved: SavedPlan, summary: str) -> None:
    """Write all files; the manifest last, with their sums, so that a part of a plan is none."""
    directory = saved.directory
    write_summary(directory, summary, saved.plan_json)
    with _writing(directory):
        write_atomically(directory / PLAN, saved.plan)
        write_atomically(directory / LOCKS, saved.locks, mode=0o644)
        sums = {name: _sha256((directory / name).read_bytes()) for name in sorted(set(NAMES) - {MANIFEST})}
        write_atomically(directory / MANIFEST, replace(saved.manifest, files=sums).to_json(), mode=0o644)


def read_saved_plan(directory: Path) -> SavedPlan:
    """Read a saved plan and check that it is complete and unchanged.

    Raises:
        ConfigError: there is none, or it cannot be read.
        GuardRefused: it was changed after it was written, or a newer pio-tf wrote it.
    """
    manifest = _read_manifest(directory)
    contents = {name: _read(directory, name) for name in NAMES if name != MANIFEST}
    for name, content in contents.items():
        if manifest.files.get(name) != _sha256(content):
            raise was_changed(directory, name, f"its SHA-256 is {_sha256(content)}, not {manifest.files.get(name)}")
    try:
        plan_json = parse_json(contents[PLAN_JSON])
    except ValueError as error:
        raise _unreadable(directory, PLAN_JSON, str(error)) from error
    return SavedPlan(directory, manifest, contents[PLAN], plan_json, contents[LOCKS].decode())


def was_changed(directory: Path, name: str, cause: str) -> GuardRefused:
    """Return the error for a file that is not as it was written."""
    return GuardRefused(
        f"{directory / name} was changed or damaged after the plan was made: refused, nothing was changed",
        cause=cause,
        next_step="copy the whole directory again, or " + PLAN_AGAIN.format(directory=directory),
        details={"file": name},
    )


def digest(content: Mapping[str, Any]) -> str:
    """Return the SHA-256 of an object, whatever the order of its names."""
    return _sha256(json.dumps(dict(content), sort_keys=True).encode())


def _read_manifest(directory: Path) -> Manifest:
    try:
        data = parse_json(_read(directory, MANIFEST))
    except ValueError as error:  # UnicodeDecodeError too
        raise _unreadable(directory, MANIFEST, str(error)) from error
    if not isinstance(data, dict):
        raise _unreadable(directory, MANIFEST, "it is not an object")
    version = data.get("version")
    if not isinstance(version, int) or version > _VERSION:
        target = data.get("target")
        writer = target.get("pio_tf", "unknown") if isinstance(target, dict) else "unknown"
        raise GuardRefused(
            f"a newer pio-tf wrote the saved plan {directory}: refused, nothing was changed",
            cause=f"{MANIFEST} has version {version}, by pio-tf {writer}; pio-tf {__version__} knows up to {_VERSION}",
            next_step="use the same pio-tf for plan and apply",
            details={"version": version, "known": _VERSION},
        )
    if data.get(_SUM) != digest({name: value for name, value in data.items() if name != _SUM}):
        raise was_changed(directory, MANIFEST, "its own checksum does not match")
    try:
        return _MANIFEST.validate_python(data)
    except ValidationError as error:
        where = ".".join(map(str, error.errors()[0]["loc"]))
        raise _unreadable(directory, MANIFEST, f"{where}: {error.errors()[0]['msg']}") from error


def _read(directory: Path, name: str) -> bytes:
    try:
        return (directory / name).read_bytes()
    except OSError as error:
        cause = f"{name}: {error.strerror}"
        if name == MANIFEST and (directory / SUMMARY).is_file():
            cause = f"there is no {MANIFEST}: the plan was refused, as {SUMMARY} says, or not all files were copied"
        raise ConfigError(
            f"{directory} holds no plan that can be applied",
            cause=cause,
            next_step=f"`pio-tf plan --out {directory}` writes one: {', '.join(sorted(NAMES))}",
        ) from error


def _unreadable(directory: Path, name: str, cause: str) -> ConfigError:
    return ConfigError(
        f"{directory / name} cannot be read",
        cause=cause,
        next_step="copy the whole directory again, or " + PLAN_AGAIN.format(directory=directory),
    )


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


@contextmanager
def _writing(directory: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise ConfigError(
            f"cannot write a plan into {directory}",
            cause=str(error),
            next_step="choose another directory for --out, or make this one writable",
        ) from error
