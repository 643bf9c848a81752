# Bakes an image with all software of a cluster's machines, with the script of their first boot (bootstrap.sh). One image
# serves all roles. Values that differ between clusters are in pio-tf.auto.pkrvars.hcl.

packer {
  required_version = ">= 1.8"

  required_plugins {
    amazon = {
      source  = "github.com/hashicorp/amazon"
      version = ">= 1.2.0, < 2.0.0"
    }
  }
}

variable "name" {
  description = "Prefix of the image's name."
  type        = string
}

variable "region" {
  description = "AWS region."
  type        = string
}

variable "profile" {
  description = "Profile of the AWS credentials. Empty: the usual ones."
  type        = string
  default     = ""
}

variable "role_arn" {
  description = "Role to assume. Empty: none."
  type        = string
  default     = ""
}

variable "external_id" {
  description = "External id for that role. Empty: none."
  type        = string
  default     = ""
}

variable "source_ami" {
  description = "Source image. Empty: the newest image of source_owner with the name source_name."
  type        = string
  default     = ""
}

variable "source_owner" {
  description = "Owner of the source image: account id or alias."
  type        = string
}

variable "source_name" {
  description = "Name of the source image, with * as a wildcard."
  type        = string
}

variable "instance_type" {
  description = "Type of the machine that builds the image. It runs for some minutes."
  type        = string
}

variable "ssh_user" {
  description = "SSH user of the image, for Packer and pio-tf."
  type        = string
}

variable "vpc_id" {
  description = "VPC of that machine. Empty: the account's default VPC."
  type        = string
  default     = ""
}

variable "subnet_id" {
  description = "Subnet of that machine. Packer must reach the machine over SSH, and the machine must reach the mirrors."
  type        = string
  default     = ""
}

variable "tags" {
  description = "Tags of the image, its snapshot, and the machine that builds it."
  type        = map(string)
  default     = {}
}

locals {
  image_name = "${var.name}-${formatdate("YYYYMMDDhhmmss", timestamp())}"
  # Never pio-tf:cluster: pio-tf treats anything with that tag as a machine of the cluster.
  tags = merge(var.tags, { Name = local.image_name })
}

source "amazon-ebs" "machine" {
  region        = var.region
  profile       = var.profile
  instance_type = var.instance_type
  vpc_id        = var.vpc_id
  subnet_id     = var.subnet_id
  source_ami    = var.source_ami

  ami_name        = local.image_name
  ami_description = "A machine of PredictionIO's training cluster, prepared by pio-tf"
  encrypt_boot    = true
  imds_support    = "v2.0"

  ssh_username              = var.ssh_user
  ssh_clear_authorized_keys = true

  tags            = local.tags
  snapshot_tags   = local.tags
  run_tags        = local.tags
  run_volume_tags = local.tags

  dynamic "source_ami_filter" {
    for_each = var.source_ami == "" ? [var.source_name] : []

    content {
      owners      = [var.source_owner]
      most_recent = true
      filters = {
        name                = source_ami_filter.value
        architecture        = "x86_64"
        root-device-type    = "ebs"
        virtualization-type = "hvm"
      }
    }
  }

  dynamic "assume_role" {
    for_each = var.role_arn == "" ? [] : [var.role_arn]

    content {
      role_arn     = assume_role.value
      external_id  = var.external_id
      session_name = "pio-tf-image"
    }
  }

  metadata_options {
    http_endpoint               = "enabled"
    http_tokens                 = "required"
    http_put_response_hop_limit = 1
  }
}

build {
  sources = ["source.amazon-ebs.machine"]

  # cloud-init may hold apt's lock; its own result does not matter here.
  provisioner "shell" {
    inline = ["cloud-init status --wait >/dev/null || true"]
  }

  provisioner "shell" {
    script          = "${path.root}/bootstrap.sh"
    execute_command = "sudo -n bash '{{ .Path }}' image"
  }

  # A machine made from the image needs its own host keys, id and user data. An id left with D-Bus would become the new
  # machine's id.
  provisioner "shell" {
    inline = [
      "sudo rm -f /etc/ssh/ssh_host_* /var/lib/dbus/machine-id",
      "sudo truncate --size 0 /etc/machine-id",
      "sudo cloud-init clean --logs",
    ]
  }

  post-processor "manifest" {
    output = "${path.root}/manifest.json"
  }
}
