"""A plan without changes as JSON, read from its file.

``terraform show -json`` starts the AWS provider once more, only for the types of values: 0.5 s of CPU, a third of what
the plan itself takes. In a plan without changes, every value is in the state that the file contains, as JSON.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, Final

from pio_tf.infra.plan_file import read_plan_file
from pio_tf.json_text import parse_json

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_FORMAT: Final = 4
_PROVIDER: Final = re.compile(r'provider\["([^"]+)"\]')


def show_unchanged(content: bytes) -> dict[str, Any]:
    """Return what the guard reads of ``terraform show -json`` of a plan file without changes.

    Returns:
        ``variables``, ``resource_changes`` (each a ``no-op``), ``output_changes`` and ``prior_state``.

    Raises:
        ValueError: it is encrypted, not as Terraform writes it, or its state has what no plan leaves as it is.
    """
    file = read_plan_file(content)
    state = parse_json(file.state)
    try:
        if state["version"] != _FORMAT:
            raise ValueError(f"its state has the format version {state['version']}")
        found = [one for resource in state["resources"] for one in _instances(resource)]
        outputs = {name: one["value"] for name, one in (state.get("outputs") or {}).items()}
    except (LookupError, TypeError, AttributeError) as error:
        raise ValueError(f"something in its state is not as Terraform writes it: {error!r}") from error
    return {
        "variables": {name: {"value": value} for name, value in file.variables.items()},
        "resource_changes": [
            {**about, "change": _no_change(values)} for about, values in found if about["mode"] == "managed"
        ],
        "output_changes": {name: _no_change(value) for name, value in outputs.items()},
        "prior_state": {
            "values": {"root_module": {"resources": [{**about, "values": values} for about, values in found]}}
        },
    }


def _instances(resource: Mapping[str, Any]) -> Iterator[tuple[dict[str, Any], Any]]:
    """Yield each instance of a resource in a state: what identifies it, and its values."""
    data = "data." if resource["mode"] == "data" else ""
    module = f"{resource['module']}." if "module" in resource else ""
    provider = _PROVIDER.search(resource["provider"])
    for one in resource["instances"]:
        if "deposed" in one or "status" in one:
            raise ValueError(f"its state has a {resource['type']} that the plan would replace or delete")
        index = {"index": one["index_key"]} if "index_key" in one else {}
        key = f"[{json.dumps(one['index_key'], ensure_ascii=False)}]" if index else ""
        about = {
            "address": f"{module}{data}{resource['type']}.{resource['name']}{key}",
            "mode": resource["mode"],
            "type": resource["type"],
            "name": resource["name"],
            "provider_name": provider[1] if provider else "",
            **index,
        }
        yield about, one["attributes"]


def _no_change(value: Any) -> dict[str, Any]:  # noqa: ANN401 - JSON
    return {"actions": ["no-op"], "before": value, "after": value, "after_unknown": {}}
