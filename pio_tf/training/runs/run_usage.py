"""The program on the driver that reads from Spark's pages how a run uses memory and cores.

It runs beside `pio train`, with or without a client, because the pages end with the application. It writes the file
``usage``, the figures so far, after each look. The driver runs it with its own Python, which may be as old as 3.6 and
has only the standard library.

The pages are the master's ``/json/`` and the REST API of the application:
https://spark.apache.org/docs/3.5.5/monitoring.html#rest-api. Spark 2.1 to 3.5 name the fields alike, but for
``peakMemoryMetrics``, which exists since 3.0. A figure that Spark does not give is left out.
"""

import json
import re
import sys
import time
import urllib.request
from datetime import datetime
from pathlib import Path
from typing import Any, Callable, Dict, List, Optional, Set, Tuple

PORTS = 4
"""Ports that Spark may have taken for its page: the first one that is free."""
TIMEOUT = 60.0
"""Seconds for one answer. Spark writes a stack trace into the training's log if its reader gives up."""
LARGEST = 32 * 2**20
"""Bytes of one answer. Spark keeps 1000 stages, with some KiB each."""
SHORTEST, LONGEST = 2.0, 15.0
"""Seconds between two looks: a fortieth of the time that the run has taken, within these limits."""
SHARE = 5
"""The pause is at least so many times as long as the look before it: Spark's driver serves it with one of its cores."""
CLOCKS_DIFFER = 60.0
"""Seconds by which the clocks of driver and master may differ."""
_API = "/api/v1/applications"
_ID = re.compile(r"[A-Za-z0-9_.-]+")
_LONGEST_NAME = 200
_Json = Dict[str, Any]
Get = Callable[[str, int, str], Any]
"""Host, port and path -> the JSON of the answer; None if there is none."""


class Usage:
    """The figures of a run, collected look by look.

    Args:
        place: ``driver`` and ``master``, addresses, with ``ui_port`` and ``master_ui_port``.
        started: the start of the run, in seconds since 1970.
    """

    def __init__(self, get: Get, place: _Json, started: float) -> None:
        self._get = get
        self._place = place
        self._started = started
        self._on_master: Set[str] = set()
        self._page: Optional[Tuple[int, str]] = None
        self._spark = ""
        self._peaks: Dict[str, int] = {}
        self._executors: Dict[str, List[Tuple[float, _Json]]] = {}
        self._stages: Dict[Tuple[int, int], _Json] = {}
        self._longest: Tuple[float, Tuple[int, int]] = (0.0, (-1, -1))
        self._skew: _Json = {}
        self._skew_of = 0.0
        self._cores = 0
        self._seen = 0.0

    def look(self, now: float) -> Optional[float]:
        """Ask Spark once; return how long the application's page took to answer, in seconds. None: it did not.

        To find the page does not count: its first answer takes seconds, as Spark loads the program for it.
        """
        if self._page is None:
            self._page = self._find()
        if self._page is None:
            return None
        began = time.monotonic()
        executors = self._ask("allexecutors")
        if not isinstance(executors, list):
            self._page = None  # it has ended, or its driver is busy
            return None
        for item in _objects(executors):
            self._note_executor(item, now)
        stages = self._ask("stages")
        for item in _objects(stages):
            self._note_stage(item)
        self._note_skew()
        self._seen = now
        return time.monotonic() - began

    def figures(self) -> _Json:
        """Return what is known, by name: bytes, seconds, and shares from 0 to 1."""
        found: _Json = {"seen_seconds": round(self._seen - self._started, 1), "spark": self._spark}
        driver = self._peaks.get("driver")
        others = [peak for name, peak in self._peaks.items() if name != "driver"]
        found["driver_peak_bytes"] = driver or None
        found["executor_peak_bytes"] = max(others) if others else None
        latest = [looks[-1][1] for looks in self._executors.values()]
        task = sum(_number(one, "totalDuration") for one in latest)
        if task and all("totalGCTime" in one for one in latest):
            found["gc_share"] = round(min(1.0, sum(_number(one, "totalGCTime") for one in latest) / task), 4)
        if self._stages:
            found["memory_spilled_bytes"] = sum(_number(one, "memoryBytesSpilled") for one in self._stages.values())
            found["disk_spilled_bytes"] = sum(_number(one, "diskBytesSpilled") for one in self._stages.values())
        found.update(self._skew)
        found["executors"] = len(self._executors) or None
        found["cores"] = sum(_number(one, "totalCores") for one in latest) or None
        found["cluster_cores"] = self._cores or None
        idle = self._idle()
        if idle is not None:
            found["idle_share"] = round(idle, 4)
        return {name: value for name, value in found.items() if value not in (None, "")}

    def _find(self) -> Optional[Tuple[int, str]]:
        """Return port and id of the newest application of this run with a page on the driver.

        An application whose page is asked for while Spark puts it up writes a stack trace into the training's log: it
        counts from the second look on at which the master has it.
        """
        raw = self._get(self._place["master"], self._place["master_ui_port"], "/json/")
        if not isinstance(raw, dict):
            return None
        apps = [one for one in _objects(raw.get("activeapps")) if _ID.fullmatch(str(one.get("id", "")))]
        since = (self._started - CLOCKS_DIFFER) * 1000
        names = {str(one["id"]) for one in apps if _number(one, "starttime") >= since}
        workers = [one for one in _objects(raw.get("workers")) if one.get("state") == "ALIVE"]
        self._cores = max(self._cores, sum(_number(one, "cores") for one in workers))
        settled, self._on_master = names & self._on_master, names
        found: Dict[str, int] = {}
        first = self._place["ui_port"]
        for port in range(first, first + PORTS) if settled else ():
            for one in _objects(self._get(self._place["driver"], port, _API)):
                if str(one.get("id")) in settled:
                    found[str(one["id"])] = port
                    attempts = _objects(one.get("attempts"))
                    self._spark = str(attempts[-1].get("appSparkVersion", "") if attempts else "")[:40]
        return (found[max(found)], max(found)) if found else None

    def _ask(self, what: str) -> Any:  # noqa: ANN401 - JSON may be anything
        port, name = self._page or (0, "")
        return self._get(self._place["driver"], port, "{}/{}/{}".format(_API, name, what))

    def _note_executor(self, item: _Json, now: float) -> None:
        name = str(item.get("id"))
        peak = item.get("peakMemoryMetrics")
        heap = _number(peak, "JVMHeapMemory") if isinstance(peak, dict) else 0
        if heap:
            self._peaks[name] = max(self._peaks.get(name, 0), heap)
        if "driver" not in name:  # of all looks, only the first and the last count
            looks = self._executors.setdefault(name, [(now, item)])
            if item.get("isActive", True) or len(looks) == 1:
                looks[1:] = [(now, item)]

    def _note_stage(self, item: _Json) -> None:
        key = (_number(item, "stageId"), _number(item, "attemptId"))
        kept = ("memoryBytesSpilled", "diskBytesSpilled", "name")
        self._stages[key] = {name: item[name] for name in kept if name in item}
        start, end = _time(item.get("submissionTime")), _time(item.get("completionTime"))
        if item.get("status") == "COMPLETE" and start and end and _number(item, "numCompleteTasks") > 1:
            self._longest = max(self._longest, (end - start, key))

    def _note_skew(self) -> None:
        """Compare the longest task of the longest stage with the median of its tasks."""
        seconds, (stage, attempt) = self._longest
        if seconds <= self._skew_of:
            return
        found = self._ask("stages/{}/{}/taskSummary?quantiles=0.5,1.0".format(stage, attempt))
        times = found.get("executorRunTime") if isinstance(found, dict) else None
        if isinstance(times, list) and len(times) == 2 and all(isinstance(one, (int, float)) for one in times):
            self._skew_of = seconds
            median, longest = times
            name = " ".join(str(self._stages[stage, attempt].get("name", "")).split())[:_LONGEST_NAME]
            self._skew = {"longest_stage": name, "longest_stage_seconds": round(seconds, 1)}
            if median > 0:
                self._skew["skew"] = round(longest / median, 2)

    def _idle(self) -> Optional[float]:
        """Return the share of the executors' core time in which no task ran, from the first look at each on."""
        there = busy = 0.0
        for looks in self._executors.values():
            (start, first), (end, last) = looks[0], looks[-1]
            there += (end - start) * _number(last, "totalCores")
            busy += (_number(last, "totalDuration") - _number(first, "totalDuration")) / 1000
        return max(0.0, 1 - busy / there) if there else None


