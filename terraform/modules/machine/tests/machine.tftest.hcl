mock_provider "aws" {}

variables {
  name               = "worker-1"
  role               = "worker"
  cluster            = "test"
  subnet_id          = "subnet-0aaa"
  security_group_ids = ["sg-0aaa"]
  instance_type      = "r5.xlarge"
  ami                = "ami-0aaa"
  key_name           = "key"
  user_data_base64   = "IyEvYmluL2Jhc2gK"
  tags               = { team = "recommendations", "pio-tf:cluster" = "another" }
}

run "a_machine_is_protected_encrypted_and_found_by_its_tags" {
  command = plan

  assert {
    condition     = one(aws_instance.this.root_block_device).encrypted && one(aws_instance.this.root_block_device).volume_type == "gp3"
    error_message = "an encrypted gp3 root disk"
  }

  assert {
    condition     = one(aws_instance.this.metadata_options).http_tokens == "required" && one(aws_instance.this.metadata_options).http_put_response_hop_limit == 1
    error_message = "IMDSv2, one hop"
  }

  assert {
    condition     = aws_instance.this.instance_initiated_shutdown_behavior == "stop"
    error_message = "a shutdown inside must not terminate it"
  }

  assert {
    condition = aws_instance.this.tags == tomap({
      "Name"           = "test-worker-1"
      "pio-tf:cluster" = "test"
      "pio-tf:machine" = "worker-1"
      "pio-tf:role"    = "worker"
      "team"           = "recommendations"
    })
    error_message = "our tags, which nothing overrides, and the user's"
  }

  assert {
    condition     = one(aws_instance.this.root_block_device).tags == aws_instance.this.tags
    error_message = "the disk carries them too"
  }
}

run "a_machine_is_made_where_and_of_what_it_is_told" {
  command = plan

  assert {
    condition     = aws_instance.this.instance_type == "r5.xlarge" && aws_instance.this.ami == "ami-0aaa"
    error_message = "the type and the image"
  }

  assert {
    condition     = aws_instance.this.subnet_id == "subnet-0aaa" && aws_instance.this.key_name == "key"
    error_message = "the subnet and the key pair"
  }

  assert {
    condition     = aws_instance.this.vpc_security_group_ids == toset(["sg-0aaa"])
    error_message = "the security groups"
  }

  assert {
    condition     = one(aws_instance.this.root_block_device).volume_size == 50
    error_message = "the size of the disk"
  }

  assert {
    condition     = one(aws_instance.this.root_block_device).delete_on_termination
    error_message = "a disk that outlives its machine is billed, and has no owner"
  }
}

run "a_driver_is_tagged_as_one" {
  command = plan

  variables {
    name = "driver"
    role = "driver"
  }

  assert {
    condition     = aws_instance.this.tags["pio-tf:role"] == "driver" && aws_instance.this.tags["Name"] == "test-driver"
    error_message = "its role and its name"
  }
}

run "a_machine_has_a_name_of_its_cluster" {
  command = plan

  variables {
    name = "worker-01"
  }

  expect_failures = [var.name]
}

run "a_master_has_no_number" {
  command = plan

  variables {
    name = "master-1"
    role = "master"
  }

  expect_failures = [var.name]
}

run "an_address_of_ipv6_is_refused" {
  command = plan

  variables {
    private_ip = "2001:db8::1"
  }

  expect_failures = [var.private_ip]
}

run "the_smallest_disk_is_taken" {
  command = plan

  variables {
    root_volume_gib = 8
  }

  assert {
    condition     = one(aws_instance.this.root_block_device).volume_size == 8
    error_message = "8 GiB"
  }
}

run "the_largest_disk_is_taken" {
  command = plan

  variables {
    root_volume_gib = 16384
  }

  assert {
    condition     = one(aws_instance.this.root_block_device).volume_size == 16384
    error_message = "16 TiB, which is what gp3 has"
  }
}

