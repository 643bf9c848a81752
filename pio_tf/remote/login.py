"""The user and the key of every SSH login: ``ssh.key``, from its file or from an agent."""

from __future__ import annotations

import asyncio
import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from pio_tf.errors import ConfigError
from pio_tf.remote.proxy import check_proxy
from pio_tf.remote.ssh_config import NO_PLACE, blame
from pio_tf.ssh_library import asyncssh
from pio_tf.waiting import wait_for

if TYPE_CHECKING:
    from pathlib import Path

    from pio_tf.config.schema import Config


_AGENT_SECONDS = 10.0


@dataclass(frozen=True)
class SshLogin:
    """The user and key of a login; ``options`` are asyncssh's."""

    user: str
    key_file: Path
    options: dict[str, Any] = field(default_factory=dict, repr=False)


def load_login(config: Config) -> SshLogin:
    """Read the private key, once for all machines.

    A key that is encrypted, on a security key, or known by its .pub file only, comes from an agent. pio-tf asks the
    agent for that key alone: all its keys might use up sshd's six attempts (MaxAuthTries) before this one.

    Raises:
        ConfigError: the file does not exist or is not a private key, and no agent can have the key.
    """
    where = config.where("ssh.key")
    path = config.path.parent / config.ssh.key.expanduser()
    try:
        key = asyncssh.read_private_key(path)
    except FileNotFoundError as error:
        if _public(path).is_file() and os.environ.get("SSH_AUTH_SOCK"):
            return SshLogin(config.ssh.user, path, _agent_options(where, path, "is not there"))
        raise ConfigError(
            f"{where}: ssh.key: there is no file {path}",
            next_step=f"make a key with `ssh-keygen -t ed25519 -f {path}`, or name the private key of the machines' "
            f"public key; of a key that only an agent has, save the public half as {_public(path)}",
        ) from error
    except (asyncssh.KeyImportError, asyncssh.KeyEncryptionError) as error:
        if "passphrase" in str(error).lower():
            return SshLogin(config.ssh.user, path, _agent_options(where, path, "has a passphrase"))
        if _on_security_key(path):
            return SshLogin(config.ssh.user, path, _agent_options(where, path, "is on a security key"))
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
    return SshLogin(config.ssh.user, path, {"client_keys": [key], "agent_path": None, "pkcs11_provider": None})


async def check_login(config: Config) -> None:
    """Check that this computer can log in to machines, before any is started for nothing.

    Raises:
        ConfigError: ``ssh.key`` or ~/.ssh/config cannot be used, the SSH agent does not have the key, or a program that
            ``ssh.via`` needs is missing.
    """
    check_proxy(config)
    login = load_login(config)
    host = (config.ssh.bastion or "driver").rpartition("@")[2].partition(":")[0]
    try:
        options = asyncssh.SSHClientConnectionOptions(config=(), host=host, username=login.user, **login.options)
    except Exception as error:  # asyncssh lets through what its parts raise
        place, cause = blame(error)
        raise ConfigError(
            f"{place or '~/.ssh/config'}: SSH on this computer cannot be used",
            cause=cause,
            next_step=f"correct {place}" if place else NO_PLACE,
        ) from error
    if options.agent_identities:
        await _check_agent(config.where("ssh.key"), login.key_file, options)


async def _check_agent(where: str, path: Path, options: asyncssh.SSHClientConnectionOptions) -> None:
    """Raise ConfigError if the agent does not have a key."""
    try:
        agent = await asyncssh.connect_agent(options.agent_path or "")
        async with agent:
            keys = await wait_for(agent.get_keys(options.agent_identities), timeout=_AGENT_SECONDS)
    except (OSError, asyncio.TimeoutError, ValueError, asyncssh.Error) as error:
        raise ConfigError(
            f"{where}: ssh.key: the SSH agent at {options.agent_path} does not answer",
            cause=str(error) or "no answer",
            next_step=f'run `eval "$(ssh-agent)"; ssh-add {path}` first',
        ) from error
    if not keys:
        raise ConfigError(
            f"{where}: ssh.key: the SSH agent does not have the key {_public(path)}",
            cause="`ssh-add -L` does not list it",
            next_step=f"run `ssh-add {path}`, or plug in the security key and add it to the agent",
        )


def _public(path: Path) -> Path:
    return path if path.suffix == ".pub" else path.with_name(path.name + ".pub")


def _on_security_key(path: Path) -> bool:
    """Return whether the public half of a key is of a type that needs a hardware token to sign."""
    try:
        return _public(path).read_text(encoding="utf-8").startswith("sk-")
    except (OSError, UnicodeDecodeError):
        return False


def _agent_options(where: str, path: Path, why: str) -> dict[str, Any]:
    """Return the options for a key that only an agent can use. ``why``: about the file."""
    public = _public(path)
    if not os.environ.get("SSH_AUTH_SOCK") or not public.is_file():
        raise ConfigError(
            f"{where}: ssh.key: {path} {why}, and no SSH agent has the key",
            cause="SSH_AUTH_SOCK is not set" if public.is_file() else f"there is no {public} to ask an agent for",
            next_step=f'run `eval "$(ssh-agent)"; ssh-add {path}` first; pio-tf never asks for a passphrase',
        )
    return {"client_keys": [], "agent_identities": [str(public)], "pkcs11_provider": None}
