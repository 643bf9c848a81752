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

  assert {
    condition     = aws_security_group_rule.within.type == "ingress" && aws_security_group_rule.within.protocol == "-1"
    error_message = "for all of it: executors, drivers and block managers choose their ports"
  }
}

run "machines_may_connect_to_anything" {
  command = plan

  assert {
    condition     = aws_security_group_rule.egress.type == "egress" && aws_security_group_rule.egress.protocol == "-1"
    error_message = "outwards, every port"
  }

  assert {
    condition     = aws_security_group_rule.egress.cidr_blocks == tolist(["0.0.0.0/0"])
    error_message = "of every address"
  }
}

run "the_group_is_named_and_tagged_and_its_description_never_changes" {
  command = plan

  variables {
    tags = { team = "recommendations", Name = "another" }
  }

  assert {
    condition     = aws_security_group.this.name == "test" && aws_security_group.this.vpc_id == "vpc-0aaa"
    error_message = "its name and its VPC"
  }

  assert {
    condition     = aws_security_group.this.tags == tomap({ Name = "test", team = "recommendations" })
    error_message = "the module's name, which nothing overrides, and the user's tags"
  }

  assert {
    condition     = aws_security_group.this.description == "Machines of a pio-tf cluster"
    error_message = "another description would replace the group of every cluster that there is"
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

  assert {
    condition     = alltrue([for rule in aws_security_group_rule.ssh : rule.type == "ingress" && rule.protocol == "tcp"])
    error_message = "inwards, over TCP"
  }

  assert {
    condition     = alltrue([for cidr, rule in aws_security_group_rule.ssh : rule.cidr_blocks == tolist([cidr])])
    error_message = "each for its own range"
  }
}

run "a_range_that_is_named_twice_is_one_rule" {
  command = plan

  variables {
    ssh_cidrs = ["192.0.2.0/24", "192.0.2.0/24"]
  }

  assert {
    condition     = length(aws_security_group_rule.ssh) == 1
    error_message = "AWS refuses the same rule a second time"
  }
}

run "what_is_no_range_is_refused" {
  command = plan

  variables {
    ssh_cidrs = ["192.0.2.0/24", "everybody"]
  }

  expect_failures = [var.ssh_cidrs]
}

run "a_range_of_ipv6_is_refused" {
  command = plan

  variables {
    ssh_cidrs = ["2001:db8::/32"]
  }

  expect_failures = [var.ssh_cidrs]
}

run "a_range_that_begins_in_its_middle_is_refused" {
  command = plan

  variables {
    ssh_cidrs = ["192.0.2.7/24"]
  }

  expect_failures = [var.ssh_cidrs]
}

run "a_name_that_aws_keeps_for_itself_is_refused" {
  command = plan

  variables {
    name = "sg-test"
  }

  expect_failures = [var.name]
}

run "port_0_is_refused" {
  command = plan

  variables {
    ssh_port = 0
  }

  expect_failures = [var.ssh_port]
}

run "a_port_that_does_not_exist_is_refused" {
  command = plan

  variables {
    ssh_port = 65536
  }

  expect_failures = [var.ssh_port]
}

run "members_of_named_groups_may_open_ssh_on_its_port_only" {
  command = plan

  variables {
    ssh_security_group_ids = ["sg-0a1b2c3d", "sg-0a1b2c3d"]
    ssh_port               = 2222
  }

  assert {
    condition     = length(aws_security_group_rule.ssh) == 0
    error_message = "no range may"
  }

  assert {
    condition     = aws_security_group_rule.ssh_from_group["sg-0a1b2c3d"].source_security_group_id == "sg-0a1b2c3d"
    error_message = "the group is the source"
  }

  assert {
    condition     = alltrue([for rule in aws_security_group_rule.ssh_from_group : [rule.type, rule.protocol, rule.from_port, rule.to_port] == ["ingress", "tcp", 2222, 2222]])
    error_message = "inwards, over TCP, at the SSH port"
  }
}

run "machines_may_connect_to_the_named_destinations_and_to_each_other" {
  command = plan

  variables {
    destinations = [
      { cidr = "10.0.0.0/8" },
      { prefix_list_id = "pl-0a1b2c3d" },
      { cidr = "0.0.0.0/0", from_port = 443, to_port = 443 },
      { prefix_list_id = "pl-0b1b2c3d", from_port = 9000, to_port = 9100 },
    ]
  }

  assert {
    condition     = aws_security_group_rule.egress.cidr_blocks == tolist(["10.0.0.0/8"]) && aws_security_group_rule.egress.prefix_list_ids == tolist(["pl-0a1b2c3d"])
    error_message = "those without ports"
  }

  assert {
    condition = { for name, rule in aws_security_group_rule.egress_ports : name => [rule.protocol, rule.from_port, rule.to_port] } == {
      "0.0.0.0/0:443-443"     = ["tcp", 443, 443]
      "pl-0b1b2c3d:9000-9100" = ["tcp", 9000, 9100]
    }
    error_message = "those with ports"
  }

  assert {
    condition     = aws_security_group_rule.egress_within[0].self && aws_security_group_rule.egress_within[0].type == "egress"
    error_message = "and the machines of the cluster"
  }
}

run "with_ports_everywhere_no_other_port_is_open" {
  command = plan

  variables {
    destinations = [{ cidr = "0.0.0.0/0", from_port = 443, to_port = 443 }]
  }

  assert {
    condition     = aws_security_group_rule.egress.cidr_blocks == tolist(["127.0.0.1/32"])
    error_message = "the rule without ports allows what never leaves a machine"
  }
}

run "a_destination_is_a_range_or_a_prefix_list" {
  command = plan

  variables {
    destinations = [{ cidr = "10.0.0.0/8", prefix_list_id = "pl-0a1b2c3d" }]
  }

  expect_failures = [var.destinations]
}

run "ports_are_in_order" {
  command = plan

  variables {
    destinations = [{ cidr = "10.0.0.0/8", from_port = 443, to_port = 80 }]
  }

  expect_failures = [var.destinations]
}