run "a_larger_disk_is_refused" {
  command = plan

  variables {
    root_volume_gib = 16385
  }

  expect_failures = [var.root_volume_gib]
}

run "no_alarm_is_made_unless_asked_for" {
  command = plan

  assert {
    condition     = length(aws_cloudwatch_metric_alarm.idle) == 0
    error_message = "none was asked for"
  }
}

run "an_idle_machine_is_stopped_and_one_that_is_off_is_no_alarm" {
  command = plan

  variables {
    idle_alarm = { seconds = 10800, action = "arn:aws:automate:eu-west-1:ec2:stop" }
  }

  assert {
    condition     = aws_cloudwatch_metric_alarm.idle[0].alarm_actions == toset(["arn:aws:automate:eu-west-1:ec2:stop"])
    error_message = "it stops the machine"
  }

  assert {
    condition     = aws_cloudwatch_metric_alarm.idle[0].treat_missing_data == "notBreaching"
    error_message = "a machine that is off sends no data"
  }

  assert {
    condition     = aws_cloudwatch_metric_alarm.idle[0].period * aws_cloudwatch_metric_alarm.idle[0].evaluation_periods >= 10800
    error_message = "not before that time"
  }

  assert {
    condition     = aws_cloudwatch_metric_alarm.idle[0].datapoints_to_alarm == aws_cloudwatch_metric_alarm.idle[0].evaluation_periods
    error_message = "idle all the time, not now and then"
  }
}

run "an_alarm_within_the_hour_is_refused" {
  command = plan

  variables {
    idle_alarm = { seconds = 3599, action = "arn:aws:automate:eu-west-1:ec2:stop" }
  }

  expect_failures = [var.idle_alarm]
}

run "an_alarm_after_more_than_a_week_is_refused" {
  command = plan

  variables {
    idle_alarm = { seconds = 604801, action = "arn:aws:automate:eu-west-1:ec2:stop" }
  }

  expect_failures = [var.idle_alarm]
}

run "an_address_can_be_fixed" {
  command = plan

  variables {
    private_ip = "127.77.0.12"
  }

  assert {
    condition     = aws_instance.this.private_ip == "127.77.0.12"
    error_message = "the address"
  }
}

run "wrong_values_are_refused" {
  command = plan

  variables {
    name             = "worker-0"
    role             = "boss"
    private_ip       = "127.77.0.300"
    root_volume_gib  = 4
    user_data_base64 = join("", [for _ in range(700) : "thirty-two bytes, or a bit more ."])
  }

  expect_failures = [var.name, var.role, var.private_ip, var.root_volume_gib, var.user_data_base64]
}

run "an_idle_machine_is_stopped_after_hours_and_no_data_is_no_idleness" {
  command = plan

  variables {
    idle_alarm = { seconds = 14400, action = "arn:aws:automate:eu-west-1:ec2:stop" }
  }

  assert {
    condition     = aws_cloudwatch_metric_alarm.idle[0].alarm_actions == toset(["arn:aws:automate:eu-west-1:ec2:stop"])
    error_message = "it stops the machine"
  }

  assert {
    condition     = aws_cloudwatch_metric_alarm.idle[0].period == 300 && aws_cloudwatch_metric_alarm.idle[0].evaluation_periods == 48 && aws_cloudwatch_metric_alarm.idle[0].datapoints_to_alarm == 48
    error_message = "every five minutes of four hours"
  }

  assert {
    condition     = aws_cloudwatch_metric_alarm.idle[0].treat_missing_data == "notBreaching"
    error_message = "a stopped machine sends no data"
  }

  assert {
    condition     = aws_cloudwatch_metric_alarm.idle[0].metric_name == "CPUUtilization" && aws_cloudwatch_metric_alarm.idle[0].comparison_operator == "LessThanThreshold" && aws_cloudwatch_metric_alarm.idle[0].threshold == 1
    error_message = "less than one percent"
  }

  assert {
    condition     = aws_cloudwatch_metric_alarm.idle[0].alarm_name == "pio-tf/test/worker-1/idle"
    error_message = "found by cluster and machine"
  }
}

