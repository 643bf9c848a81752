# The script for a machine's first boot: settings in front, then bootstrap.sh, which reads them.

locals {
  settings = {
    ROLE           = var.role
    SSH_USER       = var.ssh_user
    SPARK_HOME     = var.spark_home
    SPARK_VERSION  = var.spark_version
    SPARK_URL      = var.spark_download_url
    SPARK_SHA512   = coalesce(var.spark_download_sha512, "-")
    MASTER_HOST    = coalesce(var.master_host, "-")
    MASTER_PORT    = tostring(var.master_port)
    MASTER_UI_PORT = tostring(var.master_ui_port)
  }

  script = join("\n", concat(
    ["#!/bin/bash"],
    [for name, value in local.settings : "${name}='${replace(value, "'", "'\\''")}'"],
    [file("${path.module}/bootstrap.sh")],
  ))
}
