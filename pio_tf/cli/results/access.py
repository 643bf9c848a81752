"""Spark's web pages and host keys."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from msgspec.structs import asdict
from pydantic import Field

from pio_tf.cli.results.base import Columns, CommandResult, ResultData

if TYPE_CHECKING:
    from pio_tf.remote.known_hosts import KnownHosts
    from pio_tf.remote.tunnel import ForwardedPage


class PageData(ResultData):
    """One of Spark's pages."""

    name: str
    url: str = Field(description="on this computer")
    host: str
    port: int
    answers: bool
    silent_because: str = Field(exclude=True)


class PagesResult(CommandResult):
    """The pages that are forwarded to this computer. Written at once; the command then runs until it is ended."""

    ROWS = "pages"
    COLUMNS: ClassVar[Columns] = {
        "PAGE": "name",
        "ADDRESS HERE": "url",
        "LEADS TO": lambda page: f"{page.host}:{page.port}",
        "NOW": lambda page: "answers" if page.answers else f"does not answer yet: {page.silent_because}",
    }

    pages: list[PageData]

    @classmethod
    def of(cls, pages: Sequence[ForwardedPage]) -> PagesResult:
        """Return the result of ``ui``."""
        data = [
            {
                **asdict(one.page),
                "url": one.url,
                "answers": not one.silent_because,
                "silent_because": one.silent_because,
            }
            for one in pages
        ]
        return cls.model_validate({"pages": data})


class HostKeyData(ResultData):
    """A pinned host key."""

    machine: str | None = Field(description="null: Terraform does not know it")
    id: str = Field(description="the instance")
    type: str
    fingerprint: str
    learned: str = Field(description="how it was learned")


class HostKeysResult(CommandResult):
    """The pinned host keys."""

    ROWS = "host_keys"
    COLUMNS: ClassVar[Columns] = {
        "MACHINE": "machine",
        "ID": "id",
        "TYPE": "type",
        "FINGERPRINT": "fingerprint",
        "LEARNED BY": "learned",
    }

    file: Path
    host_keys: list[HostKeyData]

    @classmethod
    def of(cls, known: KnownHosts, names: Mapping[str, str]) -> HostKeysResult:
        """Return the result of ``host-keys``.

        Args:
            names: each machine's name, by its instance id.
        """
        return cls(
            file=known.path,
            host_keys=[
                HostKeyData(
                    machine="bastion" if pin.name.startswith("[") else names.get(pin.name),
                    id=pin.name,
                    type=pin.key.get_algorithm(),
                    fingerprint=pin.fingerprint,
                    learned=pin.learned,
                )
                for pin in known.pins()
            ],
        )

    def closing(self) -> str:
        return "" if self.host_keys else "no host keys are pinned yet: the first connection to a machine pins its key"


class AcceptResult(CommandResult):
    """The host key that is pinned now."""

    machine: str
    fingerprint: str
    changed: bool = Field(description="false: it was pinned before")
