"""The SSH keys of a job, written from its variables to the files that pio-tf.hcl names."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from pio_tf.errors import ConfigError
from pio_tf.infra.root_module import public_key_file
from pio_tf.remote.target import known_hosts_file

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from pio_tf.config.schema import Config

PRIVATE, PUBLIC, KNOWN_HOSTS = "PIO_TF_SSH_KEY", "PIO_TF_SSH_PUBLIC_KEY", "PIO_TF_KNOWN_HOSTS"
"""The variables, each with the whole content of a file."""


def write_keys(config: Config, environ: Mapping[str, str]) -> tuple[Path, ...]:
    """Write the files whose variables are set. Leave files with the same content unchanged.

    Without a variable or a file for the public key, it is derived from the private one.

    Returns:
        The files that were written.

    Raises:
        ConfigError: a file contains another key, or a variable contains no key.
    """
    public = public_key_file(config)
    private = public.with_name(public.name.removesuffix(".pub"))
    contents = {
        private: (PRIVATE, _text(environ, PRIVATE)),
        public: (PUBLIC, _text(environ, PUBLIC)),
        known_hosts_file(config): (KNOWN_HOSTS, _text(environ, KNOWN_HOSTS)),
    }
    if key := contents[private][1]:
        derived = _public_half(key)  # also the check of the private key
        if not contents[public][1] and not public.exists():
            contents[public] = (PRIVATE, derived)
    return tuple(path for path, (variable, text) in contents.items() if text and _write(path, text, variable=variable))


def _text(environ: Mapping[str, str], variable: str) -> str:
    """Return a variable with one newline at its end, which forms for secrets cut off; empty if it is not set."""
    text = environ.get(variable, "").replace("\r\n", "\n").strip()
    return f"{text}\n" if text else ""


def _write(path: Path, text: str, *, variable: str) -> bool:
    try:
        if path.exists() and path.read_text(encoding="utf-8", errors="replace").strip() == text.strip():
            return False
        if path.exists() and variable != KNOWN_HOSTS:
            raise ConfigError(
                f"{path} contains another key than {variable}",
                cause="pio-tf never overwrites a key",
                next_step=f"remove {path}, or unset {variable}",
            )
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(handle, "w", encoding="utf-8") as stream:
            stream.write(text)
    except OSError as error:
        raise ConfigError(
            f"cannot write {path}", cause=error.strerror or str(error), next_step="check the permissions"
        ) from error
    return True


def _public_half(private: str) -> str:
    from pio_tf.ssh_library import asyncssh

    try:
        return asyncssh.import_private_key(private).export_public_key().decode()
    except (asyncssh.KeyImportError, asyncssh.KeyEncryptionError) as error:
        raise ConfigError(
            f"{PRIVATE} contains no private key that a job can use",
            cause=str(error),
            next_step="set it to the whole file, from BEGIN to END, of a key without a passphrase",
        ) from None
