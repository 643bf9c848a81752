mock_provider "aws" {}

variables {
  cluster                 = "test"
  subnet_id               = "subnet-0aaa"
  security_group_ids      = ["sg-0aaa"]
  instance_type           = "r5.2xlarge"
  ami                     = "ami-0aaa"
  key_name                = "key"
  workers                 = ["worker-1", "worker-2"]
  master_user_data_base64 = "bWFzdGVy"
  worker_user_data_base64 = "d29ya2Vy"
}

run "machines_are_made_by_name" {
  variables {
    private_ips = { master = "127.77.0.11", worker-1 = "127.77.0.12", worker-2 = "127.77.0.13" }
  }

  assert {
    condition = { for name, machine in output.machines : name => "${machine.role} ${machine.private_ip}" } == {
      master   = "master 127.77.0.11"
      worker-1 = "worker 127.77.0.12"
      worker-2 = "worker 127.77.0.13"
    }
    error_message = "each with its role and address"
  }
}

run "a_new_worker_changes_no_other_and_its_address_is_read" {
  variables {
    workers     = ["worker-1", "worker-2", "worker-10"]
    private_ips = { master = "127.77.0.11", worker-1 = "127.77.0.12", worker-2 = "127.77.0.13" }
  }

  assert {
    condition     = toset(keys(output.machines)) == toset(["master", "worker-1", "worker-2", "worker-10"])
    error_message = "the master, and the workers by their names"
  }

  assert {
    condition = alltrue([
      for name, machine in run.machines_are_made_by_name.machines : output.machines[name] == machine
    ])
    error_message = "those that were there are as they were"
  }

  assert {
    condition     = length(distinct([for machine in output.machines : machine.id])) == 4
    error_message = "each is a machine of its own"
  }

  assert {
    condition     = output.machines["worker-10"].private_ip != null && output.machines["worker-10"].private_ip != ""
    error_message = "AWS has chosen an address"
  }

  assert {
    condition     = output.master_private_ip == "127.77.0.11"
    error_message = "the master's address"
  }

  assert {
    condition     = alltrue([for machine in output.machines : machine.eip == null])
    error_message = "only the driver may have an Elastic IP"
  }
}

run "another_script_changes_no_machine_that_exists" {
  variables {
    workers                 = ["worker-1", "worker-2", "worker-10"]
    private_ips             = { master = "127.77.0.11", worker-1 = "127.77.0.12", worker-2 = "127.77.0.13" }
    master_user_data_base64 = "YW5vdGhlcg=="
    worker_user_data_base64 = "YW5vdGhlcg=="
  }

  assert {
    condition     = output.machines == run.a_new_worker_changes_no_other_and_its_address_is_read.machines
    error_message = "another script is for machines that are created later"
  }
}

run "a_worker_without_a_number_is_refused" {
  command = plan

  variables {
    workers = ["worker-1", "worker"]
  }

  expect_failures = [var.workers]
}

run "a_worker_whose_number_begins_with_0_is_refused" {
  command = plan

  variables {
    workers = ["worker-01"]
  }

  expect_failures = [var.workers]
}

run "a_driver_among_the_workers_is_refused" {
  command = plan

  variables {
    workers = ["driver"]
  }

  expect_failures = [var.workers]
}

run "no_worker_is_refused" {
  command = plan

  variables {
    workers = []
  }

  expect_failures = [var.workers]
}
