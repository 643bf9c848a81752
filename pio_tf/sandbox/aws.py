"""The sandbox's AWS: moto's server in this process, on loopback, corrected where pio-tf's users would notice.

:mod:`pio_tf.sandbox.corrections` lists the corrections and their reasons.
"""

from __future__ import annotations

import re
import time
from collections import Counter
from contextlib import ExitStack
from datetime import datetime, timezone
from functools import cache, partial
from threading import Event, Lock, Thread
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import parse_qs

from moto.core.base_backend import BackendDict
from moto.core.model_instances import reset_model_data
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, MotoRequestHandler, create_backend_app
from werkzeug.serving import BaseWSGIServer, make_server

from pio_tf.errors import SandboxError
from pio_tf.sandbox.alarms import Alarms
from pio_tf.sandbox.corrections import corrected
from pio_tf.sandbox.ec2_models import LocalInstance, list_instances, power_off
from pio_tf.sandbox.schedules import Firing
from pio_tf.sandbox.signatures import body, refuse

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from pio_tf.sandbox.access_key import AccessKey

HOST = "127.0.0.1"
_SERVICE = re.compile(r"Credential=[^/]+/\d{8}/[^/]+/([^/]+)/")
_started = Lock()
_TICK_SECONDS = 1.0
"""Interval between two checks for due schedules."""
_STOP_POLL_SECONDS = 0.25
"""How often the server's thread looks if it is to stop. Calls wake it at once."""


class _QuietMotoHandler(MotoRequestHandler):  # type: ignore[misc]
    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """Log nothing: one line per request would fill the log of a sandbox that runs for days."""


