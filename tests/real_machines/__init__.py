"""Machines that truly boot: systemd containers stand in for EC2's, with the user data that Terraform has rendered.

They run in a world of their own, which ``scripts/test-machines`` makes and enters: no address, mount or process of it
is seen outside, or outlives it.
"""
