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

run "no_worker_is_refused" {
  command = plan

  variables {
    workers = []
  }

  expect_failures = [var.workers]
}
