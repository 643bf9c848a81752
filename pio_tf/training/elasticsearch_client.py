"""Elasticsearch as the driver sees it: asked over REST, through the driver's SSH connection. Nothing is written."""

from __future__ import annotations

import base64
import json
import ssl
from typing import TYPE_CHECKING, Any, Protocol

from pio_tf.errors import RemoteError
from pio_tf.json_text import parse_json
from pio_tf.remote import http

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pio_tf.remote.ssh import ClusterConnection

_ANOTHER_MAY_DO = frozenset({502, 503, 504})
"""Statuses for which PIO's own client goes on to the next node: no master elected, a proxy with nothing behind it."""


class Node(Protocol):
    """Where one node listens: what :class:`pio_tf.config.schema.ElasticsearchBlock` has of it."""

    @property
    def host(self) -> str: ...
    @property
    def port(self) -> int: ...
    @property
    def scheme(self) -> str: ...


class ElasticsearchClient:
    """One Elasticsearch, of one node or more.

    Args:
        nodes: asked in turn until one answers; the one that answered last is asked first the next time.
        user, password: for basic authentication, if either is there. In no error.
        tls: how certificates are verified; by default with this computer's own store.
    """

    def __init__(
        self,
        remote: ClusterConnection,
        nodes: Sequence[Node],
        *,
        user: str | None = None,
        password: str | None = None,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._remote = remote
        self._nodes = list(nodes)
        self._headers = _basic_auth(user, password)
        self._tls = tls

    async def get(self, path: str, *, node: Node | None = None, timeout: float = 10.0) -> Any:  # noqa: ANN401
        """The JSON at ``path``: of ``node``, or of the first that answers, each within ``timeout`` seconds.

        Raises:
            RemoteError: with ``details["kind"]``: ``http`` (no answer, or no JSON) or ``http-status`` (an answer other
                than 200, which is ``details["status"]``). Of another kind: the driver itself was lost.
        """
        return await self._ask("GET", path, b"", node=node, timeout=timeout)

    async def search(self, path: str, body: dict[str, Any], *, timeout: float = 10.0) -> Any:  # noqa: ANN401
        """What a search (a POST that changes nothing) answers. Raises as :meth:`get` does."""
        return await self._ask("POST", path, json.dumps(body).encode(), node=None, timeout=timeout)

    async def _ask(self, method: str, path: str, body: bytes, *, node: Node | None, timeout: float) -> Any:  # noqa: ANN401
        if node is not None:
            return await self._ask_node(node, method, path, body, timeout)
        failures: list[tuple[Node, RemoteError]] = []
        for each in tuple(self._nodes):
            try:
                answer = await self._ask_node(each, method, path, body, timeout)
            except RemoteError as error:  # noqa: PERF203 - the next node is asked then
                if not _another_may_do(error):
                    raise
                failures.append((each, error))
            else:
                self._nodes.remove(each)
                self._nodes.insert(0, each)
                return answer
        raise _none_answers(failures)

    async def _ask_node(self, node: Node, method: str, path: str, body: bytes, timeout: float) -> Any:  # noqa: ANN401
        connection = await self._remote.connection(self._remote.driver.name)
        request = http.HttpRequest(
            node.host,
            node.port,
            path,
            method=method,
            headers=(*self._headers, *((("Content-Type", "application/json"),) if body else ())),
            body=body,
            tls=self._context() if node.scheme == "https" else None,
        )
        answer = await http.send_request(connection, request, timeout=timeout)
        if answer.status != 200:
            raise _refused(answer)
        return answer.json()

    def _context(self) -> ssl.SSLContext:
        if self._tls is None:
            self._tls = ssl.create_default_context()
        return self._tls


def _basic_auth(user: str | None, password: str | None) -> tuple[tuple[str, str], ...]:
    if user is None and password is None:
        return ()
    token = base64.b64encode(f"{user or ''}:{password or ''}".encode()).decode()
    return (("Authorization", f"Basic {token}"),)


def _another_may_do(error: RemoteError) -> bool:
    return error.details.get("kind") == "http" or error.details.get("status") in _ANOTHER_MAY_DO


def _none_answers(failures: list[tuple[Node, RemoteError]]) -> RemoteError:
    first = failures[0][1]
    if len(failures) == 1:
        return first
    causes = "; ".join(f"{node.host}:{node.port}: {error.cause}" for node, error in failures)
    return RemoteError(
        f"none of the {len(failures)} nodes of Elasticsearch answers, asked through the driver",
        cause=causes,
        next_step=first.next_step,
        details={**first.details, "nodes": [f"{node.host}:{node.port}" for node, _ in failures]},
    )


def _refused(answer: http.HttpResponse) -> RemoteError:
    said = _said(answer)
    next_step = "look at Elasticsearch's own log"
    if answer.status in (401, 403):
        next_step = "check elasticsearch.user and elasticsearch.password, and what that user may read"
    return RemoteError(
        f"{answer.url}, asked through the driver, answered with status {answer.status}",
        cause=said or answer.status_line,
        next_step=next_step,
        details={"url": answer.url, "kind": "http-status", "status": answer.status},
    )


def _said(answer: http.HttpResponse) -> str:
    """Elasticsearch's own reason, shortened; empty where the answer is a proxy's."""
    try:
        error = parse_json(answer.body)["error"]
        return str(error["reason"] if isinstance(error, dict) else error)[:300]
    except (ValueError, LookupError, TypeError):
        return ""
