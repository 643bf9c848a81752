"""`pio-tf`, as a user at the machines' network runs it."""

from __future__ import annotations

import contextlib
import os
import shutil
import time
from typing import TYPE_CHECKING

from tests.support import fork_server
from tests.support.fork_server import PIO_TF

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.real_machines.board import PowerBoard
    from tests.support.site import Site


class Client:
    """Runs commands in a site's directory.

    Args:
        key: private key for the machines; it becomes the site's.
    """

    def __init__(self, site: Site, board: PowerBoard, *, key: Path) -> None:
        self._site = site
        self._board = board
        shutil.copy(key, site.directory / "id")
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "PIO_TF", "TF_"))}
        self._environment = {**kept, "HOME": str(site.directory)}

    @contextlib.contextmanager
    def edited(self, old: str, new: str) -> Iterator[None]:
        """Change pio-tf.hcl during the block."""
        path = self._site.directory / "pio-tf.hcl"
        text = path.read_text()
        assert text.count(old) == 1, f"{old} stands {text.count(old)} times in pio-tf.hcl"
        path.write_text(text.replace(old, new))
        yield
        path.write_text(text)

    def run(self, *arguments: str, exit_code: int = 0, timeout: float = 300.0) -> tuple[float, str]:
        """Run ``pio-tf`` to its end. Return the seconds that it took, and its whole output.

        Raises:
            AssertionError: its exit code is another one.
        """
        started = time.monotonic()
        done = fork_server.run([PIO_TF, *arguments], cwd=self._site.directory, env=self._environment, timeout=timeout)
        said = done.stdout + done.stderr
        assert done.returncode == exit_code, f"pio-tf {' '.join(arguments)}: {done.returncode}\n{said}"
        took = time.monotonic() - started
        self._board.settle()
        return took, said
