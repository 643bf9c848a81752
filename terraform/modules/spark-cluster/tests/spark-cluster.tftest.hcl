mock_provider "aws" {}

variables {
  cluster            = "test"
  subnet_id          = "subnet-0aaa"
  security_group_ids = ["sg-0aaa"]
  instance_type      = "r5.2xlarge"
  ami                = "ami-0aaa"
  key_name           = "key"
  workers            = ["worker-1", "worker-2"]
  master_host        = "127.77.0.11"
  region             = "us-east-1"
  software = {
    user = "aml"
    components = [
      { name = "spark", version = "2.4.8", home = "/usr/local/spark", sha512 = "00000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000", urls = ["https://example.org/spark.tgz"] },
    ]
  }
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

  assert {
    condition     = strcontains(module.worker_bootstrap.script, "MASTER_HOST='127.77.0.11'")
    error_message = "workers know their master"
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

run "masters_and_workers_are_prepared_as_what_they_are" {
  variables {
    workers     = ["worker-1", "worker-2", "worker-10"]
    private_ips = { master = "127.77.0.11", worker-1 = "127.77.0.12", worker-2 = "127.77.0.13" }
    hosts       = { driver = "127.77.0.10" }
    spark       = { master_port = 7177, master_ui_port = 8181 }
  }

  assert {
    condition     = strcontains(module.master_bootstrap.script, "\nROLE='master'\n") && strcontains(module.worker_bootstrap.script, "\nROLE='worker'\n")
    error_message = "each its role"
  }

  assert {
    condition     = strcontains(module.master_bootstrap.script, "\nMASTER_PORT='7177'\n") && strcontains(module.worker_bootstrap.script, "\nMASTER_PORT='7177'\n")
    error_message = "workers look for their master at the port where it listens"
  }

  assert {
    condition     = strcontains(module.master_bootstrap.script, "\nMASTER_UI_PORT='8181'\n")
    error_message = "the master's page, at its port"
  }

  assert {
    condition     = strcontains(module.master_bootstrap.script, "\nMASTER_HOST='-'\n")
    error_message = "a master binds to its own address, and waits for nobody"
  }

  assert {
    condition     = strcontains(module.worker_bootstrap.script, "127.77.0.10 driver\n127.77.0.11 spark-master")
    error_message = "workers know the master by its name also where no other address is known beforehand"
  }

  assert {
    condition     = output.machines == run.a_new_worker_changes_no_other_and_its_address_is_read.machines
    error_message = "another script is for machines that are made later: it changes none that is there"
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
