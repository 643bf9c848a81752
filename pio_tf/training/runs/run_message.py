"""The message about a training: its text, and the program that sends it from the driver if no client does.

The driver runs this file beside ``durations.py`` with its own Python, which may be as old as 3.6 (Ubuntu 18.04) and has
only the standard library.
"""

import hashlib
import hmac
import json
import os
import re
import signal
import sys
import urllib.error
import urllib.parse
import urllib.request
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, Callable, Dict, List, Tuple

try:
    from pio_tf.durations import duration
except ImportError:  # on the driver
    from durations import duration  # type: ignore[import-not-found,no-redef]

PATIENCE = 10
"""Seconds for one place, whatever it does with them."""
SUBJECT = 100
"""Characters of an SNS message's subject, at most (SNS's Publish in AWS's API reference)."""
TITLES = {
    "succeeded": "the training succeeded",
    "failed": "the training failed",
    "lost": "the run was lost",
    "deadline": "the machines reached their deadline during the run",
    "test": "a test message",
}
SUCCESS = re.compile(rb"Training completed successfully\.\s*$", re.MULTILINE)
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_ERROR = re.compile(r"\b(ERROR|FATAL|Exception|Error)\b")
_LONGEST = 500
_METADATA = os.environ.get("AWS_EC2_METADATA_SERVICE_ENDPOINT", "http://169.254.169.254").rstrip("/")
"""EC2's metadata service, or the one that this variable of AWS's SDKs names."""


def title(message: Dict[str, Any]) -> str:
    """Return the cluster and the result of its training, on one line of ASCII characters."""
    return f"pio-tf: {message['cluster']} ({message['region']}): {TITLES[message['event']]}"


def text(message: Dict[str, Any]) -> str:
    """Return the whole message as text."""
    took = "" if message["seconds"] is None else f", {duration(message['seconds'])}"
    cost = "" if message["cost_usd"] is None else f", about {message['cost_usd']:.2f} USD"
    lines = [title(message)]
    if message["what"]:
        lines.append(message["what"])
    if message["run"]:
        lines.append(f"run: {message['run']}{took}{cost}")
    lines += [f"{name}: {message[key]}" for name, key in _LINES if message[key]]
    return "\n".join(lines)


_LINES = (("model", "model"), ("cause", "cause"), ("next", "next_step"))


def document(message: Dict[str, Any]) -> str:
    """Return JSON with every fact, and with the ``text`` that chat programs show."""
    return json.dumps({"text": text(message), **message})


def result(directory: Path, facts: Dict[str, Any]) -> Dict[str, Any]:
    """Return the message about an ended run by what the driver knows: it asks neither Spark nor Elasticsearch.

    Args:
        directory: the run's, named by its id.
        facts: what the client knew at the start: cluster, region, hourly_usd.
    """
    run = directory.name
    ended = dict(pair.split("=", 1) for pair in _read(directory, "ended").split() if "=" in pair)
    process = _read(directory, "process").split()
    cancelled = _read(directory, "cancelled")
    with (directory / "log").open("rb") as file:
        file.seek(max(0, os.fstat(file.fileno()).st_size - 65536))
        tail = file.read()
    event, what, cause, step = "failed", "There is no new model.", "", f"`pio-tf logs {run}` shows the log"
    if ended.get("exit") == "0" and SUCCESS.search(tail):
        event, what = "succeeded", "PredictionIO says so. No client has looked at the model."
        after = _read(directory, "on_success.ended")
        if after and "exit=0 " not in after:
            cause = f"a command of train.on_success failed: {after.split()[0].replace('=', ' status ')}"
    elif cancelled:
        cause = f"it was cancelled by {cancelled}"
    elif ended and not process:  # a training on AWS's schedule that did not begin
        cause = str(json.loads(_read(directory, "result") or "{}").get("cause", ""))
    elif not ended:
        event, cause = "lost", "its process disappeared: it was killed"
        if process[2:3] != [_read(_BOOT_ID.parent, _BOOT_ID.name)]:
            cause = "the driver restarted, or lost its power"
    else:
        cause = f"exit status {ended.get('exit')}, and its log could not be written to its end"
        if ended.get("filter") == "0":
            cause = f"exit status {ended.get('exit')}: {_last_error(tail) or 'the log is empty'}"
    seconds = float(ended["ended"]) - float(process[3]) if "ended" in ended and len(process) > 3 else None
    hourly = facts.get("hourly_usd")
    return {
        "cluster": facts["cluster"],
        "region": facts["region"],
        "event": event,
        "what": what,
        "cause": cause,
        "next_step": step,
        "run": run,
        "seconds": seconds,
        "cost_usd": None if hourly is None or seconds is None else hourly * seconds / 3600,
        "model": "",
    }


def _read(directory: Path, name: str) -> str:
    try:
        with (directory / name).open(encoding="utf-8", errors="replace") as file:
            return file.readline().strip()
    except OSError:
        return ""


def _last_error(tail: bytes) -> str:
    """Return the last line of a log that names an error; else its last line. The log holds no secrets."""
    lines = [line.strip() for line in tail.decode("utf-8", "replace").splitlines() if line.strip()]
    found = [line for line in lines if _ERROR.search(line)] or lines
    return found[-1][:_LONGEST] if found else ""


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_args: object) -> None:
        """Follow no redirect: the message is for this address only."""


