"""A plan that is kept: reviewed in one job, applied in another, and nothing else than what was reviewed."""

from __future__ import annotations

import hashlib
import json
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pio_tf.atomic_write import write_atomically
from pio_tf.errors import ConfigError, GuardRefused
from pio_tf.infra.manifest import VERSION, Manifest, Mismatch, is_whole
from pio_tf.json_text import parse_json
from pio_tf.version import __version__

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

PLAN = "plan.tfplan"
PLAN_JSON = "plan.json"
SUMMARY = "plan.md"
LOCKS = "terraform.lock.hcl"
"""Terraform's lock file, without the dot: uploads of artefacts tend to leave hidden files out."""
MANIFEST = "manifest.json"
MARKER = "<!-- pio-tf plan"
"""How every summary begins."""

_NAMES = (MANIFEST, PLAN, PLAN_JSON, LOCKS, SUMMARY)
"""The summary last: as long as it is there, the others are known as ours."""
_PLAN_AGAIN = "make a new plan (`pio-tf plan --out {directory}`), have it reviewed, and apply that"


@dataclass(frozen=True)
class Artifact:
    """A kept plan, whole and unchanged."""

    directory: Path
    manifest: Manifest
    plan: bytes
    plan_json: Mapping[str, Any]
    """Without its secrets."""
    locks: str
    """Terraform's lock file: the providers' versions and checksums."""


def prepare_directory(directory: Path) -> None:
    """Make the directory, without an earlier plan in it: one that fails must not leave the last one to be applied.

    Raises:
        ConfigError: it cannot be written, or has files of these names that are not ours.
    """
    with _usable(directory):
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        there = [name for name in _NAMES if (directory / name).exists()]
        if there and not _is_ours(directory / SUMMARY):
            raise ConfigError(
                f"{directory} holds files that pio-tf did not write: {', '.join(there)}",
                cause="a plan has files of these names, and would overwrite them",
                next_step="choose another directory for --out",
            )
        for name in _NAMES:
            (directory / name).unlink(missing_ok=True)


def write_summary(directory: Path, summary: str, plan_json: Mapping[str, Any]) -> None:
    """Write what people and programs read. Without the rest, it cannot be applied: so for a plan that was refused."""
    with _usable(directory):
        write_atomically(directory / SUMMARY, summary.encode(), mode=0o644)
        write_atomically(directory / PLAN_JSON, _json_bytes(plan_json), mode=0o644)


def write_artifact(
    directory: Path,
    *,
    plan: bytes,
    plan_json: Mapping[str, Any],
    summary: str,
    locks: str,
    manifest: Callable[[Mapping[str, str]], Manifest],
) -> None:
    """Write a whole artefact; the manifest last, so that a part of one is none.

    Args:
        directory: made by :func:`prepare_directory`.
        plan: Terraform's plan file. It holds whatever secrets the state holds.
        plan_json: ``terraform show -json`` of it, without its secrets.
        summary: Markdown that begins with :data:`MARKER`.
        locks: Terraform's lock file.
        manifest: makes it, given names and sums of the files.
    """
    write_summary(directory, summary, plan_json)
    with _usable(directory):
        write_atomically(directory / PLAN, plan, mode=0o600)
        write_atomically(directory / LOCKS, locks.encode(), mode=0o644)
        sums = {name: _sum((directory / name).read_bytes()) for name in sorted(set(_NAMES) - {MANIFEST})}
        write_atomically(directory / MANIFEST, manifest(sums).to_json().encode(), mode=0o644)


