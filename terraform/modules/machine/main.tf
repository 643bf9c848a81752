# One EC2 instance that is made once, and from then on only started and stopped.
#
# Left out on purpose: associate_public_ip_address (reads back as false on a stopped machine, and replaces it:
# terraform-provider-aws #33775, #37642); network_interface (deprecated since provider 6.10, and 20 s slower to make).

locals {
  tags = merge(var.tags, {
    Name             = "${var.cluster}-${var.name}"
    "pio-tf:cluster" = var.cluster
    "pio-tf:machine" = var.name
    "pio-tf:role"    = var.role
  })
}

resource "aws_instance" "this" {
  # checkov:skip=CKV_AWS_126: Metrics of every minute are charged for each machine; those of every five minutes do.
  # checkov:skip=CKV_AWS_135: Current types always are; r3 is where AWS offers it, but r3.8xlarge would be refused.
  # checkov:skip=CKV2_AWS_41: No role is the narrowest: machines ask AWS for nothing, and read a mirror in S3 without one.
  ami                                  = var.ami
  instance_type                        = var.instance_type
  key_name                             = var.key_name
  subnet_id                            = var.subnet_id
  private_ip                           = var.private_ip
  vpc_security_group_ids               = var.security_group_ids
  user_data_base64                     = var.user_data_base64
  instance_initiated_shutdown_behavior = "stop"
  tags                                 = local.tags

  metadata_options {
    http_endpoint               = "enabled"
    http_tokens                 = "required"
    http_put_response_hop_limit = 1
  }

  root_block_device {
    encrypted             = true
    volume_type           = "gp3"
    volume_size           = var.root_volume_gib
    delete_on_termination = true
    tags                  = local.tags
  }

  lifecycle {
    prevent_destroy = true

    # Only used when a machine is made. Later changes of them would replace it (ami, key_name, encryption), or stop and
    # start it for nothing (user data runs at the first boot only).
    ignore_changes = [
      ami,
      key_name,
      user_data,
      user_data_base64,
      root_block_device[0].encrypted,
      root_block_device[0].kms_key_id,
    ]
  }
}
