"""A log such as a training's: Spark's lines about tasks, blocks and splits, stack traces, and a secret now and then."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

SECRET = "correct horse battery"  # noqa: S105 - no real secret
_TASKS = 2_000
_EVERY_TASK = """\
{at} INFO TaskSetManager: Starting task {task}.0 in stage 7.0 (TID {task}, {worker}, executor 3, partition {task}, \
PROCESS_LOCAL, 7899 bytes)
{at} INFO TaskSetManager: Finished task {task}.0 in stage 7.0 (TID {task}) in 41 ms on {worker} (executor 3) ({task}/9)
{at} INFO BlockManagerInfo: Added rdd_17_{task} in memory on {worker}:41234 (size: 12.3 MB, free: 8.1 GB)
"""
_SOME_TASKS = "{at} INFO HadoopRDD: Input split: hdfs://namenode:9000/user/ubuntu/events/part-{task:05}:0+134217728\n"
_LOST_TASK = (
    "[WARN] [TaskSetManager] Lost task {task}.0 in stage 7.0 (TID {task}, {worker}, executor 3): java.io.IOException: "
    "Connection reset by peer\n"
    + "\tat org.apache.spark.scheduler.DAGScheduler.handleTaskCompletion(DAGScheduler.scala:{task})\n"
    * 30
)
_SUBMISSION = f"[INFO] [Runner$] Submission command: --env PIO_SOURCES_ES_PASSWORD={SECRET},PIO_HOME=/pio\n"


def write_log(path: Path, size: int) -> int:
    """Write so many bytes of it, or a little less. Returns its lines."""
    block = "".join(map(_about, range(_TASKS)))
    with path.open("w") as file:
        for _ in range(size // len(block)):
            file.write(block)
    return block.count("\n") * (size // len(block))


def _about(task: int) -> str:
    text = _EVERY_TASK
    if task % 10 == 0:
        text += _SOME_TASKS
    if task % 50 == 0:
        text += _LOST_TASK
    if task % 500 == 0:
        text += _SUBMISSION
    return text.format(task=task, at=f"26/11/23 14:{task // 60:02}:{task % 60:02}", worker=f"10.0.0.{task % 250}")
