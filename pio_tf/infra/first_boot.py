"""The Spark that machines got at their first boot, as a plan shows it, and the one that new machines would get."""

from __future__ import annotations

import gzip
import re
import zlib
from base64 import b64decode
from typing import TYPE_CHECKING, Any

from pio_tf.config.software import line_of
from pio_tf.infra.guard import machine_name

if TYPE_CHECKING:
    from collections.abc import Mapping

_SPARK = re.compile(rb"^(?:COMPONENTS=')?spark\t(\d+(?:\.\d+)+)\t", re.MULTILINE)
"""A line of COMPONENTS in the script of the Terraform module ``bootstrap``."""


def find_other_spark(plan_json: Mapping[str, Any], *, wanted: str) -> str:
    """Return a warning if the plan adds a machine with another Spark than the machines that exist; else "".

    Args:
        wanted: the version of Spark that new machines install.
    """
    changes = [one for one in plan_json.get("resource_changes") or () if one["type"] == "aws_instance"]
    new = [machine_name(one) or one["address"] for one in changes if one["change"]["actions"] == ["create"]]
    there = {
        version
        for one in changes
        if (version := _spark_of((one["change"].get("before") or {}).get("user_data_base64")))
        and line_of(version) != line_of(wanted)
    }
    if not new or not there:
        return ""
    found = " and ".join(sorted(there))
    return (
        f"{', '.join(new)} would get Spark {wanted}, but machines of this cluster were created with {found}: they do "
        "not work together. Set spark.version in pio-tf.hcl to the version on the machines, which `pio-tf check` shows"
    )


def _spark_of(user_data: object) -> str:
    """Return the version of Spark in a machine's user data; "" if it is not that of pio-tf."""
    if not isinstance(user_data, str):
        return ""
    try:
        script = gzip.decompress(b64decode(user_data))
    except (ValueError, OSError, EOFError, zlib.error):
        return ""
    found = _SPARK.search(script)
    return found[1].decode() if found else ""
