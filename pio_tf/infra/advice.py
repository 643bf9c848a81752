"""What to do about the well-known errors of Terraform, its AWS provider and EC2."""

from __future__ import annotations

import re
from dataclasses import dataclass


@dataclass(frozen=True)
class Advice:
    """Words that an error is known by (regular expressions), and the next step."""

    known_by: tuple[str, ...]
    next_step: str

    def fits(self, text: str) -> bool:
        """Whether the error is this one."""
        return any(re.search(pattern, text) for pattern in self.known_by)


ADVICE = (
    Advice(
        ("ExpiredToken", "RequestExpired", r"[Tt]oken.{0,40}expired", r"expired.{0,40}[Tt]oken"),
        "the AWS credentials have expired: sign in again (`aws sso login`, or renew the session), then run it again",
    ),
    Advice(
        (
            "No valid credential",
            "no EC2 IMDS role",
            "NoCredentialProviders",
            "failed to refresh cached credentials",
            "failed to get shared config profile",
            "InvalidClientTokenId",
            "AuthFailure",
            "SignatureDoesNotMatch",
        ),
        "check the AWS credentials (aws.profile and aws.credentials_file in pio-tf.hcl): `aws sts get-caller-identity`",
    ),
    Advice(
        ("UnauthorizedOperation", "AccessDenied", "not authorized to perform"),
        "give the AWS user or role the permission that is named above",
    ),
    Advice(
        ("InvalidAMIID", "Your query returned no results", "collecting Amazon Machine Image"),
        "check ami or ami_filter of driver and spark: the image must be in this region and shared with this account",
    ),
    Advice(
        ("InvalidKeyPair.Duplicate",),
        "there is a key pair of this name already, of another cluster or a lost state: delete it, or set ssh.key_pair",
    ),
    Advice(("InvalidKeyPair",), "check ssh.key_pair: the key pair must exist in this region"),
    Advice(
        ("InvalidSubnetID", r"InvalidSubnet\.", r"no matching (EC2 )?[Ss]ubnet", "InvalidVpcID", "is in vpc-"),
        "check network.vpc_id and network.subnet_id: they must exist in this region, and the subnet in the VPC",
    ),
    Advice(
        ("InsufficientInstanceCapacity", r"Unsupported.{0,80}instance type", "InvalidInstanceType"),
        "AWS has no such machine to give in this zone now: wait, or choose another instance_type; then run it again",
    ),
    Advice(
        ("VcpuLimitExceeded", "InstanceLimitExceeded", "AddressLimitExceeded", "VpcLimitExceeded"),
        "ask AWS to raise the limit, or use fewer machines",
    ),
    Advice(
        (
            r"InvalidIPAddress\.InUse",
            r"Address .* is in use",
            "does not fall within the subnet",
            "reserved address range",
        ),
        "choose another network.first_host: all addresses from there on must be free and inside the subnet",
    ),
    Advice(
        (
            r"[Ff]ailed to (query available|install) provider",
            "could not connect to registry",
            r"[Ff]ailed to (obtain|retrieve).{0,40}(provider|checksum)",
        ),
        "Terraform could not fetch its AWS provider: check the way to the internet (HTTPS_PROXY), or name a mirror in "
        "terraform.cli_config_file",
    ),
    Advice(
        (
            r"[Bb]ackend configuration (block )?(has )?changed",
            r"[Bb]ackend type changed",
            "Migrating state",
            "Backend initialization required",
        ),
        "terraform.backend has changed: move the state with `terraform -chdir={directory} init -migrate-state`, then "
        "run it again (pio-tf does not do it by itself, so that no state is lost)",
    ),
    Advice(
        ("Saved plan is stale",),
        "something was applied after the plan was made: make a new plan, have it reviewed, and apply that",
    ),
    Advice(
        (
            "state snapshot was created by Terraform",
            "newer Terraform version",
            r"[Uu]nsupported Terraform Core version",
        ),
        "use the Terraform that wrote the state, or a newer one",
    ),
    Advice(
        ("connection refused", "no such host", "i/o timeout", "dial tcp"),
        "check the network, and aws.region and aws.endpoint_url",
    ),
)


def next_step(text: str) -> str | None:
    """The next step for an error's text, where it is a known one."""
    return next((advice.next_step for advice in ADVICE if advice.fits(text)), None)
