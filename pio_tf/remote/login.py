"""The user and the key of every SSH login: ``ssh.key``, from its file or from an agent."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import asyncssh

from pio_tf.errors import ConfigError

if TYPE_CHECKING:
    from pathlib import Path

    from pio_tf.config.schema import Config


@dataclass(frozen=True)
class SshLogin:
    """The user and key of a login; ``options`` are asyncssh's."""

    user: str
    key_file: Path
    options: dict[str, Any] = field(default_factory=dict, repr=False)


def load_login(config: Config) -> SshLogin:
    """Read the private key, once for all machines.

    Only an encrypted key comes from an agent, and pio-tf asks the agent for that key alone: an agent that offers all
    its keys may use up sshd's six attempts (MaxAuthTries) before ours.

    Raises:
        ConfigError: the file does not exist, is not a private key, or is encrypted and no agent has the key.
    """
    where = config.where("ssh.key")
    path = config.path.parent / config.ssh.key.expanduser()
    try:
        key = asyncssh.read_private_key(path)
    except FileNotFoundError as error:
        raise ConfigError(
            f"{where}: ssh.key: there is no file {path}",
            next_step=f"make a key with `ssh-keygen -t ed25519 -f {path}`, or name the private key of the machines' "
            "public key",
        ) from error
    except (asyncssh.KeyImportError, asyncssh.KeyEncryptionError) as error:
        if "passphrase" in str(error).lower():
            return SshLogin(user=config.ssh.user, key_file=path, options=_agent_options(where, path))
        raise ConfigError(
            f"{where}: ssh.key: {path} is not a private key that SSH can use",
            cause=str(error),
            next_step="name the private key (not the .pub file); AWS's .pem files are fine",
        ) from error
    except OSError as error:
        raise ConfigError(
            f"{where}: ssh.key: cannot read {path}",
            cause=error.strerror or str(error),
            next_step=f"check its owner and mode: `chmod 600 {path}`",
        ) from error
    return SshLogin(user=config.ssh.user, key_file=path, options={"client_keys": [key], "agent_path": None})


def _agent_options(where: str, path: Path) -> dict[str, Any]:
    public = path.with_name(path.name + ".pub")
    if not os.environ.get("SSH_AUTH_SOCK") or not public.is_file():
        raise ConfigError(
            f"{where}: ssh.key: {path} has a passphrase, and no SSH agent has the key",
            cause="SSH_AUTH_SOCK is not set" if public.is_file() else f"there is no {public} to ask an agent for",
            next_step=f'run `eval "$(ssh-agent)"; ssh-add {path}` first; pio-tf never asks for a passphrase',
        )
    return {"client_keys": [], "agent_identities": [str(public)]}
