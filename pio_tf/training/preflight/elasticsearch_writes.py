"""Whether Elasticsearch takes the writes of a training: blocks on indices, and disks that are nearly full.

PredictionIO retries an engine instance that Elasticsearch refuses, 200 times a second and without end
(``ESEngineInstances.insert``). At the end of a training, the Universal Recommender moves its alias to the index of the
new model, and removes the old one in the same request: Elasticsearch refuses that if the old index has a block.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pio_tf.json_text import as_object
from pio_tf.training.elasticsearch_room import WATERMARK, data_disk, free_at, settings_in_force
from pio_tf.training.preflight.context import failed, warning

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from pio_tf.training.preflight.context import CheckResult

BLOCKS = "/{index}/_settings/index.blocks.*?flat_settings=true"
METADATA_BLOCKED = "/index metadata (api)]"
"""In the refusal of that question. An index with ``index.blocks.metadata`` does not show its settings either."""
HAS_METADATA_BLOCK = {"settings": {"index.blocks.metadata": "true"}}

_BLOCKS = ("read_only", "read_only_allow_delete", "write", "metadata")
"""``index.blocks.*`` that refuse documents or mappings."""
_BLOCKS_OF_OLD_MODEL = ("read_only", "read_only_allow_delete", "metadata")
"""Those of an index that refuse to move its alias."""
_RETRIED = "PredictionIO would retry without end"
_NOT_REPLACED = "the Universal Recommender could not replace this model by the new one"
_MAKE_ROOM = "make room on that node, or add a node: delete old indices, enlarge its disk"


def judge_writes(
    names: Sequence[str],
    *,
    blocks: Mapping[str, Any],
    settings: Mapping[str, Any],
    disks: Mapping[str, Any],
    old_models: Mapping[str, Any],
) -> Iterator[CheckResult]:
    """Yield what will refuse or may refuse writes. An empty answer of Elasticsearch's decides nothing.

    Args:
        names: of PredictionIO's repositories there that a training writes to. They are indices, or their prefixes.
        blocks: the answer to :data:`BLOCKS` for the indices of these repositories.
        settings: the answer to :data:`CLUSTER_SETTINGS`.
        disks: the answer to :data:`DISKS`.
        old_models: the answers to :data:`BLOCKS` for the engine's aliases.
    """
    in_force = settings_in_force(settings)
    for key in ("cluster.blocks.read_only", "cluster.blocks.read_only_allow_delete"):
        if in_force.get(key) == "true":
            yield failed(
                f"Elasticsearch refuses all writes: {key} is true",
                "remove that setting: PUT /_cluster/settings",
            )
    for index, answer in sorted(blocks.items()):
        if any(index == name or index.startswith(f"{name}_") for name in names):
            yield from _judge_index(index, as_object(as_object(answer).get("settings")), _BLOCKS, _RETRIED)
    for index, answer in sorted(old_models.items()):
        yield from _judge_index(
            index, as_object(as_object(answer).get("settings")), _BLOCKS_OF_OLD_MODEL, _NOT_REPLACED
        )
    if in_force.get("cluster.routing.allocation.disk.threshold_enabled") != "false":
        for node in as_object(disks.get("nodes")).values():
            yield from _judge_disk(as_object(node), in_force)


def _judge_index(
    index: str, settings: Mapping[str, Any], blocks: Sequence[str], consequence: str
) -> Iterable[CheckResult]:
    set_there = [f"index.blocks.{block}" for block in blocks if str(settings.get(f"index.blocks.{block}")) == "true"]
    if not set_there:
        return ()
    cause = ""
    if "index.blocks.read_only_allow_delete" in set_there:
        cause = "make room on the disk that has filled up; then "
    removed = ", ".join(f'"{block}": null' for block in set_there)
    return (
        failed(
            f"Elasticsearch refuses writes to {index}: {', '.join(set_there)}; {consequence}",
            f"{cause}remove the block: PUT /{index}/_settings with {{{removed}}}",
        ),
    )


def _judge_disk(node: Mapping[str, Any], settings: Mapping[str, str]) -> Iterable[CheckResult]:
    """Judge a node's disk by the watermarks in force. Before 6.0, there is none at which Elasticsearch sets a block."""
    if (disk := data_disk(node)) is None:
        return ()
    total, free = disk
    where = f"{free / 1024**3:.1f} of {total / 1024**3:.1f} GiB free on Elasticsearch's node {node.get('name')}"
    flood, high = (settings.get(f"{WATERMARK}{name}", "") for name in ("flood_stage", "high"))
    if _reached(flood, total=total, free=free):
        return (failed(f"{where}: at its flood stage ({flood}), Elasticsearch makes indices read-only", _MAKE_ROOM),)
    if _reached(high, total=total, free=free):
        return (warning(f"{where}: above the watermark {high}, it takes no new index", _MAKE_ROOM),)
    return ()


def _reached(watermark: str, *, total: int, free: int) -> bool:
    """Return whether a disk has reached a watermark."""
    return free < free_at(watermark, total=total)
