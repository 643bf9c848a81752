variable "cluster" {
  description = "Name of the cluster: the value of the tag pio-tf:cluster on every resource."
  type        = string
}

variable "region" {
  description = "AWS region."
  type        = string
}

variable "tags" {
  description = "Further tags for every resource."
  type        = map(string)
}

variable "network" {
  description = "A new network (cidr) or an existing subnet (vpc_id, subnet_id), and the addresses that may reach it."
  type = object({
    cidr                   = optional(string)
    availability_zone      = optional(string)
    public_ips             = bool
    vpc_id                 = optional(string)
    subnet_id              = optional(string)
    ssh_cidrs              = list(string)
    ssh_security_group_ids = list(string)
    security_group_ids     = list(string)
    destinations = list(object({
      cidr           = optional(string)
      prefix_list_id = optional(string)
      from_port      = optional(number)
      to_port        = optional(number)
    }))
    first_host = optional(number)
    driver_eip = bool
  })
}

variable "ssh" {
  description = "SSH: user, port, and an existing key pair or the public key for a new one."
  type = object({
    user       = string
    port       = number
    key_pair   = optional(string)
    public_key = optional(string)
  })
}

variable "driver" {
  description = "The driver."
  type = object({
    instance_type   = string
    root_volume_gib = number
    ami             = optional(string)
    ami_parameter   = optional(string)
    ami_filter      = optional(object({ owner = string, name = string }))
    disks = object({
      root    = object({ type = string, iops = optional(number), throughput = optional(number) })
      scratch = optional(object({ gib = number, type = string, iops = optional(number), throughput = optional(number) }))
    })
  })
}

variable "spark" {
  description = "The Spark cluster."
  type = object({
    workers              = number
    instance_type        = string
    master_instance_type = optional(string)
    root_volume_gib      = number
    ami                  = optional(string)
    ami_parameter        = optional(string)
    ami_filter           = optional(object({ owner = string, name = string }))
    disks = object({
      root    = object({ type = string, iops = optional(number), throughput = optional(number) })
      scratch = optional(object({ gib = number, type = string, iops = optional(number), throughput = optional(number) }))
    })
    master_port    = number
    master_ui_port = number
  })
}

variable "machines" {
  description = "All machines: the KMS key of new disks (ARN, id or alias; null: AWS's own), whether AWS refuses to terminate them, and the tags of their root disks if AWS sets them at creation."
  type = object({
    kms_key_id             = optional(string)
    disk_tags_at_launch    = optional(map(string))
    termination_protection = bool
  })
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

variable "profile" {
  description = "The instance profile of all machines: the name of an existing one, or what a new one is for."
  type = object({
    name       = optional(string)
    make       = bool
    archives   = list(string)
    topic_arns = list(string)
    sessions   = bool
  })
}

variable "software" {
  description = "The software to install: the input of that name of the module bootstrap, which declares and checks it."
  type        = any
}
