"""Grants beside EC2: state, runs, mirrors and uploads in S3; deadlines, alarms, rules and roles; passwords."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from msgspec.structs import replace

from pio_tf.aws.identity import deadline_boundary_arn, deadline_role_arn, machine_role_arn, schedule_role_arn
from pio_tf.aws.objects import parse_s3_url
from pio_tf.config.components import archives_in_s3
from pio_tf.config.kinds import SecretReference
from pio_tf.iam.ec2 import PUBLIC_PARAMETERS
from pio_tf.iam.grant import Grant
from pio_tf.machines.session_agent import DEFAULT_ROLE_SETTING
from pio_tf.model import CLUSTER_TAG, SCHEDULED_TAG

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pio_tf.config.schema import Config
    from pio_tf.iam.grant import Conditions, Scope
    from pio_tf.infra.backend.s3 import S3Backend

_REMOVE_RULES = ("events:DeleteRule", "events:RemoveTargets")
_LINKED_ROLE = "role/aws-service-role/events.amazonaws.com/AWSServiceRoleForCloudWatchEvents"
_OBJECT = ("s3:DeleteObject", "s3:GetObject", "s3:PutObject")
_SECRET_ENDING = re.compile(r"-[A-Za-z0-9]{6}$")
"""The end of a secret's ARN, which Secrets Manager adds to the name."""
_TO_SCHEDULER: Conditions = {"StringEquals": {"iam:PassedToService": "scheduler.amazonaws.com"}}


def knows_itself(_scope: Scope) -> Iterator[Grant]:
    """Grant asking for the own account. AWS allows this to every identity, unless a policy denies it."""
    why = "Read the account: the role for deadlines trusts it, and a saved plan names it and its author."
    action = ("sts:GetCallerIdentity",)
    yield Grant("WhoAmI", why, ("*",), terraform=action, pio_tf=action)


def reads_domains(_scope: Scope) -> Iterator[Grant]:
    """Grant reading domains of OpenSearch and Elasticsearch, for a first pio-tf.hcl."""
    why = "Read the addresses of domains of OpenSearch and Elasticsearch."
    yield Grant("ReadDomains", why, ("*",), pio_tf=("es:DescribeDomains", "es:ListDomainNames"))


def reads_prices(_scope: Scope) -> Iterator[Grant]:
    """Grant reading AWS's price list, which is the same for all accounts."""
    yield Grant("ReadPrices", "Read AWS's price list.", ("*",), pio_tf=("pricing:GetProducts",))


def assumes_roles(scope: Scope) -> Iterator[Grant]:
    """Grant assuming the cluster's role and the state's, for the credentials that a job starts with."""
    blocks = [scope.config.aws, *([scope.state.aws] if scope.state else [])]
    arns = dict.fromkeys(block.assume_role.role_arn for block in blocks if block.assume_role is not None)
    if arns:
        action = ("sts:AssumeRole",)
        why = "Assume the role that does everything else."
        yield Grant("AssumeRole", why, tuple(arns), terraform=action, pio_tf=action)


def reads_state(scope: Scope) -> Iterator[Grant]:
    """Grant reading Terraform's outputs, with which every command begins. A local state needs no permission."""
    if (state := scope.state) is None:
        return
    why = (
        "List names in the bucket: without it, S3 calls a missing object forbidden. S3 cannot limit this to the "
        "cluster's objects, since the request for an object has no prefix."
    )
    yield Grant("FindState", why, scope.bucket(state.bucket), ("s3:ListBucket",))
    read = ("s3:GetObject",)
    yield Grant("ReadState", "Read the state.", scope.bucket(state.bucket, state.key), terraform=read, pio_tf=read)
    for ours in (False, True):
        yield from _key(scope, state, "kms:Decrypt", ours=ours)


