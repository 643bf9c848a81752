"""Runs that outlive their client: detached on the driver, found again from any client, and kept."""
