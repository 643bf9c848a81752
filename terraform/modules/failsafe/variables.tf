variable "cluster" {
  description = "Name of the cluster. The roles may act only on instances with this value of the tag pio-tf:cluster."
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

variable "make_schedule_role" {
  description = "Create the role for scheduled trainings. Not used if schedule_role_arn is given."
  type        = bool
  default     = false
  nullable    = false
}

variable "schedule_role_arn" {
  description = "ARN of an existing role for scheduled trainings."
  type        = string
  default     = null

  validation {
    condition     = var.schedule_role_arn == null || can(regex("^arn:aws[a-z-]*:iam::[0-9]{12}:role/.+$", var.schedule_role_arn))
    error_message = "The schedule_role_arn must be the ARN of an IAM role."
  }
}

variable "role_path" {
  description = "Path of the roles in IAM, by which an administrator can permit only roles of this kind."
  type        = string
  default     = "/pio-tf/"
  nullable    = false

  validation {
    condition     = can(regex("^/([!-~]+/)*$", var.role_path))
    error_message = "The role_path must begin and end with a slash."
  }
}

variable "permissions_boundary" {
  description = "ARN of a permissions boundary for the roles, if the account demands one."
  type        = string
  default     = null
}

variable "kms_key_id" {
  description = "ARN of the KMS key of the machines' disks, or of its alias: with the role for scheduled trainings, EC2 may use it. Null: AWS's own."
  type        = string
  default     = null
}

variable "topic_arn" {
  description = "ARN of an SNS topic for messages about deadlines that stopped machines, or could not. Null: none."
  type        = string
  default     = null

  validation {
    condition     = var.topic_arn == null || can(regex("^arn:aws[a-z-]*:sns:[a-z0-9-]+:[0-9]{12}:[A-Za-z0-9_-]+$", var.topic_arn))
    error_message = "The topic_arn must be the ARN of a standard SNS topic."
  }
}

variable "driver_id" {
  description = "Instance id of the driver. Only stops that include it are messages. Required with topic_arn."
  type        = string
  default     = null
}

variable "tags" {
  description = "Tags of the roles and the rules."
  type        = map(string)
  default     = {}
  nullable    = false
}
