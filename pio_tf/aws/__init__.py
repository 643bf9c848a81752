"""AWS for every other part: sessions, credentials, errors, ARNs, identity, S3 objects."""
