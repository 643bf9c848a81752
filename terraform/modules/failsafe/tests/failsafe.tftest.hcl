mock_provider "aws" {
  mock_data "aws_partition" {
    defaults = { partition = "aws-cn" }
  }
  mock_data "aws_caller_identity" {
    defaults = { account_id = "123456789012" }
  }
}

variables {
  cluster = "test"
  region  = "cn-north-1"
}

run "the_role_may_stop_this_cluster_s_machines_and_nothing_else" {
  command = plan

  assert {
    condition = jsondecode(aws_iam_role_policy.deadline[0].policy).Statement == [{
      Sid       = "StopMachines"
      Effect    = "Allow"
      Action    = "ec2:StopInstances"
      Resource  = "arn:aws-cn:ec2:cn-north-1:123456789012:instance/*"
      Condition = { StringEquals = { "ec2:ResourceTag/pio-tf:cluster" = "test" } }
    }]
    error_message = "one action, on what carries the cluster's tag"
  }
}

run "only_scheduler_takes_it_on_and_only_for_this_account" {
  command = plan

  assert {
    condition = jsondecode(aws_iam_role.deadline[0].assume_role_policy).Statement == [{
      Effect    = "Allow"
      Action    = "sts:AssumeRole"
      Principal = { Service = "scheduler.amazonaws.com" }
      Condition = { StringEquals = { "aws:SourceAccount" = "123456789012" } }
    }]
    error_message = "one principal, one account"
  }

  assert {
    condition     = aws_iam_role.deadline[0].name == "pio-tf-test-cn-north-1" && aws_iam_role.deadline[0].path == "/pio-tf/"
    error_message = "unique in the account, under a path of its own"
  }
}

run "an_existing_role_is_used_and_none_is_made" {
  command = plan

  variables {
    role_arn = "arn:aws:iam::123456789012:role/stopper"
  }

  assert {
    condition     = output.role_arn == "arn:aws:iam::123456789012:role/stopper" && length(aws_iam_role.deadline) == 0 && length(aws_iam_role_policy.deadline) == 0
    error_message = "that role"
  }
}

run "without_a_role_there_is_none" {
  command = plan

  variables {
    make_role = false
  }

  assert {
    condition     = output.role_arn == null && length(aws_iam_role.deadline) == 0
    error_message = "no role"
  }
}

run "the_stop_action_is_the_region_s" {
  command = plan

  assert {
    condition     = output.stop_action == "arn:aws-cn:automate:cn-north-1:ec2:stop"
    error_message = "CloudWatch's EC2 action"
  }
}

run "what_is_no_role_is_refused" {
  command = plan

  variables {
    role_arn = "stopper"
  }

  expect_failures = [var.role_arn]
}

run "a_path_has_slashes_around_it" {
  command = plan

  variables {
    role_path = "pio-tf"
  }

  expect_failures = [var.role_path]
}

run "without_a_schedule_there_is_no_role_for_one" {
  command = plan

  assert {
    condition     = output.schedule_role_arn == null && length(aws_iam_role.schedule) == 0 && length(aws_iam_role_policy.schedule) == 0
    error_message = "no second role"
  }
}

run "the_schedule_s_role_marks_machines_and_switches_only_marked_ones" {
  command = plan

  variables {
    make_schedule_role = true
  }

  assert {
    condition = jsondecode(aws_iam_role_policy.schedule[0].policy).Statement == [
      {
        Sid      = "MarkMachines"
        Effect   = "Allow"
        Action   = "ec2:CreateTags"
        Resource = "arn:aws-cn:ec2:cn-north-1:123456789012:instance/*"
        Condition = {
          StringEquals                = { "ec2:ResourceTag/pio-tf:cluster" = "test" }
          "ForAllValues:StringEquals" = { "aws:TagKeys" = ["pio-tf:scheduled-start"] }
        }
      },
      {
        Sid      = "StartAndStopMarkedMachines"
        Effect   = "Allow"
        Action   = ["ec2:StartInstances", "ec2:StopInstances"]
        Resource = "arn:aws-cn:ec2:cn-north-1:123456789012:instance/*"
        Condition = {
          StringEquals = { "ec2:ResourceTag/pio-tf:cluster" = "test" }
          StringLike   = { "ec2:ResourceTag/pio-tf:scheduled-start" = "?*" }
        }
      },
    ]
    error_message = "one tag, and machines of this cluster with it"
  }

  assert {
    condition     = aws_iam_role.schedule[0].assume_role_policy == aws_iam_role.deadline[0].assume_role_policy && aws_iam_role.schedule[0].name == "pio-tf-test-cn-north-1-s"
    error_message = "for Scheduler in this account, under a name of its own"
  }
}

run "an_existing_role_for_schedules_is_used" {
  command = plan

  variables {
    make_schedule_role = true
    schedule_role_arn  = "arn:aws:iam::123456789012:role/scheduler"
  }

  assert {
    condition     = output.schedule_role_arn == "arn:aws:iam::123456789012:role/scheduler" && length(aws_iam_role.schedule) == 0
    error_message = "that role"
  }
}

run "what_is_no_role_for_schedules_is_refused" {
  command = plan

  variables {
    schedule_role_arn = "scheduler"
  }

  expect_failures = [var.schedule_role_arn]
}

