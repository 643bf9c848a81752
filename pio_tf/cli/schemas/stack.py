"""The JSON of the stack, from ``init`` to ``destroy``."""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypedDict

from pio_tf.cli.schemas.common import Version


class InitResult(TypedDict):
    """The pio-tf.hcl that was written; with ``--backend`` it may have been there before."""

    version: Version
    file: str
    cluster: str
    bucket: str | None
    """The bucket of the state; null without ``--backend``."""


class GenerateResult(TypedDict):
    """The stack, or the Packer template, that was written."""

    version: Version
    directory: str


class ChangeData(TypedDict):
    """What a plan does to one resource."""

    address: str
    type: str
    actions: Annotated[list[str], "Terraform's words: `create`, `update`, `delete`, …"]
    reasons: Annotated[list[str], "arguments that change"]
    machine: Annotated[str, "the machine that it is; empty: none"]


class PlanResult(TypedDict):
    """What `apply` would do."""

    version: Version
    has_changes: bool
    changes: list[ChangeData]
    directory: Annotated[str | None, "where the plan was kept"]


class OutputMachineData(TypedDict):
    """A machine as Terraform made it."""

    name: str
    role: Literal["driver", "master", "worker"]
    instance_id: str
    private_ip: str
    eip: Annotated[str | None, "its Elastic IP"]


class OutputResult(TypedDict):
    """Terraform's outputs."""

    version: Version
    cluster: str
    region: str
    machines: list[OutputMachineData]


class DifferenceData(TypedDict):
    """An argument that is not as Terraform left it."""

    name: str
    before: Annotated[Any, "what Terraform left"]
    after: Annotated[Any, "what AWS has"]


class DriftData(TypedDict):
    """A resource that is not as Terraform left it."""

    address: str
    type: str
    machine: Annotated[str, "the machine that it is; empty: none"]
    change: Literal["changed", "gone"]
    differences: list[DifferenceData]


class DriftResult(TypedDict):
    """What was changed behind Terraform's back."""

    version: Version
    drift: bool
    resources: list[DriftData]


class DestroyResult(TypedDict):
    """The cluster that is gone."""

    version: Version
    cluster: str
    destroyed: Literal[True]
