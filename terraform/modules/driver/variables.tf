variable "cluster" {
  description = "Name of the cluster."
  type        = string
}

variable "subnet_id" {
  description = "Subnet of the machine."
  type        = string
}

variable "security_group_ids" {
  description = "Security groups of the machine."
  type        = list(string)
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
}

variable "disks" {
  description = "Disks of the driver: the input of that name of the module machine, which declares and checks it."
  type        = any
  default     = {}
  nullable    = false
}

variable "termination_protection" {
  description = "Let AWS refuse to terminate the driver."
  type        = bool
  default     = false
  nullable    = false
}

variable "key_name" {
  description = "EC2 key pair. Only used when the machine is created."
  type        = string
}

variable "instance_profile" {
  description = "Name of the instance profile. Null: none."
  type        = string
  default     = null
}

variable "idle_alarm" {
  description = "Alarm that stops the driver after this many idle seconds, with this action. Null: no alarm."
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
  description = "EC2 instance type. Its memory should be that of the workers."
  type        = string
}

variable "private_ip" {
  description = "Fixed private IPv4 address. Null: AWS chooses one, and the machine keeps it."
  type        = string
  default     = null
}

variable "eip" {
  description = "Give the driver an Elastic IP."
  type        = bool
  default     = false
  nullable    = false
}

variable "user_data_base64" {
  description = "Script for the first boot, from the module bootstrap. Only used when the machine is created."
  type        = string
}
