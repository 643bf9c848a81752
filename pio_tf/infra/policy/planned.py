"""What a plan leads to, read from ``terraform show -json``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pio_tf.infra.guard import machine_name

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping


@dataclass(frozen=True)
class Planned:
    """A resource as it will be, whether the plan changes it or not."""

    address: str
    type: str
    machine: str
    """``worker-2``, where it is a machine; else empty."""
    values: Mapping[str, Any]
    unknown: Mapping[str, Any]
    """True at the names of what only the apply will tell."""

    def is_unknown(self, name: str) -> bool:
        """Whether an argument, or something in it, is known only after the apply."""
        return _any(self.unknown.get(name))

    @property
    def label(self) -> str:
        """The machine's name where it is one, else the address."""
        return self.machine or self.address


def planned(plan_json: Mapping[str, Any], *kinds: str) -> Iterator[Planned]:
    """The resources of these types that are there after the plan."""
    for change in plan_json.get("resource_changes") or ():
        values = change["change"].get("after")
        if change.get("mode") == "managed" and change["type"] in kinds and values is not None:
            unknown = change["change"].get("after_unknown") or {}
            yield Planned(change["address"], change["type"], machine_name(change), values, unknown)


def read_data(plan_json: Mapping[str, Any], kind: str) -> Iterator[Planned]:
    """The data sources of a type, as they were read."""
    module = ((plan_json.get("prior_state") or {}).get("values") or {}).get("root_module") or {}
    yield from _data(module, kind)


def _data(module: Mapping[str, Any], kind: str) -> Iterator[Planned]:
    for resource in module.get("resources") or ():
        if resource.get("mode") == "data" and resource["type"] == kind:
            yield Planned(resource["address"], kind, "", resource.get("values") or {}, {})
    for child in module.get("child_modules") or ():
        yield from _data(child, kind)


def _any(unknown: object) -> bool:
    if isinstance(unknown, dict):
        return any(_any(value) for value in unknown.values())
    if isinstance(unknown, list):
        return any(_any(value) for value in unknown)
    return unknown is True