def ask(method: str, url: str, headers: Dict[str, str], body: bytes = b"", proxy: bool = True) -> str:
    """Return the answer to a request. Raise OSError for any status but 200 to 299."""
    request = urllib.request.Request(url, body or None, headers, method=method)  # noqa: S310 - https, or the machine's
    handlers = [] if proxy else [urllib.request.ProxyHandler({})]
    with urllib.request.build_opener(_NoRedirect, *handlers).open(request, timeout=PATIENCE / 2) as answer:
        return str(answer.read(65536).decode("utf-8", "replace"))


def post(url: str, message: Dict[str, Any]) -> None:
    """Send a message to a webhook."""
    headers = {"Content-Type": "application/json"}
    ask("POST", url, headers, document(message).encode())


def publish(topic: str, endpoint: str, message: Dict[str, Any]) -> None:
    """Send a message to an SNS topic with the machine's instance profile.

    Args:
        endpoint: address of SNS; empty: AWS's in the topic's region.
    """
    region = topic.split(":")[3]
    url = endpoint or f"https://sns.{region}.amazonaws.com{'.cn' if region.startswith('cn-') else ''}/"
    form = {
        "Action": "Publish",
        "Version": "2010-03-31",
        "TopicArn": topic,
        "Subject": title(message)[:SUBJECT],
        "Message": text(message),
    }
    body = urllib.parse.urlencode(form).encode()
    headers = sign(url, body, region, "sns", profile_keys(), datetime.now(timezone.utc))
    ask("POST", url, headers, body)


def profile_keys() -> Dict[str, str]:
    """Return the keys of the machine's instance profile, from EC2's metadata service (IMDSv2)."""

    def look(path: str, headers: Dict[str, str], method: str = "GET") -> str:
        return ask(method, f"{_METADATA}/latest/{path}", headers, proxy=False)

    token = {"X-aws-ec2-metadata-token": look("api/token", {"X-aws-ec2-metadata-token-ttl-seconds": "60"}, "PUT")}
    roles = "meta-data/iam/security-credentials/"
    try:
        keys = json.loads(look(roles + look(roles, token).split()[0], token))
    except (urllib.error.HTTPError, IndexError):
        raise OSError("the driver has no instance profile") from None
    return {name: str(keys[name]) for name in ("AccessKeyId", "SecretAccessKey", "Token")}


def sign(url: str, body: bytes, region: str, service: str, keys: Dict[str, str], now: datetime) -> Dict[str, str]:
    """Return the headers of a POST that AWS accepts: Signature Version 4.

    Source: "Create a signed AWS API request" in AWS's IAM user guide.
    """
    place = urllib.parse.urlsplit(url)
    headers = {
        "content-type": "application/x-www-form-urlencoded; charset=utf-8",
        "host": place.netloc,
        "x-amz-date": now.strftime("%Y%m%dT%H%M%SZ"),
        "x-amz-security-token": keys["Token"],
    }
    names = ";".join(sorted(headers))
    lines = ["POST", place.path or "/", "", *(f"{name}:{headers[name]}" for name in sorted(headers)), "", names]
    request = "\n".join([*lines, hashlib.sha256(body).hexdigest()])
    scope = [now.strftime("%Y%m%d"), region, service, "aws4_request"]
    key = f"AWS4{keys['SecretAccessKey']}".encode()
    for part in scope:
        key = hmac.new(key, part.encode(), hashlib.sha256).digest()
    wanted = ["AWS4-HMAC-SHA256", headers["x-amz-date"], "/".join(scope), hashlib.sha256(request.encode()).hexdigest()]
    signature = hmac.new(key, "\n".join(wanted).encode(), hashlib.sha256).hexdigest()
    credential = "/".join([keys["AccessKeyId"], *scope])
    headers["authorization"] = f"AWS4-HMAC-SHA256 Credential={credential}, SignedHeaders={names}, Signature={signature}"
    return headers


def send(facts: Dict[str, Any], message: Dict[str, Any]) -> List[str]:
    """Send a message to each place, and return what is wrong with places that did not take it. None holds a secret."""
    places: List[Tuple[str, Callable[[], None]]] = []
    if facts.get("webhook"):
        places.append(("webhook", lambda: post(facts["webhook"], message)))
    if facts.get("sns_topic"):
        places.append(("sns_topic", lambda: publish(facts["sns_topic"], facts.get("sns_endpoint") or "", message)))
    problems = []
    for name, work in places:
        signal.alarm(PATIENCE)
        try:
            work()
        except urllib.error.HTTPError as error:
            problems.append(f"{name}: HTTP {error.code} {error.reason}")
        except urllib.error.URLError as error:
            problems.append(f"{name}: {error.reason}")
        except OSError as error:
            problems.append(f"{name}: {error}")
        except Exception as error:  # noqa: BLE001 - its text may hold the address
            problems.append(f"{name}: {type(error).__name__}")
        finally:
            signal.alarm(0)
    return problems


def _too_late(*_signal: object) -> None:
    raise OSError(f"no answer within {PATIENCE} s")


def main() -> int:
    """Send the message about the run in this directory; its facts and places are JSON on the standard input."""
    signal.signal(signal.SIGALRM, _too_late)
    facts = json.load(sys.stdin)
    message = result(Path.cwd(), facts)
    problems = send(facts, message) if message["event"] in facts["on"] else []
    sys.stderr.write("; ".join(problem.replace("\n", " ") for problem in problems))
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
