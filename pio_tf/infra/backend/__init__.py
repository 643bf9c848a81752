"""The state in S3: where it is, the bucket that it is in, its move there, and what can go wrong with it."""
