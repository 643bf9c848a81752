"""What PredictionIO reads: pio-env.sh, client files of Hadoop, HBase and Spark, and `pio train`'s command line."""
