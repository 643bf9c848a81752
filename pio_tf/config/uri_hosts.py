"""The hosts that Java finds in a URI.

java.net.URI has no host, and so Spark and Hadoop none either, if a name breaks the grammar of RFC 2396: with an
underscore, an empty label, a hyphen at the end of a label, or a digit at the start of the last of several labels.
"""

from __future__ import annotations

import re

_LABEL = "[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?"
_LAST_LABEL = "[A-Za-z](?:[A-Za-z0-9-]*[A-Za-z0-9])?"
_BYTE = "(?:25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])"
_NAME = rf"(?:{_LABEL}|(?:{_LABEL}\.)+{_LAST_LABEL})"
URI_HOST = rf"(?![A-Za-z0-9.-]{{254}})(?:{_BYTE}(?:\.{_BYTE}){{3}}|{_NAME})"
"""A host name or an IPv4 address that can stand in a URI, as a pattern."""
_ADDRESS = re.compile(rf"(?:[^@/]*@)?(?:{URI_HOST}\.?|\[[0-9A-Fa-f:.]+\])(?::\d*)?")
_URI = re.compile(r"(?:spark|hdfs|webhdfs|swebhdfs|s3|s3n|s3a)://([^/?#,;$]+)(?=[/?#,;]|$)", re.IGNORECASE)
"""Finds the authority (host and port) of each address that Spark and Hadoop give to java.net.URI. A ``$`` begins one of
Hadoop's own variables."""
_HADOOP_ADDRESS = re.compile(r"(?:spark\.hadoop\.|dfs\.|hadoop\.).*\baddress(?:\..+)?")
"""Settings that Hadoop reads with NetUtils.createSocketAddr, which makes a URI of them."""
_HOST_AND_PORT = re.compile(r"[\w.-]+(?::\d+)?")


def find_bad_host(name: str, value: str) -> str:
    """Return the first address in a setting of Spark or Hadoop in which Java finds no host; "" if there is none."""
    found = _URI.findall(value)
    if _HADOOP_ADDRESS.fullmatch(name) and _HOST_AND_PORT.fullmatch(value):
        found.append(value)
    return next((address for address in found if not _ADDRESS.fullmatch(address)), "")
