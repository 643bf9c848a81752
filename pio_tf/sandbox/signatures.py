"""The check of who calls the local AWS: Signature Version 4, as AWS checks it.

Requests that carry their signature in the query (presigned addresses) are refused: pio-tf makes none.
"""

from __future__ import annotations

import hashlib
import hmac
import io
import json
import re
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import quote, unquote
from xml.sax.saxutils import escape

from botocore.utils import normalize_url_path
from moto.sts.models import sts_backends
from werkzeug.wrappers import Response

from pio_tf.sandbox.access_key import AccessKey

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

_AUTHORIZATION = re.compile(
    r"AWS4-HMAC-SHA256 +Credential=(?P<id>[^/, ]+)/(?P<day>\d{8})/(?P<region>[^/, ]+)/(?P<service>[^/, ]+)/aws4_request"
    r", *SignedHeaders=(?P<headers>[^, ]+), *Signature=(?P<signature>[0-9a-f]{64})"
)
_UNRESERVED = "-_.~"


class _Codes(NamedTuple):
    """The codes of one protocol: for a key that does not exist, a wrong signature, and a request without one."""

    status: int
    unknown_key: str
    wrong_signature: str
    unsigned: str


_EC2 = _Codes(401, "AuthFailure", "AuthFailure", "AuthFailure")
_S3 = _Codes(403, "InvalidAccessKeyId", "SignatureDoesNotMatch", "AccessDenied")
_QUERY = _Codes(403, "InvalidClientTokenId", "SignatureDoesNotMatch", "MissingAuthenticationToken")
_JSON = _Codes(403, "UnrecognizedClientException", "InvalidSignatureException", "MissingAuthenticationTokenException")


def refuse(environ: dict[str, Any], key: AccessKey) -> Callable[..., Iterable[bytes]] | None:
    """Return an answer that refuses the request; None if this key has signed it, or one that STS has made with it."""
    found = _AUTHORIZATION.fullmatch(environ.get("HTTP_AUTHORIZATION", ""))
    service = found["service"] if found else ""
    codes = _protocol(environ, service)
    if found is None:
        return _answer(environ, codes, codes.unsigned, "Request is missing an authentication token")
    signing = _known(found["id"], environ.get("HTTP_X_AMZ_SECURITY_TOKEN", ""), key)
    if signing is None:
        return _answer(environ, codes, codes.unknown_key, "The access key is not the one of this sandbox")
    names = found["headers"].split(";")
    # AWS's own rule. Without the host, a signature for another sandbox with the same key would do.
    if "host" not in names or not hmac.compare_digest(_signature(environ, found, names, signing), found["signature"]):
        return _answer(environ, codes, codes.wrong_signature, "The signature does not match the secret access key")
    return None


def body(environ: dict[str, Any]) -> bytes:
    """Return the body of a request, which stays readable."""
    content: bytes = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
    environ["wsgi.input"] = io.BytesIO(content)
    return content


def _known(key_id: str, token: str, key: AccessKey) -> AccessKey | None:
    """Return the key with this id; None if there is none, or a role's has another session token."""
    if hmac.compare_digest(key_id.encode(), key.id.encode()):
        return key
    for partitions in dict(sts_backends).values():
        for backend in dict(partitions).values():
            for role in tuple(backend.assumed_roles):
                if role.access_key_id == key_id and role.session_token == token:
                    return AccessKey(role.access_key_id, role.secret_access_key)
    return None


def _signature(environ: dict[str, Any], scope: re.Match[str], names: list[str], key: AccessKey) -> str:
    path, _, query = str(environ.get("RAW_URI") or environ["REQUEST_URI"]).partition("?")
    if scope["service"] != "s3":  # S3 signs the path as it is sent
        path = quote(normalize_url_path(path), safe="/~")
    digest = environ.get("HTTP_X_AMZ_CONTENT_SHA256") or hashlib.sha256(body(environ)).hexdigest()
    headers = [f"{name}:{' '.join(_header(environ, name).split())}\n" for name in names]
    canonical = "\n".join(
        [environ["REQUEST_METHOD"], path, _canonical_query(query), "".join(headers), scope["headers"], digest]
    )
    place = f"{scope['day']}/{scope['region']}/{scope['service']}/aws4_request"
    hashed = hashlib.sha256(canonical.encode("latin-1")).hexdigest()
    text = "\n".join(["AWS4-HMAC-SHA256", environ.get("HTTP_X_AMZ_DATE", ""), place, hashed])
    secret = f"AWS4{key.secret}".encode()
    for part in (scope["day"], scope["region"], scope["service"], "aws4_request", text):
        secret = hmac.digest(secret, part.encode(), "sha256")
    return secret.hex()


def _canonical_query(query: str) -> str:
    def encoded(text: str) -> str:
        return quote(unquote(text), safe=_UNRESERVED)

    parts = [part.partition("=") for part in query.split("&") if part]
    pairs = sorted((encoded(name), encoded(value)) for name, _, value in parts)
    return "&".join(f"{name}={value}" for name, value in pairs)


def _header(environ: dict[str, Any], name: str) -> str:
    variable = name.upper().replace("-", "_")
    if name not in ("content-type", "content-length"):
        variable = f"HTTP_{variable}"
    return str(environ.get(variable, ""))


def _protocol(environ: dict[str, Any], service: str) -> _Codes:
    if service in ("ec2", "s3"):
        return {"ec2": _EC2, "s3": _S3}[service]
    is_form = environ.get("CONTENT_TYPE", "").startswith("application/x-www-form-urlencoded")
    return _QUERY if is_form or not service else _JSON


def _answer(environ: dict[str, Any], codes: _Codes, code: str, message: str) -> Response:
    body(environ)  # a client that is still sending would see a broken connection instead
    if codes is _JSON:
        text = json.dumps({"__type": code, "message": message})
        return Response(text, codes.status, {"x-amzn-ErrorType": code}, content_type="application/json")
    error = f"<Error><Code>{code}</Code><Message>{escape(message)}</Message></Error>"
    text = {
        _EC2: f"<Response><Errors>{error}</Errors><RequestID>refused</RequestID></Response>",
        _S3: error,
    }.get(codes, f"<ErrorResponse>{error}<RequestId>refused</RequestId></ErrorResponse>")
    return Response(text, codes.status, content_type="text/xml")
