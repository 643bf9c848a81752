"""For all tests."""

from __future__ import annotations

import os
import signal

# A shell starts background jobs of a script with SIGINT ignored, and `nohup` ignores SIGHUP. Every child would inherit
# that, and no test could interrupt anything.
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGHUP, signal.SIG_DFL)

# In a CI job pio-tf speaks as the job's log has it. What a person sees is tested everywhere; those tests that are about
# CI say so themselves.
for name in ("CI", "GITHUB_ACTIONS", "GITLAB_CI", "NO_COLOR", "FORCE_COLOR"):
    os.environ.pop(name, None)
