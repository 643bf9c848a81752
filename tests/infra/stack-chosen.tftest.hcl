# The stack in an existing subnet, where AWS chooses the addresses, with AWS mocked.

mock_provider "aws" {}

override_data {
  target = module.network.data.aws_subnet.existing
  values = { vpc_id = "vpc-0aaa" }
}

run "workers_know_the_master_by_its_name_also_where_no_other_address_is_known_beforehand" {
  assert {
    condition     = strcontains(module.worker_bootstrap.script, "\nMASTER_HOST='${output.machines["master"].private_ip}'\n")
    error_message = "the address that AWS has chosen"
  }

  assert {
    condition     = strcontains(module.worker_bootstrap.script, "\nHOSTS='${output.machines["master"].private_ip} spark-master'\n")
    error_message = "its name"
  }
}
