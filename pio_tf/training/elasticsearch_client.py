"""A REST client for Elasticsearch, through the driver's SSH connection."""

from __future__ import annotations

import base64
import json
import ssl
from typing import TYPE_CHECKING, Any

from pio_tf.errors import RemoteError
from pio_tf.json_text import parse_json
from pio_tf.remote.http import HttpRequest, HttpResponse, send_request

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pio_tf.config.storage import ElasticsearchNode
    from pio_tf.remote.ssh import ClusterConnection

_TRY_ANOTHER_NODE = frozenset({502, 503, 504})
"""Statuses on which PIO's own client tries the next node: no elected master, a proxy without a backend."""


class ElasticsearchClient:
    """A client of one Elasticsearch.

    Args:
        nodes: asked in turn until one answers; the next request starts with that one.
        user, password: for basic authentication, if either is set. Errors do not show them.
        tls: verifies certificates; default: this computer's own store.
    """

    def __init__(
        self,
        remote: ClusterConnection,
        nodes: Sequence[ElasticsearchNode],
        *,
        user: str | None = None,
        password: str | None = None,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._remote = remote
        self._nodes = list(nodes)
        token = base64.b64encode(f"{user or ''}:{password or ''}".encode()).decode()
        self._headers = (("Authorization", f"Basic {token}"),) if user is not None or password is not None else ()
        self._tls = tls

    async def get(self, path: str, *, node: ElasticsearchNode | None = None, timeout: float = 10.0) -> Any:  # noqa: ANN401
        """Return the JSON at ``path``, from ``node`` or the first that answers, each within ``timeout`` seconds.

        Raises:
            RemoteError: with ``details["kind"]``: ``http`` (no answer, or no JSON) or ``http-status`` (a status other
                than 200, in ``details["status"]``). Another kind: the connection to the driver was lost.
        """
        return await self._ask("GET", path, b"", node=node, timeout=timeout)

    async def search(self, path: str, body: dict[str, Any], *, timeout: float = 10.0) -> Any:  # noqa: ANN401
        """Return the answer to a search (a POST that changes nothing). Raises what :meth:`get` does."""
        return await self._ask("POST", path, json.dumps(body).encode(), node=None, timeout=timeout)

    async def send(self, method: str, path: str, body: dict[str, Any] | None = None, *, timeout: float = 60.0) -> Any:  # noqa: ANN401
        """Return the answer to a request that changes something, of the node that answered last.

        No other node gets it too if this one does not answer: it may have done its work. Raises what :meth:`get` does.
        """
        content = b"" if body is None else json.dumps(body).encode()
        return await self._ask_node(self._nodes[0], method, path, content, timeout)

    async def _ask(self, method: str, path: str, body: bytes, *, node: ElasticsearchNode | None, timeout: float) -> Any:  # noqa: ANN401
        if node is not None:
            return await self._ask_node(node, method, path, body, timeout)
        failures: list[tuple[ElasticsearchNode, RemoteError]] = []
        for each in tuple(self._nodes):
            try:
                answer = await self._ask_node(each, method, path, body, timeout)
            except RemoteError as error:  # noqa: PERF203 - the next node follows
                if error.details.get("kind") != "http" and error.details.get("status") not in _TRY_ANOTHER_NODE:
                    raise
                failures.append((each, error))
            else:
                self._nodes.remove(each)
                self._nodes.insert(0, each)
                return answer
        raise _no_node_answers(failures)

    async def _ask_node(self, node: ElasticsearchNode, method: str, path: str, body: bytes, timeout: float) -> Any:  # noqa: ANN401
        connection = await self._remote.connection(self._remote.driver.name)
        if node.scheme == "https" and self._tls is None:
            self._tls = ssl.create_default_context()
        request = HttpRequest(
            node.host,
            node.port,
            path,
            method=method,
            headers=(*self._headers, *((("Content-Type", "application/json"),) if body else ())),
            body=body,
            tls=self._tls if node.scheme == "https" else None,
        )
        response = await send_request(connection, request, timeout=timeout)
        if response.status != 200:
            raise _refused(response)
        return response.json()


def _no_node_answers(failures: list[tuple[ElasticsearchNode, RemoteError]]) -> RemoteError:
    first = failures[0][1]
    if len(failures) == 1:
        return first
    addresses = [f"{node.host}:{node.port}" for node, _ in failures]
    causes = [f"{address}: {error.cause}" for address, (_, error) in zip(addresses, failures, strict=True)]
    return RemoteError(
        f"none of Elasticsearch's {len(failures)} nodes answers the driver",
        cause="; ".join(causes),
        next_step=first.next_step,
        details={**first.details, "nodes": addresses},
    )


def _refused(response: HttpResponse) -> RemoteError:
    next_step = "look at Elasticsearch's own log"
    if response.status in (401, 403):
        next_step = "check elasticsearch.user and elasticsearch.password, and that user's privileges"
    return RemoteError(
        f"{response.url} answered the driver with status {response.status}",
        cause=_reason(response) or response.status_line,
        next_step=next_step,
        details={"url": response.url, "kind": "http-status", "status": response.status},
    )


def _reason(response: HttpResponse) -> str:
    """Return Elasticsearch's own reason, shortened; empty if the answer is a proxy's."""
    try:
        error = parse_json(response.body)["error"]
        return str(error["reason"] if isinstance(error, dict) else error)[:300]
    except (ValueError, LookupError, TypeError):
        return ""
