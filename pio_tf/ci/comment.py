"""A plan's summary as the one comment of pio-tf's on a pull request: the first time made, then changed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pio_tf.errors import ConfigError
from pio_tf.infra.saved_plan import MARKER, SUMMARY

if TYPE_CHECKING:
    from pathlib import Path

    from pio_tf.ci.forge import Change


def show_plan(change: Change, directory: Path) -> Literal["made", "changed"]:
    """Show a kept plan.

    Args:
        directory: of ``pio-tf plan --out``.

    Raises:
        ConfigError: there is no summary.
        ForgeError: the API refused it.
    """
    path = directory / SUMMARY
    try:
        summary = path.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigError(
            f"cannot read {path}", cause=error.strerror or str(error), next_step=f"pio-tf plan --out {directory}"
        ) from error
    mark = summary.partition("\n")[0]
    if not mark.startswith(MARKER):
        raise ConfigError(f"{path} is no summary of a plan", next_step=f"pio-tf plan --out {directory}")
    body = {"body": summary + _footer(change)}
    # One comment for each cluster: the first line names it.
    mine = [one["id"] for one in change.forge.pages(change.comments) if str(one.get("body")).startswith(mark)]
    if mine:
        change.forge.send(change.update, change.comment.format(id=mine[-1]), body)
        return "changed"
    change.forge.send("POST", change.comments, body)
    return "made"


def _footer(change: Change) -> str:
    """Which commit this is about: a comment stays while commits come."""
    of = f"Of commit {change.commit}" if change.commit else ""
    by = f"[by this job]({change.job})" if change.job else ""
    words = " ".join(word for word in (of, by) if word)
    return f"\n<sub>{words}</sub>\n" if words else ""
