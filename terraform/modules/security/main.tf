# One security group for all machines of the cluster. The rules are resources of their own: rules inside the group and
# rules beside it overwrite each other.

resource "aws_security_group" "this" {
  # checkov:skip=CKV2_AWS_5: It is attached to the instances of the module machine, which the check does not follow.
  name        = var.name
  description = "Machines of a pio-tf cluster" # never change it: that would replace the group
  vpc_id      = var.vpc_id
  tags        = merge(var.tags, { Name = var.name })

  lifecycle {
    prevent_destroy = true
  }
}

# Spark's executors, drivers and block managers choose their ports themselves.
resource "aws_security_group_rule" "within" {
  security_group_id = aws_security_group.this.id
  type              = "ingress"
  description       = "Everything between the machines of the cluster"
  protocol          = "-1"
  from_port         = 0
  to_port           = 0
  self              = true
}

resource "aws_security_group_rule" "egress" {
  # checkov:skip=CKV_AWS_382: The addresses and ports of Elasticsearch, HBase, HDFS and the archives are the user's.
  security_group_id = aws_security_group.this.id
  type              = "egress"
  description       = "Elasticsearch, HBase, HDFS and package archives"
  protocol          = "-1"
  from_port         = 0
  to_port           = 0
  cidr_blocks       = ["0.0.0.0/0"]
}

resource "aws_security_group_rule" "ssh" {
  for_each = toset(var.ssh_cidrs)

  security_group_id = aws_security_group.this.id
  type              = "ingress"
  description       = "SSH from ${each.value}"
  protocol          = "tcp"
  from_port         = var.ssh_port
  to_port           = var.ssh_port
  cidr_blocks       = [each.value]
}

resource "aws_security_group_rule" "ssh_from_group" {
  for_each = toset(var.ssh_security_group_ids)

  security_group_id        = aws_security_group.this.id
  type                     = "ingress"
  description              = "SSH from ${each.value}"
  protocol                 = "tcp"
  from_port                = var.ssh_port
  to_port                  = var.ssh_port
  source_security_group_id = each.value
}
