"""Terraform's messages: its progress as events, and its diagnostics as errors of pio-tf with next steps."""

from __future__ import annotations

import re
from collections import deque
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from msgspec import Struct

from pio_tf.durations import duration
from pio_tf.errors import Locked, TerraformError
from pio_tf.events import ResourceProgress, Step, Warned
from pio_tf.json_text import parse_json

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from pio_tf.events import Reporter

DESTROY_PREVENTED = ("Instance cannot be destroyed", "Resource instance cannot be destroyed")
"""Summaries of the error for ``prevent_destroy``; the second is OpenTofu's since 1.12."""
UNREADABLE_STATE = (
    "Unsupported state file format|Invalid state file|Failed to read state file|state file could not be|type in state"
)
"""Terraform's errors for a state that is no state."""
ENCRYPTED_STATE = (
    r"encrypted and can not be read without|decryption failed for all provided methods|does not have a \"version\" "
    "attribute"
)
"""OpenTofu's errors for an encrypted state without its key, and Terraform's for any encrypted one."""
NO_SUCH_MACHINE = "InsufficientInstanceCapacity|Unsupported.{0,80}instance type|InvalidInstanceType"
"""AWS's errors for a type that it has not, or not now."""
_HELD = "resource temporarily unavailable"
"""The kernel's error for a file that another process has locked."""
_ADVICE = {
    "ExpiredToken|RequestExpired|[Tt]oken.{0,40}expired|expired.{0,40}[Tt]oken": (
        "the AWS credentials have expired: sign in again (`aws sso login`, or renew the session), then run it again"
    ),
    "No valid credential|no EC2 IMDS role|NoCredentialProviders|failed to refresh cached credentials|"
    "failed to get shared config profile|InvalidClientTokenId|AuthFailure|SignatureDoesNotMatch": (
        "check the AWS credentials (aws.profile and aws.credentials_file in pio-tf.hcl): `aws sts get-caller-identity`"
    ),
    "UnauthorizedOperation|AccessDenied|not authorized to perform": (
        "give the AWS user or role the permission that is named above"
    ),
    "InvalidAMIID|Your query returned no results|collecting Amazon Machine Image": (
        "check ami, ami_parameter or ami_filter of driver and spark: the image must be in this region and shared with "
        "this account"
    ),
    r"InvalidKeyPair\.Duplicate": (
        "a key pair of this name exists already, of another cluster or a lost state: delete it, or set ssh.key_pair"
    ),
    "InvalidKeyPair": ("check ssh.key_pair: the key pair must exist in this region"),
    r"InvalidSubnetID|InvalidSubnet\.|no matching (EC2 )?[Ss]ubnet|InvalidVpcID|is in vpc-": (
        "check network.vpc_id and network.subnet_id: they must exist in this region, and the subnet in the VPC"
    ),
    NO_SUCH_MACHINE: (
        "AWS has no such machine in this zone now: wait, or choose another instance_type; then run it again"
    ),
    "VolumeModificationRateExceeded|maximum modification rate per volume|volume.{0,40}currently being modified": (
        "AWS changes a disk once in six hours: wait, or put the old root_volume_gib back"
    ),
    "VcpuLimitExceeded|InstanceLimitExceeded|AddressLimitExceeded|VpcLimitExceeded": (
        "ask AWS to raise the limit, or use fewer machines"
    ),
    r"InvalidIPAddress\.InUse|Address .* is in use|does not fall within the subnet|reserved address range": (
        "choose another network.first_host: all addresses from there on must be free and inside the subnet"
    ),
    "[Ff]ailed to (query available|install) provider|could not connect to registry|[Ff]ailed to (obtain|"
    "retrieve).{0,40}(provider|checksum)": (
        "Terraform could not download its AWS provider: check the internet access (HTTPS_PROXY), or name a mirror "
        "in terraform.cli_config_file"
    ),
    "[Bb]ackend configuration (block )?(has )?changed|[Bb]ackend type changed|Migrating state|"
    "Backend initialization required": (
        "terraform.backend has changed: move the state with `{by_hand} init -migrate-state`, "
        "then run it again (pio-tf does not do that itself, so that no state is lost)"
    ),
    "Saved plan is stale": (
        "something was applied after the plan was made: make a new plan, have it reviewed, and apply that"
    ),
    r"state snapshot was created by Terraform|newer Terraform version|newer version of Terraform|"
    "[Uu]nsupported Terraform Core version": ("use the Terraform that wrote the state, or a newer one"),
    ENCRYPTED_STATE: (
        "if OpenTofu has encrypted the state, use OpenTofu (terraform.binary), with TF_ENCRYPTION as for its last "
        "apply (docs/state.md, Encrypted states). Only if not, it is damaged: restore an older version, or a backup"
    ),
    UNREADABLE_STATE: "the state is damaged: restore an older version of it, or a backup",
    "connection refused|no such host|i/o timeout|dial tcp": ("check the network, and aws.region and aws.endpoint_url"),
}
"""Regular expressions of errors, and their next steps. The first match counts."""

