"""The outputs of a cluster that exists, as ``terraform output -json`` prints them."""

from __future__ import annotations

MACHINES = {
    name: {"role": name.partition("-")[0], "id": f"i-0{name}", "private_ip": "10.20.0.10", "eip": None}
    for name in ("driver", "master", "worker-1")
}
OUTPUTS = {
    name: {"value": value, "type": "string", "sensitive": False}
    for name, value in {"cluster": "trainer", "region": "eu-west-1", "machines": MACHINES}.items()
}
