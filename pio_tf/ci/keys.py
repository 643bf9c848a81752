"""The keys of SSH, from a job's variables to where pio-tf.hcl has them."""

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
"""Variables, each with a file's whole content."""


def write_keys(config: Config, environ: Mapping[str, str]) -> tuple[Path, ...]:
    """Write the files whose variables are set; what is there already with the same content is left as it is.

    Returns:
        What was written. The public key is made from the private one, where nothing else gives it.

    Raises:
        ConfigError: a key that is not this one is there already, or a variable holds no key.
    """
    public = public_key_file(config)
    files = {
        public.with_name(public.name.removesuffix(".pub")): (PRIVATE, _text(environ, PRIVATE)),
        public: (PUBLIC, _text(environ, PUBLIC)),
        known_hosts_file(config): (KNOWN_HOSTS, _text(environ, KNOWN_HOSTS)),
    }
    private = _text(environ, PRIVATE)
    if private:
        derived = _public_half(private)
        if not files[public][1] and not public.exists():
            files[public] = (PRIVATE, derived)
    return tuple(path for path, (variable, text) in files.items() if text and _write(path, text, variable=variable))


def _text(environ: Mapping[str, str], variable: str) -> str:
    """With one line's end at its end, which forms for secrets cut off; an unset variable may be an empty one."""
    text = environ.get(variable, "").replace("\r\n", "\n").strip()
    return f"{text}\n" if text else ""


def _write(path: Path, text: str, *, variable: str) -> bool:
    try:
        if path.exists() and path.read_text(encoding="utf-8", errors="replace").strip() == text.strip():
            return False
        if path.exists() and variable != KNOWN_HOSTS:
            raise ConfigError(
                f"{path} is another key than {variable}",
                cause="a key that is there is never overwritten",
                next_step=f"remove {path}, or unset {variable}",
            )
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(handle, "w", encoding="utf-8") as stream:
            stream.write(text)
    except OSError as error:
        raise ConfigError(
            f"cannot write {path}", cause=error.strerror or str(error), next_step="see who may write there"
        ) from error
    return True


def _public_half(private: str) -> str:
    import asyncssh

    try:
        return asyncssh.import_private_key(private).export_public_key().decode()
    except (asyncssh.KeyImportError, asyncssh.KeyEncryptionError) as error:
        raise ConfigError(
            f"{PRIVATE} holds no private key that a job can use",
            cause=str(error),
            next_step="give it the whole file, from BEGIN to END, of a key without a passphrase",
        ) from None
