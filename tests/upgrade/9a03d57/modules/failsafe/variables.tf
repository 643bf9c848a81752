variable "cluster" {
  description = "Name of the cluster: the role may stop what carries it as its tag pio-tf:cluster, and nothing else."
  type        = string
}

variable "region" {
  description = "AWS region of the machines."
  type        = string
}

variable "make_role" {
  description = "Whether the role for deadlines is made. Not used where role_arn is given."
  type        = bool
  default     = true
  nullable    = false
}

variable "role_arn" {
  description = "ARN of an existing role to use for deadlines instead. Null: one is made."
  type        = string
  default     = null

  validation {
    condition     = var.role_arn == null || can(regex("^arn:aws[a-z-]*:iam::[0-9]{12}:role/.+$", var.role_arn))
    error_message = "The role_arn must be the ARN of an IAM role."
  }
}

variable "role_path" {
  description = "Path of the role in IAM, by which an account's administrator can permit roles of this kind alone."
  type        = string
  default     = "/pio-tf/"
  nullable    = false

  validation {
    condition     = can(regex("^/([!-~]+/)*$", var.role_path))
    error_message = "The role_path must begin and end with a slash."
  }
}

variable "permissions_boundary" {
  description = "ARN of a policy that bounds the role, where the account demands one."
  type        = string
  default     = null
}

variable "tags" {
  description = "Tags of the role."
  type        = map(string)
  default     = {}
  nullable    = false
}
