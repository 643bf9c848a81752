"""Pipelines for CI systems: their files, their prerequisites, and the work of their jobs."""
