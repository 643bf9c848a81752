"""An AWS that has no capacity for some instance types."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs

from pio_tf.sandbox.signatures import body
from tests.support.recording_aws import RecordingAws

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

_REFUSAL = (
    "<Response><Errors><Error><Code>InsufficientInstanceCapacity</Code><Message>We currently do not have sufficient "
    "{kind} capacity in the Availability Zone you requested.</Message></Error></Errors>"
    "<RequestID>r</RequestID></Response>"
)


class SoldOutAws(RecordingAws):
    """The local AWS, which refuses to run and to start machines of the types in ``sold_out``."""

    sold_out: frozenset[str] = frozenset()

    def __enter__(self) -> SoldOutAws:
        self.start()
        return self

    def _application(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        if lacking := self._lacking(environ):
            # AWS answers with 500, which provider 3.39 retries for minutes, unlike the present one.
            by_terraform = "Terraform" in environ.get("HTTP_USER_AGENT", "")
            status = "400 Bad Request" if by_terraform else "500 Internal Server Error"
            start_response(status, [("Content-Type", "text/xml")])
            return [_REFUSAL.format(kind=lacking).encode()]
        return super()._application(environ, start_response)

    def _lacking(self, environ: dict[str, Any]) -> str:
        """Return the type that a request can't have; empty: there is room."""
        if not self.sold_out:
            return ""
        said = {key: values[0] for key, values in parse_qs(body(environ).decode("utf-8", "replace")).items()}
        action = said.get("Action", "")
        if action == "StartInstances":
            ids = {value for key, value in said.items() if key.startswith("InstanceId.")}
            kinds = {one.instance_type for one in self.instances() if one.instance_id in ids and one.state == "stopped"}
        else:
            kinds = {said.get("InstanceType", "")} if action == "RunInstances" else set()
        return min(kinds & self.sold_out, default="")
