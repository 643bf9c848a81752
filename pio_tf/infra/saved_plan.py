"""Keeps a plan for another job, and opens it there: only if cluster, account, state and versions are as planned."""

from __future__ import annotations

import platform
import uuid
from dataclasses import replace
from datetime import datetime, timezone
from typing import TYPE_CHECKING

from pio_tf.infra.artifact import (
    PLAN,
    PLAN_JSON,
    Artifact,
    changed,
    refuse_mismatches,
    write_artifact,
    write_private,
    write_summary,
)
from pio_tf.infra.cost import plan_cost, price_note
from pio_tf.infra.manifest import (
    Manifest,
    Mismatch,
    StateMark,
    Target,
    compare_providers,
    compare_states,
    compare_targets,
)
from pio_tf.infra.plan_summary import render_summary
from pio_tf.infra.provider_locks import LOCK_FILE, locked_versions, read_locks
from pio_tf.infra.redaction import plain_secrets, redact_plan
from pio_tf.infra.stack import stack_sums
from pio_tf.version import __version__

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from pio_tf.config.schema import Config
    from pio_tf.infra.deployment import Deployment
    from pio_tf.infra.plan import Plan

_STATE_ID = "pio-tf.tfstate.id"
"""Beside a local state: tells it from another one in another directory before it is there. The stack's .gitignore
leaves it out, as the state itself, so that a fresh checkout has neither."""


def keep_plan(
    deployment: Deployment, plan: Plan, directory: Path, *, account: str, who: str, refused: str = ""
) -> None:
    """Write a plan and all that goes with it.

    Args:
        directory: made by :func:`pio_tf.infra.artifact.prepare_directory`.
        account: AWS's number of the account that it was made in.
        who: the AWS identity that made it.
        refused: why it must not be applied: then only what people and programs read is written.

    Raises:
        ConfigError: the directory cannot be written.
        TerraformError: the state cannot be read.
    """
    config = deployment.config
    plan_json = redact_plan(plan.json, secrets=plain_secrets(config))
    locks = read_locks(config.stack_dir)
    manifest = Manifest(
        target=_target(deployment, account),
        providers=locked_versions(locks),
        state=_state_mark(deployment, make=not refused),
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
        return
    write_artifact(
        directory,
        plan=plan.path.read_bytes(),
        plan_json=plan_json,
        summary=summary,
        locks=locks,
        manifest=lambda files: replace(manifest, files=files),
    )


def open_plan(deployment: Deployment, artifact: Artifact, *, account: str) -> Plan:
    """A kept plan, ready to be applied: it is for this cluster as it is now. The guard has not judged it yet.

    Args:
        artifact: as :func:`pio_tf.infra.artifact.read_artifact` has read it.
        account: AWS's number of the account that the credentials here are for.

    Raises:
        GuardRefused: it is for another cluster, account, region, state or version: what differs.
        TerraformError: Terraform cannot read it.
    """
    config, directory, manifest = deployment.config, artifact.directory, artifact.manifest
    refuse_mismatches(directory, compare_targets(manifest.target, _target(deployment, account)))
    deployment.generate()
    refuse_mismatches(directory, _take_locks(config.stack_dir, artifact))
    deployment.prepare()
    state = _state_mark(deployment, make=False)
    refuse_mismatches(directory, compare_states(manifest, state, path=_state_path(config)))
    path = deployment.plan_path
    try:
        write_private(path, artifact.plan)  # what was checked is what is applied, whatever happens to the other file
        plan = deployment.read_plan(path)
        _refuse_another_content(artifact, plan, config)
    except BaseException:
        path.unlink(missing_ok=True)
        raise
    return plan


def _refuse_another_content(artifact: Artifact, plan: Plan, config: Config) -> None:
    """The plan file's own word, whatever manifest and plan.json say."""
    variables = plan.json.get("variables") or {}
    said = {name: str((variables.get(name) or {}).get("value")) for name in ("cluster", "region")}
    wanted = {"cluster": config.cluster.name, "region": config.aws.region}
    refuse_mismatches(
        artifact.directory,
        [Mismatch(f"{name} of {PLAN}", said[name], wanted[name]) for name in wanted if said[name] != wanted[name]],
    )
    if redact_plan(plan.json, secrets=plain_secrets(config)) != artifact.plan_json:
        raise changed(artifact.directory, PLAN_JSON, f"it says something else than {PLAN}")


def _target(deployment: Deployment, account: str) -> Target:
    config, binary = deployment.config, deployment.terraform.binary
    return Target(
        pio_tf=__version__,
        cluster=config.cluster.name,
        account=account,
        region=config.aws.region,
        terraform=f"{binary.product} {binary.version}",
        stack=stack_sums(config),
    )


def _state_mark(deployment: Deployment, *, make: bool) -> StateMark:
    """The state that is here.

    Args:
        make: give a local state an id, if it has none.
    """
    backend = deployment.config.terraform.backend
    kind = backend.type if backend else "local"
    lineage, serial = deployment.terraform.state_mark()
    place = ""
    if kind == "local":
        file = deployment.config.stack_dir / _STATE_ID
        if make and not file.exists():
            write_private(file, f"{uuid.uuid4()}\n".encode())
        place = file.read_text(encoding="utf-8").strip() if file.is_file() else ""
    return StateMark(backend=kind, place=place, lineage=lineage, serial=serial)


def _state_path(config: Config) -> str:
    backend = config.terraform.backend
    if backend and backend.type != "local":
        return ""
    return f"{platform.node()}:{config.stack_dir / 'terraform.tfstate'}"


def _take_locks(stack: Path, artifact: Artifact) -> tuple[Mismatch, ...]:
    """Have Terraform take the same providers as for the plan, byte for byte: it compares the whole file."""
    here = read_locks(stack)
    differ = compare_providers(artifact.manifest.providers, locked_versions(here)) if here else ()
    if not differ and here != artifact.locks:
        (stack / LOCK_FILE).write_text(artifact.locks, encoding="utf-8")
    return differ


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
