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
