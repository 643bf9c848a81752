variable "role" {
  description = "Role of the machine: driver, master or worker."
  type        = string

  validation {
    condition     = contains(["driver", "master", "worker"], var.role)
    error_message = "The role must be driver, master or worker."
  }
}

variable "ssh_user" {
  description = "User of the image. A leading ~/ means its home."
  type        = string
}

variable "region" {
  description = "AWS region, for addresses that begin with s3://."
  type        = string
  default     = "us-east-1"
  nullable    = false
}

variable "software" {
  description = "Software to install: the user that Spark runs as, the cluster.name of Elasticsearch, proxies for downloads, the text of a script that runs at the end, and components: name (java, spark, hadoop, hbase, elasticsearch or pio), version, home, SHA-512 or the https address that publishes it, and addresses to fetch it from, tried in turn. The driver gets all, master and workers java and spark."
  type = object({
    user               = string
    elasticsearch_name = optional(string)
    http_proxy         = optional(string)
    https_proxy        = optional(string)
    no_proxy           = optional(list(string))
    extra_bootstrap    = optional(string)
    components = list(object({
      name    = string
      version = string
      home    = string
      sha512  = string
      urls    = list(string)
    }))
  })

  validation {
    condition     = can(regex("^[a-z_][a-z0-9_.-]*$", var.software.user)) && var.software.user != "root"
    error_message = "The software.user must be the name of a user, and not root."
  }

  validation {
    condition = alltrue([
      for one in var.software.components : contains(["java", "spark", "hadoop", "hbase", "elasticsearch", "pio"], one.name)
    ]) && contains(var.software.components[*].name, "spark")
    error_message = "The software.components must be java, spark, hadoop, hbase, elasticsearch or pio, and spark must be among them."
  }

  validation {
    condition     = alltrue([for one in var.software.components : can(regex("^(/|~/)[^\n\t]*$", one.home))])
    error_message = "The home of each of software.components must be one line, absolute or beginning with ~/."
  }

  validation {
    condition     = alltrue([for one in var.software.components : can(regex("^[0-9A-Za-z][0-9A-Za-z._+-]*$", one.version))])
    error_message = "The version of each of software.components must look like 2.4.8."
  }

  validation {
    condition = alltrue([
      for one in var.software.components : one.name == "elasticsearch" || can(regex("^([0-9a-f]{128}|[0-9a-f]{64}|https://\\S+)$", one.sha512))
    ])
    error_message = "The sha512 of each of software.components must be 128 hexadecimal digits (64: a SHA-256), or an https address: nothing is installed unchecked."
  }

  validation {
    condition = alltrue(flatten([
      for one in var.software.components : [for url in one.urls : can(regex("^(https?|s3)://\\S+$", url))]
    ]))
    error_message = "The urls of each of software.components must begin with http://, https:// or s3://."
  }
}

variable "scratch_volume" {
  description = "Wait for a volume for Spark's scratch files, and mount it. False: use the instance store, or the root disk."
  type        = bool
  default     = false
  nullable    = false
}

variable "hosts" {
  description = "Private addresses of the cluster's machines by name, for /etc/hosts. pio-tf adds unknown ones later."
  type        = map(string)
  default     = {}
  nullable    = false
}

variable "master_host" {
  description = "Address of the Spark master, for workers."
  type        = string
  default     = null
}

variable "master_port" {
  description = "Port of the Spark master."
  type        = number
  default     = 7077
  nullable    = false
}

variable "master_ui_port" {
  description = "Port of the Spark master's web page."
  type        = number
  default     = 8080
  nullable    = false
}
