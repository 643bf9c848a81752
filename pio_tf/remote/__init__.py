"""Commands and files on the machines, over SSH."""
