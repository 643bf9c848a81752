"""Pipelines for CI systems: their files, and what their jobs need besides the ordinary commands."""
