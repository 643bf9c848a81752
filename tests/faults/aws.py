"""The sandbox's AWS, called without a network in between, through something that injects faults from a seed.

What a fault does is what botocore would see of the real one: an answer of AWS's with its code and status, or the
exception that its HTTP session raises. botocore's own retries are at work; what they wait is this world's time.
"""

from __future__ import annotations

import io
import json
import re
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import parse_qs, urlsplit

from botocore.awsrequest import AWSResponse
from botocore.exceptions import ConnectionClosedError, EndpointConnectionError, ReadTimeoutError
from botocore.retries import standard

from pio_tf.aws.clients import ATTEMPTS
from pio_tf.aws.session import Aws
from pio_tf.sandbox.aws import LocalAws
from tests.faults.faults import ENDS, PASSING, Fault

if TYPE_CHECKING:
    from collections.abc import Callable

    from botocore.awsrequest import AWSPreparedRequest
    from botocore.client import BaseClient

    from pio_tf.config.schema import Config
    from tests.faults.client import Client

READS = re.compile(r"(Describe|Get|List|Head)\w*$|GET /")
_ANSWERS = {
    "throttled": ("RequestLimitExceeded", "Request limit exceeded.", 503),
    "error-500": ("InternalError", "An internal error has occurred", 500),
    "unavailable": ("Unavailable", "The service is unavailable. Please try again shortly.", 503),
    "expired": ("RequestExpired", "Request has expired.", 400),
    "no-capacity": (
        "InsufficientInstanceCapacity",
        "We currently do not have sufficient r3.xlarge capacity in the Availability Zone you requested.",
        500,
    ),
}


class Died(BaseException):
    """The client's process is gone: whatever it would do after this has no effect."""


class CalledAws(LocalAws):
    """The local AWS, called as a function. Its schedules fire when a test says so: time is not the computer's."""

    def fire_schedules(self) -> int:
        """Do nothing: the server calls this once a second of this computer's time, which does not count here."""
        return 0

    def fire(self) -> int:
        """Carry out the schedules that are due. Return their number."""
        return super().fire_schedules()

    def call(self, request: AWSPreparedRequest) -> tuple[int, dict[str, str], bytes]:
        """Return the answer to a request: status, headers, body."""
        url = urlsplit(request.url)
        body = body_of(request)
        environ: dict[str, Any] = {
            "REQUEST_METHOD": request.method,
            "SCRIPT_NAME": "",
            "PATH_INFO": url.path or "/",
            "QUERY_STRING": url.query,
            "SERVER_NAME": url.hostname or "",
            "SERVER_PORT": str(url.port or 80),
            "SERVER_PROTOCOL": "HTTP/1.1",
            "wsgi.version": (1, 0),
            "wsgi.url_scheme": "http",
            "wsgi.input": io.BytesIO(body),
            "wsgi.errors": io.StringIO(),
            "wsgi.multithread": False,
            "wsgi.multiprocess": False,
            "wsgi.run_once": False,
            "CONTENT_LENGTH": str(len(body)),
        }
        for name, value in request.headers.items():
            text = value.decode() if isinstance(value, bytes) else str(value)  # type: ignore[unreachable]
            key = name.upper().replace("-", "_")
            environ[key if key in ("CONTENT_TYPE", "CONTENT_LENGTH") else f"HTTP_{key}"] = text
        environ["HTTP_HOST"] = url.netloc
        told: list[Any] = []

        def start_response(
            status: str, headers: list[tuple[str, str]], _error: object = None
        ) -> Callable[[bytes], None]:
            told[:] = [int(status.split()[0]), dict(headers)]
            return lambda _data: None

        content = b"".join(self._application(environ, start_response))
        return told[0], told[1], content