def locks_state(scope: Scope) -> Iterator[Grant]:
    """Grant the state's lock. A plan takes it, too: it must not read a state during a write."""
    if (state := scope.state) is None:
        return
    if state.locks_by_object:
        why = "Take and release the lock, an object beside the state."
        yield Grant("LockState", why, scope.bucket(state.bucket, state.lock_key), _OBJECT)
        yield from _key(scope, state, "kms:GenerateDataKey")
    if table := state.arguments.get("dynamodb_table"):
        why = "Take and release the lock, an item of a DynamoDB table."
        arn = scope.arn("dynamodb", f"table/{table}", region=state.aws.region)
        yield Grant("LockTable", why, (arn,), ("dynamodb:DeleteItem", "dynamodb:GetItem", "dynamodb:PutItem"))


def writes_state(scope: Scope) -> Iterator[Grant]:
    """Grant writing the state, for an apply."""
    if (state := scope.state) is not None:
        yield Grant("WriteState", "Write the state.", scope.bucket(state.bucket, state.key), ("s3:PutObject",))


def keeps_runs(scope: Scope) -> Iterator[Grant]:
    """Grant the records, logs and lock of runs, beside the state."""
    if (state := scope.state) is None:
        return
    yield Grant("FindRuns", "List runs.", scope.bucket(state.bucket), pio_tf=("s3:ListBucket",))
    runs = scope.bucket(state.bucket, f"{state.prefix}runs/*")
    yield Grant("KeepRuns", "Read and write records and logs of runs.", runs, pio_tf=("s3:GetObject", "s3:PutObject"))
    lock = scope.bucket(state.bucket, f"{state.prefix}run.lock")
    yield Grant("LockRuns", "Allow one training at a time.", lock, pio_tf=_OBJECT)
    yield from _key(scope, state, "kms:GenerateDataKey", ours=True)


def locks_runs(scope: Scope) -> Iterator[Grant]:
    """Grant the run lock, for an apply: no training begins while machines change."""
    if (state := scope.state) is None:
        return
    lock, runs = (scope.bucket(state.bucket, f"{state.prefix}{name}") for name in ("run.lock", "runs/*"))
    yield Grant("LockRuns", "Let no training begin while machines change.", lock, pio_tf=_OBJECT)
    why = "Check whether the run of another client's lock has begun."
    yield Grant("FindRun", why, runs, pio_tf=("s3:GetObject",))
    yield from _key(scope, state, "kms:GenerateDataKey", ours=True)


def _key(scope: Scope, state: S3Backend, action: str, *, ours: bool = False) -> Iterator[Grant]:
    """Grant the KMS key that the backend names, if it names one."""
    name, region = str(state.arguments.get("kms_key_id") or ""), state.aws.region
    if not name:
        return
    arn, only = scope.key(name, region=region)
    why = "Use the key that encrypts the bucket's objects (kms_key_id)."
    conditions = {**scope.via("s3", region=region), **only}
    yield Grant("UseKey", why, (arn,), () if ours else (action,), (), (action,) if ours else (), conditions)


def fills_mirrors(scope: Scope) -> Iterator[Grant]:
    """Grant the buckets of software.mirrors, and the mirror's place in each."""
    places = [one.removeprefix("s3://").partition("/") for one in scope.config.software.mirrors if one[:5] == "s3://"]
    if places:
        buckets = tuple(dict.fromkeys(arn for bucket, _, _ in places for arn in scope.bucket(bucket)))
        why = "Check that the bucket exists. Without this, S3 calls a missing archive forbidden."
        yield Grant("FindMirror", why, buckets, pio_tf=("s3:ListBucket",))
        objects = tuple(
            arn for bucket, _, prefix in places for arn in scope.bucket(bucket, f"{prefix}/*" if prefix else "*")
        )
        yield Grant("FillMirror", "Write missing archives.", objects, pio_tf=("s3:GetObject", "s3:PutObject"))


