"""A small server that answers as GitHub's and GitLab's APIs do, for what pio-tf asks of them."""

from __future__ import annotations

import io
import json
import re
import threading
import zipfile
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

if TYPE_CHECKING:
    from pathlib import Path

TOKEN = "job-token"
REPOSITORY = "org/recommender"
REPOSITORY_ID = 7


@dataclass
class ForgeServer:
    """One repository."""

    comments: dict[int, list[dict[str, Any]]] = field(default_factory=dict)
    """Comments of pull requests, by number."""
    pulls: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    """Pull requests, by commit."""
    artifacts: list[dict[str, Any]] = field(default_factory=list)
    zips: dict[int, bytes] = field(default_factory=dict)
    runs: dict[int, dict[str, Any]] = field(default_factory=dict)
    """Runs of workflows, by id: one for each artefact."""
    refuses: set[str] = field(default_factory=set)
    """Methods that the token may not use."""
    calls: list[str] = field(default_factory=list)

    def __enter__(self) -> ForgeServer:
        forge = self

        class Handler(_Handler):
            server_of = forge

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever)
        self._thread.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def keep(self, name: str, directory: Path, *, head: str, fork: bool = False) -> None:
        """Keep an artefact as actions/upload-artifact does: a zip of what is not hidden."""
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w") as archive:
            for path in sorted(directory.rglob("*")):
                parts = path.relative_to(directory).parts
                if path.is_file() and not any(part.startswith(".") for part in parts):
                    archive.write(path, "/".join(parts))
        number = len(self.artifacts) + 1
        self.zips[number] = buffer.getvalue()
        self.runs[number + 1000] = {
            "id": number + 1000,
            "path": ".github/workflows/pio-tf-plan.yml",
            "event": "pull_request",
            "head_sha": head,
            "pull_requests": [],
        }
        self.artifacts.append(
            {
                "id": number,
                "name": name,
                "expired": False,
                "created_at": f"2026-11-23T03:{number:02}:00Z",
                "workflow_run": {
                    "id": number + 1000,
                    "head_sha": head,
                    "repository_id": REPOSITORY_ID,
                    "head_repository_id": REPOSITORY_ID + fork,
                },
            }
        )

    # What it answers

    def answer(self, method: str, path: str, query: dict[str, str], body: dict[str, Any]) -> Any:  # noqa: ANN401
        """Return the answer as JSON; raise LookupError if there is none."""
        for pattern, function in (
            (rf"/repos/{REPOSITORY}/issues/(\d+)/comments", self._list_or_make),
            (r"/projects/\S+?/merge_requests/(\d+)/notes", self._list_or_make),
            (rf"/repos/{REPOSITORY}/issues/comments/(\d+)", self._change),
            (r"/projects/\S+?/merge_requests/\d+/notes/(\d+)", self._change),
            (rf"/repos/{REPOSITORY}/commits/(\w+)/pulls", self._pulls_of),
            (rf"/repos/{REPOSITORY}/actions/artifacts", self._artifacts_of),
            (rf"/repos/{REPOSITORY}/actions/runs/(\d+)", self._run),
        ):
            if match := re.fullmatch(pattern, path):
                return function(method, query, body, *match.groups())
        raise LookupError(path)

    def _list_or_make(self, method: str, query: dict[str, str], body: dict[str, Any], number: str) -> Any:  # noqa: ANN401
        comments = self.comments.setdefault(int(number), [])
        if method == "GET":
            size, page = int(query["per_page"]), int(query["page"])
            return comments[(page - 1) * size : page * size]
        comments.append({"id": sum(map(len, self.comments.values())) + 100, **body})
        return comments[-1]

    def _change(self, method: str, _query: dict[str, str], body: dict[str, Any], number: str) -> Any:  # noqa: ANN401
        assert method in ("PATCH", "PUT")
        (found,) = [one for of in self.comments.values() for one in of if one["id"] == int(number)]
        found.update(body)
        return found

    def _pulls_of(self, _method: str, _query: dict[str, str], _body: dict[str, Any], commit: str) -> Any:  # noqa: ANN401
        return self.pulls.get(commit, [])

    def _artifacts_of(self, _method: str, query: dict[str, str], _body: dict[str, Any]) -> Any:  # noqa: ANN401
        found = [one for one in self.artifacts if one["name"] == query["name"]]
        return {"total_count": len(found), "artifacts": found}

    def _run(self, _method: str, _query: dict[str, str], _body: dict[str, Any], number: str) -> Any:  # noqa: ANN401
        return self.runs[int(number)]


class _Handler(BaseHTTPRequestHandler):
    server_of: ForgeServer

    def do_GET(self) -> None:
        self._serve()

    do_POST = do_PATCH = do_PUT = do_GET  # noqa: N815 - as the base class calls them

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
        """Write nothing to the tests' standard error."""

    def _serve(self) -> None:
        forge, parts = self.server_of, urlsplit(self.path)
        path = re.sub(r"^/api/v[34]", "", parts.path)  # where GitHub Enterprise and GitLab have it
        size = int(self.headers.get("Content-Length") or 0)
        body = json.loads(self.rfile.read(size)) if size else {}
        forge.calls.append(f"{self.command} {parts.path}")
        credentials = {self.headers.get("Authorization"), self.headers.get("PRIVATE-TOKEN")}
        if parts.path.startswith("/storage/"):
            # As blob storage does: its address is signed, and credentials besides are refused.
            self._send(400 if credentials != {None} else 200, forge.zips[int(parts.path.rpartition("/")[2])])
        elif not credentials & {f"Bearer {TOKEN}", TOKEN}:
            self._send(401, b'{"message": "Bad credentials"}')
        elif self.command in forge.refuses:
            self._send(403, b'{"message": "Resource not accessible by integration"}')
        elif match := re.fullmatch(rf"/repos/{REPOSITORY}/actions/artifacts/(\d+)/zip", path):
            self._send(302, b"", Location=f"{forge.url}/storage/{match[1]}")
        else:
            query = {name: values[0] for name, values in parse_qs(parts.query).items()}
            try:
                self._send(200, json.dumps(forge.answer(self.command, path, query, body)).encode())
            except LookupError:
                self._send(404, b'{"message": "Not Found"}')

    def _send(self, status: int, content: bytes, **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)
