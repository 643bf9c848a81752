"""What follows a run on the driver: files that ``after_run.sh`` reads in the run's directory."""

from __future__ import annotations

import json
import shlex
from importlib import resources
from typing import TYPE_CHECKING

from pio_tf.config.kinds import check_webhook
from pio_tf.events import Warned
from pio_tf.infra.cost import running_usd

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pio_tf.context import ClusterContext


def files_after_run(context: ClusterContext, *, instance_types: Iterable[str]) -> dict[str, str]:
    """Return files for a run's directory: the commands after a success, and the message about the end.

    The file ``notify`` holds a secret, the webhook's address. The run removes it from the disk as it starts.

    Args:
        instance_types: the type of each machine, for the cost.
    """
    return {**_on_success(context), **_message(context, instance_types)}


def _on_success(context: ClusterContext) -> dict[str, str]:
    train = context.config.train
    if not train.on_success:
        return {}
    commands = "\n".join(f"bash -c {shlex.quote(command)} || exit" for command in train.on_success)
    limit = f"timeout --kill-after=5 {train.on_success_timeout}"
    return {"on_success": f"exec {limit} bash -c {shlex.quote(commands)}\n"}


def _message(context: ClusterContext, instance_types: Iterable[str]) -> dict[str, str]:
    config = context.config
    if not config.notify.places:
        return {}
    facts = {
        "cluster": config.cluster.name,
        "region": config.aws.region,
        "hourly_usd": running_usd(config, instance_types, 3600),
        "on": config.notify.on,
        "webhook": _webhook(context),
        "sns_topic": config.notify.sns_topic,
        "sns_endpoint": config.aws.endpoint_url,
    }
    programs = resources.files("pio_tf")
    return {
        "notify": json.dumps(facts),
        "run_message.py": (programs / "training" / "runs" / "run_message.py").read_text(encoding="utf-8"),
        "durations.py": (programs / "durations.py").read_text(encoding="utf-8"),
    }


def _webhook(context: ClusterContext) -> str:
    webhook = context.config.notify.webhook
    if webhook is None:
        return ""
    address = context.secrets.reveal(webhook)
    try:
        check_webhook(address)
    except ValueError as error:  # only where AWS stores it: else the configuration was refused
        context.report(Warned(f"the driver sends no message to notify.webhook, which {error}"))
        return ""
    return address
