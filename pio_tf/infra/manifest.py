"""The manifest of a plan that is kept: what it was made from, and for which cluster, account and state."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

VERSION = 1
"""Of the manifest's form."""
_SUM = "sha256"


@dataclass(frozen=True)
class Target:
    """What a plan is made from, and what it is for."""

    pio_tf: str
    """pio-tf's version."""
    cluster: str
    account: str
    """AWS's number of it."""
    region: str
    terraform: str
    """``Terraform 1.15.5``."""
    stack: Mapping[str, str]
    """The stack's files, each with its SHA-256."""


@dataclass(frozen=True)
class StateMark:
    """Which state a plan starts from."""

    backend: str
    """``local``, ``s3``, …"""
    place: str
    """Of a local state: an id that is kept beside it. Of another: empty, since the stack's backend.tf says it."""
    lineage: str
    """Terraform's id of the state; empty before the first apply."""
    serial: int
    """It grows with every change."""


@dataclass(frozen=True)
class Manifest:
    """All of it, with the files."""

    target: Target
    providers: Mapping[str, str]
    """Terraform's providers and their versions."""
    state: StateMark
    state_path: str
    """Of a local state, for people: ``host:/path``; else empty."""
    has_changes: bool
    who: str
    """The AWS identity that planned."""
    when: str
    """UTC, as in 2026-01-31T03:00:00Z."""
    files: Mapping[str, str]
    """Names and SHA-256."""

    @property
    def stack_digest(self) -> str:
        """One digest for the whole stack."""
        return _sum(self.target.stack)

    def to_json(self) -> str:
        """As the file has it: with its version, the stack's digest and a sum over everything."""
        content = {"version": VERSION, "stack_digest": self.stack_digest, **asdict(self)}
        return json.dumps({**content, _SUM: _sum(content)}, indent=2) + "\n"

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Manifest:
        """From the file's content.

        Raises:
            KeyError, TypeError: it is not a manifest of this version.
        """
        known = {name: data[name] for name in cls.__dataclass_fields__}
        manifest = cls(**{**known, "target": Target(**known["target"]), "state": StateMark(**known["state"])})
        if not all(isinstance(one, dict) for one in (manifest.files, manifest.providers, manifest.target.stack)):
            raise TypeError("a table is missing")
        return manifest


def is_whole(data: Mapping[str, Any]) -> bool:
    """Whether a manifest is as it was written: its sum fits."""
    return data.get(_SUM) == _sum({name: value for name, value in data.items() if name != _SUM})


def _sum(content: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(dict(content), sort_keys=True).encode()).hexdigest()


@dataclass(frozen=True)
class Mismatch:
    """Something that is not here as the plan has it."""

    what: str
    plan: str
    here: str
    what_to_do: str = ""
    why: str = ""

    def __str__(self) -> str:
        why = f" ({self.why})" if self.why else ""
        return f"{self.what}: {self.plan or 'none'} in the plan, {self.here or 'none'} here{why}"


def compare_targets(plan: Target, here: Target) -> tuple[Mismatch, ...]:
    """What differs between the cluster that a plan is for and the one that is here."""
    found = [
        Mismatch(what, one, other, what_to_do)
        for what, one, other, what_to_do in (
            ("cluster", plan.cluster, here.cluster, f"use the pio-tf.hcl of {plan.cluster}"),
            ("AWS account", plan.account, here.account, f"use credentials of the account {plan.account}"),
            ("region", plan.region, here.region, f"use the pio-tf.hcl that has the region {plan.region}"),
            ("pio-tf", plan.pio_tf, here.pio_tf, f"use pio-tf {plan.pio_tf} here, as for the plan"),
            ("Terraform", plan.terraform, here.terraform, f"use {plan.terraform} here, as for the plan"),
        )
        if one != other
    ]
    if (plan.cluster, plan.region, plan.pio_tf) == (here.cluster, here.region, here.pio_tf):
        found += _compare_stacks(plan.stack, here.stack)
    return tuple(found)


def compare_providers(plan: Mapping[str, str], here: Mapping[str, str]) -> tuple[Mismatch, ...]:
    """Providers whose versions differ."""
    return tuple(
        Mismatch(
            f"provider {name}",
            plan.get(name, ""),
            here.get(name, ""),
            "use the .terraform.lock.hcl of the plan, or none: then the plan's is taken",
        )
        for name in sorted({*plan, *here})
        if plan.get(name) != here.get(name)
    )


def compare_states(plan: Manifest, here: StateMark, *, path: str) -> tuple[Mismatch, ...]:
    """What differs between the state that a plan starts from and the one that is here.

    Args:
        path: of a local state here, as in :attr:`Manifest.state_path`.
    """
    state = plan.state
    if state.backend == here.backend == "local" and state.place != here.place:
        return (
            Mismatch(
                "the state is a local file",
                plan.state_path,
                path,
                "apply the plan where its state is; or keep the state where every job finds it (`terraform.backend`), "
                "then plan again",
                "another file, in which nothing is known of what was planned on",
            ),
        )
    if state.lineage != here.lineage:
        why = "another state" if state.lineage else "something was applied since"
        return (Mismatch("lineage of the state", state.lineage, here.lineage, why=why),)
    if state.serial != here.serial:
        moved = "something was applied since" if here.serial > state.serial else "an older state was put back"
        return (Mismatch("serial of the state", str(state.serial), str(here.serial), why=moved),)
    return ()


def _compare_stacks(plan: Mapping[str, str], here: Mapping[str, str]) -> Iterator[Mismatch]:
    differ = [name for name in sorted({*plan, *here}) if plan.get(name) != here.get(name)]
    if differ:
        names = ", ".join(differ[:5]) + (f" and {len(differ) - 5} more" if len(differ) > 5 else "")
        yield Mismatch(
            f"the stack ({names})",
            _sum(plan)[:12],
            _sum(here)[:12],
            "use the pio-tf.hcl and the public key (ssh.key) that were planned",
        )
