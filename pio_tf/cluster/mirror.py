"""A copy of what a cluster's machines install, for machines without internet."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pio_tf.cluster.base import Basis
from pio_tf.config.components import components
from pio_tf.config.software import APACHE

if TYPE_CHECKING:
    from pathlib import Path

    from pio_tf.mirror.fetch import Fetched
    from pio_tf.mirror.push import Pushed


class MirrorWork(Basis):
    """What needs no machine."""

    def mirror_fetch(self, directory: Path, *, base: str = APACHE) -> tuple[Fetched, ...]:
        """Fetch everything that the machines install into a directory, checked. AWS is not asked.

        Args:
            base: base address of the archives that pio-tf.hcl gives no ``url`` for.

        Raises:
            PioTfError: an archive could not be fetched, or is not the expected one; the others are there.
        """
        from pio_tf.mirror.fetch import Fetcher

        return Fetcher(directory, base.rstrip("/"), reporter=self._report).fetch(components(self.config))

    def mirror_push(self, directory: Path, url: str) -> tuple[Pushed, ...]:
        """Copy such a directory to ``s3://bucket/prefix``; what is there is left alone.

        Raises:
            ConfigError: it is no S3 address; an archive is missing in the directory, or is not the expected one.
            AwsError: the bucket is not there, or is not to be written to.
        """
        from pio_tf.mirror.push import Pusher

        return Pusher(self._aws.client("s3"), url, self._report).push(directory, components(self.config))
