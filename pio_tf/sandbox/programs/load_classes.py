"""A job that loads the classes which a training needs, on the driver and on executors: a training of the stand-in."""

from __future__ import annotations

import json
import sys
import urllib.request
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1] / "pio"))
from java_spark import Spark  # type: ignore[import-not-found]
from train import train  # type: ignore[import-not-found]

IN_THIS_PROCESS = {"spark.master": "local[1]"}
"""The driver runs its executor in its own process: the archive gets the classes of both."""
IN_OTHERS = {
    "spark.master": "local-cluster[1,1,512]",
    "spark.executor.memory": "512m",
    "spark.authenticate": "true",
    "spark.authenticate.secret": "classes",
    "spark.network.crypto.enabled": "true",
}
"""The driver has executors elsewhere, and encrypts what it sends, as on a cluster."""
EVENTS = [("purchase" if number % 2 else "view", f"u{number % 5}", f"i{number % 7}") for number in range(70)]


def ask(page: str) -> Any:  # noqa: ANN401 - JSON
    """Ask the driver's REST API: a fifth of the classes that a driver loads serve it. Return the answer."""
    with urllib.request.urlopen(f"{page}/api/v1/applications", timeout=60) as response:  # noqa: S310 - http, on loopback
        return json.load(response)


for settings in (IN_THIS_PROCESS, IN_OTHERS):
    spark = Spark("classes", settings)
    train(spark, EVENTS, {"purchase": 50, "view": 50})
    ask(spark.page)
    spark.stop()
