"""JSON of every kind: any, and good documents with something in them changed, cut off or put elsewhere."""

from __future__ import annotations

import copy
import json
from typing import TYPE_CHECKING, Any

from hypothesis import strategies as st

if TYPE_CHECKING:
    from collections.abc import Sequence

Json = Any

SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.sampled_from([0, -1, 2**31, 2**63, 10**30]),
    st.floats(),
    st.text(max_size=20),
    st.sampled_from(["", "driver", "worker-", "worker-x", "i-0", "10.0.0.1", "\x00", "😀", "a\nb"]),
)
ANY = st.recursive(
    SCALARS,
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(st.text(max_size=8), inner, max_size=4)),
    max_leaves=12,
)


def _places(document: Json, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    found = [path]
    if isinstance(document, dict):
        for key, value in document.items():
            found += _places(value, (*path, key))
    elif isinstance(document, list):
        for index, value in enumerate(document):
            found += _places(value, (*path, index))
    return found


@st.composite
def changed(draw: st.DrawFn, documents: Sequence[Json]) -> Json:
    """Draw one of these documents with up to four places replaced, removed, copied from elsewhere, or wrapped."""
    document = copy.deepcopy(draw(st.sampled_from(documents)))
    for _ in range(draw(st.integers(0, 4))):
        path = draw(st.sampled_from(_places(document)))
        if not path:
            document = draw(ANY)
            continue
        holder = document
        for step in path[:-1]:
            holder = holder[step]
        match draw(st.sampled_from(["replace", "remove", "copy", "wrap"])):
            case "replace":
                holder[path[-1]] = draw(ANY)
            case "remove":
                del holder[path[-1]]
            case "copy":
                holder[path[-1]] = copy.deepcopy(_at(document, draw(st.sampled_from(_places(document)))))
            case "wrap":
                holder[path[-1]] = draw(st.sampled_from([[holder[path[-1]]], {"value": holder[path[-1]]}]))
    return document


def _at(document: Json, path: tuple[Any, ...]) -> Json:
    for step in path:
        document = document[step]
    return document


@st.composite
def mangled(draw: st.DrawFn, texts: Sequence[str]) -> bytes:
    """Draw one of these texts with some bytes changed, cut out, doubled or put in."""
    data = bytearray(draw(st.sampled_from(texts)).encode())
    for _ in range(draw(st.integers(0, 6))):
        start = draw(st.integers(0, len(data)))
        end = min(len(data), start + draw(st.integers(0, 40)))
        match draw(st.sampled_from(["put", "cut", "double", "end"])):
            case "put":
                data[start:start] = draw(st.binary(max_size=8))
            case "cut":
                del data[start:end]
            case "double":
                data[start:start] = data[start:end] * draw(st.integers(1, 3))
            case "end":
                del data[start:]
    return bytes(data)


class Repeated(bytes):
    """Bytes many times over, which a report of a failure does not print."""

    def __new__(cls, data: bytes, times: int, tail: bytes = b"") -> Repeated:
        return super().__new__(cls, data * times + tail)

    def __repr__(self) -> str:
        return f"{self[:10]!r} and so on, {len(self)} bytes"


DEEP = [Repeated(b"[", 100_000), Repeated(b'{"a":', 100_000), Repeated(b"[", 100_000, b"]" * 100_000)]
"""More than Python's own stack has room for."""
LONG = [Repeated(b"1", 5000), Repeated(b"[" + b"9" * 5000, 1, b"]")]
"""Numbers of more digits than Python reads."""


def texts(*documents: Json) -> st.SearchStrategy[bytes]:
    """Return texts that a program may print or serve instead of one of these documents."""
    whole = changed(documents).map(lambda document: json.dumps(document).encode())
    return st.one_of(
        whole,
        mangled([json.dumps(document) for document in documents]),
        ANY.map(lambda document: json.dumps(document).encode()),
        st.binary(max_size=200),
        st.sampled_from([*DEEP, *LONG, b"", b"null", b"NaN", b"\xff\xfe", b'"\\ud800"']),
    )
