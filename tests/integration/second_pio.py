#!/usr/bin/env python3
# ruff: noqa: S607, T201 - a program for a driver
"""A second PredictionIO for tests: another program at another PIO_HOME, which pio-tf knows only by ``pio.home``.

It uses nothing of the sandbox's stand-in. It reads its own conf/pio-env.sh, and leaves what PredictionIO leaves: lines,
an engine instance, and a new index behind the alias.
"""

import base64
import hashlib
import json
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

HOME = Path(__file__).resolve().parent.parent
SUCCESS = "[INFO] [CoreWorkflow$] Training completed successfully."


def environment() -> dict[str, str]:
    """Return the variables of pio-env.sh."""
    command = 'set -a; . "$0"; exec env -0'
    done = subprocess.run(["bash", "-c", command, HOME / "conf" / "pio-env.sh"], stdout=subprocess.PIPE, check=True)
    return dict(pair.split("=", 1) for pair in done.stdout.decode().split("\0") if pair)


def write(variables: dict[str, str], method: str, path: str, body: object) -> None:
    """Write to Elasticsearch."""
    setting = "PIO_STORAGE_SOURCES_ELASTICSEARCH_"
    url = f"http://{variables[setting + 'HOSTS']}:{variables[setting + 'PORTS']}{path}"
    login = f"{variables.get(setting + 'USERNAME', '')}:{variables.get(setting + 'PASSWORD', '')}".encode()
    headers = {"Content-Type": "application/json", "Authorization": f"Basic {base64.b64encode(login).decode()}"}
    urllib.request.urlopen(urllib.request.Request(url, json.dumps(body).encode(), headers, method=method), timeout=10)


def main() -> int:
    """Run one command of `pio`."""
    command, *arguments = sys.argv[1:]
    print(f"[INFO] [Second] the second program runs {command} {' '.join(arguments)}")
    if command == "status":
        print("[INFO] [Management$] Your system is all ready to go.")
    if command == "train":
        variables, engine = environment(), json.loads(Path("engine.json").read_text())
        now = time.strftime("%Y-%m-%dT%H:%M:%S.000Z", time.gmtime())
        instance = {"engineFactory": engine["engineFactory"], "engineVariant": engine["id"], "status": "COMPLETED"}
        version = hashlib.sha1(str(Path.cwd().resolve()).encode(), usedforsecurity=False).hexdigest()
        instance |= {"engineVersion": version, "startTime": now, "endTime": now}
        index = f"{variables['PIO_STORAGE_REPOSITORIES_METADATA_NAME']}_engine_instances"
        write(variables, "PUT", f"/{index}/engine_instances/second?refresh=true", instance)
        write(variables, "PUT", "/urindex_second", {})
        write(variables, "POST", "/_aliases", {"actions": [{"add": {"index": "urindex_second", "alias": "urindex"}}]})
        print(SUCCESS)
    return 0


if __name__ == "__main__":
    sys.exit(main())
