# The script that prepares a machine: the settings, then the parts that read them.

locals {
  # The driver gets all components; the Spark machines get what Spark needs.
  components = [
    for one in var.software.components : one if var.role == "driver" || contains(["java", "spark"], one.name)
  ]

  settings = {
    ROLE               = var.role
    SSH_USER           = var.ssh_user
    SERVICE_USER       = var.software.user
    REGION             = var.region
    MASTER_HOST        = coalesce(var.master_host, "-")
    MASTER_PORT        = tostring(var.master_port)
    MASTER_UI_PORT     = tostring(var.master_ui_port)
    ELASTICSEARCH_NAME = coalesce(var.software.elasticsearch_name, "elasticsearch")
    HTTP_PROXY         = var.software.http_proxy != null ? var.software.http_proxy : ""
    HTTPS_PROXY        = var.software.https_proxy != null ? var.software.https_proxy : ""
    NO_PROXY           = join(",", var.software.no_proxy != null ? var.software.no_proxy : [])
    EXTRA_BOOTSTRAP    = var.software.extra_bootstrap != null ? var.software.extra_bootstrap : ""
    SCRATCH_VOLUME     = var.scratch_volume ? "yes" : ""
    HOSTS              = join("\n", [for name in sort(keys(var.hosts)) : "${var.hosts[name]} ${name}"])
    COMPONENTS = join("\n", [
      for one in local.components : join("\t", [one.name, one.version, one.home, one.sha512, join(" ", one.urls)])
    ])
  }

  # Without lines that are comments: they would take a fifth of the space for user data.
  script = join("\n", concat(
    ["#!/bin/bash"],
    [for name, value in local.settings : "${name}='${replace(value, "'", "'\\''")}'"],
    [for part in ["common", "machine", "install", "disks", "services", "bootstrap"] : replace(file("${path.module}/${part}.sh"), "/(?m)^ *# .*\n/", "")],
  ))

  # cloud-init unpacks it. AWS accepts 16 KiB, counted before base64.
  packed       = base64gzip(local.script)
  packed_bytes = length(local.packed) / 4 * 3 - (length(local.packed) - length(trimsuffix(trimsuffix(local.packed, "="), "=")))
}