def keeps_engines(scope: Scope) -> Iterator[Grant]:
    """Grant the bucket for the archives of engines, and the place in it."""
    if scope.archives:
        bucket, prefix = parse_s3_url(
            scope.archives, option="--archives ", example="give an address like s3://bucket/prefix"
        )
        why = "Check that the bucket exists. Without this, S3 calls a missing archive forbidden."
        yield Grant("FindEngines", why, scope.bucket(bucket), pio_tf=("s3:ListBucket",))
        place = scope.bucket(bucket, f"{prefix}/*" if prefix else "*")
        yield Grant("KeepEngines", "Save and restore engines.", place, pio_tf=("s3:GetObject", "s3:PutObject"))


def uploads_runs(scope: Scope) -> Iterator[Grant]:
    """Grant the bucket of train.upload, and the cluster's place in it."""
    if url := scope.config.train.upload:
        bucket, _, prefix = url.removeprefix("s3://").partition("/")
        place = "/".join(part for part in (prefix.strip("/"), scope.cluster, "*") if part)
        why = "Check that the bucket exists before a training costs money."
        yield Grant("FindUploads", why, scope.bucket(bucket), pio_tf=("s3:ListBucket",))
        why = "Upload the log and record of a run. S3 takes a long log in parts, and pio-tf removes them if it fails."
        yield Grant("Upload", why, scope.bucket(bucket, place), pio_tf=("s3:AbortMultipartUpload", "s3:PutObject"))


def sends_messages(scope: Scope) -> Iterator[Grant]:
    """Grant messages to the topic of the notify block."""
    if topic := scope.config.notify.sns_topic:
        yield Grant("Notify", "Send messages about trainings.", (topic,), pio_tf=("sns:Publish",))
    if _rules(scope):
        why = "Check whether AWS can send messages about the deadline: `pio-tf notify --test`."
        yield Grant("CheckTopic", why, (topic or "",), pio_tf=("sns:GetTopicAttributes",))
        trails = ("cloudtrail:DescribeTrails", "cloudtrail:GetEventSelectors", "cloudtrail:GetTrailStatus")
        yield Grant("CheckTrails", why, ("*",), pio_tf=trails)


def opens_sessions(scope: Scope) -> Iterator[Grant]:
    """Grant the way to the driver that ``ssh.via`` names. AWS's CLI takes it, with pio-tf's credentials.

    Source: "Example IAM policies for Session Manager" and "Grant permissions to use EC2 Instance Connect Endpoint" in
    AWS's user guides of Systems Manager and EC2.
    """
    region = scope.config.aws.region
    if scope.config.ssh.via == "ssm":
        own: Conditions = {
            "StringEquals": {f"ssm:resourceTag/{CLUSTER_TAG}": scope.cluster},
            "BoolIfExists": {"ssm:SessionDocumentAccessCheck": "true"},
        }
        start = ("ssm:StartSession",)
        why = "Open sessions of Systems Manager to the cluster's machines."
        yield Grant("Session", why, scope.ec2("instance"), pio_tf=start, conditions=own)
        document = (f"arn:{scope.partition}:ssm:{region}::document/AWS-StartSSHSession",)
        yield Grant("SessionDocument", "Let these sessions carry SSH, and nothing else.", document, pio_tf=start)
        why = "Continue and end the sessions of the same identity."
        sessions = (scope.arn("ssm", "session/${aws:userid}-*"),)
        yield from _finds_agents(scope)
        yield Grant("OwnSessions", why, sessions, pio_tf=("ssm:ResumeSession", "ssm:TerminateSession"))
    if scope.config.ssh.via == "instance-connect":
        port: Conditions = {"NumericEquals": {"ec2-instance-connect:remotePort": "22"}}
        why = "Open tunnels to the SSH port through EC2 Instance Connect Endpoints."
        endpoints, tunnel = scope.ec2("instance-connect-endpoint"), ("ec2-instance-connect:OpenTunnel",)
        yield Grant("Tunnel", why, endpoints, pio_tf=tunnel, conditions=port)
        why = "Find the endpoint of the network. AWS has no limit for it."
        yield Grant("FindEndpoints", why, ("*",), pio_tf=("ec2:DescribeInstanceConnectEndpoints",))


