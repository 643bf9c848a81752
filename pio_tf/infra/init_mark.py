"""A mark in the stack's directory that says what it was initialised for.

`terraform init` takes half a second and may ask registries; most commands need none.
"""

from __future__ import annotations

import hashlib
import json
import re
from typing import TYPE_CHECKING

from pio_tf.json_text import parse_json

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pio_tf.infra.terraform import Terraform

_LOCK_FILE = ".terraform.lock.hcl"
_NAMING_LINE = re.compile(rb"^\s*(?:module|source|version)\b.*$", re.MULTILINE)


class InitMark:
    """The mark of one stack directory.

    Args:
        terraform: the Terraform that will run there. Its environment may name a mirror of providers.
    """

    def __init__(self, terraform: Terraform) -> None:
        self._terraform = terraform
        self._directory = terraform.directory
        self._path = terraform.directory / ".terraform" / "pio-tf-initialised.json"

    def is_current(self) -> bool:
        """Return whether nothing that init reads has changed since :meth:`write`, and its result still exists."""
        try:
            return parse_json(self._path.read_text(encoding="utf-8")) == self._content() and self._has_providers()
        except (OSError, ValueError):
            return False

    def write(self) -> None:
        """Record that the directory has just been initialised."""
        self._path.write_text(json.dumps(self._content()), encoding="utf-8")

    def _content(self) -> dict[str, object]:
        binary, digest = self._terraform.binary, hashlib.sha256()
        for name, content in self._inputs():
            digest.update(name.encode() + b"\0" + content + b"\0")
        return {
            "terraform": [str(binary.path), binary.product, binary.version],
            "cli_config": self._terraform.environ.get("TF_CLI_CONFIG_FILE", ""),
            "sha256": digest.hexdigest(),
        }

    def _inputs(self) -> Iterator[tuple[str, bytes]]:
        """Yield what names providers, modules and the backend; values and ``prevent_destroy`` need no init."""
        for path in sorted(self._directory.glob("*.tf")):
            yield path.name, path.read_bytes()
        for path in sorted(self._directory.glob("modules/*/*.tf")):
            yield f"{path.parent.name}/{path.name}", b"\n".join(_NAMING_LINE.findall(path.read_bytes()))
        yield _LOCK_FILE, (self._directory / _LOCK_FILE).read_bytes()

    def _has_providers(self) -> bool:
        # They may be links into a mirror or a plugin cache that was removed.
        packages = list(self._directory.glob(".terraform/providers/*/*/*/*/*"))
        return bool(packages) and all(package.is_dir() for package in packages)
