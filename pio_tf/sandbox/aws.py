"""The sandbox's AWS: moto's server in this process, on loopback, made to behave as AWS does where it matters.

See :mod:`pio_tf.sandbox.corrections` for what is corrected and why.
"""

from __future__ import annotations

import io
import re
import time
from collections import Counter
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import datetime, timezone
from threading import Event, Lock, Thread
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import parse_qs

from moto.core.base_backend import BackendDict
from moto.core.model_instances import reset_model_data
from moto.ec2.models import ec2_backends
from moto.ec2.models.instance_types import INSTANCE_TYPES
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, MotoRequestHandler, create_backend_app
from werkzeug.serving import BaseWSGIServer, make_server

from pio_tf.errors import SandboxError
from pio_tf.sandbox.alarms import Alarms
from pio_tf.sandbox.corrections import corrected
from pio_tf.sandbox.schedules import fire_due

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from types import TracebackType

    from pio_tf.model import PowerState

HOST = "127.0.0.1"
_SERVICE = re.compile(r"Credential=[^/]+/\d{8}/[^/]+/([^/]+)/")
_started = Lock()
_TICK_SECONDS = 1.0
"""Between two looks for schedules whose time has come."""


@dataclass(frozen=True)
class LocalInstance:
    """One EC2 instance, with what a machine behind it needs."""

    instance_id: str
    state: PowerState
    region: str
    private_ip: str
    instance_type: str
    memory_mib: int
    vcpus: int
    tags: dict[str, str]
    reboots: int
    """How often it was rebooted, ever."""
    public_key: str | None
    """The public half of its key pair, in OpenSSH's one-line form; None without a key pair."""


class _QuietHandler(MotoRequestHandler):  # type: ignore[misc]
    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """Says nothing: a request a line would fill the log of a sandbox that runs for days."""