def pause_after(look: float, elapsed: float) -> float:
    """Return the seconds until the next look; ``look``: those that this one took."""
    return max(SHARE * look, min(LONGEST, max(SHORTEST, elapsed / 40)))


def get_json(host: str, port: int, path: str) -> Any:  # noqa: ANN401 - JSON may be anything
    """Return the answer of a page; None if there is none."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open("http://{}:{}{}".format(host, port, path), timeout=TIMEOUT) as answer:
            text = answer.read(LARGEST + 1)
        return json.loads(text.decode("utf-8")) if len(text) <= LARGEST else None
    except (OSError, ValueError, RecursionError):
        return None
    except Exception:  # noqa: BLE001 - http.client has errors of its own; no figure is worth a training
        return None


def _objects(raw: object) -> List[_Json]:
    return [one for one in raw if isinstance(one, dict)] if isinstance(raw, list) else []


def _number(item: _Json, name: str) -> int:
    value = item.get(name)
    return value if isinstance(value, int) and 0 <= value < 2**63 else 0


def _time(text: object) -> float:
    """Return ``2026-11-30T09:03:18.855GMT`` as seconds; 0: it is something else."""
    try:
        return datetime.strptime(str(text).replace("GMT", "+0000"), "%Y-%m-%dT%H:%M:%S.%f%z").timestamp()
    except ValueError:
        return 0.0


def runs_still(directory: Path) -> bool:
    """Return whether the run in this directory is active: its process is alive, and its command has not ended."""
    try:
        pid, ticks = (directory / "process").read_text().split()[:2]
        stat = Path("/proc", pid, "stat").read_text()
    except (OSError, ValueError):
        return False
    return stat.rpartition(") ")[2].split()[19] == ticks and not (directory / "ended").exists()


def main() -> int:
    """Collect the figures of the run in this directory until it ends; the argument is a file with Spark's addresses."""
    directory = Path.cwd()
    started = float((directory / "process").read_text().split()[3])
    usage = Usage(get_json, json.loads(Path(sys.argv[1]).read_text(encoding="utf-8")), started)
    while runs_still(directory):
        took = usage.look(time.time())
        if took is not None:
            new = directory / "usage.new"
            new.write_text(json.dumps(usage.figures()) + "\n", encoding="utf-8")
            new.replace(directory / "usage")
        end = time.monotonic() + pause_after(took or 0.0, time.time() - started)
        while time.monotonic() < end and runs_still(directory):
            time.sleep(min(1.0, max(0.05, end - time.monotonic())))
    return 0


if __name__ == "__main__":
    sys.exit(main())
