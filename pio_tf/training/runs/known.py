"""The runs that are known: by the driver, by this computer, and by every client."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pio_tf.errors import PioTfError
from pio_tf.events import Reporter, Warned
from pio_tf.training.runs.record import ENDED, RunRecord

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pio_tf.training.runs.archive import Archive
    from pio_tf.training.runs.bucket import RunBucket


def merge(
    archive: Archive, theirs: dict[str, RunRecord] | None, shared: Sequence[RunRecord] = ()
) -> tuple[RunRecord, ...]:
    """The runs of the driver, of this computer and of all clients, oldest first.

    Args:
        theirs: the driver's, by id; None: it cannot be asked.
        shared: those that are kept for all clients.
    """
    known = {record.id: record for record in archive.records()}
    known.update((record.id, record) for record in shared if record.id not in known or record.state in ENDED)
    for record in known.values():
        if record.state not in ENDED:
            known[record.id] = record.with_(state="unknown" if theirs is None else "lost")
    known.update(theirs or {})
    return tuple(known[run] for run in sorted(known))


def shared_records(shared: RunBucket | None, reporter: Reporter) -> tuple[RunRecord, ...]:
    """The runs that are kept for all clients; none where they cannot be asked for, which is said."""
    try:
        return shared.records() if shared is not None else ()
    except PioTfError as error:
        reporter(Warned(f"without the runs of other clients: {error}"))
        return ()
