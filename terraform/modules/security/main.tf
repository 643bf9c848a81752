# One security group for all machines of the cluster. The rules are resources of their own: rules inside the group and
# rules beside it overwrite each other.

locals {
  open              = [for one in var.destinations : one if one.from_port == null]
  with_ports        = [for one in var.destinations : one if one.from_port != null]
  open_prefix_lists = compact(local.open[*].prefix_list_id)
  open_cidrs        = length(local.open) > 0 ? compact(local.open[*].cidr) : ["127.0.0.1/32"]
}

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

# One rule for all destinations with every port: at this address, older clusters have the rule for everything. It needs
# an address even if every destination has ports; connections to 127.0.0.1 never leave a machine.
resource "aws_security_group_rule" "egress" {
  security_group_id = aws_security_group.this.id
  type              = "egress"
  description       = "Elasticsearch, HBase, HDFS and package archives"
  protocol          = "-1"
  from_port         = 0
  to_port           = 0
  cidr_blocks       = local.open_cidrs
  prefix_list_ids   = length(local.open_prefix_lists) > 0 ? local.open_prefix_lists : null
}

resource "aws_security_group_rule" "egress_ports" {
  for_each = { for one in local.with_ports : "${coalesce(one.cidr, one.prefix_list_id)}:${one.from_port}-${one.to_port}" => one }

  security_group_id = aws_security_group.this.id
  type              = "egress"
  description       = "To ${each.key}"
  protocol          = "tcp"
  from_port         = each.value.from_port
  to_port           = each.value.to_port
  cidr_blocks       = each.value.cidr == null ? null : [each.value.cidr]
  prefix_list_ids   = each.value.cidr == null ? [each.value.prefix_list_id] : null
}

# Where the destinations leave out the cluster's own network.
resource "aws_security_group_rule" "egress_within" {
  count = contains(local.open_cidrs, "0.0.0.0/0") ? 0 : 1

  security_group_id = aws_security_group.this.id
  type              = "egress"
  description       = "Everything between the machines of the cluster"
  protocol          = "-1"
  from_port         = 0
  to_port           = 0
  self              = true
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
