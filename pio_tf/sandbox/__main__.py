"""Starts the sandbox's process: ``python -m pio_tf.sandbox --dir DIR``.

Imports take most of the time of its start, and half of them is avoidable: moto reads botocore's description of all
regions three times, and Python looks for garbage among what stays.
"""

from __future__ import annotations

import functools
import gc
import sys

import botocore.session


def start() -> int:
    """Import the server and run it. Return its exit code."""
    gc.disable()
    botocore.session.create_loader = functools.cache(botocore.session.create_loader)
    from pio_tf.sandbox.server import main

    gc.freeze()
    gc.enable()
    return main()


if __name__ == "__main__":
    sys.exit(start())
