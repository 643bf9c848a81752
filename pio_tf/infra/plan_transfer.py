"""Saves a plan for another job, and opens it there: only if cluster, account, state and versions are as planned."""

from __future__ import annotations

import platform
import re
import uuid
from datetime import datetime, timezone
from typing import TYPE_CHECKING

from msgspec import Struct

from pio_tf.atomic_write import write_atomically
from pio_tf.errors import GuardRefused
from pio_tf.infra.cost import plan_cost, price_note
from pio_tf.infra.expected_plan import ExpectedPlan
from pio_tf.infra.plan_summary import render_summary
from pio_tf.infra.redaction import plain_secrets, redact_plan
from pio_tf.infra.root_module import stack_sums
from pio_tf.infra.saved_plan import (
    PLAN,
    PLAN_AGAIN,
    PLAN_JSON,
    Manifest,
    PlanTarget,
    SavedPlan,
    StateVersion,
    digest,
    was_changed,
    write_saved_plan,
    write_summary,
)
from pio_tf.infra.stack_directory import LOCK_FILE
from pio_tf.version import __version__

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path

    from pio_tf.config.schema import Config
    from pio_tf.infra.deployment import Deployment
    from pio_tf.infra.plan import Plan

_LOCKED_PROVIDER = re.compile(r'^provider "([^"]+)" \{\n\s*version\s*=\s*"([^"]+)"', re.MULTILINE)
"""A provider as Terraform writes it in its lock file."""
_STATE_ID = "pio-tf.tfstate.id"
"""A file beside a local state, which tells it from one in another directory even before the state exists. The stack's
.gitignore leaves it out like the state itself, so that a fresh checkout has neither."""


class Mismatch(Struct, frozen=True):
    """A fact that is not the same here as in the plan."""

    what: str
    plan: str
    here: str
    fix: str = ""
    why: str = ""

    def __str__(self) -> str:
        why = f" ({self.why})" if self.why else ""
        return f"{self.what}: {self.plan or 'none'} in the plan, {self.here or 'none'} here{why}"


def save_plan(
    deployment: Deployment, plan: Plan, directory: Path, *, account: str, who: str, refused: str = ""
) -> None:
    """Write a plan with everything that :func:`open_saved_plan` compares.

    Args:
        directory: made by :func:`pio_tf.infra.saved_plan.prepare_directory`.
        account: number of the AWS account that the plan was made in.
        who: AWS identity that made it.
        refused: the reason not to apply it: pio-tf then writes only the readable files.

    Raises:
        ConfigError: the directory cannot be written.
        TerraformError: the state cannot be read.
    """
    config = deployment.config
    plan_json = redact_plan(plan.json, secrets=plain_secrets(config))
    locks = _read_locks(config.stack_dir)
    manifest = Manifest(
        target=_target(deployment, account),
        providers=_locked_versions(locks),
        state=_state_version(deployment, make_id=not refused),
        state_path=_state_path(config),
        has_changes=plan.has_changes,
        who=who,
        when=datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ"),
        files={},
    )
    summary = render_summary(
        plan,
        plan_json,
        cluster=config.cluster.name,
        facts=_facts(manifest),
        cost=plan_cost(config, plan.json),
        cost_note=price_note(config),
        refused=refused,
    )
    if refused:
        write_summary(directory, summary, plan_json)
    else:
        write_saved_plan(SavedPlan(directory, manifest, plan.path.read_bytes(), plan_json, locks), summary)


def open_saved_plan(deployment: Deployment, saved: SavedPlan, *, account: str) -> Plan:
    """Return a saved plan that can be applied: it matches this cluster as it is now. The guard has not judged it yet.

    Args:
        account: number of the AWS account that the credentials here are for.

    Raises:
        GuardRefused: it is for another cluster, account, region, state or version, or was made from something else than
            the stack of here.
        TerraformError: Terraform cannot read it.
    """
    config, directory, manifest = deployment.config, saved.directory, saved.manifest
    _refuse_mismatches(directory, _compare_targets(manifest.target, _target(deployment, account)))
    ExpectedPlan(config).refuse_other(directory, saved.plan, saved.plan_json)
    deployment.generate()
    _refuse_mismatches(directory, _take_locks(config.stack_dir, saved))
    deployment.prepare()
    state = _state_version(deployment, make_id=False)
    _refuse_mismatches(directory, _compare_states(manifest, state, path=_state_path(config)))
    path = deployment.planner.plan_path
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    try:
        write_atomically(path, saved.plan)  # the checked bytes are applied, even if the file in the directory changes
        plan = deployment.read_plan(path)
        _refuse_other_json(saved, plan, config)
    except BaseException:
        path.unlink(missing_ok=True)
        raise
    return plan


def _refuse_other_json(saved: SavedPlan, plan: Plan, config: Config) -> None:
    """Refuse a plan.json that does not show its plan file."""
    if redact_plan(plan.json, secrets=plain_secrets(config)) != saved.plan_json:
        raise was_changed(saved.directory, PLAN_JSON, f"it differs from {PLAN}")


def _refuse_mismatches(directory: Path, found: Iterable[Mismatch]) -> None:
    mismatches = list(found)
    if not mismatches:
        return
    again = PLAN_AGAIN.format(directory=directory)
    fixes = [one.fix for one in mismatches if one.fix]
    raise GuardRefused(
        f"saved plan {directory} does not match this cluster: refused, nothing was changed",
        cause="\n".join(str(one) for one in mismatches),
        next_step="; ".join([*fixes, f"or {again}"]) if fixes else again,
        details={"differences": [{"what": one.what, "plan": one.plan, "here": one.here} for one in mismatches]},
    )


