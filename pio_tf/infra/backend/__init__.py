"""The state: its place in S3, the bucket, its locks, and its move there."""
