variable "name" {
  description = "Name tag of the new resources."
  type        = string
}

variable "cidr" {
  description = "Address range of a new VPC with one subnet. Null: use vpc_id and subnet_id."
  type        = string
  default     = null

  validation {
    condition     = var.cidr == null || try(cidrnetmask(var.cidr) != "" && cidrsubnet(var.cidr, 0, 0) == var.cidr, false)
    error_message = "The cidr must be an IPv4 range such as 10.0.0.0/24, which begins with its first address."
  }

  validation {
    condition     = var.cidr == null || try(tonumber(split("/", var.cidr)[1]) >= 16 && tonumber(split("/", var.cidr)[1]) <= 28, false)
    error_message = "The cidr must be between /16 and /28, as AWS allows."
  }
}

variable "availability_zone" {
  description = "Availability zone of the new subnet. Null: AWS chooses."
  type        = string
  default     = null
}

variable "public_ips" {
  description = "Give machines in the new subnet a public IPv4 address while they run."
  type        = bool
  default     = false
  nullable    = false
}

variable "internet_gateway" {
  description = "Give the new VPC an internet gateway, which public and Elastic addresses need."
  type        = bool
  default     = false
  nullable    = false
}

variable "vpc_id" {
  description = "Existing VPC. Null: a new one with cidr."
  type        = string
  default     = null

  validation {
    condition     = var.vpc_id == null || can(regex("^vpc-[0-9a-f]+$", var.vpc_id))
    error_message = "The vpc_id must look like vpc-0123456789abcdef0."
  }
}

variable "subnet_id" {
  description = "Existing subnet of that VPC. Null: a new one with cidr."
  type        = string
  default     = null

  validation {
    condition     = var.subnet_id == null || can(regex("^subnet-[0-9a-f]+$", var.subnet_id))
    error_message = "The subnet_id must look like subnet-0123456789abcdef0."
  }
}

variable "tags" {
  description = "Tags of the new resources."
  type        = map(string)
  default     = {}
  nullable    = false
}