def _finds_agents(scope: Scope) -> Iterator[Grant]:
    """Grant what tells a missing SSM agent from missing permissions of a machine. AWS has no limit for the first."""
    why = "Check whether the driver's SSM agent has connected, and whether its role lets it connect."
    yield Grant("FindAgents", why, ("*",), pio_tf=("ec2:DescribeInstances", "ssm:DescribeInstanceInformation"))
    setting = (scope.arn("ssm", f"servicesetting{DEFAULT_ROLE_SETTING}"),)
    yield Grant("FindDefaultRole", why, setting, pio_tf=("ssm:GetServiceSetting",))
    if profile := _profiles(scope):
        roles = _machine_roles(scope, profile)
        yield Grant("FindMachineRole", why, profile, pio_tf=("iam:GetInstanceProfile",))
        yield Grant("TryMachineRole", why, roles, pio_tf=("iam:SimulatePrincipalPolicy",))


def sets_deadlines(scope: Scope) -> Iterator[Grant]:
    """Grant the schedules of the cluster and its machines, and passing them the one role that they may have."""
    if (role := deadline_role_arn(scope.config, account=scope.account)) is None:
        return
    why = "Set when AWS stops the machines: before they start, or as soon as they are created."
    actions = ("scheduler:CreateSchedule", "scheduler:GetSchedule", "scheduler:UpdateSchedule")
    yield Grant("Deadline", why, _schedules(scope), pio_tf=actions)
    why = "Give Scheduler, and no other service, the role that stops them."
    yield Grant("PassDeadlineRole", why, (role,), pio_tf=("iam:PassRole",), conditions=_TO_SCHEDULER)


def follows_schedule(scope: Scope) -> Iterator[Grant]:
    """Grant what starts beside a schedule need: the driver learns of it, and the client takes machines over from it."""
    if scope.config.schedule is None:
        return
    why = "Read the schedule of trainings, which the driver must know."
    yield Grant("FindSchedule", why, (_schedules(scope)[1],), pio_tf=("scheduler:GetSchedule",))
    only: Conditions = {**scope.owned, "ForAllValues:StringEquals": {"aws:TagKeys": (SCHEDULED_TAG,)}}
    why = "Take machines over from their schedule, which may then not stop them."
    yield Grant("TakeOver", why, scope.ec2("instance"), pio_tf=("ec2:DeleteTags",), conditions=only)


def sets_schedule(scope: Scope) -> Iterator[Grant]:
    """Grant the schedules that start and stop the machines, and passing them the one role that they may have."""
    if (role := schedule_role_arn(scope.config, account=scope.account)) is None:
        return
    why = "Set and remove the schedule of trainings."
    actions = ("CreateSchedule", "DeleteSchedule", "GetSchedule", "UpdateSchedule")
    yield Grant("Schedule", why, (_schedules(scope)[1],), pio_tf=tuple(f"scheduler:{one}" for one in actions))
    why = "Give Scheduler, and no other service, the role that starts and stops them."
    yield Grant("PassScheduleRole", why, (role,), pio_tf=("iam:PassRole",), conditions=_TO_SCHEDULER)
    why = "Let the driver read the mark of its schedule."
    show = ("ec2:ModifyInstanceMetadataOptions",)
    yield Grant("ShowTags", why, scope.ec2("instance"), pio_tf=show, conditions=scope.owned)


def removes_schedule(scope: Scope) -> Iterator[Grant]:
    """Grant the removal of the schedule of trainings, after the machines are gone."""
    if scope.config.schedule is not None:
        why = "Remove the schedule of trainings."
        yield Grant("RemoveSchedule", why, (_schedules(scope)[1],), pio_tf=("scheduler:DeleteSchedule",))


def removes_deadlines(scope: Scope) -> Iterator[Grant]:
    """Grant the removal of the schedules, for a start without a deadline, or after the machines are gone."""
    if deadline_role_arn(scope.config, account=scope.account) is not None:
        why = "Remove a deadline of machines that start without one, or are gone."
        yield Grant("RemoveDeadline", why, _schedules(scope), pio_tf=("scheduler:DeleteSchedule",))


