variables {
  role     = "driver"
  ssh_user = "ubuntu"
  software = {
    user = "aml"
    components = [
      { name = "spark", version = "2.4.8", home = "/usr/local/spark", sha512 = "00000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000", urls = ["https://example.org/spark.tgz"] },
      { name = "pio", version = "0.14.0", home = "/usr/local/pio", sha512 = "https://example.org/pio.tgz.sha512", urls = ["https://example.org/pio.tgz"] },
    ]
  }
}

run "settings_stand_in_front_quoted_for_bash" {
  variables {
    software = {
      user       = "aml"
      components = [{ name = "spark", version = "2.4.8", home = "/opt/o'brien $HOME", sha512 = "00000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000", urls = [] }]
    }
  }

  assert {
    condition     = startswith(output.script, "#!/bin/bash\n") && strcontains(output.script, "/opt/o'\\''brien $HOME")
    error_message = "quoted"
  }
}

run "a_driver_gets_everything" {
  assert {
    condition     = strcontains(output.script, "https://example.org/pio.tgz")
    error_message = "PredictionIO too"
  }
}

run "a_worker_gets_what_spark_needs" {
  variables {
    role        = "worker"
    master_host = "10.0.0.11"
  }

  assert {
    condition     = !strcontains(output.script, "https://example.org/pio.tgz") && strcontains(output.script, "MASTER_HOST='10.0.0.11'")
    error_message = "Spark, and its master"
  }
}

run "a_master_gets_what_spark_needs_and_its_own_ports" {
  variables {
    role           = "master"
    master_port    = 7177
    master_ui_port = 8181
  }

  assert {
    condition     = strcontains(output.script, "\nROLE='master'\n") && !strcontains(output.script, "https://example.org/pio.tgz")
    error_message = "the role, and no PredictionIO"
  }

  assert {
    condition     = strcontains(output.script, "\nMASTER_PORT='7177'\n") && strcontains(output.script, "\nMASTER_UI_PORT='8181'\n")
    error_message = "the ports"
  }
}

run "every_setting_stands_alone_in_front_of_the_script_and_none_is_left_out" {
  variables {
    region = "eu-west-1"
    hosts  = { spark-master = "10.0.0.11", driver = "10.0.0.10" }
  }

  assert {
    condition = [for line in split("\n", split("set -euo pipefail", output.script)[0]) : regex("^[A-Z_]+", line) if can(regex("^[A-Z_]+='", line))] == [
      "COMPONENTS", "ELASTICSEARCH_NAME", "EXTRA_BOOTSTRAP", "HOSTS", "HTTPS_PROXY", "HTTP_PROXY", "MASTER_HOST", "MASTER_PORT", "MASTER_UI_PORT", "NO_PROXY", "REGION", "ROLE", "SCRATCH_VOLUME", "SERVICE_USER", "SSH_USER",
    ]
    error_message = "by name: the same configuration gives the same bytes"
  }

  assert {
    condition     = strcontains(output.script, "\nROLE='driver'\n") && strcontains(output.script, "\nREGION='eu-west-1'\n")
    error_message = "the role and the region"
  }

  assert {
    condition     = strcontains(output.script, "\nSSH_USER='ubuntu'\n") && strcontains(output.script, "\nSERVICE_USER='aml'\n")
    error_message = "both users"
  }

  assert {
    condition     = strcontains(output.script, "\nHOSTS='10.0.0.10 driver\n10.0.0.11 spark-master'\n")
    error_message = "names and addresses, by name"
  }

  assert {
    condition     = strcontains(output.script, "\nMASTER_HOST='-'\n")
    error_message = "no driver needs its master at the first boot"
  }
}

run "what_cloud_init_gets_is_packed_and_smaller" {
  assert {
    condition     = startswith(output.user_data_base64, "H4sI") && length(output.user_data_base64) < length(output.script)
    error_message = "gzip, in base64"
  }
}

run "a_worker_without_a_master_is_refused" {
  command = plan

  variables {
    role = "worker"
  }

  expect_failures = [output.user_data_base64]
}

run "user_data_that_is_too_large_is_refused" {
  command = plan

  variables {
    software = {
      user = "aml"
      components = [{
        name    = "spark"
        version = "2.4.8"
        home    = "/usr/local/spark"
        sha512  = "00000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000"
        urls    = [for number in range(200) : "https://${sha256(number)}.example.org/${sha512(number)}/spark.tgz"]
      }]
    }
  }

  expect_failures = [output.user_data_base64]
}

run "what_cannot_be_checked_is_not_installed" {
  command = plan

  variables {
    software = {
      user       = "aml"
      components = [{ name = "spark", version = "2.4.8", home = "/usr/local/spark", sha512 = "-", urls = ["http://example.org/spark.tgz"] }]
    }
  }

  expect_failures = [var.software]
}

run "wrong_values_are_refused" {
  command = plan

  variables {
    role = "boss"
    software = {
      user       = "root"
      components = [{ name = "spark", version = "latest one", home = "spark", sha512 = "abc", urls = ["ftp://example.org/spark.tgz"] }]
    }
  }

  expect_failures = [var.role, var.software]
}
