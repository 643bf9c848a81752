variable "id" {
  description = "Instance id. Import the machine: the module never creates one."
  type        = string

  validation {
    condition     = can(regex("^i-[0-9a-f]+$", var.id))
    error_message = "The id must be an instance id, like i-0a1b2c3d."
  }
}

variable "name" {
  description = "Name of the machine in its cluster: driver, master, worker-1, and so on."
  type        = string

  validation {
    condition     = can(regex("^(driver|master|worker-[1-9][0-9]*)$", var.name))
    error_message = "The name must be driver, master, or worker- and a number from 1."
  }
}

variable "role" {
  description = "Role of the machine: driver, master or worker."
  type        = string

  validation {
    condition     = contains(["driver", "master", "worker"], var.role)
    error_message = "The role must be driver, master or worker."
  }
}

variable "cluster" {
  description = "Name of the cluster. pio-tf finds its machines by this value of the tag pio-tf:cluster."
  type        = string
}

variable "idle_alarm" {
  description = "Alarm that stops the machine after this many seconds of idle processors (an hour to a week), with this action. Null: no alarm."
  type        = object({ seconds = number, action = string })
  default     = null

  validation {
    condition     = var.idle_alarm == null || try(var.idle_alarm.seconds >= 3600 && var.idle_alarm.seconds <= 604800, false)
    error_message = "The idle_alarm's seconds must be between 3600 (an hour) and 604800 (a week)."
  }
}

variable "tags" {
  description = "Further tags of the machine."
  type        = map(string)
  default     = {}
  nullable    = false
}