def lists_deadlines(scope: Scope) -> Iterator[Grant]:
    """Grant the names of schedules, to remove those of machines that were terminated from outside. AWS has no limit."""
    if deadline_role_arn(scope.config, account=scope.account) is not None:
        why = "Find the schedules of machines that no longer exist."
        yield Grant("ListDeadlines", why, ("*",), pio_tf=("scheduler:ListSchedules",))


def finds_deadlines(scope: Scope) -> Iterator[Grant]:
    """Grant finding and reading the deadlines of all clusters."""
    why = "Find the deadlines of all clusters."
    yield Grant("ListDeadlines", why, ("*",), pio_tf=("scheduler:ListSchedules",))
    every = (scope.arn("scheduler", "schedule/default/pio-tf-*"),)
    yield Grant("ReadDeadlines", "Read them.", every, pio_tf=("scheduler:GetSchedule",))


def reads_failsafe(scope: Scope) -> Iterator[Grant]:
    """Grant Terraform's refresh of the roles and the alarms."""
    if role := _own_roles(scope):
        of_role = ("iam:GetRole", "iam:GetRolePolicy", "iam:ListAttachedRolePolicies", "iam:ListRolePolicies")
        yield Grant("LookAtRole", "Read the roles that Terraform makes.", role, of_role)
    if alarms := _alarms(scope):
        of_alarms = ("cloudwatch:DescribeAlarms", "cloudwatch:ListTagsForResource")
        yield Grant("LookAtAlarms", "Read the idle alarms.", alarms, of_alarms)
    if rules := _rules(scope):
        of_rules = ("events:DescribeRule", "events:ListTagsForResource", "events:ListTargetsByRule")
        yield Grant("LookAtRules", "Read the rules for messages about the deadline.", rules, of_rules)


def makes_failsafe(scope: Scope) -> Iterator[Grant]:
    """Grant creating and changing the roles and the alarms."""
    if role := _own_roles(scope):
        # Without the condition, a role could get any permission, and trust any account.
        bounded: Conditions = {scope.equals: {"iam:PermissionsBoundary": boundary(scope)}}
        named = ("iam:PutRolePermissionsBoundary",) if scope.config.failsafe.permissions_boundary else ()
        why = "Create the roles of the stack, only with the boundary that limits what they may ever do."
        yield Grant("MakeRole", why, role, ("iam:CreateRole", "iam:PutRolePolicy", *named), conditions=bounded)
        yield Grant("TagRole", "Tag these roles.", role, ("iam:TagRole", "iam:UntagRole"))
    if alarms := _alarms(scope):
        stop = f"arn:{scope.partition}:automate:{scope.config.aws.region}:ec2:stop"
        stopping: Conditions = {"ForAllValues:StringEquals": {"cloudwatch:AlarmActions": (stop,)}}
        why = "Create the idle alarms, which may stop machines and do nothing else."
        of_alarms = ("cloudwatch:PutMetricAlarm", "cloudwatch:TagResource", "cloudwatch:UntagResource")
        yield Grant("MakeAlarms", why, alarms, of_alarms, conditions=stopping)  # only the first has the key
        linked = (f"arn:{scope.partition}:iam::{scope.account}:{_LINKED_ROLE}",)
        why = "Create the role that CloudWatch stops machines with: AWS creates it with an account's first such alarm."
        conditions: Conditions = {"StringEquals": {"iam:AWSServiceName": "events.amazonaws.com"}}
        yield Grant("LinkAlarmsToEc2", why, linked, ("iam:CreateServiceLinkedRole",), conditions=conditions)
    if rules := _rules(scope):
        to: Conditions = {"ForAllValues:ArnEquals": {"events:TargetArn": (scope.config.notify.sns_topic or "",)}}
        why = "Create the rules for messages about the deadline, which may send to the topic of notify only."
        of_rules = ("events:PutRule", "events:PutTargets", "events:TagResource", "events:UntagResource")
        yield Grant("MakeRules", why, rules, (*of_rules, *_REMOVE_RULES), conditions=to)  # only PutTargets has the key


