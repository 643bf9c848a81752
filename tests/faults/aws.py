"""The sandbox's AWS, called without a network in between, through something that injects faults from a seed.

What a fault does is what botocore would see of the real one: an answer of AWS's with its code and status, or the
exception that its HTTP session raises. botocore's own retries are at work; what they wait is this world's time.
"""

from __future__ import annotations

import io
import json
import pickle
import re
from functools import cache, partial
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import parse_qs, urlsplit

from botocore import UNSIGNED
from botocore.awsrequest import AWSResponse
from botocore.exceptions import ConnectionClosedError, EndpointConnectionError, ReadTimeoutError
from botocore.retries import standard
from moto.backends import get_backend
from moto.core import DEFAULT_ACCOUNT_ID as ACCOUNT
from moto.core.request import Request, environ_key_for_header

from pio_tf.aws.clients import ATTEMPTS
from pio_tf.aws.session import Aws
from pio_tf.sandbox.aws import LocalAws
from tests.faults.faults import ENDS, PASSING, Fault

if TYPE_CHECKING:
    from collections.abc import Callable

    from botocore.awsrequest import AWSPreparedRequest
    from botocore.client import BaseClient
    from botocore.parsers import ResponseParser, ResponseParserFactory
    from moto.backends import SERVICE_NAMES

    from pio_tf.config.schema import Config
    from tests.faults.client import Client

READS = re.compile(r"(Describe|Get|List|Head)\w*$|GET /")
_SCOPE = re.compile(r"Credential=[^/]+/\d{8}/([^/]+)/([^/]+)/")
"""Region and service of a request, where its signature begins."""
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
        """Return the answer to a request: status, headers, body. moto gives it without its web server around it."""
        url, body, headers = urlsplit(request.url), body_of(request), {}
        for name, value in request.headers.items():
            text = value.decode() if isinstance(value, bytes) else str(value)  # type: ignore[unreachable]
            headers[environ_key_for_header(name)] = text
        scope = _SCOPE.search(headers["HTTP_AUTHORIZATION"])
        assert scope is not None, headers
        region, service = scope.groups()
        host = f"{service}.{region}.amazonaws.com"  # by which moto knows the service
        environ: dict[str, Any] = {
            **headers,
            "REQUEST_METHOD": request.method,
            "SCRIPT_NAME": "",
            "PATH_INFO": url.path or "/",
            "QUERY_STRING": url.query,
            "SERVER_NAME": host,
            "SERVER_PORT": "443",
            "SERVER_PROTOCOL": "HTTP/1.1",
            "wsgi.url_scheme": "https",
            "wsgi.input": io.BytesIO(body),
            "CONTENT_LENGTH": str(len(body)),
            "HTTP_HOST": host,
        }
        asked = Request(environ)
        answers = next(answers for path, answers in _paths(service, region) if path.match(f"https://{host}{url.path}"))
        with self._ec2:
            status, told, content = answers(asked, asked.raw_url, dict(asked.headers))
        return status, told, content.encode() if isinstance(content, str) else content


@cache
def _paths(service: str, region: str) -> list[tuple[re.Pattern[str], Callable[..., Any]]]:
    """Return the addresses of a service, and moto's functions that answer there."""
    backends: Any = get_backend(cast("SERVICE_NAMES", service))[ACCOUNT]
    backend = backends[region] if region in backends else backends["aws"]
    return [(re.compile(address), answers) for address, answers in backend.urls.items()]


class FaultyAws(Aws):
    """The AWS clients that all clients of a process share: botocore reads EC2's API model for as long as a scenario.

    Args:
        current: returns the client that calls.
    """

    def __init__(self, config: Config, current: Callable[[], Client]) -> None:
        super().__init__(config)
        self._current = current
        session = self._opened()
        parsers = RememberingParsers(session.get_component("response_parser_factory"))
        session.register_component("response_parser_factory", parsers)
        session.register_component("user_agent_creator", UserAgent())

    def client(self, service: str) -> Any:  # noqa: ANN401 - as botocore has it
        """Return a botocore client that calls the local AWS, and waits in this world's time."""
        known = service in self._clients
        made = super().client(service)
        if not known:
            self._lead_here(made)
        return made

    def _lead_here(self, made: BaseClient) -> None:
        events: Any = made.meta.events  # its stubs know no handler that answers
        leave_unsigned(made)
        name = made.meta.service_model.service_id.hyphenize()
        events.unregister(f"needs-retry.{name}", unique_id=f"retry-config-{name}")
        events.register_first("before-send", lambda **event: self._current().send(**event))
        events.register(f"needs-retry.{name}", lambda **event: self._current().retries(made).wait(**event))
        events.register(f"after-call.{name}", lambda **event: self._current().retries(made).release(**event))


def leave_unsigned(made: BaseClient) -> None:
    """Let a client name service and region in its requests, and sign none: nothing checks a signature here."""
    scope = f"{made.meta.region_name}/{made.meta.service_model.signing_name}"

    def address(request: AWSPreparedRequest, **_event: object) -> None:
        request.headers["Authorization"] = f"AWS4-HMAC-SHA256 Credential=x/20260131/{scope}/aws4_request"

    events: Any = made.meta.events  # its stubs know no handler that answers
    events.register_first("choose-signer", lambda **_event: UNSIGNED)
    events.register_first("before-send", address)


class UserAgent:
    """The name of the client in requests. botocore puts its own together twice for each."""

    def with_client_config(self, _config: object) -> UserAgent:
        """Return the same for each client."""
        return self

    def to_string(self) -> str:
        """Return the name."""
        return "pio-tf"

    def set_session_config(self, **_names: object) -> None:
        """Take nothing from the session."""

    def set_client_features(self, _features: object) -> None:
        """Name no feature."""

    def rebuild_and_replace_user_agent_handler(self, **_event: object) -> None:
        """Leave the header of a request as it is."""


class RememberingParsers:
    """botocore's parsers of responses. They parse the same answer of EC2 once: a client that waits gets it many times.

    Args:
        factory: botocore's own.
    """

    def __init__(self, factory: ResponseParserFactory) -> None:
        self._factory = factory
        self._parsed: dict[object, bytes] = {}

    def create_parser(self, protocol: str) -> Any:  # noqa: ANN401 - botocore has no type for its parsers
        """Return a parser for a protocol."""
        parser = self._factory.create_parser(protocol)
        return SimpleNamespace(parse=partial(self._parse, parser)) if protocol == "ec2" else parser

    def _parse(self, parser: ResponseParser, response: dict[str, Any], shape: Any) -> Any:  # noqa: ANN401
        answer = (shape and shape.name, response["status_code"], response["body"], str(response["headers"]))
        if answer not in self._parsed:
            self._parsed[answer] = pickle.dumps(parser.parse(response, shape))
        return pickle.loads(self._parsed[answer])  # noqa: S301 - the caller may change what it gets


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
