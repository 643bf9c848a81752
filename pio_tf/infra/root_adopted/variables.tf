variable "cluster" {
  description = "Name of the cluster: the value of the tag pio-tf:cluster on every resource."
  type        = string
}

variable "region" {
  description = "AWS region."
  type        = string
}

variable "tags" {
  description = "Further tags for every machine and resource."
  type        = map(string)
}

variable "machines" {
  description = "The machines by name: driver, master, worker-1, and so on: instance id and role."
  type        = map(object({ id = string, role = string }))
}

variable "failsafe" {
  description = "Starts and stops without a client: the roles for deadlines and scheduled trainings, the SNS topic for messages about deadlines (null: none), and the seconds after which an idle machine is stopped (null: never)."
  type = object({
    make_role            = bool
    role_arn             = optional(string)
    make_schedule_role   = bool
    schedule_role_arn    = optional(string)
    role_path            = string
    permissions_boundary = optional(string)
    topic_arn            = optional(string)
    idle_after           = optional(number)
    master_idle_after    = optional(number)
  })
}
