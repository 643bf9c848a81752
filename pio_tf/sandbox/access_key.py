"""The access key of a sandbox: random, in a file that only its user can read."""

from __future__ import annotations

import base64
import configparser
import secrets
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from pio_tf.atomic_write import write_atomically
from pio_tf.errors import SandboxError
from pio_tf.sandbox.layout import PROFILE

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True)
class AccessKey:
    """An access key: its id and its secret half."""

    id: str
    secret: str = field(repr=False)

    @classmethod
    def new(cls) -> AccessKey:
        """Return a random key of the form that AWS gives them."""
        return cls(f"AKIA{base64.b32encode(secrets.token_bytes(10)).decode()}", secrets.token_urlsafe(30))

    @classmethod
    def read(cls, path: Path) -> AccessKey:
        """Return the key of a sandbox's credentials file.

        Raises:
            SandboxError: the file has none.
        """
        parser = configparser.ConfigParser(interpolation=None)
        try:
            parser.read_string(path.read_text(encoding="ascii"))
            section = parser[PROFILE]
            return cls(section["aws_access_key_id"], section["aws_secret_access_key"])
        except (OSError, ValueError, KeyError, configparser.Error) as error:
            raise SandboxError(
                f"{path} has no access key of the sandbox",
                cause=str(error),
                next_step="run `pio-tf sandbox stop`, then `pio-tf sandbox start`",
            ) from error

    def write(self, path: Path) -> None:
        """Write a credentials file with mode 0600."""
        write_atomically(
            path,
            "# Keep it private: with this key, a user of this computer can log in to the sandbox's machines as you.\n"
            f"[{PROFILE}]\naws_access_key_id = {self.id}\naws_secret_access_key = {self.secret}\n",
        )
