"""A job that loads the classes which a training needs, on the driver and on executors: a training of the stand-in."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "pio"))
from train import start_spark, train  # type: ignore[import-not-found]

spark = start_spark({"engineFactory": "classes"})
events = [("purchase" if number % 2 else "view", f"u{number % 5}", f"i{number % 7}") for number in range(70)]
train(spark, events, {"purchase": 50, "view": 50})
spark.stop()
