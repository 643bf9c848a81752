"""The instance types that the machines of a role may have, in order of preference."""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from msgspec import Struct

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pio_tf.config.blocks import GuardBlock, MachineBlock, SparkBlock


class TypeList(Struct, frozen=True):
    """The instance types of one role."""

    option: str
    """The dotted name of the option: ``driver.instance_types``."""
    types: tuple[str, ...]
    is_chosen: bool
    """True if pio-tf.hcl names them. pio-tf leaves out one of its own that does not fit, except the first."""

    @property
    def first(self) -> str:
        """The type of a new machine."""
        return self.types[0]

    def must_fit(self, kind: str) -> bool:
        """Return whether it is an error if this type can't be used."""
        return self.is_chosen or kind == self.first


def machine_types(path: str, block: MachineBlock, guard: GuardBlock) -> TypeList:
    """Return the types of a block: ``driver``, or ``spark`` for the workers."""
    if block.instance_type is not None:
        return TypeList(f"{path}.instance_type", (block.instance_type,), is_chosen=True)
    types, is_chosen = tuple(block.instance_types), "instance_types" in block.model_fields_set
    if not is_chosen:
        types = (types[0], *(one for one in types[1:] if is_allowed(one, guard.instance_types)))
    return TypeList(f"{path}.instance_types", types, is_chosen)


def master_types(spark: SparkBlock, guard: GuardBlock) -> TypeList:
    """Return the types of the Spark master: its own, else those of the workers."""
    if spark.master_instance_type is not None:
        return TypeList("spark.master_instance_type", (spark.master_instance_type,), is_chosen=True)
    if spark.master_instance_types:
        return TypeList("spark.master_instance_types", tuple(spark.master_instance_types), is_chosen=True)
    return machine_types("spark", spark, guard)


def is_allowed(kind: str, patterns: Sequence[str]) -> bool:
    """Return whether ``guard.instance_types`` allows a type."""
    return not patterns or any(fnmatchcase(kind, pattern) for pattern in patterns)
