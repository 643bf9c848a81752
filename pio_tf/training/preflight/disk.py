"""``disk``: room on the driver for what a training writes there."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pio_tf.training.preflight.model import Finding, failed, ok, together, warning
from pio_tf.training.preflight.probe import event_log_url

if TYPE_CHECKING:
    from pio_tf.training.preflight.model import Preflight
    from pio_tf.training.preflight.probe import Room

_NEXT = (
    "make room: old logs in ~/.pio-tf, Spark's spark-* and blockmgr-* directories of trainings that were killed; or a "
    "larger driver.root_volume_gib, and `pio-tf apply`"
)


async def check_disk(preflight: Preflight) -> Finding:
    """Free space and inodes of each file system that the run's log, the engine, PredictionIO or Spark writes to."""
    facts = await preflight.driver_facts()
    if not facts.rooms:
        return warning("df has no answer on the driver", "log in and try it: df -h")
    by_mount: dict[str, list[Room]] = {}
    for room in facts.rooms:
        by_mount.setdefault(room.mount, []).append(room)
    findings = [_about(preflight, rooms) for rooms in by_mount.values()]
    if facts.events not in ("", "directory"):
        url = event_log_url(preflight.settings)
        findings.append(
            failed(
                f"the directory of Spark's event log is missing on the driver: {url}",
                f"make it (mkdir -p) or name another in spark.eventLog.dir: Spark does not start without {url}",
            )
        )
    return together(findings)


def _about(preflight: Preflight, rooms: list[Room]) -> Finding:
    limits, room = preflight.limits, rooms[0]
    where = room.mount
    others = [one.directory for one in rooms if one.directory != where]
    named = f"{where} ({', '.join(dict.fromkeys(others))})" if others else where
    free = f"{room.free_mib / 1024:.1f} GiB free on {where}"
    inodes = room.free_inodes
    if room.free_mib < limits.disk_failed_mib:
        return failed(f"{free}, less than {limits.disk_failed_mib / 1024:g} GiB: {named}", _NEXT)
    if inodes is not None and inodes < limits.inodes_failed:
        return failed(f"{inodes} inodes free, less than {limits.inodes_failed}: {named}", _NEXT)
    if room.free_mib < limits.disk_warning_mib:
        return warning(f"{free}, less than {limits.disk_warning_mib / 1024:g} GiB: {named}", _NEXT)
    if inodes is not None and inodes < limits.inodes_warning:
        return warning(f"{inodes} inodes free, less than {limits.inodes_warning}: {named}", _NEXT)
    return ok(free)
