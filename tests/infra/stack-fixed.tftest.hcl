# The stack with fixed addresses, with AWS mocked: every machine gets the script of its role.

mock_provider "aws" {}

run "masters_and_workers_are_prepared_as_what_they_are" {
  assert {
    condition     = strcontains(module.bootstrap["master"].script, "\nROLE='master'\n") && strcontains(module.worker_bootstrap.script, "\nROLE='worker'\n")
    error_message = "each its role"
  }

  assert {
    condition     = strcontains(module.bootstrap["master"].script, "\nMASTER_PORT='7177'\n") && strcontains(module.worker_bootstrap.script, "\nMASTER_PORT='7177'\n")
    error_message = "workers look for their master at the port where it listens"
  }

  assert {
    condition     = strcontains(module.bootstrap["master"].script, "\nMASTER_UI_PORT='8181'\n")
    error_message = "the master's page, at its port"
  }

  assert {
    condition     = strcontains(module.bootstrap["master"].script, "\nMASTER_HOST='-'\n")
    error_message = "a master binds to its own address, and waits for no other machine"
  }

  assert {
    condition     = strcontains(module.worker_bootstrap.script, "\nMASTER_HOST='127.77.0.11'\n")
    error_message = "workers know their master"
  }

  assert {
    condition     = strcontains(module.worker_bootstrap.script, "127.77.0.10 driver\n127.77.0.11 spark-master")
    error_message = "workers know the machines by their names"
  }
}

run "a_driver_is_prepared_as_one_with_all_software_and_the_names_of_the_machines" {
  assert {
    condition     = strcontains(module.bootstrap["driver"].script, "\nROLE='driver'\n") && strcontains(module.bootstrap["driver"].script, "\nSSH_USER='admin'\n")
    error_message = "its role and its user"
  }

  assert {
    condition     = alltrue([for name in ["spark", "hadoop", "hbase", "pio"] : strcontains(module.bootstrap["driver"].script, "\n${name}\t") || strcontains(module.bootstrap["driver"].script, "='${name}\t")])
    error_message = "all clients, and PredictionIO"
  }

  assert {
    condition     = strcontains(module.bootstrap["driver"].script, "127.77.0.11 spark-master") && strcontains(module.bootstrap["driver"].script, "\nREGION='us-east-1'\n")
    error_message = "the machines' names, and the region"
  }

  assert {
    condition     = strcontains(module.bootstrap["driver"].script, "\nELASTICSEARCH_NAME='searches'\n")
    error_message = "the name that Elasticsearch has"
  }
}
