mock_provider "aws" {}

variables {
  name   = "test"
  vpc_id = "vpc-0aaa"
}

run "nobody_may_open_ssh_unless_named" {
  command = plan

  assert {
    condition     = length(aws_security_group_rule.ssh) == 0
    error_message = "no rule lets SSH in"
  }

  assert {
    condition     = aws_security_group_rule.within.self && aws_security_group_rule.within.cidr_blocks == null
    error_message = "the one ingress rule is for the group itself"
  }
}

run "named_ranges_may_open_ssh_on_its_port_only" {
  command = plan

  variables {
    ssh_cidrs = ["192.0.2.0/24", "198.51.100.7/32"]
    ssh_port  = 2222
  }

  assert {
    condition     = toset(keys(aws_security_group_rule.ssh)) == toset(["192.0.2.0/24", "198.51.100.7/32"])
    error_message = "one rule a range"
  }

  assert {
    condition     = alltrue([for rule in aws_security_group_rule.ssh : rule.from_port == 2222 && rule.to_port == 2222])
    error_message = "the SSH port only"
  }
}

run "what_is_no_range_is_refused" {
  command = plan

  variables {
    ssh_cidrs = ["everybody"]
  }

  expect_failures = [var.ssh_cidrs]
}
