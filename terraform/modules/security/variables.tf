variable "name" {
  description = "Name of the security group, unique in its VPC."
  type        = string

  validation {
    condition     = !startswith(var.name, "sg-")
    error_message = "The name must not begin with sg-, which AWS reserves."
  }
}

variable "vpc_id" {
  description = "VPC of the security group."
  type        = string
}

variable "ssh_cidrs" {
  description = "Address ranges that may open SSH connections. Empty: none."
  type        = list(string)
  default     = []
  nullable    = false

  validation {
    condition     = alltrue([for cidr in var.ssh_cidrs : try(cidrnetmask(cidr) != "" && cidrsubnet(cidr, 0, 0) == cidr, false)])
    error_message = "Each of ssh_cidrs must be an IPv4 range such as 192.0.2.0/24, which begins with its first address."
  }
}

variable "ssh_security_group_ids" {
  description = "Existing security groups. Their members may open SSH connections."
  type        = list(string)
  default     = []
  nullable    = false
}

variable "ssh_port" {
  description = "SSH port of the machines."
  type        = number
  default     = 22
  nullable    = false

  validation {
    condition     = var.ssh_port >= 1 && var.ssh_port <= 65535
    error_message = "The ssh_port must be between 1 and 65535."
  }
}

variable "tags" {
  description = "Tags of the security group."
  type        = map(string)
  default     = {}
  nullable    = false
}
