"""StartInstances and StopInstances for all machines in one call, which only an error about some of them splits."""

from __future__ import annotations

import re
from collections import Counter, deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from botocore.exceptions import BotoCoreError, ClientError

from pio_tf.aws.errors import (
    UNAUTHORISED,
    UNKNOWN_IDENTITY,
    error_code,
    error_message,
    is_expired,
    is_passing,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from pio_tf.model import Machine, PowerState

MAX_BATCH: Final = 1000
"""Instances a call: EC2's limit, and the size of its token bucket for starts and stops."""
SAME_ERROR_LIMIT: Final = 4
"""How many single machines of one type may fail with one error before the rest of a failing batch counts as failed.
Without capacity, asking for each of 500 machines alone would cost 1000 calls, each with the SDK's own retries."""
_ID = re.compile(r"\bi-[0-9a-f]+\b")
_FOR_ALL = UNAUTHORISED | UNKNOWN_IDENTITY


@dataclass
class Sent:
    """The outcome of a call for several machines."""

    states: dict[str, PowerState] = field(default_factory=dict)
    """State by instance id, from the call's answer."""
    not_now: set[str] = field(default_factory=set)
    """Ids in a state that does not allow the call yet (IncorrectInstanceState)."""
    failed: dict[str, ClientError] = field(default_factory=dict)
    """Ids that AWS refused."""
    passing: Exception | None = None
    """Throttling, a failure of AWS or of the network, or expired credentials. Send the machines in none of the above
    again."""


def send_batch(call: Callable[[Sequence[str]], Mapping[str, PowerState]], machines: Iterable[Machine]) -> Sent:
    """Call AWS for all machines at once, and return what came of it.

    One bad instance fails a whole call on AWS, which changes nothing. pio-tf repeats such a call without the instances
    that the error names, or else in halves, so that the other machines are switched.

    Args:
        call: makes one API call for these instance ids; returns their states.

    Raises:
        ClientError, BotoCoreError: an error for every machine: credentials, permission, a wrong endpoint.
    """
    sent = Sent()
    machines = list(machines)
    queue = deque(machines[start : start + MAX_BATCH] for start in range(0, len(machines), MAX_BATCH))
    seen: Counter[tuple[str, str]] = Counter()
    while queue:
        batch = queue.popleft()
        try:
            sent.states |= call([machine.instance_id for machine in batch])
        except (ClientError, BotoCoreError) as error:
            if is_passing(error) or is_expired(error):
                sent.passing = error
                return sent
            if not isinstance(error, ClientError) or error_code(error) in _FOR_ALL:
                raise
            queue.extendleft(reversed(_split(error, batch, sent, seen)))
    return sent


def _split(error: ClientError, batch: list[Machine], sent: Sent, seen: Counter[tuple[str, str]]) -> list[list[Machine]]:
    """Note the machines that a batch failed for; return the batches to try instead."""
    named = set(_ID.findall(error_message(error)))
    bad = batch if len(batch) == 1 else [machine for machine in batch if machine.instance_id in named]
    code = error_code(error)
    if not bad and all(seen[code, machine.instance_type] >= SAME_ERROR_LIMIT for machine in batch):
        bad = batch
    if not bad:
        middle = len(batch) // 2
        return [batch[:middle], batch[middle:]]
    if code == "IncorrectInstanceState":
        sent.not_now |= {machine.instance_id for machine in bad}
    else:
        sent.failed |= {machine.instance_id: error for machine in bad}
        seen.update((code, machine.instance_type) for machine in bad)
    others = [machine for machine in batch if machine not in bad]
    return [others] if others else []
