variable "name" {
  description = "Name of the machine in its cluster: driver, master, worker-1, and so on."
  type        = string

  validation {
    condition     = can(regex("^(driver|master|worker-[1-9][0-9]*)$", var.name))
    error_message = "The name must be driver, master, or worker- and a number from 1."
  }
}

variable "role" {
  description = "Role of the machine: driver, master or worker."
  type        = string

  validation {
    condition     = contains(["driver", "master", "worker"], var.role)
    error_message = "The role must be driver, master or worker."
  }
}

variable "cluster" {
  description = "Name of the cluster. pio-tf finds its machines by this value of the tag pio-tf:cluster."
  type        = string
}

variable "subnet_id" {
  description = "Subnet of the machine."
  type        = string
}

variable "private_ip" {
  description = "Fixed private IPv4 address. Null: AWS chooses one, and the machine keeps it."
  type        = string
  default     = null

  validation {
    condition     = var.private_ip == null || can(cidrnetmask("${var.private_ip}/32"))
    error_message = "The private_ip must be an IPv4 address."
  }
}

variable "security_group_ids" {
  description = "Security groups of the machine."
  type        = list(string)
}

variable "instance_type" {
  description = "EC2 instance type."
  type        = string
}

variable "ami" {
  description = "Image. Only used when the machine is created."
  type        = string
}

variable "root_volume_gib" {
  description = "Size of the encrypted root disk, GiB."
  type        = number
  default     = 50
  nullable    = false

  validation {
    condition     = var.root_volume_gib >= 8 && var.root_volume_gib <= 16384
    error_message = "The root_volume_gib must be between 8 and 16384."
  }
}

variable "disks" {
  description = "Disks: the ARN of the KMS key of new ones (null: AWS's own), tags of root disks that AWS sets as it creates them (null: the provider tags them later), type, IOPS and throughput (MiB/s, gp3 only) of the root disk, and a volume for Spark's scratch files, in the subnet's zone."
  type = object({
    kms_key_id        = optional(string)
    availability_zone = optional(string)
    tags_at_launch    = optional(map(string))
    root = optional(object({
      type       = optional(string, "gp3")
      iops       = optional(number)
      throughput = optional(number)
    }), {})
    scratch = optional(object({
      gib        = number
      type       = optional(string, "gp3")
      iops       = optional(number)
      throughput = optional(number)
    }))
  })
  default  = {}
  nullable = false

  validation {
    condition     = var.disks.kms_key_id == null || can(regex("^arn:[^:]+:kms:[^:]+:[0-9]{12}:(key|alias)/", var.disks.kms_key_id))
    error_message = "The disks.kms_key_id must be the ARN of a key or an alias."
  }

  validation {
    condition     = alltrue([for disk in [var.disks.root, var.disks.scratch] : disk == null ? true : contains(["gp3", "io1", "io2"], disk.type)])
    error_message = "The type of each of disks must be gp3, io1 or io2."
  }

  validation {
    condition     = alltrue([for disk in [var.disks.root, var.disks.scratch] : disk == null ? true : disk.throughput == null || disk.type == "gp3"])
    error_message = "The throughput of each of disks is for gp3 only."
  }

  validation {
    condition     = alltrue([for disk in [var.disks.root, var.disks.scratch] : disk == null ? true : disk.iops != null || disk.type == "gp3"])
    error_message = "The iops of each of disks are required with io1 and io2."
  }
}

variable "termination_protection" {
  description = "Let AWS refuse to terminate the machine."
  type        = bool
  default     = false
  nullable    = false
}

variable "key_name" {
  description = "EC2 key pair. Only used when the machine is created."
  type        = string
}

variable "user_data_base64" {
  description = "Script for the first boot, gzipped, in base64. Only used when the machine is created."
  type        = string

  validation {
    condition     = floor(length(var.user_data_base64) / 4) * 3 <= 16386
    error_message = "The user_data_base64 holds more than the 16384 bytes that AWS accepts."
  }
}

variable "instance_profile" {
  description = "Name of the instance profile. Null: none."
  type        = string
  default     = null
}

variable "idle_alarm" {
  description = "Alarm that stops the machine after this many seconds of idle processors (an hour to a week), with this action. Null: no alarm."
  type        = object({ seconds = number, action = string })
  default     = null

  validation {
    condition     = var.idle_alarm == null || try(var.idle_alarm.seconds >= 3600 && var.idle_alarm.seconds <= 604800, false)
    error_message = "The idle_alarm's seconds must be between 3600 (an hour) and 604800 (a week)."
  }
}

variable "tags" {
  description = "Further tags of the machine and its disk."
  type        = map(string)
  default     = {}
  nullable    = false
}