_Status: TypeAlias = Literal["started", "running", "done", "failed"]
_STATUS: dict[str, _Status] = {
    "refresh_start": "started",
    "refresh_complete": "done",
    "apply_start": "started",
    "apply_progress": "running",
    "apply_complete": "done",
    "apply_errored": "failed",
}


class Diagnostic(Struct, frozen=True):
    """One error or warning of Terraform's."""

    severity: str
    summary: str
    detail: str = ""
    address: str = ""
    file: str = ""
    line: int = 0

    @classmethod
    def from_json(cls, raw: Mapping[str, Any]) -> Diagnostic:
        """Return the diagnostic of an object in ``-json`` output."""
        place = raw.get("range") or {}
        return cls(
            severity=str(raw.get("severity", "error")),
            summary=str(raw.get("summary", "")),
            detail=str(raw.get("detail", "")),
            address=str(raw.get("address", "")),
            file=str(place.get("filename", "")),
            line=int((place.get("start") or {}).get("line", 0)),
        )

    def __str__(self) -> str:
        """Return one line: ``module.driver.aws_eip.this[0] (modules/driver/main.tf:32): summary: detail``."""
        place = f"{self.file}:{self.line}" if self.line else self.file
        where = f"{self.address} ({place})" if self.address and place else self.address or place
        return ": ".join(" ".join(part.split()) for part in (where, self.summary, self.detail) if part)


def failure(
    command: str,
    diagnostics: Sequence[Diagnostic],
    *,
    exit_code: int,
    by_hand: str,
    unfinished: bool = False,
    now: datetime | None = None,
    advise: Callable[[str], str | None] | None = None,
) -> TerraformError | Locked:
    """Return the error for a Terraform command that failed.

    Args:
        by_hand: the command line of Terraform in the stack, for next steps: ``tofu -chdir=DIRECTORY``.
        unfinished: whether it was changing things: some are done, and the next apply does the rest.
        now: for the age of a lock.
        advise: returns the next step for the text of an error, on one line, if it is about the place of the state.
    """
    errors = [diagnostic for diagnostic in diagnostics if diagnostic.severity == "error"]
    for error in errors:
        # Terraform names its own lock where it could not release it.
        if "releasing" not in error.summary and "state lock" in f"{error.summary}\n{error.detail[:200]}":
            locked = _locked(error.detail, now or datetime.now(timezone.utc), by_hand)
            if locked is not None:
                return locked
    # Terraform reports an interruption beside the errors that it caused: those say more.
    shown = [diagnostic for diagnostic in errors if diagnostic.summary != "execution halted"] or errors
    # Terraform wraps long lines, within what the expressions below look for.
    found = (" ".join(f"{error.summary} {error.detail}".split()) for error in shown)
    steps = list(dict.fromkeys(step for text in found if (step := (advise and advise(text)) or _next_step(text))))
    if not steps:
        verb = command.partition(" ")[2] or "plan"
        harmless = "plan" if verb in ("apply", "destroy") else verb
        steps.append(f"fix what the cause names; for more output: {by_hand} {harmless}")
    if unfinished:
        steps.append("then run it again: what was made so far is in the state, and the rest will follow")
    return TerraformError(
        f"{command} failed" if shown else f"{command} ended with exit code {exit_code}",
        cause="\n".join(dict.fromkeys(map(str, shown))),
        next_step="; ".join(steps).replace("{by_hand}", by_hand),
        details={
            "exit_code": exit_code,
            "diagnostics": [
                {"summary": item.summary, "detail": item.detail, "address": item.address, "file": item.file}
                | ({"line": item.line} if item.line else {})
                for item in shown
            ],
        },
    )


