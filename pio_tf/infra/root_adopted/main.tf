# Machines that exist already. imports.tf names them; Terraform tags them, and makes what is beside them.

locals {
  tags = merge(var.tags, { "pio-tf:cluster" = var.cluster })

  idle_after = {
    driver = var.failsafe.idle_after
    master = var.failsafe.master_idle_after
    worker = var.failsafe.idle_after
  }
}

module "failsafe" {
  source = "./modules/failsafe"

  cluster              = var.cluster
  region               = var.region
  make_role            = var.failsafe.make_role
  role_arn             = var.failsafe.role_arn
  make_schedule_role   = var.failsafe.make_schedule_role
  schedule_role_arn    = var.failsafe.schedule_role_arn
  role_path            = var.failsafe.role_path
  permissions_boundary = var.failsafe.permissions_boundary
  topic_arn            = var.failsafe.topic_arn
  driver_id            = module.machine["driver"].machine.id
  tags                 = merge(local.tags, { Name = "pio-tf-${var.cluster}" })
}

module "machine" {
  source   = "./modules/adopted-machine"
  for_each = var.machines

  id      = each.value.id
  name    = each.key
  role    = each.value.role
  cluster = var.cluster
  tags    = var.tags
  idle_alarm = local.idle_after[each.value.role] == null ? null : {
    seconds = local.idle_after[each.value.role]
    action  = module.failsafe.stop_action
  }
}
