"""A local AWS, and machines behind it that answer SSH and run Spark: for trying pio-tf out, and for its tests."""
