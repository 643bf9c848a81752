"""The program on the driver that collects a run's memory and cores from Spark's pages."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from msgspec.structs import replace

from pio_tf.model import Machine
from pio_tf.training.runs import run_usage
from pio_tf.training.runs.run_usage import Usage, pause_after
from pio_tf.training.spark_usage import SparkUsage, files_for_usage, given_to_spark
from tests.support.background import wait_until
from tests.support.builders import make_config
from tests.support.places import serving
from tests.support.spark_pages import DRIVER, MASTER

if TYPE_CHECKING:
    from collections.abc import Mapping

APP = "app-20260131100000-0003"
STARTED = 1_769_853_600.0
"""2026-01-31 10:00 UTC."""
PLACE: dict[str, Any] = {"driver": DRIVER, "ui_port": 4040, "master": MASTER, "master_ui_port": 8080}
GIB = 2**30


def executor(name: str, *, task: int = 0, gc: int = 0, peak: int | None = None, cores: int = 4) -> dict[str, Any]:
    """Return an entry of ``/allexecutors`` with the fields of Spark 2.4.8; with ``peak``, of 3.5.9."""
    found = {"id": name, "isActive": True, "totalCores": cores, "totalDuration": task, "totalGCTime": gc}
    found |= {"memoryUsed": 27952, "maxMemory": 455501414}
    return found if peak is None else {**found, "peakMemoryMetrics": {"JVMHeapMemory": peak, "TotalGCTime": 337}}


def stage(number: int, *, seconds: int = 10, status: str = "COMPLETE", spilled: int = 0) -> dict[str, Any]:
    """Return an entry of ``/stages``, as Spark 2.4.8 and 3.5.9 write it."""
    return {
        "status": status,
        "stageId": number,
        "attemptId": 0,
        "numCompleteTasks": 8,
        "submissionTime": "2026-01-31T10:01:00.000GMT",
        "completionTime": f"2026-01-31T10:01:{seconds:02}.250GMT",
        "memoryBytesSpilled": 3 * spilled,
        "diskBytesSpilled": spilled,
        "name": f"map at\nModel.scala:{number}",
    }


def master(*names: str, started: float = STARTED) -> dict[str, Any]:
    """Return the master's page: three workers with four cores, one of them dead."""
    return {
        "workers": [{"state": state, "cores": 4} for state in ("ALIVE", "ALIVE", "DEAD")],
        "activeapps": [{"id": name, "starttime": int(started * 1000)} for name in names],
    }


class Pages:
    """Spark's pages, as a test sets them."""

    def __init__(self) -> None:
        self.master: object = master(APP)
        self.executors: object = [executor("driver"), executor("0"), executor("1")]
        self.stages: object = []
        self.times: object = [1038.0, 3008.0]
        self.ui_port = PLACE["ui_port"]
        self.asked: list[str] = []

    def get(self, host: str, port: int, path: str) -> object:
        self.asked.append(f"{host}:{port}{path}")
        if path == "/json/":
            return self.master
        if port != self.ui_port:
            return None
        answers: Mapping[str, object] = {
            "": [{"id": APP, "attempts": [{"appSparkVersion": "2.4.8"}]}],
            f"/{APP}/allexecutors": self.executors,
            f"/{APP}/stages": self.stages,
        }
        rest = path.removeprefix("/api/v1/applications")
        return {"executorRunTime": self.times} if "taskSummary" in rest else answers.get(rest)


@pytest.fixture
def spark() -> Pages:
    return Pages()


@pytest.fixture
def usage(spark: Pages) -> Usage:
    """Return the usage of an application that the master has shown once."""
    usage = Usage(spark.get, PLACE, STARTED)
    assert usage.look(STARTED + 1) is None
    return usage


def test_an_application_is_asked_only_once_the_master_has_shown_it_twice(spark: Pages, usage: Usage) -> None:
    assert spark.asked == [f"{MASTER}:8080/json/"]
    assert usage.look(STARTED + 3) is not None
    assert spark.asked[2] == f"{DRIVER}:4040/api/v1/applications"


