"""What PredictionIO reads: pio-env.sh, Hadoop, HBase and Spark client files, and the pio train command line."""
