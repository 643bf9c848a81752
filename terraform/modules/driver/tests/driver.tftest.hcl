mock_provider "aws" {}

variables {
  cluster            = "test"
  subnet_id          = "subnet-0aaa"
  security_group_ids = ["sg-0aaa"]
  instance_type      = "r5.xlarge"
  ami                = "ami-0aaa"
  key_name           = "key"
  user_data_base64   = "aGVsbG8="
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
