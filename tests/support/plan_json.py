"""Plans as ``terraform show -json`` gives them, as small as the guard and the cost need them."""

from __future__ import annotations

from typing import Any

Json = dict[str, Any]


def change(
    kind: str,
    address: str = "",
    *,
    before: Json | None = None,
    after: Json | None = None,
    unknown: Json | None = None,
    actions: tuple[str, ...] = (),
    mode: str = "managed",
) -> Json:
    """Return the change of one resource. Without ``actions``, they follow from the values before and after."""
    done = actions or (("create",) if before is None else ("delete",) if after is None else ("update",))
    details = {"actions": list(done), "before": before, "after": after, "after_unknown": unknown or {}}
    return {"address": address or f"{kind}.this", "type": kind, "mode": mode, "change": details}


def machine(name: str = "worker-1", *, type: str = "r5.xlarge", gib: int = 50, **more: Any) -> Json:  # noqa: A002, ANN401
    """Return the values of a machine as the module writes it."""
    tags = {"pio-tf:machine": name, "pio-tf:role": name.partition("-")[0]}
    disk = {"encrypted": True, "volume_type": "gp3", "volume_size": gib}
    return {"instance_type": type, "tags": tags, "root_block_device": [disk], **more}


def rule(*cidrs: str, port: int = 22, last: int | None = None, protocol: str = "tcp", **more: Any) -> Json:  # noqa: ANN401
    """Return the values of an aws_security_group_rule that lets these ranges in."""
    ports = {"from_port": port, "to_port": port if last is None else last}
    return {"type": "ingress", "protocol": protocol, **ports, "cidr_blocks": list(cidrs), **more}


def plan(*changes: Json, data: tuple[Json, ...] = (), cluster: str = "trainer", region: str = "eu-west-1") -> Json:
    """Return a whole plan.

    Args:
        data: data sources as they were read, in a module.
    """
    read = {"resources": [{**one, "mode": "data"} for one in data], "address": "module.network"}
    return {
        "format_version": "1.2",
        "variables": {"cluster": {"value": cluster}, "region": {"value": region}},
        "resource_changes": list(changes),
        "prior_state": {"values": {"root_module": {"child_modules": [read]}}},
    }
