variable "cluster" {
  description = "Name of the cluster. The role may stop only instances with this value of the tag pio-tf:cluster."
  type        = string
}

variable "region" {
  description = "AWS region of the machines."
  type        = string
}

variable "make_role" {
  description = "Create the role for deadlines. Not used if role_arn is given."
  type        = bool
  default     = true
  nullable    = false
}

variable "role_arn" {
  description = "ARN of an existing role for deadlines. Null: the module creates one."
  type        = string
  default     = null

  validation {
    condition     = var.role_arn == null || can(regex("^arn:aws[a-z-]*:iam::[0-9]{12}:role/.+$", var.role_arn))
    error_message = "The role_arn must be the ARN of an IAM role."
  }
}

variable "role_path" {
  description = "Path of the role in IAM, by which an administrator can permit only roles of this kind."
  type        = string
  default     = "/pio-tf/"
  nullable    = false

  validation {
    condition     = can(regex("^/([!-~]+/)*$", var.role_path))
    error_message = "The role_path must begin and end with a slash."
  }
}

variable "permissions_boundary" {
  description = "ARN of a permissions boundary for the role, if the account demands one."
  type        = string
  default     = null
}

variable "tags" {
  description = "Tags of the role."
  type        = map(string)
  default     = {}
  nullable    = false
}
