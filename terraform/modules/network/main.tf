# A new VPC with one subnet (cidr), or an existing subnet of an existing VPC (vpc_id, subnet_id).

locals {
  create = var.cidr != null
  tags   = merge(var.tags, { Name = var.name })
}

resource "aws_vpc" "this" {
  # checkov:skip=CKV2_AWS_11: AWS bills flow logs, and they need a role; if you need them, use an existing network.
  # checkov:skip=CKV2_AWS_12: No machine is in the default group, and pio-tf does not touch it without the cluster's tag.
  count = local.create ? 1 : 0

  cidr_block           = var.cidr
  enable_dns_support   = true
  enable_dns_hostnames = true
  tags                 = local.tags

  lifecycle {
    prevent_destroy = true

    precondition {
      condition     = var.vpc_id == null && var.subnet_id == null
      error_message = "The cidr ${coalesce(var.cidr, "-")} is for a new network, vpc_id and subnet_id are for an existing one. Give one or the other."
    }
  }
}

resource "aws_subnet" "this" {
  # checkov:skip=CKV_AWS_130: Only if public_ips asks for it; pio-tf's guard refuses it without a waiver.
  count = local.create ? 1 : 0

  vpc_id                  = aws_vpc.this[0].id
  cidr_block              = var.cidr
  availability_zone       = var.availability_zone
  map_public_ip_on_launch = var.public_ips
  tags                    = local.tags

  lifecycle {
    prevent_destroy = true
  }
}

resource "aws_internet_gateway" "this" {
  count = local.create && var.internet_gateway ? 1 : 0

  vpc_id = aws_vpc.this[0].id
  tags   = local.tags
}

resource "aws_route" "internet" {
  count = local.create && var.internet_gateway ? 1 : 0

  route_table_id         = aws_vpc.this[0].main_route_table_id
  destination_cidr_block = "0.0.0.0/0"
  gateway_id             = aws_internet_gateway.this[0].id
}

data "aws_subnet" "existing" {
  count = local.create ? 0 : 1

  id = var.subnet_id

  lifecycle {
    precondition {
      condition     = var.vpc_id != null && var.subnet_id != null
      error_message = "An existing network needs both vpc_id and subnet_id; for a new one, give cidr."
    }

    precondition {
      condition     = !var.public_ips && var.availability_zone == null
      error_message = "The existing subnet determines public_ips and availability_zone. Omit them, or give cidr for a new subnet."
    }

    postcondition {
      condition     = self.vpc_id == var.vpc_id
      error_message = "Subnet ${self.id} is in ${self.vpc_id}, not in ${coalesce(var.vpc_id, "the VPC that was given")}. Give the subnet's own VPC as vpc_id, or a subnet of that VPC."
    }
  }
}
