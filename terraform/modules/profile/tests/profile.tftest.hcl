mock_provider "aws" {
  mock_data "aws_partition" {
    defaults = { partition = "aws-cn" }
  }
}

variables {
  cluster = "test"
  name    = "pio-ec2-test-cn-north-1"
}

run "the_role_may_do_nothing_that_no_option_asks_for" {
  command = plan

  assert {
    condition     = length(aws_iam_role_policy.this) == 0
    error_message = "no policy"
  }

  assert {
    condition = jsondecode(aws_iam_role.this.assume_role_policy).Statement == [{
      Effect    = "Allow"
      Action    = "sts:AssumeRole"
      Principal = { Service = "ec2.amazonaws.com.cn" }
    }]
    error_message = "EC2 alone may use the role"
  }

  assert {
    condition     = aws_iam_instance_profile.this.name == "pio-ec2-test-cn-north-1" && aws_iam_instance_profile.this.path == "/pio-tf/"
    error_message = "under a path of its own"
  }
}

run "the_role_may_do_what_the_options_ask_for_and_no_more" {
  command = plan

  variables {
    archives   = ["archives/pio-tf/*"]
    topic_arns = ["arn:aws-cn:sns:cn-north-1:123456789012:trainings"]
    sessions   = true
  }

  assert {
    condition = [for one in jsondecode(aws_iam_role_policy.this[0].policy).Statement : [one.Effect, one.Action, one.Resource]] == [
      ["Allow", ["s3:GetObject"], ["arn:aws-cn:s3:::archives/pio-tf/*"]],
      ["Allow", ["sns:Publish"], ["arn:aws-cn:sns:cn-north-1:123456789012:trainings"]],
      ["Allow", ["ssm:UpdateInstanceInformation", "ssmmessages:CreateControlChannel", "ssmmessages:CreateDataChannel", "ssmmessages:OpenControlChannel", "ssmmessages:OpenDataChannel"], ["*"]],
    ]
    error_message = "the archives, the topic and the agent's calls"
  }
}

run "the_path_begins_and_ends_with_a_slash" {
  command = plan

  variables {
    path = "pio-tf"
  }

  expect_failures = [var.path]
}
