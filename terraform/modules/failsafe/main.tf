# The role that EventBridge Scheduler uses to stop the machines at a deadline, without any client. pio-tf creates the
# schedules before each start: a schedule that has fired removes itself, and would be drift here (terraform-provider-aws
# #38166). The idle alarms are in the module machine, one for each machine.

data "aws_partition" "current" {}

data "aws_caller_identity" "current" {}

# IAM has no regions. The name contains the region, so that two clusters of one name have two roles.
resource "aws_iam_role" "deadline" {
  count = var.role_arn == null && var.make_role ? 1 : 0

  name                 = "pio-tf-${var.cluster}-${var.region}"
  path                 = var.role_path
  description          = "EventBridge Scheduler stops the machines of cluster ${var.cluster} with it"
  permissions_boundary = var.permissions_boundary
  tags                 = var.tags

  # Only for this account's schedules: no other account may use the role through Scheduler.
  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Action    = "sts:AssumeRole"
      Principal = { Service = "scheduler.amazonaws.com" }
      Condition = { StringEquals = { "aws:SourceAccount" = data.aws_caller_identity.current.account_id } }
    }]
  })
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
      Resource  = "arn:${data.aws_partition.current.partition}:ec2:${var.region}:${data.aws_caller_identity.current.account_id}:instance/*"
      Condition = { StringEquals = { "ec2:ResourceTag/pio-tf:cluster" = var.cluster } }
    }]
  })
}