class LocalAws:
    """An AWS on 127.0.0.1, in a thread of this process. It is empty at every start.

    moto keeps its state for the whole process, so only one can run in a process at a time.

    Args:
        port: port to listen on; 0: a free one.
        access_key: the only key that it accepts, besides those that STS makes with it; None: it accepts any
            credentials, and requests without.
        transition_seconds: how long an instance is pending, stopping and shutting-down.
        on_change: called in another thread, while requests wait, when an instance begins to change its state or
            is rebooted. It must be quick, and not call :meth:`instances`.
        console: returns the console log of an instance by its id.
        clock: seconds, monotonic, for the transitions.
        now: the time of day, UTC, for the schedules.
    """

    def __init__(
        self,
        *,
        port: int = 0,
        access_key: AccessKey | None = None,
        transition_seconds: float = 0.5,
        on_change: Callable[[], None] = lambda: None,
        console: Callable[[str], str] = lambda _: "",
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], datetime] = lambda: datetime.now(tz=timezone.utc),
    ) -> None:
        self._port = port
        self._access_key = access_key
        self._corrected = partial(
            corrected, transition_seconds=transition_seconds, clock=clock, on_change=on_change, console=console
        )
        self._now = now
        self._alarms, self._firing = Alarms(), Firing()
        self._stack = ExitStack()
        self._server: BaseWSGIServer | None = None
        self._ec2, self._s3 = Lock(), Lock()
        self.calls: Counter[tuple[str, str]] = Counter()
        """How often each (service, action) was called since the start: ``("ec2", "DescribeInstances")``. For services
        with REST paths the action is ``"POST /schedules/name"``."""

    @property
    def url(self) -> str:
        """The address for ``endpoint_url``.

        Raises:
            SandboxError: it is not running.
        """
        if self._server is None:
            raise SandboxError("the local AWS is not running", next_step="call start() first")
        return f"http://{HOST}:{self._server.server_port}"

    def start(self) -> None:
        """Start it, empty.

        Raises:
            SandboxError: another one runs in this process, or the port is taken.
        """
        if not _started.acquire(blocking=False):
            raise SandboxError(
                "a local AWS is already running in this process",
                cause="moto keeps one state for the whole process",
                next_step="stop it first, or start the second one in another process",
            )
        with ExitStack() as stack:
            stack.callback(_started.release)
            try:
                server = make_server(
                    HOST, self._port, self._application, threaded=True, request_handler=_QuietMotoHandler
                )
            except (OSError, SystemExit) as error:  # werkzeug exits if the port is taken
                raise SandboxError(
                    f"the local AWS cannot listen on {HOST}:{self._port}",
                    cause=str(error) if isinstance(error, OSError) else "the port is in use",
                    next_step="choose another port, or 0 for a free one",
                ) from error
            stack.callback(server.server_close)
            stack.enter_context(self._corrected())
            _forget_everything()
            stack.callback(_forget_everything)
            self.calls.clear()
            self._alarms, self._firing = Alarms(), Firing()
            self._dispatch = DomainDispatcherApplication(create_backend_app)
            # Its answer is always the same, and takes 200 calls of stat.
            self._dispatch.get_backend_for_host = cache(self._dispatch.get_backend_for_host)
            thread = Thread(target=server.serve_forever, args=(_STOP_POLL_SECONDS,), daemon=True, name="local-aws")
            thread.start()
            stack.callback(thread.join)
            stack.callback(server.shutdown)
            ended = Event()
            ticking = Thread(target=self._fire, args=(ended,), daemon=True, name="local-aws-schedules")
            ticking.start()
            stack.callback(ticking.join)
            stack.callback(ended.set)
            self._server = server
            self._stack = stack.pop_all()

    def stop(self) -> None:
        """Stop it and forget its state. Do nothing if it is not running."""
        self._server = None
        self._stack.close()

    def __enter__(self) -> LocalAws:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def instances(self) -> list[LocalInstance]:
        """Return every instance of every region, terminated ones included, in the order of creation."""
        with self._ec2:
            return list_instances()

    def power_off(self, instance_ids: Sequence[str]) -> None:
        """Stop instances whose machines have powered themselves off, or terminate them, as they are configured."""
        with self._ec2:
            power_off(instance_ids)

    def fire_schedules(self) -> int:
        """Run the schedules that are due, as happens every second, and return their number."""
        with self._ec2:
            return self._firing.fire_due(self._now())

    def fire_training(self, cluster: str) -> None:
        """Let the next training of a cluster's schedule come now.

        Raises:
            SandboxError: the cluster has no active schedule.
        """
        with self._ec2:
            self._firing.fire_training(cluster, self._now())

    def observe_cpu(self, percents: Mapping[str, float]) -> None:
        """Record one period's CPU utilization of instances, by id, in percent."""
        with self._ec2:
            self._alarms.observe(percents)

    def _fire(self, ended: Event) -> None:
        while not ended.wait(_TICK_SECONDS):
            self.fire_schedules()

    def _application(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        if self._access_key is not None and (refusal := refuse(environ, self._access_key)) is not None:
            return refusal(environ, start_response)
        service, action = call_of(environ)
        self.calls[service, action] += 1
        lock = {"ec2": self._ec2, "s3": self._s3}.get(service)
        if lock is None:
            return cast("Iterable[bytes]", self._dispatch(environ, start_response))
        # Terraform calls from 50 threads, and S3 serializes conditional writes; moto's models take no locks.
        with lock:
            return cast("Iterable[bytes]", self._dispatch(environ, start_response))


def _forget_everything() -> None:
    BackendDict.reset()
    reset_model_data()


def call_of(environ: dict[str, Any]) -> tuple[str, str]:
    """Return service and action of a WSGI request; without an action, method and path. Its body stays readable."""
    match = _SERVICE.search(environ.get("HTTP_AUTHORIZATION", ""))
    service = match[1] if match else "unsigned"
    target = environ.get("HTTP_X_AMZ_TARGET")
    if target:
        return service, target.rpartition(".")[2]
    if environ.get("CONTENT_TYPE", "").startswith("application/x-www-form-urlencoded"):
        action = parse_qs(body(environ).decode("utf-8", "replace")).get("Action")
        if action:
            return service, action[0]
    return service, f"{environ['REQUEST_METHOD']} {environ['PATH_INFO']}"
