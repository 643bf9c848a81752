"""Terraform's workspaces, which pio-tf does not use: a cluster has one state, under a key of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pio_tf.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

_DEFAULT = "default"
_WHY = "a cluster has one state, under a key of its own: in another workspace it would seem never to have been made"


def refuse_workspace(directory: Path, environ: Mapping[str, str]) -> None:
    """Refuse to work in another workspace than the default one, or to pass over that somebody wants one.

    Args:
        directory: the stack.
        environ: the user's environment.

    Raises:
        ConfigError: TF_WORKSPACE names one, or `terraform workspace select` has chosen one in the stack.
    """
    wanted = environ.get("TF_WORKSPACE", "")
    if wanted not in ("", _DEFAULT):
        raise ConfigError(
            f"TF_WORKSPACE names the workspace {wanted}, and pio-tf knows of no workspaces",
            cause=_WHY,
            next_step="unset TF_WORKSPACE; a second environment is a pio-tf.hcl with another cluster.name",
        )
    try:
        chosen = (directory / ".terraform" / "environment").read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError):
        return
    if chosen not in ("", _DEFAULT):
        raise ConfigError(
            f"in {directory} the workspace {chosen} is selected, and pio-tf knows of no workspaces",
            cause=_WHY,
            next_step=f"terraform -chdir={directory} workspace select default",
        )
