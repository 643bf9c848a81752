"""The run: start, train, follow, stop."""