def _compare_targets(plan: PlanTarget, here: PlanTarget) -> Iterator[Mismatch]:
    for name, what, fix in (
        ("cluster", "cluster", f"use the pio-tf.hcl of {plan.cluster}"),
        ("account", "AWS account", f"use credentials of the account {plan.account}"),
        ("region", "region", f"use the pio-tf.hcl that has the region {plan.region}"),
        ("pio_tf", "pio-tf", f"use pio-tf {plan.pio_tf} here, as for the plan"),
        ("terraform", "Terraform", f"use {plan.terraform} here, as for the plan"),
    ):
        if getattr(plan, name) != getattr(here, name):
            yield Mismatch(what, getattr(plan, name), getattr(here, name), fix)
    differ = _differing(plan.stack, here.stack)
    # Another cluster, region or pio-tf has other files anyway.
    if differ and (plan.cluster, plan.region, plan.pio_tf) == (here.cluster, here.region, here.pio_tf):
        names = ", ".join(differ[:5]) + (f" and {len(differ) - 5} more" if len(differ) > 5 else "")
        yield Mismatch(
            f"the stack ({names})",
            digest(plan.stack)[:12],
            digest(here.stack)[:12],
            "use the pio-tf.hcl and the public key (ssh.key) that were planned",
        )


def _compare_states(plan: Manifest, here: StateVersion, *, path: str) -> Iterator[Mismatch]:
    state = plan.state
    if state.backend == here.backend == "local" and state.place != here.place:
        yield Mismatch(
            "the state is a local file",
            plan.state_path,
            path,
            "apply the plan where its state is; or keep the state where every job finds it (`terraform.backend`), "
            "then plan again",
            "another file, which does not know the planned machines",
        )
    elif state.lineage != here.lineage:
        why = "another state" if state.lineage else "something was applied since"
        yield Mismatch("lineage of the state", state.lineage, here.lineage, why=why)
    elif state.serial != here.serial:
        why = "something was applied since" if here.serial > state.serial else "an older state was put back"
        yield Mismatch("serial of the state", str(state.serial), str(here.serial), why=why)


def _take_locks(stack: Path, saved: SavedPlan) -> list[Mismatch]:
    """Give Terraform the plan's lock file if there is none here. One that is here stays: it says which providers run.

    Terraform compares the whole file, checksums included.
    """
    here = _read_locks(stack)
    plan_versions, versions = saved.manifest.providers, _locked_versions(here)
    if not here:
        (stack / LOCK_FILE).write_text(saved.locks, encoding="utf-8")
        return []
    fix = f"commit one {LOCK_FILE} beside pio-tf.hcl for all jobs, and make a new plan"
    differ = _differing(plan_versions, versions)
    if not differ and here != saved.locks:
        return [Mismatch(f"checksums of the providers in {LOCK_FILE}", "others", "as it stands in the stack", fix)]
    return [Mismatch(f"provider {name}", plan_versions.get(name, ""), versions.get(name, ""), fix) for name in differ]


def _differing(one: Mapping[str, str], other: Mapping[str, str]) -> list[str]:
    return [name for name in sorted({*one, *other}) if one.get(name) != other.get(name)]


def _target(deployment: Deployment, account: str) -> PlanTarget:
    config, binary = deployment.config, deployment.stack.terraform.binary
    return PlanTarget(
        pio_tf=__version__,
        cluster=config.cluster.name,
        account=account,
        region=config.aws.region,
        terraform=f"{binary.product} {binary.version}",
        stack=stack_sums(config),
    )


def _state_version(deployment: Deployment, *, make_id: bool) -> StateVersion:
    """Describe the state that is here; with ``make_id``, give a local state an id if it has none."""
    backend = deployment.config.terraform.backend
    kind = backend.type if backend else "local"
    lineage, serial = deployment.stack.terraform.state_version()
    place = ""
    if kind == "local":
        file = deployment.config.stack_dir / _STATE_ID
        if make_id and not file.exists():
            write_atomically(file, f"{uuid.uuid4()}\n")
        place = file.read_text(encoding="utf-8").strip() if file.is_file() else ""
    return StateVersion(backend=kind, place=place, lineage=lineage, serial=serial)


def _state_path(config: Config) -> str:
    backend = config.terraform.backend
    if backend and backend.type != "local":
        return ""
    return f"{platform.node()}:{config.stack_dir / 'terraform.tfstate'}"


def _read_locks(stack: Path) -> str:
    path = stack / LOCK_FILE
    return path.read_text(encoding="utf-8") if path.is_file() else ""


def _locked_versions(locks: str) -> dict[str, str]:
    return dict(_LOCKED_PROVIDER.findall(locks))


def _facts(manifest: Manifest) -> Mapping[str, str]:
    target, state = manifest.target, manifest.state
    return {
        "AWS account": target.account,
        "region": target.region,
        "state": f"{state.backend}, serial {state.serial}" + (f", lineage {state.lineage}" if state.lineage else ""),
        "stack": manifest.stack_digest[:12],
        "Terraform": target.terraform,
        **{f"provider {name.removeprefix('registry.terraform.io/')}": one for name, one in manifest.providers.items()},
        "pio-tf": target.pio_tf,
        "planned by": manifest.who,
        "planned at": manifest.when,
    }
