"""SSH to a cluster's machines: commands, files, HTTP, tunnels and host keys."""
