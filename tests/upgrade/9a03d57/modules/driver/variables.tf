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
  description = "Stops the driver when it has been idle for so many seconds, with an alarm's action. Null: no alarm."
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
  description = "EC2 instance type. Its memory should be that of the workers."
  type        = string
}

variable "private_ip" {
  description = "Fixed private IPv4 address. Null: AWS chooses one, which the machine keeps."
  type        = string
  default     = null
}

variable "eip" {
  description = "Whether the driver gets an Elastic IP."
  type        = bool
  default     = false
  nullable    = false
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
