"""Installs packages as `pip install` does, but with uv, in a third of pip's time. Where uv fails, pip installs.

usage: install.py PYTHON ARGUMENT...    (as for `pip install` and `uv pip install`; PYTHON is of the environment)

This program runs in an environment with both. uv does not read pip's configuration, so what that says of indexes,
certificates and proxies is handed on to it. All versions are pinned, so uv first asks no index, but uses what it has
downloaded before.
"""

from __future__ import annotations

import ast
import os
import subprocess
import sys

PIP = (sys.executable, "-m", "pip")
_SECTIONS = ("global", "install", ":env:")
"""In pip's configuration, each wins over those before it."""
_VARIABLES = {
    "index-url": ("UV_DEFAULT_INDEX",),
    "extra-index-url": ("UV_INDEX",),
    "trusted-host": ("UV_INSECURE_HOST",),
    "cert": ("SSL_CERT_FILE",),
    "proxy": ("ALL_PROXY",),
    "timeout": ("UV_HTTP_TIMEOUT",),
    "constraint": ("UV_CONSTRAINT", "UV_BUILD_CONSTRAINT"),
}
"""uv's variables for pip's settings. Both separate values with spaces."""


def uv_settings(listed: str) -> tuple[list[str], dict[str, str]]:
    """Return uv's options and variables for the output of `pip config list`."""
    found = dict[str, dict[str, str]]()
    for line in listed.splitlines():
        name, _, value = line.partition("=")
        section, _, key = name.rpartition(".")
        found.setdefault(section, {})[key] = ast.literal_eval(value)
    settings = {key: value for section in _SECTIONS for key, value in found.get(section, {}).items()}
    variables = {
        name: " ".join(settings[key].split()) for key, names in _VARIABLES.items() if key in settings for name in names
    }
    if "find-links" in settings:  # which uv separates with commas
        variables["UV_FIND_LINKS"] = ",".join(settings["find-links"].split())
    options = ["--no-index"] if settings.get("no-index", "").lower() in ("1", "on", "true", "yes") else []
    # As pip does: take the best version of all indexes, and trust what the system trusts.
    return options, {"UV_INDEX_STRATEGY": "unsafe-best-match", "UV_SYSTEM_CERTS": "true", **variables}


def main(python: str, *arguments: str) -> int:
    """Install, and return the exit code."""
    listed = subprocess.run([*PIP, "config", "list"], stdout=subprocess.PIPE, text=True, check=False)
    if listed.returncode:  # pip has said why
        return listed.returncode
    options, variables = uv_settings(listed.stdout)
    environment = {**variables, **os.environ}
    uv = [sys.executable, "-m", "uv", "pip", "install", "--quiet", "--python", python, *options, *arguments]
    if subprocess.run([*uv, "--offline"], env=environment, stderr=subprocess.DEVNULL, check=False).returncode == 0:
        return 0
    if subprocess.run(uv, env=environment, check=False).returncode == 0:
        return 0
    sys.stderr.write("uv could not install this; pip tries\n")
    pip = [*PIP, "--python", python, "install", "--quiet", "--no-compile", *arguments]
    return subprocess.run(pip, check=False).returncode


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
