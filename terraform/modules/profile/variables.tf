variable "cluster" {
  description = "Name of the cluster."
  type        = string
}

variable "name" {
  description = "Name of the role and of the instance profile, unique in the account."
  type        = string
}

variable "path" {
  description = "Path of both in IAM, by which an administrator can permit only roles of this kind."
  type        = string
  default     = "/pio-tf/"
  nullable    = false

  validation {
    condition     = can(regex("^/([!-~]+/)*$", var.path))
    error_message = "The path must begin and end with a slash."
  }
}

variable "permissions_boundary" {
  description = "ARN of a permissions boundary for the role, if the account demands one."
  type        = string
  default     = null
}

variable "archives" {
  description = "Objects in S3 that machines install software from, as BUCKET/KEY; * stands for any characters."
  type        = list(string)
  default     = []
  nullable    = false
}

variable "topic_arns" {
  description = "SNS topics that machines send messages to."
  type        = list(string)
  default     = []
  nullable    = false
}

variable "sessions" {
  description = "Let the agent of Systems Manager accept sessions."
  type        = bool
  default     = false
  nullable    = false
}

variable "tags" {
  description = "Tags of the role and the instance profile."
  type        = map(string)
  default     = {}
  nullable    = false
}
