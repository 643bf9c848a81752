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

variable "destinations" {
  description = "Destinations that machines may open connections to: each an IPv4 range or the id of a prefix list, with the TCP ports. Without ports, all ports of all protocols."
  type = list(object({
    cidr           = optional(string)
    prefix_list_id = optional(string)
    from_port      = optional(number)
    to_port        = optional(number)
  }))
  default  = [{ cidr = "0.0.0.0/0" }]
  nullable = false

  validation {
    condition     = length(var.destinations) > 0 && alltrue([for one in var.destinations : (one.cidr == null) != (one.prefix_list_id == null)])
    error_message = "Each of destinations must have a cidr or a prefix_list_id, and there must be at least one."
  }

  validation {
    condition     = alltrue([for one in var.destinations : one.cidr == null || try(cidrsubnet(one.cidr, 0, 0) == one.cidr, false)])
    error_message = "Each cidr of destinations must be an IPv4 range such as 192.0.2.0/24, which begins with its first address."
  }

  validation {
    condition     = alltrue([for one in var.destinations : one.from_port == null ? one.to_port == null : try(one.from_port >= 1 && one.from_port <= one.to_port && one.to_port <= 65535, false)])
    error_message = "The ports of destinations must be from_port and to_port, between 1 and 65535."
  }
}

variable "tags" {
  description = "Tags of the security group."
  type        = map(string)
  default     = {}
  nullable    = false
}
