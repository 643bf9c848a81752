"""A job that loads the classes which a training needs, on the driver and on executors."""

from pyspark.sql import SparkSession

spark = SparkSession.builder.getOrCreate()
frame = spark.createDataFrame([(number % 3, str(number)) for number in range(9)], ["key", "value"])
frame.groupBy("key").count().collect()
spark.stop()
