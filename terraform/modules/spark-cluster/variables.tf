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
  description = "Size of the encrypted root disk, GiB."
  type        = number
  default     = 50
  nullable    = false
}

variable "disks" {
  description = "Disks of each machine; only workers get the volume for scratch files: the input of that name of the module machine, which declares and checks it."
  type        = any
  default     = {}
  nullable    = false
}

variable "termination_protection" {
  description = "Let AWS refuse to terminate the machines."
  type        = bool
  default     = false
  nullable    = false
}

variable "key_name" {
  description = "EC2 key pair. Only used when a machine is created."
  type        = string
}

variable "instance_profile" {
  description = "Name of the instance profile. Null: none."
  type        = string
  default     = null
}

variable "idle_alarm" {
  description = "Alarm that stops a worker after this many idle seconds, with this action. Null: no alarm."
  type        = object({ seconds = number, action = string })
  default     = null
}

variable "master_idle_alarm" {
  description = "The same for the master. EC2's metrics show it as idle even during a training: choose longer than any training."
  type        = object({ seconds = number, action = string })
  default     = null
}

variable "tags" {
  description = "Further tags."
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
  description = "Names of the workers: worker-1, worker-2, and so on."
  type        = set(string)

  validation {
    condition     = length(var.workers) >= 1 && alltrue([for name in var.workers : can(regex("^worker-[1-9][0-9]*$", name))])
    error_message = "The workers must be at least one, each named worker- and a number from 1."
  }
}

variable "private_ips" {
  description = "Fixed private addresses by machine: master, worker-1, and so on. AWS chooses the others."
  type        = map(string)
  default     = {}
  nullable    = false
}

variable "master_user_data_base64" {
  description = "Script for the master's first boot, from the module bootstrap. Only used when the master is created."
  type        = string
}

variable "worker_user_data_base64" {
  description = "Script for the workers' first boot, from the module bootstrap. If it needs the master's address, give bootstrap this module's output master_private_ip. Only used when a worker is created."
  type        = string
}
