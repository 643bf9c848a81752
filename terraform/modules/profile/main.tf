# The instance profile of the machines. Its role has the permissions for the calls that pio-tf's own programs make on
# the machines, and no others.

data "aws_partition" "current" {}

locals {
  # Session Manager's agent needs no more: "Create a custom IAM role for Session Manager" in its user guide.
  agent = ["ssm:UpdateInstanceInformation", "ssmmessages:CreateControlChannel", "ssmmessages:CreateDataChannel", "ssmmessages:OpenControlChannel", "ssmmessages:OpenDataChannel"]

  statements = [for one in [
    { Sid = "ReadArchives", Action = ["s3:GetObject"], Resource = [for object in var.archives : "arn:${data.aws_partition.current.partition}:s3:::${object}"] },
    { Sid = "SendMessages", Action = ["sns:Publish"], Resource = var.topic_arns },
    { Sid = "OpenSessions", Action = local.agent, Resource = var.sessions ? ["*"] : [] }, # AWS has no limit for them
  ] : merge(one, { Effect = "Allow" }) if length(one.Resource) > 0]
}

resource "aws_iam_role" "this" {
  name                 = var.name
  path                 = var.path
  description          = "Machines of cluster ${var.cluster}"
  permissions_boundary = var.permissions_boundary
  tags                 = var.tags

  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Action    = "sts:AssumeRole"
      Principal = { Service = "ec2.amazonaws.com${data.aws_partition.current.partition == "aws-cn" ? ".cn" : ""}" }
    }]
  })
}

resource "aws_iam_role_policy" "this" {
  count = length(local.statements) > 0 ? 1 : 0

  name   = "machines"
  role   = aws_iam_role.this.id
  policy = jsonencode({ Version = "2012-10-17", Statement = local.statements })
}

resource "aws_iam_instance_profile" "this" {
  name = var.name
  path = var.path
  role = aws_iam_role.this.name
  tags = var.tags
}
