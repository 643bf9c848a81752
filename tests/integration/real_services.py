"""The real services of a sandbox, and a driver that trains with them."""

from __future__ import annotations

import base64
import json
import os
import socket
import subprocess
import tempfile
import threading
import urllib.request
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pio_tf.sandbox.class_archive import QUICK
from pio_tf.sandbox.control import change_service, sandbox_status
from pio_tf.sandbox.home import MachineFiles, lay_out
from pio_tf.sandbox.java.compiler import compile_java
from pio_tf.sandbox.real.service_files import USER, find_programs
from tests.sandbox.driver import configure, pio_env
from tests.support.background import Client

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pio_tf.sandbox.layout import SandboxInfo, ServiceStatus, WantedState
    from pio_tf.sandbox.software import Software

METADATA = "pio_meta_engine_instances"
TIME_ZONE = "Asia/Kolkata"
_READ_ONLY = "index.blocks.read_only_allow_delete"
_CLIENT = Path(__file__).with_name("StorageClient.java")


class StorageClient:
    """A Java program that uses the clients of HBase and HDFS. It serves all tests, because Java starts slowly."""

    def __init__(self, sandbox: SandboxInfo) -> None:
        programs, where = find_programs(), sandbox.services
        classes = compile_java([_CLIENT], class_path=programs.storage)
        class_path = os.pathsep.join(str(path) for path in (classes, *programs.storage))
        command = [str(programs.java), "-Xmx128m", *QUICK, "-XX:+UseSerialGC", "-cp", class_path, "StorageClient"]
        command += [where.host, str(where.zookeeper), str(where.namenode)]
        self._errors = tempfile.TemporaryFile("w+")  # noqa: SIM115 - it lives as long as the process
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._errors, text=True
        )

    def ask(self, *words: str) -> str:
        """Return the answer to a line of words; fail without one."""
        assert self._process.stdin
        assert self._process.stdout
        late = threading.Timer(120, self._process.kill)
        late.start()
        try:
            print(*words, file=self._process.stdin, flush=True)
            answer = ""
            while not answer.endswith("done\n"):
                line = self._process.stdout.readline()
                assert line, self._what_failed()
                answer += line
        finally:
            late.cancel()
        return answer.removesuffix("done\n")

    def _what_failed(self) -> str:
        self._errors.seek(0)
        return self._errors.read()

    def close(self) -> None:
        """End it."""
        self._process.kill()
        self._process.communicate()
        self._errors.close()


