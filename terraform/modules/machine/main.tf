# One EC2 instance that Terraform creates once, and that pio-tf then only starts and stops.
#
# Omitted on purpose: associate_public_ip_address (reads back as false on a stopped machine, and replaces it:
# terraform-provider-aws #33775, #37642); network_interface (deprecated since provider 6.10, and 20 s slower to create).

locals {
  tags = merge(var.tags, {
    Name             = "${var.cluster}-${var.name}"
    "pio-tf:cluster" = var.cluster
    "pio-tf:machine" = var.name
    "pio-tf:role"    = var.role
  })
}

resource "aws_instance" "this" {
  # checkov:skip=CKV_AWS_126: AWS bills metrics of every minute for each machine; those of every five minutes suffice.
  # checkov:skip=CKV_AWS_135: Current types always are; r3 is where AWS offers it, but AWS would refuse r3.8xlarge.
  ami                                  = var.ami
  instance_type                        = var.instance_type
  key_name                             = var.key_name
  subnet_id                            = var.subnet_id
  private_ip                           = var.private_ip
  vpc_security_group_ids               = var.security_group_ids
  user_data_base64                     = var.user_data_base64
  iam_instance_profile                 = var.instance_profile
  instance_initiated_shutdown_behavior = "stop"
  disable_api_termination              = var.termination_protection
  tags                                 = local.tags
  volume_tags                          = var.disks.tags_at_launch == null ? null : merge(var.disks.tags_at_launch, local.tags)

  metadata_options {
    http_endpoint               = "enabled"
    http_tokens                 = "required"
    http_put_response_hop_limit = 1
  }

  root_block_device {
    encrypted             = true
    kms_key_id            = var.disks.kms_key_id
    volume_type           = var.disks.root.type
    volume_size           = var.root_volume_gib
    iops                  = var.disks.root.iops
    throughput            = var.disks.root.throughput
    delete_on_termination = true
    tags                  = var.disks.tags_at_launch == null ? local.tags : null # the provider takes not both
  }

  # A volume can be removed only after the machine that it is attached to.
  depends_on = [aws_ebs_volume.scratch]

  lifecycle {
    prevent_destroy = true

    # Only used when a machine is created. Later changes would replace it (ami, key_name, encryption), or stop and start
    # it without effect (user data runs only at the first boot).
    ignore_changes = [
      ami,
      key_name,
      user_data,
      user_data_base64,
      volume_tags,
      root_block_device[0].encrypted,
      root_block_device[0].kms_key_id,
    ]
  }
}

# A volume of its own, not an ebs_block_device of the machine: Terraform adds it to machines that exist, and sees it change.
resource "aws_ebs_volume" "scratch" {
  count = var.disks.scratch == null ? 0 : 1

  availability_zone = var.disks.availability_zone
  encrypted         = true
  kms_key_id        = var.disks.kms_key_id
  type              = var.disks.scratch.type
  size              = var.disks.scratch.gib
  iops              = var.disks.scratch.iops
  throughput        = var.disks.scratch.throughput
  tags              = local.tags

  lifecycle {
    prevent_destroy = true

    # Only used when the volume is created. Later changes would replace it.
    ignore_changes = [availability_zone, encrypted, kms_key_id]
  }
}

# Linux calls it xvdf or nvme1n1. A running machine would not let it go: the volume goes with its machine.
resource "aws_volume_attachment" "scratch" {
  count = var.disks.scratch == null ? 0 : 1

  device_name  = "/dev/sdf"
  instance_id  = aws_instance.this.id
  volume_id    = aws_ebs_volume.scratch[0].id
  skip_destroy = true

  lifecycle {
    prevent_destroy = true
  }
}