run "without_a_topic_there_are_no_rules" {
  command = plan

  assert {
    condition     = length(aws_cloudwatch_event_rule.message) == 0 && length(aws_cloudwatch_event_target.message) == 0
    error_message = "no rule"
  }
}

run "without_a_role_there_are_no_rules" {
  command = plan

  variables {
    make_role = false
    topic_arn = "arn:aws-cn:sns:cn-north-1:123456789012:trainings"
  }

  assert {
    condition     = length(aws_cloudwatch_event_rule.message) == 0
    error_message = "no deadline, no message"
  }
}

run "calls_of_the_role_that_stop_running_machines_or_fail_are_messages" {
  command = plan

  variables {
    role_arn  = "arn:aws:iam::123456789012:role/stopper"
    topic_arn = "arn:aws-cn:sns:cn-north-1:123456789012:trainings"
    driver_id = "i-0d"
  }

  assert {
    condition = jsondecode(aws_cloudwatch_event_rule.message["deadline"].event_pattern) == {
      source      = ["aws.ec2"]
      detail-type = ["AWS API Call via CloudTrail"]
      detail = {
        eventSource       = ["ec2.amazonaws.com"]
        eventName         = ["StopInstances"]
        userIdentity      = { sessionContext = { sessionIssuer = { arn = ["arn:aws:iam::123456789012:role/stopper"] } } }
        requestParameters = { instancesSet = { items = { instanceId = ["i-0d"] } } }
        responseElements  = { instancesSet = { items = { previousState = { name = ["pending", "running"] } } } }
      }
    }
    error_message = "machines that ran"
  }

  assert {
    condition     = length(jsondecode(aws_cloudwatch_event_rule.message["deadline-failed"].event_pattern).detail.errorCode[0].anything-but) == 3
    error_message = "errors that a retry does not remove"
  }

  assert {
    condition = alltrue([
      for name, target in aws_cloudwatch_event_target.message :
      target.arn == "arn:aws-cn:sns:cn-north-1:123456789012:trainings" && target.rule == "pio-tf-test-${name}" && can(jsondecode(target.input_transformer[0].input_template))
    ])
    error_message = "to the topic, as a string of JSON"
  }
}

run "stops_of_the_schedule_are_messages_but_not_its_refusal_after_a_client_has_taken_over" {
  command = plan

  variables {
    role_arn          = "arn:aws:iam::123456789012:role/stopper"
    schedule_role_arn = "arn:aws:iam::123456789012:role/trainer"
    topic_arn         = "arn:aws-cn:sns:cn-north-1:123456789012:trainings"
    driver_id         = "i-0d"
  }

  assert {
    condition = {
      for name, rule in aws_cloudwatch_event_rule.message :
      name => [for arn in jsondecode(rule.event_pattern).detail.userIdentity.sessionContext.sessionIssuer.arn : basename(arn)]
      } == {
      deadline          = ["stopper", "trainer"]
      deadline-failed   = ["stopper"]
      deadline-failed-s = ["trainer"]
    }
    error_message = "each rule follows the calls of its own roles"
  }

  assert {
    condition     = contains(jsondecode(aws_cloudwatch_event_rule.message["deadline-failed-s"].event_pattern).detail.errorCode[0].anything-but, "Client.UnauthorizedOperation")
    error_message = "it may not stop machines without its mark"
  }
}

run "a_topic_in_another_region_is_refused" {
  command = plan

  variables {
    topic_arn = "arn:aws-cn:sns:cn-northwest-1:123456789012:trainings"
  }

  expect_failures = [aws_cloudwatch_event_rule.message]
}

run "what_is_no_topic_is_refused" {
  command = plan

  variables {
    topic_arn = "trainings"
  }

  expect_failures = [var.topic_arn]
}

run "a_scheduled_start_may_use_the_key_of_the_disks" {
  command = plan

  variables {
    make_schedule_role = true
    kms_key_id         = "arn:aws:kms:eu-west-1:123456789012:key/1234"
  }

  assert {
    condition = [
      for one in jsondecode(aws_iam_role_policy.schedule[0].policy).Statement : [one.Action, one.Resource] if one.Sid == "StartWithDiskKey"
    ] == [["kms:CreateGrant", "arn:aws:kms:eu-west-1:123456789012:key/1234"]]
    error_message = "EC2 decrypts the disks with a grant of the role"
  }
}

run "an_alias_limits_it_to_the_key_that_has_it" {
  command = plan

  variables {
    make_schedule_role = true
    kms_key_id         = "arn:aws:kms:eu-west-1:123456789012:alias/disks"
  }

  assert {
    condition = [
      for one in jsondecode(aws_iam_role_policy.schedule[0].policy).Statement :
      [one.Resource, one.Condition["ForAnyValue:StringEquals"]["kms:ResourceAliases"], one.Condition.Bool["kms:GrantIsForAWSResource"]] if one.Sid == "StartWithDiskKey"
    ] == [["arn:aws:kms:eu-west-1:123456789012:key/*", "alias/disks", "true"]]
    error_message = "a permission for an alias is none for its key"
  }
}
