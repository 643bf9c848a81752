mock_provider "aws" {
  mock_data "aws_subnet" {
    defaults = {
      vpc_id     = "vpc-0aaa"
      cidr_block = "10.1.0.0/24"
    }
  }
}

variables {
  name = "test"
  tags = { team = "recommendations", Name = "another" }
}

run "a_new_network_has_no_way_to_the_internet_by_itself" {
  command = plan

  variables {
    cidr = "127.77.0.0/24"
  }

  assert {
    condition     = length(aws_vpc.this) == 1 && aws_subnet.this[0].cidr_block == "127.77.0.0/24"
    error_message = "a VPC and a subnet of that range"
  }

  assert {
    condition     = aws_vpc.this[0].cidr_block == "127.77.0.0/24" && output.cidr == "127.77.0.0/24"
    error_message = "the subnet is all of the VPC"
  }

  assert {
    condition     = aws_vpc.this[0].enable_dns_support && aws_vpc.this[0].enable_dns_hostnames
    error_message = "HBase and HDFS look names up, and back"
  }

  assert {
    condition     = length(aws_internet_gateway.this) == 0 && length(aws_route.internet) == 0
    error_message = "no gateway was asked for"
  }

  assert {
    condition     = aws_subnet.this[0].map_public_ip_on_launch == false
    error_message = "no public addresses were asked for"
  }
}

run "what_is_made_is_named_and_tagged" {
  command = plan

  variables {
    cidr             = "127.77.0.0/24"
    internet_gateway = true
  }

  assert {
    condition = [aws_vpc.this[0].tags, aws_subnet.this[0].tags, aws_internet_gateway.this[0].tags] == [
      for _ in range(3) : tomap({ Name = "test", team = "recommendations" })
    ]
    error_message = "the module's name, which nothing overrides, and the user's tags"
  }
}

run "a_gateway_comes_with_a_default_route" {
  command = plan

  variables {
    cidr              = "127.77.0.0/24"
    availability_zone = "eu-west-1b"
    internet_gateway  = true
    public_ips        = true
  }

  assert {
    condition     = aws_route.internet[0].destination_cidr_block == "0.0.0.0/0"
    error_message = "the default route"
  }

  assert {
    condition     = aws_subnet.this[0].map_public_ip_on_launch
    error_message = "public addresses, by the subnet: a machine that is stopped must not differ from one that runs"
  }

  assert {
    condition     = aws_subnet.this[0].availability_zone == "eu-west-1b"
    error_message = "the zone"
  }
}

run "an_existing_subnet_is_used_as_it_is" {
  command = plan

  variables {
    vpc_id           = "vpc-0aaa"
    subnet_id        = "subnet-0bbb"
    internet_gateway = true
  }

  assert {
    condition     = length(aws_vpc.this) == 0 && length(aws_subnet.this) == 0
    error_message = "no network is made"
  }

  assert {
    condition     = length(aws_internet_gateway.this) == 0 && length(aws_route.internet) == 0
    error_message = "nor an internet gateway for an existing network"
  }

  assert {
    condition     = output.cidr == "10.1.0.0/24" && output.vpc_id == "vpc-0aaa" && output.subnet_id == "subnet-0bbb"
    error_message = "its range is read"
  }
}

run "a_subnet_of_another_vpc_is_refused" {
  command = plan

  variables {
    vpc_id    = "vpc-0ccc"
    subnet_id = "subnet-0bbb"
  }

  expect_failures = [data.aws_subnet.existing]
}

run "no_network_at_all_is_refused" {
  command = plan

  expect_failures = [data.aws_subnet.existing]
}

run "a_vpc_without_its_subnet_is_refused" {
  command = plan

  variables {
    vpc_id = "vpc-0aaa"
  }

  expect_failures = [data.aws_subnet.existing]
}

run "a_new_and_an_existing_network_at_once_are_refused" {
  command = plan

  variables {
    cidr      = "10.1.0.0/24"
    vpc_id    = "vpc-0aaa"
    subnet_id = "subnet-0bbb"
  }

  expect_failures = [aws_vpc.this]
}

run "public_addresses_are_not_for_an_existing_subnet_to_change" {
  command = plan

  variables {
    vpc_id     = "vpc-0aaa"
    subnet_id  = "subnet-0bbb"
    public_ips = true
  }

  expect_failures = [data.aws_subnet.existing]
}

run "the_largest_range_that_aws_takes_is_taken" {
  command = plan

  variables {
    cidr = "10.1.0.0/16"
  }

  assert {
    condition     = output.cidr == "10.1.0.0/16"
    error_message = "a /16"
  }
}

run "the_smallest_range_that_aws_takes_is_taken" {
  command = plan

  variables {
    cidr = "10.1.0.0/28"
  }

  assert {
    condition     = output.cidr == "10.1.0.0/28"
    error_message = "a /28"
  }
}

run "a_larger_range_is_refused" {
  command = plan

  variables {
    cidr = "10.0.0.0/15"
  }

  expect_failures = [var.cidr]
}

run "a_smaller_range_is_refused" {
  command = plan

  variables {
    cidr = "10.0.0.0/29"
  }

  expect_failures = [var.cidr]
}

run "what_is_no_range_is_refused" {
  command = plan

  variables {
    cidr = "10.0.0.0"
  }

  expect_failures = [var.cidr]
}

run "a_range_of_ipv6_is_refused" {
  command = plan

  variables {
    cidr = "2001:db8::/28"
  }

  expect_failures = [var.cidr]
}

run "a_range_that_begins_in_its_middle_is_refused" {
  command = plan

  variables {
    cidr = "10.1.0.5/24"
  }

  expect_failures = [var.cidr]
}

run "ids_of_something_else_are_refused" {
  command = plan

  variables {
    vpc_id    = "subnet-0aaa"
    subnet_id = "vpc-0aaa"
  }

  expect_failures = [var.vpc_id, var.subnet_id]
}