def test_an_application_of_an_earlier_run_is_not_asked(spark: Pages) -> None:
    spark.master = master(APP, started=STARTED - 3600)
    usage = Usage(spark.get, PLACE, STARTED)
    assert [usage.look(STARTED + second) for second in (1, 3, 5)] == [None] * 3
    assert {asked.partition("/")[2] for asked in spark.asked} == {"json/"}


def test_the_figures_are_those_of_all_looks_together(spark: Pages, usage: Usage) -> None:
    spark.executors = [
        executor("driver", peak=2 * GIB),
        executor("0", task=10_000, peak=5 * GIB),
        executor("1", task=0, peak=6 * GIB),
    ]
    spark.stages = [stage(0, seconds=10, spilled=7), stage(1, seconds=40, spilled=100), stage(2, status="ACTIVE")]
    usage.look(STARTED + 10)
    spark.executors = [
        executor("driver", peak=3 * GIB),
        executor("0", task=210_000, gc=40_000, peak=9 * GIB),
        executor("1", task=190_000, gc=10_000, peak=4 * GIB),
    ]
    spark.stages = [stage(3, seconds=20, spilled=1)]  # Spark keeps the last 1000 stages only
    usage.look(STARTED + 110)
    assert usage.figures() == {
        "seen_seconds": 110.0,
        "spark": "2.4.8",
        "driver_peak_bytes": 3 * GIB,
        "executor_peak_bytes": 9 * GIB,
        "gc_share": 0.125,
        "memory_spilled_bytes": 324,
        "disk_spilled_bytes": 108,
        "longest_stage": "map at Model.scala:1",
        "longest_stage_seconds": 40.2,
        "skew": 2.9,
        "executors": 2,
        "cores": 8,
        "cluster_cores": 8,
        "idle_share": pytest.approx(1 - (200 + 190) / (100 * 8), abs=1e-4),
    }


def test_what_spark_does_not_say_is_left_out(spark: Pages, usage: Usage) -> None:
    usage.look(STARTED + 3)
    assert usage.figures() == {
        "seen_seconds": 3.0,
        "spark": "2.4.8",
        "executors": 2,
        "cores": 8,
        "cluster_cores": 8,
    }


def test_the_tasks_of_the_longest_stage_are_asked_for_once(spark: Pages, usage: Usage) -> None:
    spark.stages = [stage(0, seconds=10), stage(1, seconds=40)]
    for second in (3, 5, 7):
        usage.look(STARTED + second)
    assert [asked for asked in spark.asked if "taskSummary" in asked] == [
        f"{DRIVER}:4040/api/v1/applications/{APP}/stages/1/0/taskSummary?quantiles=0.5,1.0"
    ]


def test_a_lost_executor_has_no_idle_time_after_its_end(spark: Pages, usage: Usage) -> None:
    spark.executors = [executor("0"), executor("1")]
    usage.look(STARTED + 10)
    spark.executors = [executor("0", task=40_000), executor("1", task=40_000)]
    usage.look(STARTED + 20)
    spark.executors = [executor("0", task=400_000), {**executor("1", task=40_000), "isActive": False}]
    usage.look(STARTED + 110)
    assert usage.figures()["idle_share"] == pytest.approx(0.0)


@pytest.mark.parametrize("nonsense", [None, [], {}, "x", 7, [1, None], [{"id": None, "totalCores": "x"}], {"a": []}])
def test_nonsense_ends_nothing(spark: Pages, usage: Usage, nonsense: object) -> None:
    usage.look(STARTED + 3)
    spark.executors = spark.stages = spark.times = nonsense
    usage.look(STARTED + 5)
    spark.master = nonsense
    for second in (7, 9):
        usage.look(STARTED + second)
    json.dumps(usage.figures())


