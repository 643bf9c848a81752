"""`ClusterContext`, which every object of a cluster works with."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

from msgspec import Struct

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime

    from mypy_boto3_ec2 import EC2Client

    from pio_tf.aws.session import Aws
    from pio_tf.config.schema import Config
    from pio_tf.events import Reporter
    from pio_tf.pio.secrets import Secrets


class ClusterContext(Struct, frozen=True, dict=True):
    """The configuration of a cluster, and what its objects reach the outside with. It does nothing by itself.

    Args:
        report: receives progress as events.
        environ: environment for Terraform.
        clock: returns monotonic seconds, which limit how long pio-tf waits for AWS.
        sleep: waits for a number of seconds meanwhile.
        now: returns the time of day, which deadlines are counted from.
        attended: whether a person at a terminal reads the warnings: see ``ssh.host_keys``.
    """

    config: Config
    report: Reporter
    aws: Aws
    environ: Mapping[str, str]
    clock: Callable[[], float]
    sleep: Callable[[float], None]
    now: Callable[[], datetime]
    attended: bool = False

    @property
    def ec2(self) -> EC2Client:
        """The EC2 client."""
        return self.aws.client("ec2")

    @cached_property
    def secrets(self) -> Secrets:
        """The configuration's passwords; pio-tf may have to ask AWS for them."""
        from pio_tf.pio.secrets import resolve_secrets

        return resolve_secrets(self.config, self.aws.client)
