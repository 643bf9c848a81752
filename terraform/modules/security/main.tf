# One security group for all machines of the cluster. The rules are resources of their own: rules inside the group and
# rules beside it overwrite each other.

resource "aws_security_group" "this" {
  name        = var.name
  description = "Machines of a pio-tf cluster" # a change would replace the group: leave it as it is
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