run "more_than_a_day_is_counted_in_hours" {
  command = plan

  variables {
    idle_alarm = { seconds = 93600, action = "arn:aws:automate:eu-west-1:ec2:stop" }
  }

  assert {
    condition     = aws_cloudwatch_metric_alarm.idle[0].period == 3600 && aws_cloudwatch_metric_alarm.idle[0].evaluation_periods == 26
    error_message = "CloudWatch looks back a day in shorter periods"
  }
}

run "a_machine_has_no_scratch_volume_and_no_termination_protection_unless_asked" {
  command = plan

  assert {
    condition     = length(aws_ebs_volume.scratch) == 0 && length(aws_volume_attachment.scratch) == 0
    error_message = "no volume"
  }

  assert {
    condition     = aws_instance.this.disable_api_termination == false
    error_message = "AWS terminates it when asked"
  }

  assert {
    condition     = aws_instance.this.volume_tags == null
    error_message = "the provider tags the disk later"
  }
}

run "disks_are_as_asked" {
  command = plan

  variables {
    termination_protection = true
    disks = {
      kms_key_id        = "arn:aws:kms:eu-west-1:123456789012:key/1234"
      availability_zone = "eu-west-1a"
      root              = { type = "io2", iops = 5000 }
      scratch           = { gib = 200, iops = 4000, throughput = 500 }
    }
  }

  assert {
    condition     = one(aws_instance.this.root_block_device).volume_type == "io2" && one(aws_instance.this.root_block_device).iops == 5000
    error_message = "the root disk"
  }

  assert {
    condition     = one(aws_instance.this.root_block_device).kms_key_id == aws_ebs_volume.scratch[0].kms_key_id && aws_ebs_volume.scratch[0].kms_key_id == "arn:aws:kms:eu-west-1:123456789012:key/1234"
    error_message = "both disks with the key"
  }

  assert {
    condition     = aws_ebs_volume.scratch[0].encrypted && aws_ebs_volume.scratch[0].size == 200 && aws_ebs_volume.scratch[0].type == "gp3"
    error_message = "an encrypted volume"
  }

  assert {
    condition     = aws_ebs_volume.scratch[0].iops == 4000 && aws_ebs_volume.scratch[0].throughput == 500 && aws_ebs_volume.scratch[0].availability_zone == "eu-west-1a"
    error_message = "as fast as asked, in the machine's zone"
  }

  assert {
    condition     = aws_ebs_volume.scratch[0].tags == aws_instance.this.tags
    error_message = "the tags of its machine"
  }

  assert {
    condition     = aws_volume_attachment.scratch[0].skip_destroy && aws_volume_attachment.scratch[0].device_name == "/dev/sdf"
    error_message = "it goes with its machine"
  }

  assert {
    condition     = aws_instance.this.disable_api_termination
    error_message = "AWS refuses to terminate it"
  }
}

run "tags_at_launch_are_those_of_the_machine_and_more" {
  command = plan

  variables {
    disks = { tags_at_launch = { cost-center = "7", Name = "another" } }
  }

  assert {
    condition     = aws_instance.this.volume_tags == tomap(merge({ cost-center = "7" }, aws_instance.this.tags))
    error_message = "in the call that creates it"
  }

  assert {
    condition     = one(aws_instance.this.root_block_device).tags == null
    error_message = "the provider takes not both"
  }
}

run "a_disk_that_aws_does_not_make_is_refused" {
  command = plan

  variables {
    disks = {
      kms_key_id = "alias/disks"
      root       = { type = "io1" }
      scratch    = { gib = 10, type = "st1", throughput = 200 }
    }
  }

  expect_failures = [var.disks]
}
