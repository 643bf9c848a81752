"""Spark's web pages and host keys."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import Field

from pio_tf.cli.results.base import CommandResult, ResultData, Table

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

    pages: list[PageData]

    @classmethod
    def of(cls, pages: Sequence[ForwardedPage]) -> PagesResult:
        """Return the result of ``ui``."""
        return cls(
            pages=[
                PageData(
                    name=one.page.name,
                    url=one.url,
                    host=one.page.host,
                    port=one.page.port,
                    answers=not one.silent_because,
                    silent_because=one.silent_because,
                )
                for one in pages
            ]
        )

    def table(self) -> Table:
        rows = [
            (
                one.name,
                one.url,
                f"{one.host}:{one.port}",
                "answers" if one.answers else f"does not answer yet: {one.silent_because}",
            )
            for one in self.pages
        ]
        return Table(("PAGE", "ADDRESS HERE", "LEADS TO", "NOW"), rows)


class HostKeyData(ResultData):
    """A pinned host key."""

    machine: str | None = Field(description="null: Terraform does not know it")
    id: str = Field(description="the instance")
    type: str
    fingerprint: str
    learned: str = Field(description="how it was learned")


class HostKeysResult(CommandResult):
    """The pinned host keys."""

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

    def table(self) -> Table:
        rows = [(one.machine or "-", one.id, one.type, one.fingerprint, one.learned) for one in self.host_keys]
        return Table(("MACHINE", "ID", "TYPE", "FINGERPRINT", "LEARNED BY"), rows)

    def closing(self) -> str:
        return "" if self.host_keys else "no host keys are pinned yet: the first connection to a machine pins its key"


class AcceptResult(CommandResult):
    """The host key that is pinned now."""

    machine: str
    fingerprint: str
    changed: bool = Field(description="false: it was pinned before")
