"""The stand-in for Apache PredictionIO on a sandbox's driver: files that are copied to it."""
