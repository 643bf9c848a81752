"""HTTP connections of pio-tf's own: with time-outs, through the proxy that the environment names.

They follow redirects, but none from https to http: on its way, an answer over http can be replaced.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import urljoin, urlsplit
from urllib.request import getproxies, proxy_bypass

from urllib3 import PoolManager, ProxyManager, Retry, make_headers
from urllib3.exceptions import HTTPError
from urllib3.util import parse_url

if TYPE_CHECKING:
    from types import TracebackType

    from typing_extensions import Self
    from urllib3 import BaseHTTPResponse
    from urllib3.connectionpool import ConnectionPool

REDIRECTS = 5


def http_pool(url: str, *, timeout: float, **options: Any) -> PoolManager:  # noqa: ANN401 - of PoolManager
    """Return a pool of connections for a URL. It follows redirects, and repeats no request.

    Args:
        timeout: seconds to connect, and seconds without a byte.
        options: further arguments of ``urllib3.PoolManager``.
    """
    retries = _Redirects(total=None, connect=False, read=False, other=False, status=0, redirect=REDIRECTS)
    options = {"timeout": timeout, "retries": retries, **options}
    parts = urlsplit(url)
    proxy = getproxies().get(parts.scheme)
    if not proxy or proxy_bypass(parts.netloc):
        return PoolManager(**options)
    proxy = proxy if "://" in proxy else f"http://{proxy}"
    login = parse_url(proxy).auth
    return ProxyManager(proxy, proxy_headers=make_headers(proxy_basic_auth=login) if login else None, **options)


def redirect_target(url: str, location: str) -> str:
    """Return the URL that an answer redirects to.

    Raises:
        HTTPError: it leads from https to http.
    """
    target = urljoin(url, location)
    if urlsplit(url).scheme == "https" and urlsplit(target).scheme != "https":
        raise HTTPError(f"it redirects from https to {target}, which pio-tf does not follow")
    return target


class _Redirects(Retry):
    """The redirects that a pool follows."""

    def increment(
        self,
        method: str | None = None,
        url: str | None = None,
        response: BaseHTTPResponse | None = None,
        error: Exception | None = None,
        _pool: ConnectionPool | None = None,
        _stacktrace: TracebackType | None = None,
    ) -> Self:
        """Count an answer, as urllib3 asks before it follows a redirect."""
        location = response.get_redirect_location() if response is not None else None
        if response is not None and location and url is not None:
            try:
                redirect_target(url, location)
            except HTTPError:
                response.close()
                raise
        return super().increment(method, url, response, error, _pool, _stacktrace)


def http_reason(error: HTTPError) -> str:
    """Return an error of urllib3 without the connection's repr: ``[Errno 111] Connection refused``."""
    cause = getattr(error, "reason", None) or error
    text = str(cause.args[0] if cause.args else "").rpartition("): ")[2]
    return text.removeprefix("Failed to establish a new connection: ") or type(cause).__name__
