variables {
  role               = "driver"
  ssh_user           = "ubuntu"
  spark_home         = "/usr/local/spark"
  spark_version      = "2.4.8"
  spark_download_url = "https://example.org/spark.tgz"
}

run "settings_stand_in_front_quoted_for_bash" {
  variables {
    spark_home = "/opt/o'brien $HOME"
  }

  assert {
    condition     = startswith(output.user_data, "#!/bin/bash\n") && strcontains(output.user_data, "\nSPARK_HOME='/opt/o'\\''brien $HOME'\n")
    error_message = "quoted"
  }
}

run "it_fits_into_user_data" {
  assert {
    condition     = length(output.user_data) < 12000
    error_message = "AWS takes 16384 bytes; leave room"
  }
}

run "a_worker_without_a_master_is_refused" {
  command = plan

  variables {
    role = "worker"
  }

  expect_failures = [output.user_data]
}

run "wrong_values_are_refused" {
  command = plan

  variables {
    role                  = "boss"
    spark_home            = "spark"
    spark_version         = "latest"
    spark_download_url    = "ftp://example.org/spark.tgz"
    spark_download_sha512 = "abc"
  }

  expect_failures = [var.role, var.spark_home, var.spark_version, var.spark_download_url, var.spark_download_sha512]
}
