# The roles of EventBridge Scheduler. The first one is used to stop the machines at a deadline, without any client. pio-tf creates the
# schedules before each start: a schedule that has fired removes itself, and would be drift here (terraform-provider-aws
# #38166). The second one starts and stops the machines for trainings on AWS's own clock. The idle alarms are in the module
# machine, one for each machine.

data "aws_partition" "current" {}

data "aws_caller_identity" "current" {}

locals {
  instances = "arn:${data.aws_partition.current.partition}:ec2:${var.region}:${data.aws_caller_identity.current.account_id}:instance/*"
  owned     = { "ec2:ResourceTag/pio-tf:cluster" = var.cluster }

  # Only for this account's schedules: no other account may use a role through Scheduler.
  trust = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Action    = "sts:AssumeRole"
      Principal = { Service = "scheduler.amazonaws.com" }
      Condition = { StringEquals = { "aws:SourceAccount" = data.aws_caller_identity.current.account_id } }
    }]
  })

  role_arn          = var.role_arn != null ? var.role_arn : one(aws_iam_role.deadline[*].arn)
  schedule_role_arn = var.schedule_role_arn != null ? var.schedule_role_arn : one(aws_iam_role.schedule[*].arn)
}

# IAM has no regions. The name contains the region, so that two clusters of one name have two roles.
resource "aws_iam_role" "deadline" {
  count = var.role_arn == null && var.make_role ? 1 : 0

  name                 = "pio-tf-${var.cluster}-${var.region}"
  path                 = var.role_path
  description          = "EventBridge Scheduler stops the machines of cluster ${var.cluster} with it"
  permissions_boundary = var.permissions_boundary
  tags                 = var.tags
  assume_role_policy   = local.trust
}

resource "aws_iam_role_policy" "deadline" {
  count = var.role_arn == null && var.make_role ? 1 : 0

  name = "stop-machines"
  role = aws_iam_role.deadline[0].id
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Sid       = "StopMachines"
      Effect    = "Allow"
      Action    = "ec2:StopInstances"
      Resource  = local.instances
      Condition = { StringEquals = local.owned }
    }]
  })
}

# An IAM role's name has 64 characters at most.
resource "aws_iam_role" "schedule" {
  count = var.schedule_role_arn == null && var.make_schedule_role ? 1 : 0

  name                 = "pio-tf-${var.cluster}-${var.region}-s"
  path                 = var.role_path
  description          = "EventBridge Scheduler starts and stops the machines of cluster ${var.cluster} with it"
  permissions_boundary = var.permissions_boundary
  tags                 = var.tags
  assume_role_policy   = local.trust
}

# The tag is the licence: the role may start and stop only machines that it has marked. A client that removes the tag takes
# the machines over.
resource "aws_iam_role_policy" "schedule" {
  count = var.schedule_role_arn == null && var.make_schedule_role ? 1 : 0

  name = "train-on-schedule"
  role = aws_iam_role.schedule[0].id
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = concat([
      {
        Sid      = "MarkMachines"
        Effect   = "Allow"
        Action   = "ec2:CreateTags"
        Resource = local.instances
        Condition = {
          StringEquals                = local.owned
          "ForAllValues:StringEquals" = { "aws:TagKeys" = ["pio-tf:scheduled-start"] }
        }
      },
      {
        Sid      = "StartAndStopMarkedMachines"
        Effect   = "Allow"
        Action   = ["ec2:StartInstances", "ec2:StopInstances"]
        Resource = local.instances
        Condition = {
          StringEquals = local.owned
          StringLike   = { "ec2:ResourceTag/pio-tf:scheduled-start" = "?*" }
        }
      },
      ], var.kms_key_id == null ? [] : [
      {
        # EC2 decrypts the disks of a machine that starts with a grant of the caller's. A permission for an alias is none for
        # its key.
        Sid      = "StartWithDiskKey"
        Effect   = "Allow"
        Action   = "kms:CreateGrant"
        Resource = replace(var.kms_key_id, "/:alias/.*/", ":key/*")
        Condition = merge(
          {
            Bool         = { "kms:GrantIsForAWSResource" = "true" }
            StringEquals = { "kms:ViaService" = "ec2.${var.region}.${data.aws_partition.current.dns_suffix}" }
          },
          [
            for alias in regexall(":(alias/.*)", var.kms_key_id) :
            { "ForAnyValue:StringEquals" = { "kms:ResourceAliases" = alias[0] } }
          ]...
        )
      },
    ])
  })
}

