"""A mirror of everything that machines install: in a directory, and from there in a bucket."""