class Services:
    """The real services of a sandbox, whose Elasticsearch asks for a password."""

    def __init__(self, sandbox: SandboxInfo) -> None:
        self.sandbox = sandbox
        assert sandbox.services.elasticsearch_password_file
        self.password = sandbox.services.elasticsearch_password_file.read_text()
        self.stopped: set[str] = set()
        """Those that :meth:`broken` has stopped and started again."""
        self._client: StorageClient | None = None

    # Elasticsearch

    def ask(self, path: str, body: object = None, method: str = "", *, password: str | None = None) -> Any:  # noqa: ANN401 - JSON
        """Return Elasticsearch's answer. A body that is text is sent as it is.

        Args:
            password: default: the right one; empty: none.
        """
        where = self.sandbox.services
        password = self.password if password is None else password
        login = base64.b64encode(f"{USER}:{password}".encode()).decode()
        request = urllib.request.Request(
            f"http://{where.host}:{where.elasticsearch}{path}",
            None if body is None else (body if isinstance(body, str) else json.dumps(body)).encode(),
            {"Content-Type": "application/json"} | ({"Authorization": f"Basic {login}"} if password else {}),
            method=method or ("GET" if body is None else "POST"),
        )
        with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310
            return json.load(answer)

    def instances(self) -> list[dict[str, Any]]:
        """Return the engine instances, the newest first."""
        hits = self.ask(f"/{METADATA}/_search", {"size": 100, "sort": [{"startTime": "desc"}]})["hits"]["hits"]
        return [{"id": hit["_id"], **hit["_source"]} for hit in hits if "status" in hit["_source"]]

    @contextmanager
    def read_only(self, index: str) -> Iterator[None]:
        """Refuse writes to an index during the block, as Elasticsearch does when a disk is full."""
        self.ask(f"/{index}/_settings", {_READ_ONLY: True}, "PUT")
        try:
            yield
        finally:
            self.ask(f"/{index}/_settings", {_READ_ONLY: None}, "PUT")

    @contextmanager
    def full(self) -> Iterator[None]:
        """Let Elasticsearch find too little room on its disk during the block."""
        watermark = "cluster.routing.allocation.disk.watermark"
        settings = {f"{watermark}.{name}": "900000gb" for name in ("low", "high")} | {f"{watermark}.flood_stage": "1mb"}
        self.ask("/_cluster/settings", {"transient": settings}, "PUT")
        try:
            yield
        finally:
            self.ask("/_cluster/settings", {"transient": dict.fromkeys(settings)}, "PUT")

    # HBase, HDFS and ZooKeeper

    def client(self, *words: str) -> str:
        """Return what a Java program reads that uses the clients of HBase and HDFS."""
        if self._client is None:
            self._client = StorageClient(self.sandbox)
        return self._client.ask(*words)

    def close(self) -> None:
        """End the Java program."""
        if self._client is not None:
            self._client.close()

    def zookeeper_says(self, word: bytes) -> bytes:
        """Return ZooKeeper's answer to one of its four-letter words."""
        where = self.sandbox.services
        with socket.create_connection((where.host, where.zookeeper), timeout=2) as connection:
            connection.sendall(word)
            return connection.recv(1000)

    # All

    def statuses(self) -> dict[str, ServiceStatus]:
        """Return the status of each service by its name."""
        return {service.name: service for service in sandbox_status(self.sandbox.directory).services}

    def change(self, state: WantedState, *names: str) -> None:
        """Start, stop or hang services."""
        for name in names:
            status = change_service(self.sandbox.directory, name, state)
            assert status.state == self.statuses()[name].state == state
            assert (status.pid is None) == (state == "stopped")

    @contextmanager
    def broken(self, state: WantedState, *names: str) -> Iterator[None]:
        """Stop or hang services during the block. Each is named before those that need it."""
        try:
            self.change(state, *reversed(names))
            yield
        finally:
            self.change("running", *names)
        if state == "stopped":
            self.stopped.update(names)


class Driver:
    """A driver's disk with the stand-in for PredictionIO, which trains on this computer, in another time zone."""

    def __init__(self, root: Path, services: Services, software: Software) -> None:
        self.services = services
        self.files = MachineFiles(root)
        lay_out(self.files, role="driver", address=services.sandbox.services.host, software=software)
        self.home = self.files.home
        self.engine = self.home / "engine"
        where = services.sandbox.services
        configure(self.home, where)
        user = ("USERNAME=pio", f"USERNAME={where.elasticsearch_user}")
        self.change_env(user, ("'correct horse'", f"'{services.password}'"))

    def change_env(self, *changes: tuple[str, str]) -> None:
        """Change pio-env.sh as it is at first."""
        path = self.home / "pio" / "conf" / "pio-env.sh"
        text = path.read_text() if changes[0][0] in path.read_text() else pio_env(self.services.sandbox.services)
        for old, new in changes:
            assert old in text
            text = text.replace(old, new)
        path.write_text(text)

    def behave(self, **how: object) -> None:
        """Change engine.json."""
        path = self.engine / "engine.json"
        path.write_text(json.dumps({**json.loads(path.read_text()), **how}))

    def pio(self, *words: str) -> Client:
        """Run PredictionIO's command in the background; ``with`` kills it at the latest."""
        return Client(
            [self.home / "pio" / "bin" / "pio", *words],
            directory=self.engine,
            environment={**self.files.environment("ubuntu"), "TZ": TIME_ZONE},
            one_output=True,
        )

    def start(self) -> Client:
        """Train in the background."""
        return self.pio("train", "--", "--master", "local[1]")

    def train(self) -> tuple[int, str]:
        """Return the exit status of a training, and its output."""
        with self.start() as training:
            return training.process.wait(timeout=600), training.said