def checks_disk_key(scope: Scope) -> Iterator[Grant]:
    """Grant the check before a plan that the key of the disks exists."""
    if (name := scope.config.machines.kms_key_id) is not None:
        arn, only = scope.key(name, region=scope.config.aws.region)
        why = "Check that the key of the disks exists and fits."
        yield Grant("CheckDiskKey", why, (arn,), pio_tf=("kms:DescribeKey",), conditions=only)


def encrypts_disks(scope: Scope) -> Iterator[Grant]:
    """Grant EC2 the use of the key for new disks. Source: "Amazon EBS encryption" in the EBS User Guide."""
    if (name := scope.config.machines.kms_key_id) is not None:
        region = scope.config.aws.region
        arn, only = scope.key(name, region=region)
        actions = ("Decrypt", "GenerateDataKeyWithoutPlaintext", "ReEncryptFrom", "ReEncryptTo")
        why, conditions = "Encrypt new disks, through EC2.", {**scope.via("ec2", region=region), **only}
        yield Grant("EncryptDisks", why, (arn,), tuple(f"kms:{one}" for one in actions), conditions=conditions)


def starts_encrypted(scope: Scope) -> Iterator[Grant]:
    """Grant EC2 the use of the key for the disks of a machine that starts: it needs a grant of the caller's.

    Source: the page "How Amazon EBS uses AWS KMS" of the KMS Developer Guide.
    """
    if (name := scope.config.machines.kms_key_id) is not None:
        region, action = scope.config.aws.region, ("kms:CreateGrant",)
        arn, only = scope.key(name, region=region)
        conditions = {"Bool": {"kms:GrantIsForAWSResource": "true"}, **scope.via("ec2", region=region), **only}
        why = "Let EC2 decrypt the disks of machines that start."
        yield Grant("StartWithDiskKey", why, (arn,), action, pio_tf=action, conditions=conditions)


def bounds_failsafe(scope: Scope) -> Iterator[Grant]:
    """Grant the most that Terraform may let Scheduler's roles do: this is their permissions boundary."""
    if _scheduler_roles(scope):
        why = "Stop the cluster's machines at their deadline, or after a scheduled training."
        yield Grant("StopMachines", why, scope.ec2("instance"), pio_tf=("ec2:StopInstances",), conditions=scope.owned)
    if scope.config.schedule is not None and scope.config.schedule.role_arn is None:
        why = "Mark the cluster's machines, and start marked ones."
        marked: Conditions = {**scope.owned, "StringLike": {f"ec2:ResourceTag/{SCHEDULED_TAG}": "?*"}}
        start = ("ec2:StartInstances",)
        yield Grant("StartMachines", why, scope.ec2("instance"), pio_tf=start, conditions=marked)
        only: Conditions = {**scope.owned, "ForAllValues:StringEquals": {"aws:TagKeys": (SCHEDULED_TAG,)}}
        yield Grant("MarkMachines", why, scope.ec2("instance"), pio_tf=("ec2:CreateTags",), conditions=only)
        yield from starts_encrypted(scope)


def bounds_profile(scope: Scope) -> Iterator[Grant]:
    """Grant the calls of the machines with the instance profile that Terraform makes, as terraform/modules/profile."""
    config = scope.config
    if not config.machines.make_instance_profile:
        return
    if archives := archives_in_s3(config):
        objects = tuple(arn for one in archives for arn in scope.bucket(*one.split("/", 1)))
        yield Grant("ReadArchives", "Install software from S3.", objects, pio_tf=("s3:GetObject",))
    if topic := config.notify.sns_topic:
        yield Grant("Notify", "Send messages about trainings.", (topic,), pio_tf=("sns:Publish",))
    if config.ssh.via == "ssm":
        calls = (f"ssmmessages:{verb}{kind}Channel" for verb in ("Create", "Open") for kind in ("Control", "Data"))
        why = "Accept sessions of Systems Manager. AWS has no limit for these calls."
        yield Grant("AcceptSessions", why, ("*",), pio_tf=("ssm:UpdateInstanceInformation", *calls))