class FaultyAws(Aws):
    """The AWS clients that all clients of a process share: botocore reads EC2's API model for as long as a scenario.

    Args:
        current: returns the client that calls.
    """

    def __init__(self, config: Config, current: Callable[[], Client]) -> None:
        super().__init__(config)
        self._current = current

    def client(self, service: str) -> Any:  # noqa: ANN401 - as botocore has it
        """Return a botocore client that calls the local AWS, and waits in this world's time."""
        known = service in self._clients
        made = super().client(service)
        if not known:
            self._lead_here(made)
        return made

    def _lead_here(self, made: BaseClient) -> None:
        events: Any = made.meta.events  # its stubs know no handler that answers
        name = made.meta.service_model.service_id.hyphenize()
        events.unregister(f"needs-retry.{name}", unique_id=f"retry-config-{name}")
        events.register_first("before-send", lambda **event: self._current().send(**event))
        events.register(f"needs-retry.{name}", lambda **event: self._current().retries(made).wait(**event))
        events.register(f"after-call.{name}", lambda **event: self._current().retries(made).release(**event))


class Retries:
    """botocore's own standard retries of one client, decided by its own code; only its waiting is ours."""

    def __init__(self, made: BaseClient, sleep: Callable[[float], None]) -> None:
        self._sleep = sleep
        self._handlers: dict[str, Callable[..., Any]] = {}
        meta = SimpleNamespace(service_model=made.meta.service_model, events=SimpleNamespace(register=self._register))
        standard.register_retry_handler(cast("BaseClient", SimpleNamespace(meta=meta)), ATTEMPTS)

    def _register(self, event: str, handler: Callable[..., Any], **_id: object) -> None:
        self._handlers[event.partition(".")[0]] = handler

    def wait(self, **event: Any) -> int | None:  # noqa: ANN401 - botocore's event
        """Handle botocore's event ``needs-retry``."""
        delay = self._handlers["needs-retry"](**event)
        if delay is None or delay is False:
            return None
        self._sleep(delay)
        return 0

    def release(self, **event: Any) -> None:  # noqa: ANN401 - botocore's event
        """Handle botocore's event ``after-call``."""
        self._handlers["after-call"](**event)


def body_of(request: AWSPreparedRequest) -> bytes:
    """Return the body of a request."""
    body: Any = request.body or b""
    return body.encode() if isinstance(body, str) else bytes(body)


def action_of(request: AWSPreparedRequest) -> tuple[str, dict[str, list[str]]]:
    """Return the action of a call and its arguments, in AWS's query protocol; else method and path."""
    text = body_of(request).decode("utf-8", "replace")
    if "Action=" in text:
        arguments = parse_qs(text)
        return arguments["Action"][0], arguments
    return f"{request.method} {urlsplit(request.url).path}", {"body": [text]}


def happen(fault: Fault, url: str) -> AWSResponse:
    """Return the answer of a fault, or raise the exception of botocore's HTTP session.

    Raises:
        Exception: such an exception; KeyboardInterrupt, Died.
    """
    if fault.kind in _ANSWERS:
        return refused(url, *_ANSWERS[fault.kind])
    if fault.kind == "time-out":
        raise ReadTimeoutError(endpoint_url=url)
    if fault.kind == "reset":
        raise ConnectionClosedError(endpoint_url=url)
    if fault.kind == "no-route":
        raise EndpointConnectionError(endpoint_url=url, error="no route to host")
    if fault.kind == "interrupted":
        raise KeyboardInterrupt
    raise Died


def refused(url: str, code: str, message: str, status: int) -> AWSResponse:
    """Return an error as EC2 writes it, and as EventBridge Scheduler does."""
    if "/schedules/" in url:
        body = json.dumps({"Code": code, "Message": message})
        return answer(url, status, {"Content-Type": "application/json", "x-amzn-ErrorType": code}, body.encode())
    body = (
        f"<Response><Errors><Error><Code>{code}</Code><Message>{message}</Message></Error></Errors>"
        "<RequestID>injected</RequestID></Response>"
    )
    return answer(url, status, {"Content-Type": "text/xml"}, body.encode())


class _Raw(io.BytesIO):
    def stream(self, *_arguments: object, **_options: object) -> Any:  # noqa: ANN401 - as urllib3 has it
        data = self.read()
        while data:
            yield data
            data = self.read()


def answer(url: str, status: int, headers: dict[str, str], body: bytes) -> AWSResponse:
    """Return an answer as botocore takes it."""
    return AWSResponse(url, status, cast("Any", headers), cast("Any", _Raw(body)))


KINDS = (*PASSING, *ENDS)
