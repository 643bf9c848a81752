"""A provider registry on loopback, with the AWS provider in two versions and for every platform that pio-tf locks.

https://developer.hashicorp.com/terraform/internals/provider-registry-protocol
"""

from __future__ import annotations

import hashlib
import io
import json
import shutil
import subprocess
import zipfile
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import TYPE_CHECKING, Any

from pio_tf.infra.stack_directory import PLATFORMS

if TYPE_CHECKING:
    from pathlib import Path

VERSIONS = ("3.39.0", "5.99.0")


class Registry:
    """The registry, as files that a web server offers. Its archives hold a few bytes: nothing runs them."""

    def __init__(self, directory: Path) -> None:
        self._root = directory / "registry"
        self._home = directory / "gnupg"
        self._home.mkdir(mode=0o700)
        self._root.mkdir()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Handler, directory=str(self._root)))
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        key = ("--quick-generate-key", "registry@example.com", "rsa2048", "sign", "never")
        self._gpg("--passphrase", "", "--pinentry-mode", "loopback", *key)
        self._write()
        Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        """End the web server and the agent of GnuPG."""
        self._server.shutdown()
        self._server.server_close()
        self._run("gpgconf", "--kill", "all")

    def checksums(self, version: str) -> set[str]:
        """Return the SHA-256 of a version's archives, as lock files have them."""
        lines = (self._root / f"sums-{version}").read_text().splitlines()
        return {f"zh:{line.split()[0]}" for line in lines}

    def _write(self) -> None:
        armor = self._gpg("--armor", "--export").decode()
        key_id = self._gpg("--list-keys", "--with-colons").decode().split("pub:")[1].split(":")[3]
        platforms = [dict(zip(("os", "arch"), one.split("_"), strict=True)) for one in PLATFORMS]
        listed = [{"version": version, "protocols": ["5.0"], "platforms": platforms} for version in VERSIONS]
        self._json("hashicorp/aws/versions", {"versions": listed})
        for version in VERSIONS:
            sums = {one: self._archive(version, one) for one in PLATFORMS}
            text = "".join(f"{digest}  {_archive_name(version, one)}\n" for one, digest in sums.items())
            (self._root / f"sums-{version}").write_text(text)
            signature = self._gpg("--detach-sign", "--output", "-", str(self._root / f"sums-{version}"))
            (self._root / f"sums-{version}.sig").write_bytes(signature)
            for one, digest in sums.items():
                system, architecture = one.split("_")
                self._json(
                    f"hashicorp/aws/{version}/download/{system}/{architecture}",
                    {
                        "protocols": ["5.0"],
                        "os": system,
                        "arch": architecture,
                        "filename": _archive_name(version, one),
                        "download_url": f"{self.url}/{_archive_name(version, one)}",
                        "shasum": digest,
                        "shasums_url": f"{self.url}/sums-{version}",
                        "shasums_signature_url": f"{self.url}/sums-{version}.sig",
                        "signing_keys": {"gpg_public_keys": [{"key_id": key_id, "ascii_armor": armor}]},
                    },
                )

    def _archive(self, version: str, platform: str) -> str:
        content = io.BytesIO()
        with zipfile.ZipFile(content, "w") as archive:
            archive.writestr(f"terraform-provider-aws_v{version}_x5", f"{version} {platform}")
        (self._root / _archive_name(version, platform)).write_bytes(content.getvalue())
        return hashlib.sha256(content.getvalue()).hexdigest()

    def _json(self, path: str, value: Any) -> None:  # noqa: ANN401 - any JSON
        file = self._root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(value))

    def _gpg(self, *arguments: str) -> bytes:
        return self._run("gpg", "--batch", "--quiet", *arguments)

    def _run(self, name: str, *arguments: str) -> bytes:
        program = shutil.which(name)
        assert program is not None, f"these tests need GnuPG: there is no {name}"
        return subprocess.run([program, "--homedir", self._home, *arguments], capture_output=True, check=True).stdout


def _archive_name(version: str, platform: str) -> str:
    return f"terraform-provider-aws_{version}_{platform}.zip"


class _Handler(SimpleHTTPRequestHandler):
    """Files, as JSON where their names do not say otherwise; silent."""

    def guess_type(self, path: object) -> str:
        return "application/zip" if str(path).endswith(".zip") else "application/json"

    def log_message(self, *arguments: object) -> None:
        pass