def diagnostics_in_text(text: str) -> list[Diagnostic]:
    """Return the diagnostics in the output of a command that has no ``-json``, such as init."""
    plain = re.sub(r"^[╷│╵] ?", "", re.sub(r"\x1b\[[0-9;]*m", "", text), flags=re.MULTILINE)
    found = []
    for part in re.split(r"^(?=(?:Error|Warning): )", plain, flags=re.MULTILINE):
        match = re.match(r"(Error|Warning): ([^\n]*)\n?(.*)", part, flags=re.DOTALL)
        if match:
            place = re.search(r"^\s*on (\S+) line (\d+)", match[3], flags=re.MULTILINE)
            found.append(
                Diagnostic(
                    severity=match[1].lower(),
                    summary=match[2].strip(),
                    detail=match[3].strip(),
                    file=place[1] if place else "",
                    line=int(place[2]) if place else 0,
                )
            )
    return found


def lock_error(holder: Mapping[str, str], by_hand: str, *, now: datetime | None = None) -> Locked:
    """Return the error for a state that another client has locked.

    Args:
        holder: what the lock says: ID, Who, Operation, Created. Empty if the holder is unknown.
        by_hand: as for :func:`failure`.
        now: for the lock's age.
    """
    what = "another client is working on this cluster: Terraform's state is locked"
    if "ID" not in holder:
        return Locked(
            what,
            cause="a process on this computer holds the lock; .terraform.tfstate.lock.info, which named it, is gone",
            next_step="wait until it has ended: `ps aux | grep -i terraform` shows it. The lock ends with the process",
            details={"id": ""},
        )
    lock, who, created = holder["ID"], holder.get("Who") or "unknown", holder.get("Created", "")
    operation = holder.get("Operation", "").removeprefix("OperationType").lower()
    age = _age(created, now or datetime.now(timezone.utc))
    return Locked(
        what,
        cause=f"{operation or 'a run'} by {who}, since {created or 'unknown'}{f' ({age} ago)' if age else ''}, "
        f"lock {lock}",
        next_step=f"wait until it has ended. If you are certain that it is dead: `{by_hand} force-unlock {lock}`",
        details={"id": lock, "who": who, "operation": operation, "created": created},
    )


def _next_step(text: str) -> str | None:
    """Return the next step for an error's text; None for an unknown error."""
    return next((step for pattern, step in _ADVICE.items() if re.search(pattern, text)), None)


def _locked(detail: str, now: datetime, by_hand: str) -> Locked | None:
    """Return the error for a held lock, from Terraform's words; None if locking failed for another reason."""
    fields = dict(re.findall(r"^\s*(ID|Path|Operation|Who|Version|Created|Info):[ \t]*(.*?)[ \t]*$", detail, re.M))
    return lock_error(fields, by_hand, now=now) if "ID" in fields or _HELD in detail else None


def _age(created: str, now: datetime) -> str:
    match = re.match(r"(\d{4}-\d\d-\d\d) (\d\d:\d\d:\d\d)", created)
    if not match:
        return ""
    then = datetime.fromisoformat(f"{match[1]}T{match[2]}+00:00")
    return duration(max(0.0, (now - then).total_seconds()))


class EventReader:
    """A reader of Terraform's lines, which collects its diagnostics and its last lines that are no events."""

    def __init__(self, reporter: Reporter) -> None:
        self._reporter = reporter
        self.diagnostics: list[Diagnostic] = []
        self.other_lines: deque[str] = deque(maxlen=40)

    def read(self, line: str) -> None:
        """Read one line of Terraform's output."""
        try:
            event = _parse(parse_json(line))
        except (ValueError, LookupError, TypeError, AttributeError, OverflowError):
            if line.strip():
                self.other_lines.append(line)
            return
        if isinstance(event, Diagnostic):
            if event in self.diagnostics:  # an apply repeats its plan's warnings, once for each resource
                return
            self.diagnostics.append(event)
            if event.severity == "warning":
                self._reporter(Warned(str(event)))
        elif event is not None:
            self._reporter(event)


def _parse(event: Mapping[str, Any]) -> Diagnostic | ResourceProgress | Step | None:
    """Return what a line reports; None for an event that users need not see. Any error means that it is no event."""
    kind = event["type"]
    if kind == "diagnostic":
        return Diagnostic.from_json(event.get("diagnostic") or {})
    if kind in _STATUS:
        hook = event.get("hook") or {}
        return ResourceProgress(
            address=str((hook.get("resource") or {}).get("addr", "")),
            action="refresh" if kind.startswith("refresh") else str(hook.get("action", "")),
            status=_STATUS[kind],
            elapsed_seconds=float(hook.get("elapsed_seconds") or 0),
            id=str(hook.get("id_value") or "") if kind == "apply_complete" else "",
        )
    if kind in ("log", "state_lock_acquire") and "state lock" in str(event.get("@message", "")):
        return Step(str(event["@message"]))
    return None
