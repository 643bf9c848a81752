"""PredictionIO's input: pio-env.sh, client files of Hadoop, HBase and Spark, and the command line of `pio train`."""
