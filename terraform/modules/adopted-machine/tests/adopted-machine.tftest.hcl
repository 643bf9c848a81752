mock_provider "aws" {
  mock_resource "aws_instance" {
    defaults = {
      id         = "i-0aaa"
      private_ip = "10.0.0.9"
    }
  }
}

variables {
  id      = "i-0aaa"
  name    = "worker-1"
  role    = "worker"
  cluster = "test"
  tags    = { team = "recommendations", "pio-tf:cluster" = "another" }
}

run "the_machine_gets_our_tags_one_by_one" {
  assert {
    condition     = { for key, tag in aws_ec2_tag.this : key => tag.value } == { "pio-tf:cluster" = "test", "pio-tf:machine" = "worker-1", "pio-tf:role" = "worker", team = "recommendations" }
    error_message = "our tags, which nothing overrides, and the user's"
  }

  assert {
    condition     = alltrue([for tag in aws_ec2_tag.this : tag.resource_id == "i-0aaa"])
    error_message = "on the machine"
  }

  assert {
    condition     = length(aws_cloudwatch_metric_alarm.idle) == 0
    error_message = "an alarm only if it is asked for"
  }
}

run "the_alarm_stops_it" {
  variables {
    idle_alarm = { seconds = 7200, action = "arn:aws:automate:us-east-1:ec2:stop" }
  }

  assert {
    condition     = aws_cloudwatch_metric_alarm.idle[0].dimensions == tomap({ InstanceId = "i-0aaa" }) && aws_cloudwatch_metric_alarm.idle[0].evaluation_periods == 24
    error_message = "after two hours of idle processors"
  }
}

run "another_machine_in_the_state_is_refused" {
  command = plan

  variables {
    id = "i-0bbb"
  }

  expect_failures = [aws_instance.this]
}

run "an_id_is_an_instance_id" {
  command = plan

  variables {
    id = "worker-1"
  }

  expect_failures = [var.id]
}

run "a_name_is_a_role_and_a_number" {
  command = plan

  variables {
    name = "worker-0"
  }

  expect_failures = [var.name]
}

run "a_role_is_one_of_three" {
  command = plan

  variables {
    role = "slave"
  }

  expect_failures = [var.role]
}

run "an_alarm_waits_an_hour_to_a_week" {
  command = plan

  variables {
    idle_alarm = { seconds = 60, action = "arn:aws:automate:us-east-1:ec2:stop" }
  }

  expect_failures = [var.idle_alarm]
}
