mock_provider "aws" {}

variables {
  cluster            = "test"
  subnet_id          = "subnet-0aaa"
  security_group_ids = ["sg-0aaa"]
  instance_type      = "r5.xlarge"
  ami                = "ami-0aaa"
  key_name           = "key"
  region             = "us-east-1"
  software = {
    user = "aml"
    components = [
      { name = "spark", version = "2.4.8", home = "/usr/local/spark", sha512 = "00000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000", urls = ["https://example.org/spark.tgz"] },
    ]
  }
}

run "a_driver_has_no_elastic_ip_by_itself" {
  assert {
    condition     = length(aws_eip.this) == 0 && output.machine.eip == null && output.machine.role == "driver"
    error_message = "no Elastic IP was asked for"
  }
}

run "a_driver_is_the_machine_of_that_name_and_has_the_address_that_is_fixed" {
  variables {
    private_ip = "127.77.0.10"
  }

  assert {
    condition     = output.machine.private_ip == "127.77.0.10" && output.machine.id == module.machine.id
    error_message = "its address and its id"
  }
}

run "a_driver_is_prepared_as_one_with_all_software_and_the_names_of_the_machines" {
  variables {
    private_ip = "127.77.0.10"
    ssh_user   = "admin"
    region     = "eu-west-1"
    hosts      = { driver = "127.77.0.10", spark-master = "127.77.0.11" }
    software = {
      user               = "aml"
      elasticsearch_name = "searches"
      components = [
        for name in ["spark", "hadoop", "hbase", "pio"] : {
          name    = name
          version = "1.0"
          home    = "/usr/local/${name}"
          sha512  = join("", [for _ in range(128) : "0"])
          urls    = ["https://example.org/${name}.tgz"]
        }
      ]
    }
  }

  assert {
    condition     = strcontains(module.bootstrap.script, "\nROLE='driver'\n") && strcontains(module.bootstrap.script, "\nSSH_USER='admin'\n")
    error_message = "its role and its user"
  }

  assert {
    condition     = alltrue([for name in ["spark", "hadoop", "hbase", "pio"] : strcontains(module.bootstrap.script, "https://example.org/${name}.tgz")])
    error_message = "all clients, and PredictionIO"
  }

  assert {
    condition     = strcontains(module.bootstrap.script, "127.77.0.11 spark-master") && strcontains(module.bootstrap.script, "\nREGION='eu-west-1'\n")
    error_message = "the machines' names, and the region"
  }

  assert {
    condition     = strcontains(module.bootstrap.script, "\nELASTICSEARCH_NAME='searches'\n")
    error_message = "the name that Elasticsearch has"
  }
}

run "a_driver_can_have_an_elastic_ip" {
  variables {
    eip = true
  }

  assert {
    condition     = aws_eip.this[0].instance == output.machine.id && output.machine.eip == aws_eip.this[0].public_ip
    error_message = "an Elastic IP on this machine"
  }

  assert {
    condition     = aws_eip.this[0].tags["pio-tf:cluster"] == "test"
    error_message = "the cluster's tag"
  }
}
