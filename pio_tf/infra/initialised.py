"""Whether ``terraform init`` is needed. It takes half a second and may ask registries; mostly nothing has changed."""

from __future__ import annotations

import hashlib
import json
import re
from typing import TYPE_CHECKING

from pio_tf.json_text import parse_json

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from pio_tf.infra.binary import TerraformBinary

_MARK = ".terraform/pio-tf-initialised.json"
_LOCK_FILE = ".terraform.lock.hcl"
_NAMING_LINE = re.compile(rb"^\s*(?:module|source|version)\b.*$", re.MULTILINE)


class Initialised:
    """The mark that says for what a stack directory was initialised.

    Args:
        directory: the stack.
        binary: the Terraform that is going to work in it.
        environ: Terraform's environment: a provider may come from a mirror that is named there.
    """

    def __init__(self, directory: Path, *, binary: TerraformBinary, environ: Mapping[str, str]) -> None:
        self._directory = directory
        self._mark = directory / _MARK
        self._for = {
            "terraform": [str(binary.path), binary.product, binary.version],
            "cli_config": environ.get("TF_CLI_CONFIG_FILE", ""),
        }

    def holds(self) -> bool:
        """Whether nothing that init looks at has changed since :meth:`remember`, and its result is still there."""
        try:
            return parse_json(self._mark.read_text(encoding="utf-8")) == self._now() and self._providers_are_there()
        except (OSError, ValueError):
            return False

    def remember(self) -> None:
        """The directory has just been initialised."""
        self._mark.write_text(json.dumps(self._now()), encoding="utf-8")

    def _now(self) -> dict[str, object]:
        digest = hashlib.sha256()
        for name, content in self._relevant():
            digest.update(name.encode() + b"\0" + content + b"\0")
        return {**self._for, "sha256": digest.hexdigest()}

    def _relevant(self) -> Iterator[tuple[str, bytes]]:
        """What names providers, modules and the backend. Values do not, nor does ``prevent_destroy``."""
        for path in sorted(self._directory.glob("*.tf")):
            yield path.name, path.read_bytes()
        for path in sorted(self._directory.glob("modules/*/*.tf")):
            yield f"{path.parent.name}/{path.name}", b"\n".join(_NAMING_LINE.findall(path.read_bytes()))
        yield _LOCK_FILE, (self._directory / _LOCK_FILE).read_bytes()

    def _providers_are_there(self) -> bool:
        # Links into a mirror or a plugin cache that may have been removed.
        packages = list(self._directory.glob(".terraform/providers/*/*/*/*/*"))
        return bool(packages) and all(package.is_dir() for package in packages)
