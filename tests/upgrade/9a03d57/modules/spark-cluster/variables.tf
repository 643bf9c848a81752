variable "cluster" {
  description = "Name of the cluster."
  type        = string
}

variable "subnet_id" {
  description = "Subnet of the machines."
  type        = string
}

variable "security_group_ids" {
  description = "Security groups of the machines."
  type        = list(string)
}

variable "ami" {
  description = "Image. Only used when a machine is created."
  type        = string
}

variable "root_volume_gib" {
  description = "Size of the encrypted gp3 root disk, GiB."
  type        = number
  default     = 50
  nullable    = false
}

variable "key_name" {
  description = "EC2 key pair. Only used when a machine is created."
  type        = string
}

variable "ssh_user" {
  description = "User of the image."
  type        = string
  default     = "ubuntu"
  nullable    = false
}

variable "idle_alarm" {
  description = "Stops a worker when it has been idle for so many seconds, with an alarm's action. Null: no alarm."
  type        = object({ seconds = number, action = string })
  default     = null
}

variable "master_idle_alarm" {
  description = "The same for the master, which is idle to EC2's metrics even while others train: longer than any training."
  type        = object({ seconds = number, action = string })
  default     = null
}

variable "tags" {
  description = "More tags."
  type        = map(string)
  default     = {}
  nullable    = false
}

variable "instance_type" {
  description = "EC2 instance type of the workers."
  type        = string
}

variable "master_instance_type" {
  description = "EC2 instance type of the master. Null: that of the workers."
  type        = string
  default     = null
}

variable "workers" {
  description = "Names of the workers: worker-1, worker-2 and so on."
  type        = set(string)

  validation {
    condition     = length(var.workers) >= 1 && alltrue([for name in var.workers : can(regex("^worker-[1-9][0-9]*$", name))])
    error_message = "The workers must be at least one, each named worker- and a number from 1."
  }
}

variable "private_ips" {
  description = "Fixed private addresses by machine: master, worker-1 and so on. One that is missing, AWS chooses."
  type        = map(string)
  default     = {}
  nullable    = false
}

variable "master_host" {
  description = "Address of the master for the workers. Where it is known beforehand, they need not wait for its creation; else give this module's own output master_private_ip."
  type        = string
}

variable "spark" {
  description = "Spark: the master's ports."
  type = object({
    master_port    = optional(number, 7077)
    master_ui_port = optional(number, 8080)
  })
  default  = {}
  nullable = false
}

variable "region" {
  description = "AWS region."
  type        = string
}

variable "software" {
  description = "What is installed, as the module bootstrap has it."
  type = object({
    user               = string
    elasticsearch_name = optional(string)
    components = list(object({
      name    = string
      version = string
      home    = string
      sha512  = string
      urls    = list(string)
    }))
  })
}

variable "hosts" {
  description = "Private addresses of the cluster's machines by name, for /etc/hosts, as far as they are known beforehand."
  type        = map(string)
  default     = {}
  nullable    = false
}
