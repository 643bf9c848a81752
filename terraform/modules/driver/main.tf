# The machine that runs `pio train`, and no service.

module "machine" {
  source = "../machine"

  name                   = "driver"
  role                   = "driver"
  cluster                = var.cluster
  subnet_id              = var.subnet_id
  private_ip             = var.private_ip
  security_group_ids     = var.security_group_ids
  instance_type          = var.instance_type
  ami                    = var.ami
  root_volume_gib        = var.root_volume_gib
  disks                  = var.disks
  termination_protection = var.termination_protection
  key_name               = var.key_name
  instance_profile       = var.instance_profile
  user_data_base64       = var.user_data_base64
  idle_alarm             = var.idle_alarm
  tags                   = var.tags
}

# Neither `vpc` (removed in provider 6) nor `domain` (unknown to 3.39).
resource "aws_eip" "this" {
  # checkov:skip=CKV2_AWS_19: It is attached to the instance of the module machine, which the check does not follow.
  count = var.eip ? 1 : 0

  instance = module.machine.id
  tags = merge(var.tags, {
    Name             = "${var.cluster}-driver"
    "pio-tf:cluster" = var.cluster
  })

  lifecycle {
    prevent_destroy = true
  }
}
