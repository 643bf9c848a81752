"""A stand-in for Spark's web pages: a small HTTP server that answers in the words of Spark 2.4 and 3.5.

The fields are those of a real application's answers (the ones that matter, and some more); the states that a list is
filtered by are compared as Spark does, whatever their case.
"""

from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

MASTER = "127.0.0.2"
DRIVER = "127.0.0.1"


def job(
    number: int, status: str = "RUNNING", *, stages: tuple[int, ...] = (0,), stages_done: int = 0
) -> dict[str, Any]:
    """Return an entry of ``/jobs``."""
    return {
        "jobId": number,
        "name": "collect at EsClient.scala:12",
        "submissionTime": "2026-01-31T10:00:00.000GMT",
        "stageIds": list(stages),
        "status": status,
        "numTasks": 40,
        "numActiveTasks": 3,
        "numCompletedTasks": 11,
        "numSkippedTasks": 0,
        "numActiveStages": 1,
        "numCompletedStages": stages_done,
        "numSkippedStages": 0,
        "numFailedStages": 0,
    }


def stage(number: int, status: str = "ACTIVE", *, name: str = "", tasks: int = 20, done: int = 0) -> dict[str, Any]:
    """Return an entry of ``/stages``."""
    return {
        "status": status,
        "stageId": number,
        "attemptId": 0,
        "numTasks": tasks,
        "numActiveTasks": 3,
        "numCompleteTasks": done,
        "numFailedTasks": 0,
        "name": name or f"map at Model.scala:{number}",
        "details": "org.apache.spark.rdd.RDD.map(RDD.scala:370)",
        "schedulingPool": "default",
    }


def executor(name: str, *, active: bool = True) -> dict[str, Any]:
    """Return an entry of ``/executors``: the driver is one of them."""
    return {"id": name, "hostPort": "10.0.0.12:39595", "isActive": active, "totalCores": 2, "maxTasks": 2}


@dataclass
class Application:
    """One Spark application, and what its page says of it."""

    name: str
    jobs: list[dict[str, Any]] = field(default_factory=list)
    stages: list[dict[str, Any]] = field(default_factory=list)
    executors: list[dict[str, Any]] = field(default_factory=lambda: [executor("driver")])


class Pages:
    """The program at one port. ``answer`` replaces every answer: bytes as they are, None for none at all."""

    def __init__(self) -> None:
        self.application: Application | None = None
        self.master: dict[str, Any] | None = None
        self.answer: bytes | None = b""
        self.asked: list[str] = []
        self.serving: set[asyncio.Task[None]] = set()

    def connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.ensure_future(self._serve(reader, writer))
        self.serving.add(task)
        task.add_done_callback(self.serving.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            path = (await reader.readuntil(b"\r\n\r\n")).split()[1].decode()
            self.asked.append(path)
            if self.answer is None:
                await reader.read()  # until the other side gives up
            else:
                writer.write(self.answer or self._page(path))
            writer.close()
            await writer.wait_closed()
        finally:
            writer.transport.abort()

    def _page(self, path: str) -> bytes:
        content = self._content(path)
        status = b"404 Not Found" if content is None else b"200 OK"
        body = b"unknown" if content is None else json.dumps(content, indent=2).encode()
        return b"HTTP/1.1 " + status + b"\r\nContent-Type: application/json\r\n\r\n" + body

    def _content(self, path: str) -> object:
        url = urlsplit(path)
        if url.path == "/json/":
            return self.master
        application = self.application
        if application is None:
            return None
        what = url.path.removeprefix("/api/v1/applications").removeprefix(f"/{application.name}")
        number = what.rpartition("/")[2]
        if what.startswith("/jobs/") and number.isdecimal():
            return next((item for item in application.jobs if item["jobId"] == int(number)), None)
        lists = {
            "": [{"id": application.name, "name": "org.apache.predictionio.Workflow", "attempts": []}],
            "/jobs": application.jobs,
            "/stages": application.stages,
            "/executors": application.executors,
        }
        wanted = [status.upper() for status in parse_qs(url.query).get("status", [])]
        found = lists.get(what)
        return found if found is None or not wanted else [item for item in found if item["status"] in wanted]


def master(*applications: str, busy: int = 0, idle: int = 0, dead: int = 0) -> dict[str, Any]:
    """Return the master's ``/json/``, with this many workers of each kind."""
    kinds = [("ALIVE", 2)] * busy + [("ALIVE", 0)] * idle + [("DEAD", 2)] * dead
    return {
        "url": f"spark://{MASTER}:7077",
        "workers": [
            {"host": f"10.0.0.{number}", "cores": 2, "coresused": used, "memory": 1024, "state": state}
            for number, (state, used) in enumerate(kinds, 12)
        ],
        "activeapps": [{"id": name, "name": "train", "cores": 2, "state": "RUNNING"} for name in applications],
        "completedapps": [{"id": "app-20260131000000-0000", "name": "train", "state": "FINISHED"}],
        "status": "ALIVE",
    }


@asynccontextmanager
async def pages(host: str, port: int = 0) -> AsyncIterator[tuple[Pages, int]]:
    """Serve pages at an address; port 0 chooses one."""
    served = Pages()
    server = await asyncio.start_server(served.connected, host, port)
    async with server:
        try:
            yield served, server.sockets[0].getsockname()[1]
        finally:
            server.close()
            await asyncio.sleep(0.01)  # a connection that is accepted now has a task some turns of the loop later
            for task in served.serving:
                task.cancel()
            await asyncio.gather(*served.serving, return_exceptions=True)
