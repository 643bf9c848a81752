variable "role" {
  description = "Role of the machine: driver, master or worker."
  type        = string

  validation {
    condition     = contains(["driver", "master", "worker"], var.role)
    error_message = "The role must be driver, master or worker."
  }
}

variable "ssh_user" {
  description = "User of the image, whose home a leading ~/ means."
  type        = string
}

variable "spark_home" {
  description = "SPARK_HOME, absolute or beginning with ~/. If it is there already, Spark is not installed."
  type        = string

  validation {
    condition     = can(regex("^(/|~/)[^\n]*$", var.spark_home))
    error_message = "The spark_home must be one line, absolute or beginning with ~/."
  }
}

variable "spark_version" {
  description = "Spark version."
  type        = string

  validation {
    condition     = can(regex("^[0-9]+\\.[0-9]+\\.[0-9]+$", var.spark_version))
    error_message = "The spark_version must look like 2.4.8."
  }
}

variable "spark_download_url" {
  description = "Where Spark is fetched from: a .tgz over http, https or s3."
  type        = string

  validation {
    condition     = can(regex("^(https?|s3)://\\S+$", var.spark_download_url))
    error_message = "The spark_download_url must begin with http://, https:// or s3://."
  }
}

variable "spark_download_sha512" {
  description = "SHA-512 of that file. Null: not checked."
  type        = string
  default     = null

  validation {
    condition     = var.spark_download_sha512 == null || can(regex("^[0-9a-f]{128}$", var.spark_download_sha512))
    error_message = "The spark_download_sha512 must be 128 hexadecimal digits."
  }
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
