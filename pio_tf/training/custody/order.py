"""The files for a driver that keeps the model before a training without a client: ``keep_model.py`` and its order."""

from __future__ import annotations

import json
import re
import ssl
from importlib import resources
from typing import TYPE_CHECKING, Any

from msgspec.structs import asdict

from pio_tf.config.storage import ElasticsearchBlock
from pio_tf.training.custody.custody import Custody
from pio_tf.training.custody.model_index import COPY_PREFIX, META, MILLISECONDS, NO_TYPE, RUN_IN_NAME, ModelNote
from pio_tf.training.custody.model_indices import BATCH, CANCEL_SECONDS, NOT_COPIED, POLL_SECONDS
from pio_tf.training.engine_instances import COMPLETED, NEWEST_INSTANCES, instances_paths

if TYPE_CHECKING:
    from pio_tf.context import ClusterContext
    from pio_tf.training.proof import Traces

PROGRAMS = ("elasticsearch_room.py", "custody/keep_model.py")
"""In this package's parent. They run on the driver's own Python."""


def files_to_keep_model(context: ClusterContext, traces: Traces) -> dict[str, str]:
    """Return the files, by name; none if pio-tf.hcl asks for nothing, or the engine has no model in Elasticsearch.

    ``order`` holds a secret, the password of Elasticsearch.
    """
    block = next((one.block for one in context.config.sources if one.name == "ELASTICSEARCH"), None)
    if not context.config.model.is_used or not traces.aliases or not isinstance(block, ElasticsearchBlock):
        return {}
    training = resources.files("pio_tf") / "training"
    programs = {name.rpartition("/")[2]: training.joinpath(name).read_text(encoding="utf-8") for name in PROGRAMS}
    password = context.secrets.reveal(block.password) if block.password is not None else None
    order = _order(block, traces, password, copies=context.config.model.keep_models - 1)
    return {**programs, "order": json.dumps(order)}


def _order(block: ElasticsearchBlock, traces: Traces, password: str | None, *, copies: int) -> dict[str, Any]:
    secure = any(node.scheme == "https" for node in block.nodes)
    return {
        "nodes": [(node.host, node.port, node.scheme) for node in block.nodes],
        "user": block.user,
        "password": password,
        "authorities": _authorities() if secure else "",
        "copies": copies,
        "aliases": {one: rf"{re.escape(f'{COPY_PREFIX}{one}')}-{RUN_IN_NAME}" for one in traces.aliases},
        "instance": {
            "paths": instances_paths(traces.metadata) if traces.metadata else (),
            "search": NEWEST_INSTANCES,
            "fields": {
                "status": COMPLETED,
                "engineFactory": traces.engine_factory,
                "engineVariant": traces.engine_variant,
                **({"engineVersion": traces.engine_version} if traces.engine_version else {}),
            },
        },
        "custody": asdict(Custody()),
        "note": asdict(ModelNote()),
        "prefix": COPY_PREFIX,
        "meta": META,
        "milliseconds": MILLISECONDS,
        "no_type": NO_TYPE,
        "not_copied": NOT_COPIED,
        "batch": BATCH,
        "poll_seconds": POLL_SECONDS,
        "cancel_seconds": CANCEL_SECONDS,
    }


def _authorities() -> str:
    """Return the certificates that this computer trusts, in PEM: the driver trusts them besides its own."""
    found = ssl.create_default_context().get_ca_certs(binary_form=True)
    return "".join(ssl.DER_cert_to_PEM_cert(one) for one in found)
