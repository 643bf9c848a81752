"""The ``terraform`` block, with the state's ``backend``."""

from __future__ import annotations

import re
from typing import Any

from pydantic import Field, model_validator

from pio_tf.config.block import Block
from pio_tf.config.kinds import BackendType, BackendValue, LocalPath, Program, Wait
from pio_tf.secret_names import is_secret_argument

_BACKEND_SECRET = re.compile(r"(^|_)(conn_str|customer_key|secret_id)$")
"""Secrets of Terraform's backends that have names of their own: pg, s3 and cos."""


class Backend(Block):
    """Where Terraform keeps its state: `backend "s3" { … }`, with the arguments of that backend. Credentials come from
    the environment or a profile: the stack's backend.tf, which is meant to be committed, carries what stands here."""

    type: BackendType
    arguments: dict[str, BackendValue] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _no_credentials(self) -> Backend:
        for name in self.arguments:
            if is_secret_argument(name) or _BACKEND_SECRET.search(name):
                raise ValueError(f"{name}: would be written into the stack's backend.tf; leave it to the environment")
        return self

    @model_validator(mode="after")
    def _an_object_in_a_bucket(self) -> Backend:
        if self.type != "s3":
            return self
        if not self.arguments.get("bucket"):
            raise ValueError("bucket: is required; `pio-tf init --backend` makes one")
        key = self.arguments.get("key", "key")
        if not isinstance(key, str) or not key or key.startswith("/") or key.endswith("/") or "//" in key:
            raise ValueError('key: must be the name of an object, like "pio-tf/ur/terraform.tfstate"')
        return self


class TerraformBlock(Block):
    """Terraform itself."""

    binary: Program | None = Field(
        default=None, description="Terraform or OpenTofu binary. Default: from PATH, else the one of the extra."
    )
    directory: LocalPath | None = Field(
        default=None, description="Where the stack is written. Default: `.pio-tf/<cluster>/stack` beside this file."
    )
    cli_config_file: LocalPath | None = Field(
        default=None, description="Terraform CLI configuration file (provider mirrors, credentials)."
    )
    parallelism: int | None = Field(
        default=None, ge=1, description="Resources at once. Default: follows the number of machines."
    )
    lock_timeout: Wait = Field(
        default=10, description="How long to wait for a state that somebody else has locked. 0: not at all."
    )
    backend: Backend | None = Field(
        default=None,
        description="Where the state is kept; its label is the kind of backend. For `s3` these are the defaults: "
        "`key` is `pio-tf/<cluster>/terraform.tfstate`, `region` is `aws.region`, `use_lockfile` and `encrypt` are "
        "true, and the credentials are those of the `aws` block.",
    )

    @model_validator(mode="before")
    @classmethod
    def _no_workspaces(cls, options: Any) -> Any:  # noqa: ANN401 - what the user wrote
        if isinstance(options, dict) and "workspace" in options:
            raise ValueError(
                "workspace: Terraform's workspaces are not used: a cluster has one state, under a key of its own. "
                "A second environment is a cluster with another name"
            )
        return options
