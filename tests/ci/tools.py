"""Programs that stand on a runner's PATH before all others."""

from __future__ import annotations

import os
import sys
from pathlib import Path

BIN = Path(sys.executable).parent

_PIP = '#!/bin/sh\necho "$*" >>"$0.log"\n'
"""pio-tf is installed here already, as it is in this checkout."""
_PYTHON = """\
#!/bin/sh
# `python3 -m venv DIR` makes one that has pio-tf already, and a pip that installs nothing.
if [ "$1 $2" = "-m venv" ]; then
  mkdir -p "$3/bin"
  ln -sf "{bin}/pio-tf" "$3/bin/pio-tf"
  ln -sf "$(dirname "$0")/pip" "$3/bin/pip"
else
  exec "{bin}/python" "$@"
fi
"""


def make_path(directory: Path) -> str:
    """PATH of a runner: our stand-ins for pip and python3, pio-tf and Terraform of this environment, the system's."""
    directory.mkdir(parents=True)
    for name, text in {"pip": _PIP, "python3": _PYTHON.replace("{bin}", str(BIN))}.items():
        (directory / name).write_text(text)
        (directory / name).chmod(0o755)
    return os.pathsep.join([str(directory), str(BIN), "/usr/local/bin", "/usr/bin", "/bin"])
