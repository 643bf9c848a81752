"""Refuses plans that change or remove what AWS does not show with this cluster's tag.

A state can be wrong: edited, mixed up with another cluster's, or with the wrong machine imported. Terraform trusts it,
and would take over or remove what it names. But before a plan Terraform reads the tags from AWS: *before* in the plan
is what AWS says, not what the state says.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from msgspec import Struct

from pio_tf.aws.cli_hints import AwsCliHints
from pio_tf.errors import GuardRefused
from pio_tf.infra.guard import ADOPTED
from pio_tf.infra.plan_file import reading_plan

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from pio_tf.config.schema import Config

_CLUSTER: Final = "pio-tf:cluster"
_OUR_OTHER_TAGS: Final = ("pio-tf:machine", "Name")
"""Tags that identify a resource which has lost the cluster's: an apply restores that."""
_NAMES: Final = ("id", "arn", "name", "default_route_table_id", "main_route_table_id")
"""Arguments by which a resource without tags refers to one that has tags."""


class ForeignResource(Struct, frozen=True):
    """A resource of a plan that is not this cluster's; ``owner`` is the cluster that it is tagged for, if any."""

    address: str
    id: str
    owner: str

    def __str__(self) -> str:
        why = f"is tagged for {self.owner}" if self.owner else f"does not carry the tag {_CLUSTER}"
        return f"{self.address} ({self.id}) {why}"


def refuse_foreign_resources(plan_json: Mapping[str, Any], config: Config) -> None:
    """Refuse a plan that would change or remove what is not this cluster's.

    Args:
        plan_json: ``terraform show -json`` of the plan file.

    Raises:
        GuardRefused: a resource is another cluster's, or has no cluster's tag.
        TerraformError: the plan cannot be read.
    """
    cluster = config.cluster.name
    with reading_plan():
        foreign = tuple(find_foreign_resources(plan_json, cluster=cluster))
    if not foreign:
        return
    untagged = [one.id for one in foreign if not one.owner]
    advice = "restore the right state (Terraform's `state rm ADDRESS` forgets a foreign resource)"
    if untagged:
        advice += (
            "; if these are this cluster's after all, tag them again: "
            f"{AwsCliHints.of(config).tag(untagged, _CLUSTER, cluster)}"
        )
    raise GuardRefused(
        f"the plan would change or remove resources that are not {cluster}'s: refused, nothing was changed",
        cause="\n".join(str(one) for one in foreign) + "\nTerraform's state names it as part of this cluster",
        next_step=advice,
        details={"resources": [{"address": one.address, "id": one.id, "cluster": one.owner} for one in foreign]},
    )


def find_foreign_resources(plan_json: Mapping[str, Any], *, cluster: str) -> Iterator[ForeignResource]:
    """Yield every existing resource that a plan would change, remove or import, and that is not the cluster's.

    An import takes what carries no cluster's tag: pio-tf.hcl names it by its id.
    """
    resources = [one for one in plan_json.get("resource_changes") or () if one.get("mode") == "managed"]
    existing = [one for one in resources if one["change"].get("before")]
    ours = {
        value
        for one in existing
        if _owner(one) == cluster
        for name in _NAMES
        if isinstance(value := one["change"]["before"].get(name), str) and value
    }
    ours |= {
        str(before["resource_id"])
        for before in (one["change"]["before"] for one in existing if one["type"] == "aws_ec2_tag")
        if (before["key"], before["value"]) == (_CLUSTER, cluster)
    }
    for one in existing:
        before, actions = one["change"]["before"], one["change"]["actions"]
        if one["change"].get("importing") and _owner(one) not in ("", cluster):
            yield ForeignResource(one["address"], str(before.get("id", "")), _owner(one))
        if {"update", "delete"} & set(actions) and not _belongs(one, cluster, actions, ours):
            yield ForeignResource(one["address"], str(before.get("id", "")), _owner(one))


def _belongs(change: Mapping[str, Any], cluster: str, actions: Sequence[str], ours: set[str]) -> bool:
    before = change["change"]["before"]
    if "tags" not in before and "tags_all" not in before:
        return any(isinstance(value, str) and value in ours for value in before.values())
    owner = _owner(change)
    if not owner and "delete" in actions and ADOPTED.match(change["address"]):
        return True  # its tags are resources of their own, newer than its state; PTF001 says why it is not removed
    if owner or "delete" in actions:
        return owner == cluster
    had, wanted = _tags(before), _tags(change["change"].get("after") or {})
    return any(had.get(name) and had.get(name) == wanted.get(name) for name in _OUR_OTHER_TAGS)


def _owner(change: Mapping[str, Any]) -> str:
    return str(_tags(change["change"]["before"]).get(_CLUSTER) or "")


def _tags(values: Mapping[str, Any]) -> Mapping[str, Any]:
    return values.get("tags") or values.get("tags_all") or {}
