"""Elasticsearch's room: what its disks can still take below the high watermark, and whether a copy of a model fits.

A driver runs this file beside ``keep_model.py`` with its own Python, which may be as old as 3.6 and has only the
standard library.
"""

import re
from typing import Any, Dict, Iterator, Mapping, Optional, Tuple

CLUSTER_SETTINGS = "/_cluster/settings?flat_settings=true&include_defaults=true"
DISKS = "/_nodes/stats/fs"
WATERMARK = "cluster.routing.allocation.disk.watermark."
_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([kmgtp]?)b", re.IGNORECASE)
_MIB = 1024**2
_TIMES = 2
"""Until the Universal Recommender removes the old index, Elasticsearch also holds its copy and the new model."""


def judge_copy(
    index: str, sizes: Mapping[str, Any], settings: Mapping[str, Any], disks: Mapping[str, Any]
) -> Optional[Tuple[bool, str]]:
    """Return whether a copy of an index and a new one of its size fit, and that in a sentence; None: unknown.

    Above the high watermark, Elasticsearch moves shards away. An empty answer of Elasticsearch's decides nothing.

    Args:
        sizes: the answer to ``/<index>/_stats/store``: replicas are in its total.
        settings, disks: the answers to :data:`CLUSTER_SETTINGS` and :data:`DISKS`.
    """
    size, rooms = stored_bytes(sizes), list(_rooms(settings, disks))
    if size is None or not rooms:
        return None
    needed, room = size * _TIMES, sum(rooms)
    copy = f"a copy of {index} and a new model of its size need {needed / _MIB:.1f} MiB of Elasticsearch's disks"
    if room < needed:
        return False, f"{copy}, and {room / _MIB:.1f} MiB are free below the high watermark"
    return True, f"{copy}; {room / 1024 / _MIB:.1f} GiB are free"


def stored_bytes(sizes: Mapping[str, Any]) -> Optional[int]:
    """Return the bytes that an index takes, replicas included, by ``/<index>/_stats/store``; None: unknown."""
    size: Any = sizes
    for name in ("_all", "total", "store", "size_in_bytes"):
        size = _object(size).get(name)
    return size if isinstance(size, int) else None


def settings_in_force(settings: Mapping[str, Any]) -> Dict[str, str]:
    """Return the settings of the answer to :data:`CLUSTER_SETTINGS` that count."""
    groups = (_object(settings.get(group)) for group in ("defaults", "persistent", "transient"))
    return {key: str(value) for group in groups for key, value in group.items()}


def data_disk(node: Mapping[str, Any]) -> Optional[Tuple[int, int]]:
    """Return the total and the free bytes of a node in the answer to :data:`DISKS`.

    None: they are unknown, or the node holds no index.
    """
    roles = node.get("roles")
    if isinstance(roles, list) and "data" not in roles:
        return None
    disk = _object(_object(node.get("fs")).get("total"))
    total, free = disk.get("total_in_bytes"), disk.get("available_in_bytes")
    return (total, free) if isinstance(total, int) and isinstance(free, int) and total > 0 else None


def free_at(watermark: str, *, total: int) -> float:
    """Return the free bytes of a disk at a watermark: ``95%`` or ``0.95`` of it used, or ``10gb`` free; 0: unknown."""
    size = _SIZE.fullmatch(watermark)
    if size:
        return float(size.group(1)) * float(1024.0 ** " kmgtp".index(size.group(2).lower() or " "))
    try:
        part = float(watermark[:-1]) / 100 if watermark.endswith("%") else float(watermark)
    except ValueError:
        return 0.0
    return total * (1 - part)


def _rooms(settings: Mapping[str, Any], disks: Mapping[str, Any]) -> Iterator[float]:
    """Yield the bytes that each node with data can take."""
    in_force = settings_in_force(settings)
    unlimited = in_force.get("cluster.routing.allocation.disk.threshold_enabled") == "false"
    high = "" if unlimited else in_force.get(f"{WATERMARK}high", "")
    for node in _object(disks.get("nodes")).values():
        disk = data_disk(_object(node))
        if disk is not None:
            total, free = disk
            yield max(0.0, free - free_at(high, total=total))


def _object(value: object) -> Dict[str, Any]:
    return value if isinstance(value, dict) else {}