class LocalAws:
    """An AWS of its own on 127.0.0.1, in a thread of this process. Empty at every start; any credentials will do.

    moto keeps its state for the whole process, so only one can run in a process at a time.

    Args:
        port: port to listen on; 0: a free one.
        transition_seconds: how long an instance is pending, stopping and shutting-down.
        on_change: called, in another thread and while requests wait, when an instance begins to change its state,
            or is rebooted. It must be quick, and not call :meth:`instances`.
        console: what an instance, by its id, has written to its console so far.
        clock: seconds, monotonic, that transitions are counted with.
        now: the time of day, UTC, by which schedules fire.
    """

    def __init__(
        self,
        *,
        port: int = 0,
        transition_seconds: float = 0.5,
        on_change: Callable[[], None] | None = None,
        console: Callable[[str], str] | None = None,
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], datetime] = lambda: datetime.now(tz=timezone.utc),
    ) -> None:
        self._console = console or (lambda _: "")
        self._port = port
        self._transition_seconds = transition_seconds
        self._clock = clock
        self._now = now
        self._alarms = Alarms()
        self._on_change = on_change or (lambda: None)
        self._stack = ExitStack()
        self._server: BaseWSGIServer | None = None
        self._ec2, self._s3 = Lock(), Lock()
        self.calls: Counter[tuple[str, str]] = Counter()
        """How often each (service, action) was called since the start: ``("ec2", "DescribeInstances")``. For services
        with REST paths the action is ``"POST /schedules/name"``."""

    @property
    def url(self) -> str:
        """Address for ``endpoint_url``.

        Raises:
            SandboxError: it is not running.
        """
        if self._server is None:
            raise SandboxError("the local AWS is not running", next_step="call start() first")
        return f"http://{HOST}:{self._server.server_port}"

    def start(self) -> None:
        """Starts it, empty.

        Raises:
            SandboxError: another one runs in this process, or the port is taken.
        """
        if not _started.acquire(blocking=False):
            raise SandboxError(
                "a local AWS is running in this process already",
                cause="moto keeps one state for the whole process",
                next_step="stop it first, or start the other one in a process of its own",
            )
        with ExitStack() as stack:
            stack.callback(_started.release)
            try:
                server = make_server(HOST, self._port, self._application, threaded=True, request_handler=_QuietHandler)
            except (OSError, SystemExit) as error:  # werkzeug exits where the port is taken
                raise SandboxError(
                    f"the local AWS could not listen on {HOST}:{self._port}",
                    cause=str(error) if isinstance(error, OSError) else "the port is in use",
                    next_step="choose another port, or 0 for a free one",
                ) from error
            stack.callback(server.server_close)
            _forget_everything()
            stack.callback(_forget_everything)
            stack.enter_context(
                corrected(
                    transition_seconds=self._transition_seconds,
                    clock=self._clock,
                    on_change=self._on_change,
                    console=self._console,
                )
            )
            self.calls.clear()
            self._alarms = Alarms()
            self._dispatch = DomainDispatcherApplication(create_backend_app)
            thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True, name="local-aws")
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
        """Stops it and forgets everything in it. Does nothing when it is not running."""
        self._server = None
        self._stack.close()

    def __enter__(self) -> LocalAws:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()

    def instances(self) -> list[LocalInstance]:
        """Every instance of every region that was not forgotten, terminated ones included, in order of creation."""
        with self._ec2:
            return [
                _local_instance(instance, region=region)
                for regions in list(ec2_backends.values())
                for region, backend in list(regions.items())
                for reservation in list(backend.reservations.values())
                for instance in reservation.instances
            ]

    def fire_schedules(self) -> int:
        """Carry out the schedules whose time has come, as happens every second. How many there were."""
        with self._ec2:
            return fire_due(self._now())

    def observe_cpu(self, percents: Mapping[str, float]) -> None:
        """A period of CloudWatch's has passed, in which these instances, by id, were so busy."""
        with self._ec2:
            self._alarms.observe(percents)

    def _fire(self, ended: Event) -> None:
        while not ended.wait(_TICK_SECONDS):
            self.fire_schedules()

    def _application(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        service, action = _call(environ)
        self.calls[service, action] += 1
        lock = {"ec2": self._ec2, "s3": self._s3}.get(service)
        if lock is None:
            return cast("Iterable[bytes]", self._dispatch(environ, start_response))
        # Terraform calls from 50 threads, and S3 decides conditional writes one by one; moto's models take no locks.
        with lock:
            return cast("Iterable[bytes]", self._dispatch(environ, start_response))


def _forget_everything() -> None:
    BackendDict.reset()
    reset_model_data()


def _call(environ: dict[str, Any]) -> tuple[str, str]:
    """Service and action of a request; its body is left to be read again."""
    match = _SERVICE.search(environ.get("HTTP_AUTHORIZATION", ""))
    service = match[1] if match else "unsigned"
    target = environ.get("HTTP_X_AMZ_TARGET")
    if target:
        return service, target.rpartition(".")[2]
    if environ.get("CONTENT_TYPE", "").startswith("application/x-www-form-urlencoded"):
        body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        environ["wsgi.input"] = io.BytesIO(body)
        action = parse_qs(body.decode("utf-8", "replace")).get("Action")
        if action:
            return service, action[0]
    return service, f"{environ['REQUEST_METHOD']} {environ['PATH_INFO']}"


def _local_instance(instance: Any, *, region: str) -> LocalInstance:  # noqa: ANN401
    kind = INSTANCE_TYPES[instance.instance_type]
    return LocalInstance(
        instance_id=instance.id,
        state=instance.state,
        region=region,
        private_ip=instance.private_ip,
        instance_type=instance.instance_type,
        memory_mib=kind["MemoryInfo"]["SizeInMiB"],
        vcpus=kind["VCpuInfo"]["DefaultVCpus"],
        tags=dict(instance.ec2_backend.tags[instance.id]),
        reboots=instance.reboots,
        public_key=instance.installed_key,
    )
