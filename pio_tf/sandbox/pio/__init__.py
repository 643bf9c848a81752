"""The stand-in for Apache PredictionIO: files that the sandbox copies to its driver."""
