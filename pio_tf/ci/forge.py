"""The REST APIs of GitHub and GitLab, as far as a pipeline needs them."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode, urlsplit

from urllib3.exceptions import HTTPError

from pio_tf.errors import ConfigError, PioTfError
from pio_tf.http_pool import http_pool, http_reason, redirect_target
from pio_tf.json_text import parse_json

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_SECONDS = 30.0
_PAGE = 100
_MOST_BYTES = 200 * 1024 * 1024


class ForgeError(PioTfError):
    """An API of GitHub or GitLab refused a call, or did not answer."""


@dataclass(frozen=True)
class Forge:
    """An API, and the credentials for it.

    Args:
        url: without a slash at its end.
        headers: the credentials. They go to this API only, not to addresses that it redirects to.
    """

    url: str
    headers: Mapping[str, str] = field(repr=False)

    def get(self, path: str, **query: object) -> Any:  # noqa: ANN401 - JSON
        """Return the JSON of a GET."""
        return self._json("GET", f"{path}?{urlencode(query)}" if query else path)

    def pages(self, path: str) -> Iterator[dict[str, Any]]:
        """Yield the items of a list, page after page."""
        page = 1
        while items := self.get(path, per_page=_PAGE, page=page):
            yield from items
            if len(items) < _PAGE:
                return
            page += 1

    def send(self, method: str, path: str, body: Mapping[str, object]) -> None:
        """Send a POST, PATCH or PUT."""
        self._json(method, path, body=json.dumps(body).encode())

    def download(self, path: str) -> bytes:
        """Return a file, from the address that the API redirects to."""
        return self._call("GET", path)

    def _json(self, method: str, path: str, *, body: bytes | None = None) -> Any:  # noqa: ANN401 - JSON
        answer = self._call(method, path, body=body)
        try:
            return parse_json(answer) if answer else None
        except ValueError as error:
            raise ForgeError(
                f"{method} {self.url}{path}: no JSON",
                cause=str(error),
                next_step="check that the address is the API's",
            ) from error

    def _call(self, method: str, path: str, *, body: bytes | None = None) -> bytes:
        address = f"{self.url}{path}"
        common = {"User-Agent": "pio-tf"} | ({"Content-Type": "application/json"} if body is not None else {})
        pool = http_pool(address, timeout=_SECONDS)
        try:
            answer = pool.request(
                method, address, body=body, headers=common | dict(self.headers), redirect=False, preload_content=False
            )
            location = answer.get_redirect_location()
            if location and method == "GET":  # without the credentials: blob storage refuses them
                answer.close()
                answer = pool.request("GET", redirect_target(address, location), headers=common, preload_content=False)
            content = answer.read(_MOST_BYTES)
            answer.close()
        except (HTTPError, OSError, ValueError) as error:
            raise ForgeError(
                f"{method} {address}: no answer",
                cause=http_reason(error) if isinstance(error, HTTPError) else str(error),
                next_step="check that the job may connect to it",
            ) from error
        if not 200 <= answer.status < 300:
            raise ForgeError(
                f"{method} {address}: {answer.status} {answer.reason}",
                cause=_message(content),
                next_step="check the permissions of the job's token: docs/ci.md lists those that it needs",
                details={"status": answer.status},
            )
        return content


def github(environ: Mapping[str, str]) -> Forge:
    """Return GitHub's API with the job's token.

    Raises:
        ConfigError: there is no token.
    """
    url = environ.get("GITHUB_API_URL") or "https://api.github.com"
    headers = {
        "Authorization": f"Bearer {_token(environ, 'GITHUB_TOKEN')}",
        "Accept": "application/vnd.github+json",
        "X-GitHub-Api-Version": "2022-11-28",
    }
    return Forge(_checked(url), headers)


def gitlab(url: str, environ: Mapping[str, str]) -> Forge:
    """Return GitLab's API with the job's token.

    Raises:
        ConfigError: there is no token.
    """
    # Jenkins has one credential for comments on either forge.
    variable = "PIO_TF_GITLAB_TOKEN" if environ.get("GITLAB_CI") else "GITHUB_TOKEN"
    return Forge(_checked(url), {"PRIVATE-TOKEN": _token(environ, variable)})


def _token(environ: Mapping[str, str], variable: str) -> str:
    token = environ.get(variable, "").strip()
    if not token:
        raise ConfigError(f"{variable} is not set", next_step=f"give the job its token as {variable}")
    return token


def _checked(url: str) -> str:
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ConfigError(f"{url!r} is not the address of an API", next_step="check the variables of the CI system")
    return url.rstrip("/")


def _message(answer: bytes) -> str:
    """Return the API's own message about an error."""
    try:
        return str(parse_json(answer)["message"])
    except (ValueError, LookupError, TypeError):
        return ""
