"""For all tests."""

from __future__ import annotations

import signal

# A shell starts background jobs of a script with SIGINT ignored, and `nohup` ignores SIGHUP. Every child would inherit
# that, and no test could interrupt anything.
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGHUP, signal.SIG_DFL)
