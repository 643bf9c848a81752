output "vpc_id" {
  description = "The VPC."
  value       = local.create ? aws_vpc.this[0].id : data.aws_subnet.existing[0].vpc_id
}

output "subnet_id" {
  description = "The subnet."
  value       = local.create ? aws_subnet.this[0].id : data.aws_subnet.existing[0].id

  # A machine installs its software at its first boot, and AWS refuses an Elastic IP without a gateway: the route to the
  # internet must exist before any resource in the subnet.
  depends_on = [aws_route.internet]
}

output "availability_zone" {
  description = "The subnet's availability zone."
  value       = local.create ? aws_subnet.this[0].availability_zone : data.aws_subnet.existing[0].availability_zone
}

output "cidr" {
  description = "The subnet's address range."
  value       = local.create ? var.cidr : data.aws_subnet.existing[0].cidr_block
}
