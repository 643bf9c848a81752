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
    condition     = length(aws_internet_gateway.this) == 0 && length(aws_route.internet) == 0
    error_message = "no gateway was asked for"
  }

  assert {
    condition     = aws_subnet.this[0].map_public_ip_on_launch == false
    error_message = "no public addresses were asked for"
  }
}

run "a_gateway_comes_with_a_default_route" {
  command = plan

  variables {
    cidr             = "127.77.0.0/24"
    internet_gateway = true
    public_ips       = true
  }

  assert {
    condition     = aws_route.internet[0].destination_cidr_block == "0.0.0.0/0"
    error_message = "the default route"
  }
}

run "an_existing_subnet_is_used_as_it_is" {
  command = plan

  variables {
    vpc_id    = "vpc-0aaa"
    subnet_id = "subnet-0bbb"
  }

  assert {
    condition     = length(aws_vpc.this) == 0 && output.cidr == "10.1.0.0/24"
    error_message = "nothing is made, and the range is read"
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

run "a_range_that_aws_does_not_take_is_refused" {
  command = plan

  variables {
    cidr = "10.0.0.0/8"
  }

  expect_failures = [var.cidr]
}
