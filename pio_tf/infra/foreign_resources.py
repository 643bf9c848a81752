"""Only ours: a plan may change or remove nothing that AWS does not show with this cluster's tag.

A state can be wrong: edited, mixed up with another cluster's, or of an import that took the wrong machine. Terraform
believes it, and would take over or remove what it names. Before a plan, Terraform reads the tags anew from AWS: what it
puts into the plan as *before* is AWS's word, not the state's.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from pio_tf.errors import GuardRefused

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

_CLUSTER: Final = "pio-tf:cluster"
_OURS_TOO: Final = ("pio-tf:machine", "Name")
"""Tags by which a resource is known again that has lost the cluster's: an apply puts that back."""
_NAMES: Final = ("id", "arn", "name", "default_route_table_id", "main_route_table_id")
"""Arguments by which a resource that has no tags names one that has."""


@dataclass(frozen=True)
class Stranger:
    """A resource of a plan that is not this cluster's."""

    address: str
    id: str
    owner: str
    """The cluster that it is tagged for; empty: none."""

    def __str__(self) -> str:
        whose = f"is tagged for {self.owner}" if self.owner else f"does not carry the tag {_CLUSTER}"
        return f"{self.address} ({self.id}) {whose}"


def refuse_foreign_resources(plan_json: Mapping[str, Any], *, cluster: str) -> None:
    """Let a plan pass only if all that it would change or remove is this cluster's.

    Args:
        plan_json: ``terraform show -json`` of the plan file.

    Raises:
        GuardRefused: something is another's, or nobody's.
    """
    strangers = tuple(find_foreign_resources(plan_json, cluster=cluster))
    if not strangers:
        return
    untagged = [one.id for one in strangers if not one.owner]
    advice = "bring the right state back (`terraform state rm ADDRESS` forgets what is not ours)"
    if untagged:
        advice += (
            "; what is this cluster's all the same gets its tag back by hand: aws ec2 create-tags --resources "
            f"{' '.join(untagged)} --tags Key={_CLUSTER},Value={cluster}"
        )
    raise GuardRefused(
        f"the plan would change or remove what is not {cluster}'s: refused, nothing was changed",
        cause="\n".join(str(one) for one in strangers) + "\nTerraform's state names it as part of this cluster",
        next_step=advice,
        details={"resources": [{"address": one.address, "id": one.id, "cluster": one.owner} for one in strangers]},
    )


def find_foreign_resources(plan_json: Mapping[str, Any], *, cluster: str) -> Iterator[Stranger]:
    """Everything in a plan that is there, would be changed or removed, and does not belong to the cluster."""
    resources = [one for one in plan_json.get("resource_changes") or () if one.get("mode") == "managed"]
    there = [one for one in resources if one["change"].get("before")]
    ours = {name for one in there if _owner(one) == cluster for name in _names(one["change"]["before"])}
    for one in there:
        before, actions = one["change"]["before"], one["change"]["actions"]
        if not {"update", "delete"} & set(actions) or _belongs(one, cluster, actions, ours):
            continue
        yield Stranger(one["address"], str(before.get("id", "")), _owner(one))


def _belongs(change: Mapping[str, Any], cluster: str, actions: Sequence[str], ours: set[str]) -> bool:
    before = change["change"]["before"]
    if "tags" not in before and "tags_all" not in before:
        return any(isinstance(value, str) and value in ours for value in before.values())
    owner = _owner(change)
    if owner or "delete" in actions:
        return owner == cluster
    had, wanted = _tags(before), _tags(change["change"].get("after") or {})
    return any(had.get(name) and had.get(name) == wanted.get(name) for name in _OURS_TOO)


def _owner(change: Mapping[str, Any]) -> str:
    return str(_tags(change["change"]["before"]).get(_CLUSTER) or "")


def _tags(values: Mapping[str, Any]) -> Mapping[str, Any]:
    return values.get("tags") or values.get("tags_all") or {}


def _names(values: Mapping[str, Any]) -> Iterator[str]:
    for name in _NAMES:
        value = values.get(name)
        if isinstance(value, str) and value:
            yield value