def read_artifact(directory: Path) -> Artifact:
    """Read a kept plan; it is whole, and as it was written.

    Raises:
        ConfigError: there is none, or it cannot be read.
        GuardRefused: it was changed since, or is of a newer pio-tf.
    """
    data = _read_manifest(directory)
    version = data.get("version")
    if not isinstance(version, int) or version > VERSION:
        target = data.get("target")
        writer = target.get("pio_tf", "unknown") if isinstance(target, dict) else "unknown"
        raise GuardRefused(
            f"the plan in {directory} was written by a newer pio-tf: refused, nothing was changed",
            cause=f"{MANIFEST} has version {version}, by pio-tf {writer}; pio-tf {__version__} knows up to {VERSION}",
            next_step="use the same pio-tf for plan and apply",
            details={"version": version, "known": VERSION},
        )
    if not is_whole(data):
        raise changed(directory, MANIFEST, "its own checksum does not fit")
    try:
        manifest = Manifest.from_json(data)
    except (KeyError, TypeError) as error:
        raise _unreadable(directory, MANIFEST, f"not as pio-tf writes it: {error}") from error
    contents = {name: _read(directory, name) for name in _NAMES if name != MANIFEST}
    for name, content in contents.items():
        if manifest.files.get(name) != _sum(content):
            raise changed(directory, name, f"its SHA-256 is {_sum(content)}, not {manifest.files.get(name)}")
    try:
        plan_json = parse_json(contents[PLAN_JSON])
    except ValueError as error:
        raise _unreadable(directory, PLAN_JSON, str(error)) from error
    return Artifact(directory, manifest, contents[PLAN], plan_json, contents[LOCKS].decode())


def refuse_mismatches(directory: Path, mismatches: Sequence[Mismatch]) -> None:
    """Let a plan pass only if everything is as it was planned.

    Raises:
        GuardRefused: it names all that differs.
    """
    if not mismatches:
        return
    steps = [one.what_to_do for one in mismatches if one.what_to_do]
    again = _PLAN_AGAIN.format(directory=directory)
    raise GuardRefused(
        f"the plan in {directory} is not for what is here: refused, nothing was changed",
        cause="\n".join(str(one) for one in mismatches),
        next_step="; ".join([*steps, f"or {again}"]) if steps else again,
        details={"differences": [{"what": one.what, "plan": one.plan, "here": one.here} for one in mismatches]},
    )


def _read_manifest(directory: Path) -> dict[str, Any]:
    try:
        data = parse_json(_read(directory, MANIFEST))
    except ValueError as error:  # UnicodeDecodeError too
        raise _unreadable(directory, MANIFEST, str(error)) from error
    if not isinstance(data, dict):
        raise _unreadable(directory, MANIFEST, "it is not an object")
    return data


def _read(directory: Path, name: str) -> bytes:
    path = directory / name
    try:
        return path.read_bytes()
    except OSError as error:
        cause = f"{name}: {error.strerror}"
        if name == MANIFEST and (directory / SUMMARY).is_file():
            cause = f"there is no {MANIFEST}: the plan was refused, as {SUMMARY} says, or not all of it was copied here"
        raise ConfigError(
            f"{directory} holds no plan that can be applied",
            cause=cause,
            next_step=f"`pio-tf plan --out {directory}` writes one: {', '.join(sorted(_NAMES))}",
        ) from error


def _is_ours(summary: Path) -> bool:
    return summary.is_file() and summary.read_bytes().startswith(MARKER.encode())


def _unreadable(directory: Path, name: str, cause: str) -> ConfigError:
    return ConfigError(
        f"{directory / name} cannot be read",
        cause=cause,
        next_step="copy the whole artefact again, or " + _PLAN_AGAIN.format(directory=directory),
    )


def changed(directory: Path, name: str, cause: str) -> GuardRefused:
    """The error for a file that is not as it was written."""
    return GuardRefused(
        f"{directory / name} was changed or damaged after the plan was made: refused, nothing was changed",
        cause=cause,
        next_step="copy the whole artefact again, or " + _PLAN_AGAIN.format(directory=directory),
        details={"file": name},
    )


def _json_bytes(value: object) -> bytes:
    return (json.dumps(value, ensure_ascii=False, separators=(",", ":")) + "\n").encode()


def _sum(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def write_private(path: Path, content: bytes) -> None:
    """Write a file that only this user can read, at once."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    write_atomically(path, content)


@contextmanager
def _usable(directory: Path) -> Iterator[None]:
    """What the file system says, as an error of ours."""
    try:
        yield
    except OSError as error:
        raise ConfigError(
            f"cannot write a plan into {directory}",
            cause=str(error),
            next_step="choose another directory for --out, or make this one writable",
        ) from error