def boundary(scope: Scope) -> str:
    """Return the ARN of that boundary."""
    return deadline_boundary_arn(scope.config, account=scope.account)


def removes_failsafe(scope: Scope) -> Iterator[Grant]:
    """Grant the removal of the roles and the alarms."""
    if role := _own_roles(scope):
        of_role = ("iam:DeleteRole", "iam:DeleteRolePolicy", "iam:ListInstanceProfilesForRole")
        yield Grant("RemoveRole", "Remove the roles that Terraform makes.", role, of_role)
    if alarms := _alarms(scope):
        yield Grant("RemoveAlarms", "Remove the idle alarms.", alarms, ("cloudwatch:DeleteAlarms",))
    if rules := _rules(scope):
        yield Grant("RemoveRules", "Remove the rules for messages about the deadline.", rules, _REMOVE_RULES)


def _scheduler_roles(scope: Scope) -> tuple[str, ...]:
    """Return the roles of Scheduler that Terraform creates."""
    named = {scope.config.failsafe.role_arn, scope.config.schedule and scope.config.schedule.role_arn}
    roles = (found(scope.config, account=scope.account) for found in (deadline_role_arn, schedule_role_arn))
    return tuple(role for role in roles if role is not None and role not in named)


def reads_profile(scope: Scope) -> Iterator[Grant]:
    """Grant Terraform's refresh of the instance profile that it makes."""
    if scope.config.machines.make_instance_profile:
        action = ("iam:GetInstanceProfile",)
        yield Grant("LookAtProfile", "Read the machines' instance profile.", _profiles(scope), action)


def checks_profile(scope: Scope) -> Iterator[Grant]:
    """Grant the check before a plan that the instance profile of pio-tf.hcl exists."""
    if scope.config.machines.instance_profile is not None:
        action = ("iam:GetInstanceProfile",)
        yield Grant("CheckProfile", "Check that the instance profile exists.", _profiles(scope), pio_tf=action)


def makes_profile(scope: Scope) -> Iterator[Grant]:
    """Grant creating the machines' instance profile, and passing its role to EC2."""
    if not (profile := _profiles(scope)):
        return
    role = machine_role_arn(scope.config, account=scope.account)
    if role is not None:
        actions = ("iam:AddRoleToInstanceProfile", "iam:CreateInstanceProfile")
        tags = ("iam:TagInstanceProfile", "iam:UntagInstanceProfile")
        yield Grant("MakeProfile", "Create the machines' instance profile.", profile, (*actions, *tags))
    domain = "amazonaws.com.cn" if scope.partition == "aws-cn" else "amazonaws.com"
    roles = _machine_roles(scope, profile)
    conditions: Conditions = {"StringEquals": {"iam:PassedToService": f"ec2.{domain}"}}
    why = "Give the machines the role of their instance profile, and no other."
    yield Grant("PassMachineRole", why, roles, ("iam:PassRole",), conditions=conditions)


def removes_profile(scope: Scope) -> Iterator[Grant]:
    """Grant the removal of the instance profile that Terraform makes."""
    if scope.config.machines.make_instance_profile:
        actions = ("iam:DeleteInstanceProfile", "iam:RemoveRoleFromInstanceProfile")
        yield Grant("RemoveProfile", "Remove the machines' instance profile.", _profiles(scope), actions)


def _profiles(scope: Scope) -> tuple[str, ...]:
    """Return the ARNs that the instance profile of the machines may have; empty if they have none."""
    role, name = machine_role_arn(scope.config, account=scope.account), scope.config.machines.instance_profile
    if role is not None:
        return (role.replace(":role/", ":instance-profile/"),)
    paths = () if name is None else (name, f"*/{name}")
    return tuple(scope.arn("iam", f"instance-profile/{path}", region="") for path in paths)


