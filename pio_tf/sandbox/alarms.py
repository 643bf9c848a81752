"""CloudWatch alarms that measure the machines' CPU and stop idle ones. moto only stores alarms.

This module supports the alarms of pio-tf: CPUUtilization of one instance, its average, LessThanThreshold, all of the
last periods, EC2's stop action. It ignores others. A period without data is not idle (``notBreaching``), and an alarm
acts when its state changes, as on AWS.
"""

from __future__ import annotations

import logging
import os
import time
from collections import defaultdict, deque
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from moto.cloudwatch.models import cloudwatch_backends
from moto.ec2.exceptions import EC2ClientError
from moto.ec2.models import ec2_backends

from pio_tf.sandbox.processes import find_processes_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from pio_tf.sandbox.ec2_models import LocalInstance

logger = logging.getLogger("pio_tf.sandbox")

PERIOD: Final = 300
"""Seconds of a data point, as in EC2's basic monitoring."""
_WEEK: Final = 7 * 86400 // PERIOD
_TICKS: Final = os.sysconf("SC_CLK_TCK")


class CpuMeter:
    """A meter of the CPU utilization since the last measurement.

    Args:
        directory: the parent of the machines' directories, which are named by the instance's id.
        clock: seconds, monotonic.
    """

    def __init__(self, directory: Path, clock: Callable[[], float] = time.monotonic) -> None:
        self._directory = directory
        self._clock = clock
        self._last: dict[int, int] = {}
        self._measured = clock()

    def percents(self, instances: Sequence[LocalInstance]) -> dict[str, float]:
        """Return, by id, the utilization of each running instance in percent of all its processors."""
        now = self._clock()
        seconds = max(now - self._measured, 1 / _TICKS)
        seen: dict[int, int] = {}
        found = {}
        directories = {self._directory / one.instance_id: one for one in instances if one.state == "running"}
        processes = find_processes_of(tuple(directories))
        for directory, instance in directories.items():
            ticks = {process.pid: _ticks(process.pid) for process in processes[directory]}
            used = sum(max(0, now_used - self._last.get(pid, 0)) for pid, now_used in ticks.items())
            found[instance.instance_id] = 100.0 * used / _TICKS / seconds / instance.vcpus
            seen |= ticks
        self._last, self._measured = seen, now
        return found


class Alarms:
    """The data points so far, and the alarms that watch them. The caller must hold the lock of EC2's requests."""

    def __init__(self) -> None:
        self._points: defaultdict[str, deque[float | None]] = defaultdict(lambda: deque(maxlen=_WEEK))

    def observe(self, percents: Mapping[str, float]) -> None:
        """Record one period, in which all other instances were off, and update all alarms."""
        for instance_id in {*self._points, *percents}:
            self._points[instance_id].append(percents.get(instance_id))
        for account, region, alarm, instance_id in list(_stopping_alarms()):
            state = "ALARM" if self._is_idle(alarm, instance_id) else "OK"
            if state == alarm.state_value:
                continue
            alarm.update_state("by the sandbox's own measurement", "{}", state)
            if state == "ALARM" and alarm.actions_enabled:
                logger.info("alarm %s stops %s", alarm.name, instance_id)
                try:
                    ec2_backends[account][region].stop_instances([instance_id])
                except EC2ClientError as error:
                    logger.warning("alarm %s: %s", alarm.name, error)

    def _is_idle(self, alarm: Any, instance_id: str) -> bool:  # noqa: ANN401 - moto's
        points = list(self._points[instance_id])
        each = int(alarm.period) // PERIOD
        periods = int(alarm.evaluation_periods)
        if len(points) < each * periods:
            return False
        recent = points[-each * periods :]
        chunks = (recent[start : start + each] for start in range(0, len(recent), each))
        return all(_below(chunk, float(alarm.threshold)) for chunk in chunks)


def _below(chunk: Sequence[float | None], threshold: float) -> bool:
    known = [point for point in chunk if point is not None]
    return bool(known) and sum(known) / len(known) < threshold


def _stopping_alarms() -> Iterator[tuple[str, str, Any, str]]:
    for account, regions in list(cloudwatch_backends.items()):
        for region, backend in list(regions.items()):
            for alarm in list(backend.alarms.values()):
                instance_id = _watched(alarm)
                if instance_id:
                    yield account, region, alarm, instance_id


def _watched(alarm: Any) -> str:  # noqa: ANN401 - moto's
    """Return the instance of a supported alarm, else an empty string."""
    dimensions = {one.name: one.value for one in alarm.dimensions}
    supported = (
        (alarm.namespace, alarm.metric_name, alarm.statistic) == ("AWS/EC2", "CPUUtilization", "Average")
        and alarm.comparison_operator == "LessThanThreshold"
        and alarm.treat_missing_data == "notBreaching"
        and int(alarm.datapoints_to_alarm or alarm.evaluation_periods) == int(alarm.evaluation_periods)
        and any(action.endswith(":ec2:stop") and ":automate:" in action for action in alarm.alarm_actions)
    )
    return str(dimensions.get("InstanceId", "")) if supported and len(dimensions) == 1 else ""


def _ticks(pid: int) -> int:
    """Return the processor time of a process so far; 0 if it is gone."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace").rpartition(")")[2].split()
    except OSError:
        return 0
    return int(fields[11]) + int(fields[12])  # utime and stime: fields 14 and 15, the name being the second
