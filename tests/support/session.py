"""A session with the driver for tests: over SSH, with an EC2 of the test's own."""

from __future__ import annotations

import time
from datetime import datetime, timezone
from functools import partial
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

from pio_tf.context import ClusterContext
from pio_tf.events import silent
from pio_tf.training.driver_session import DriverSession, open_session
from pio_tf.training.runs.run_storage import RunStorage

if TYPE_CHECKING:
    from collections.abc import Sequence
    from contextlib import AbstractAsyncContextManager

    from pio_tf.config.schema import Config
    from pio_tf.events import Reporter
    from pio_tf.model import Machine


def context_of(config: Config, ec2: Any = None, report: Reporter = silent) -> ClusterContext:  # noqa: ANN401 - as below
    """Return what a command knows: every client of AWS is ``ec2``."""
    aws: Any = SimpleNamespace(client=lambda _service: ec2)
    now = partial(datetime.now, tz=timezone.utc)
    return ClusterContext(config, report, aws, {}, time.monotonic, time.sleep, now)


def session_of(
    config: Config,
    machines: Sequence[Machine],
    *,
    ec2: Any = None,  # noqa: ANN401 - a client of botocore's, or what stands in for one
    report: Reporter = silent,
    **options: Any,  # noqa: ANN401 - of open_session
) -> AbstractAsyncContextManager[DriverSession]:
    """Return a session with the driver of these machines."""
    context = context_of(config, ec2, report)
    storage = RunStorage(context, report_driver=cast("Any", None))
    return open_session(context, storage, machines, **options)