# Messages about the deadline. CloudTrail hands each StopInstances call of the roles to EventBridge, if a trail of the
# account logs management events: "AWS service events delivered via AWS CloudTrail" in EventBridge's user guide.
# The answer has each machine's state before, so that a deadline that finds all machines stopped is no message. Each machine
# has a schedule of its own beside the cluster's: of these, only the driver's is a message.
# The schedule of trainings may not stop machines that a client has taken over: that refusal is no message.
locals {
  passing = ["Client.RequestLimitExceeded", "Server.InternalError", "Server.Unavailable"]
  failure = {
    paths = { cause = "$.detail.errorCode" }
    text  = "the deadline could not stop machines, which may be running and billed: <machines>. Cause: <cause>. Next: pio-tf down, then pio-tf status."
  }
  messages = { for name, message in {
    deadline = {
      roles       = [for arn in [local.role_arn, local.schedule_role_arn] : arn if arn != null]
      description = "Tells that a deadline has stopped machines of cluster ${var.cluster}"
      answer      = { responseElements = { instancesSet = { items = { previousState = { name = ["pending", "running"] } } } } }
      paths       = {}
      text        = "the deadline stopped machines that were running: <machines>. A run on them has ended with them, and its log is on the driver's disk. Next: pio-tf up, then pio-tf runs."
    }
    deadline-failed = merge(local.failure, {
      roles       = [local.role_arn]
      description = "Tells that a deadline could not stop machines of cluster ${var.cluster}"
      answer      = { errorCode = [{ anything-but = local.passing }] }
    })
    deadline-failed-s = merge(local.failure, {
      roles       = [local.schedule_role_arn]
      description = "Tells that the schedule of trainings could not stop machines of cluster ${var.cluster}"
      answer      = { errorCode = [{ anything-but = concat(local.passing, ["Client.UnauthorizedOperation"]) }] }
    })
    } : name => message if var.topic_arn != null && (var.role_arn != null || var.make_role) &&
    (name != "deadline-failed-s" || var.schedule_role_arn != null || var.make_schedule_role)
  }
}

resource "aws_cloudwatch_event_rule" "message" {
  for_each = local.messages

  name        = "pio-tf-${var.cluster}-${each.key}"
  description = each.value.description
  tags        = var.tags

  event_pattern = jsonencode({
    source      = ["aws.ec2"]
    detail-type = ["AWS API Call via CloudTrail"]
    detail = merge(each.value.answer, {
      eventSource       = ["ec2.amazonaws.com"]
      eventName         = ["StopInstances"]
      userIdentity      = { sessionContext = { sessionIssuer = { arn = each.value.roles } } }
      requestParameters = { instancesSet = { items = { instanceId = [var.driver_id] } } }
    })
  })

  lifecycle {
    precondition {
      condition     = split(":", var.topic_arn)[3] == var.region
      error_message = "The topic ${var.topic_arn} is not in ${var.region}: EventBridge sends messages only to topics in the region of the machines. Name another topic, or leave \"deadline\" out of notify.on."
    }
  }
}

resource "aws_cloudwatch_event_target" "message" {
  for_each = local.messages

  rule = aws_cloudwatch_event_rule.message[each.key].name
  arn  = var.topic_arn

  # Not jsonencode, which would write < and > as codes.
  input_transformer {
    input_paths    = merge({ machines = "$.detail.requestParameters.instancesSet.items[*].instanceId" }, each.value.paths)
    input_template = "\"pio-tf: ${var.cluster} (${var.region}): ${each.value.text}\""
  }
}
