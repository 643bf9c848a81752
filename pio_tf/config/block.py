"""What all blocks of pio-tf.hcl have in common."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Block(BaseModel):
    """A block of pio-tf.hcl: unknown names are refused, values do not change once read."""

    model_config = ConfigDict(extra="forbid", frozen=True)