def _machine_roles(scope: Scope, profiles: tuple[str, ...]) -> tuple[str, ...]:
    """Return the ARNs that the role in the machines' instance profile may have: IAM's console gives both one name."""
    role = machine_role_arn(scope.config, account=scope.account)
    return (role,) if role is not None else tuple(one.replace(":instance-profile/", ":role/") for one in profiles)


def _own_roles(scope: Scope) -> tuple[str, ...]:
    """Return the roles that Terraform creates."""
    machines = machine_role_arn(scope.config, account=scope.account)
    return (*_scheduler_roles(scope), *([] if machines is None else [machines]))


def _schedules(scope: Scope) -> tuple[str, str]:
    """Return the cluster's schedule, and those of its machines. A cluster's name has no dot: they are no other's."""
    of_cluster = scope.arn("scheduler", f"schedule/default/pio-tf-{scope.cluster}")
    return (of_cluster, f"{of_cluster}.*")


def _alarms(scope: Scope) -> tuple[str, ...]:
    return (scope.arn("cloudwatch", f"alarm:pio-tf/{scope.cluster}/*"),) if scope.config.failsafe.idle_alarms else ()


def _rules(scope: Scope) -> tuple[str, ...]:
    """Return the rules for messages about the deadline; empty if there are none."""
    role, notify = deadline_role_arn(scope.config, account=scope.account), scope.config.notify
    if role is None or notify.sns_topic is None or "deadline" not in notify.on:
        return ()
    return (scope.arn("events", f"rule/pio-tf-{scope.cluster}-deadline*"),)


def reads_secrets(scope: Scope) -> Iterator[Grant]:
    """Grant the passwords that pio-tf.hcl refers to, and no others."""
    found = references(scope.config)
    parameters = dict.fromkeys(_parameter(scope, one.name) for one in found if one.service == "ssm")
    secrets = dict.fromkeys(_secret(scope, one.name) for one in found if one.service == "secretsmanager")
    if parameters:
        why = "Read passwords in SSM's Parameter Store."
        yield Grant("ReadParameters", why, tuple(parameters), pio_tf=("ssm:GetParameters",))
    if secrets:
        why = "Read passwords in Secrets Manager."
        yield Grant("ReadSecrets", why, tuple(secrets), pio_tf=("secretsmanager:GetSecretValue",))


def reads_images(scope: Scope) -> Iterator[Grant]:
    """Grant the parameters that hold image ids, which Terraform reads with every plan."""
    names = dict.fromkeys(block.ami_parameter for block in (scope.config.driver, scope.config.spark))
    if arns := tuple(_parameter(scope, name) for name in names if name is not None):
        action = ("ssm:GetParameter",)
        yield Grant("ReadImageIds", "Read the ids of images in Parameter Store.", arns, action)


def checks_images(scope: Scope) -> Iterator[Grant]:
    """Grant the check before a plan that these parameters hold image ids."""
    for grant in reads_images(scope):
        yield replace(grant, terraform=(), pio_tf=grant.terraform)


def references(config: Config) -> tuple[SecretReference, ...]:
    """Return the references to passwords that AWS stores, each once."""
    return tuple(dict.fromkeys(one for _, one in config.passwords if isinstance(one, SecretReference)))


def _parameter(scope: Scope, name: str) -> str:
    if name.startswith("arn:"):
        return ":".join(name.split(":")[:6])  # without :version or :label
    if name.startswith(PUBLIC_PARAMETERS):
        return f"arn:{scope.partition}:ssm:{scope.config.aws.region}::parameter{name}"
    return scope.arn("ssm", f"parameter/{name.split(':')[0].lstrip('/')}")


def _secret(scope: Scope, name: str) -> str:
    if name.startswith("arn:"):
        return name if _SECRET_ENDING.search(name) else f"{name}-??????"
    return scope.arn("secretsmanager", f"secret:{name}-??????")