def test_a_page_that_is_gone_is_looked_for_again(spark: Pages, usage: Usage) -> None:
    usage.look(STARTED + 3)
    spark.executors = None
    assert usage.look(STARTED + 5) is None
    assert usage.figures()["seen_seconds"] == 3.0
    spark.executors = [executor("0")]
    usage.look(STARTED + 7)
    assert usage.look(STARTED + 9) is not None


@pytest.mark.parametrize(
    ("took", "elapsed", "pause"), [(0.01, 10, 2.0), (0.01, 400, 10.0), (0.01, 36_000, 15.0), (4.0, 36_000, 20.0)]
)
def test_the_pause_grows_with_the_run_and_with_the_time_of_an_answer(took: float, elapsed: float, pause: float) -> None:
    assert pause_after(took, elapsed) == pause


def test_the_program_writes_the_figures_beside_the_log_and_ends_with_the_run(tmp_path: Path, spark: Pages) -> None:
    spark.executors = [executor("driver", peak=GIB), executor("0", task=1000, gc=10)]
    started = time.time()
    spark.master = master(APP, started=started)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            answer = spark.get(DRIVER, spark.ui_port, self.path)
            self.send_response(404 if answer is None else 200)
            self.end_headers()
            self.wfile.write(json.dumps(answer).encode())

        def log_message(self, *_: object) -> None:
            pass

    with serving(Handler) as url:
        host, port = url.removeprefix("http://").split(":")
        spark.ui_port = int(port)
        place = {"driver": host, "ui_port": spark.ui_port, "master": host, "master_ui_port": spark.ui_port}
        (tmp_path / "spark_pages.json").write_text(json.dumps(place))
        ticks = Path(f"/proc/{os.getpid()}/stat").read_text().rpartition(") ")[2].split()[19]
        (tmp_path / "process").write_text(f"{os.getpid()} {ticks} boot {started} 7\n")
        command = [sys.executable, run_usage.__file__, "spark_pages.json"]
        with subprocess.Popen(command, cwd=tmp_path, env=os.environ | {"http_proxy": "http://127.0.0.1:9"}) as program:
            try:
                assert wait_until((tmp_path / "usage").exists, within=30)
                assert program.poll() is None
                (tmp_path / "ended").touch()
                assert program.wait(timeout=10) == 0
            finally:
                program.kill()
    figures = json.loads((tmp_path / "usage").read_text())
    assert (figures["driver_peak_bytes"], figures["gc_share"], figures["cores"]) == (GIB, 0.01, 4)


def test_python_3_6_can_read_the_program() -> None:
    import ast

    ast.parse(Path(run_usage.__file__).read_text(encoding="utf-8"), feature_version=(3, 6))


def test_a_run_is_given_the_heaps_in_force_and_the_addresses_of_its_pages() -> None:
    config = make_config()
    driver = Machine("driver", "driver", "i-0d", "r5.large", "running", DRIVER, None, None)
    machines = (driver, replace(driver, name="master", role="master", private_ip=MASTER))
    assert given_to_spark({"spark.driver.memory": "20g", "spark.executor.memory": "512m"}) == {
        "driver_heap_bytes": 20 * GIB,
        "executor_heap_bytes": GIB // 2,
    }
    assert given_to_spark({"spark.driver.memory": "much"}) == {}
    files = files_for_usage(config, machines, 4040)
    assert json.loads(files["spark_pages.json"]) == PLACE
    assert files["run_usage.py"] == Path(run_usage.__file__).read_text(encoding="utf-8")
    assert files_for_usage(config, machines, 0) == {}
    assert files_for_usage(config, machines[1:], 4040) == {}


def test_figures_of_another_version_that_make_no_sense_are_unknown() -> None:
    read = SparkUsage.of({"gc_share": 1.5, "cores": -1, "skew": 2.0, "new": [1], "spark": "4.0", "executors": "x"})
    assert read == SparkUsage(skew=2.0, spark="4.0")
    assert not read.is_known
    assert SparkUsage.of({}) == SparkUsage()
