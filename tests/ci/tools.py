"""Programs that stand on a runner's PATH before all others."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from tests.support.fork_server import write_program

BIN = Path(sys.executable).parent

_PIP = '#!/bin/sh\necho "$*" >>"$0.log"\n'
"""pio-tf is installed here already, as it is in this checkout."""
_PYTHON = """\
#!/bin/sh
# `python3 -I -m venv --clear DIR` makes one that has pio-tf already, and a pip that installs nothing.
if [ "$1 $2 $3 $4" = "-I -m venv --clear" ]; then
  mkdir -p "$5/bin"
  ln -sf "$(dirname "$0")/pio-tf" "$5/bin/pio-tf"
  ln -sf "$(dirname "$0")/pip" "$5/bin/pip"
else
  exec "{bin}/python" "$@"
fi
"""


def make_path(directory: Path, terraform: Path) -> str:
    """Return the PATH of a runner: stand-ins for pip and python3, our pio-tf, Terraform, the system's programs."""
    directory.mkdir(parents=True)
    write_program(directory / "pio-tf")
    (directory / "terraform").symlink_to(terraform)
    for name, text in {"pip": _PIP, "python3": _PYTHON.replace("{bin}", str(BIN))}.items():
        (directory / name).write_text(text)
        (directory / name).chmod(0o755)
    return os.pathsep.join([str(directory), str(BIN), "/usr/local/bin", "/usr/bin", "/bin"])
