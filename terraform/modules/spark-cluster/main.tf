# The Spark standalone cluster: one master, and workers by name. A new worker changes nothing else.

module "master" {
  source = "../machine"

  name                   = "master"
  role                   = "master"
  cluster                = var.cluster
  subnet_id              = var.subnet_id
  private_ip             = lookup(var.private_ips, "master", null)
  security_group_ids     = var.security_group_ids
  instance_type          = coalesce(var.master_instance_type, var.instance_type)
  ami                    = var.ami
  root_volume_gib        = var.root_volume_gib
  disks                  = merge(var.disks, { scratch = null })
  termination_protection = var.termination_protection
  key_name               = var.key_name
  instance_profile       = var.instance_profile
  user_data_base64       = var.master_user_data_base64
  idle_alarm             = var.master_idle_alarm
  tags                   = var.tags
}

module "worker" {
  source   = "../machine"
  for_each = var.workers

  name                   = each.key
  role                   = "worker"
  cluster                = var.cluster
  subnet_id              = var.subnet_id
  private_ip             = lookup(var.private_ips, each.key, null)
  security_group_ids     = var.security_group_ids
  instance_type          = var.instance_type
  ami                    = var.ami
  root_volume_gib        = var.root_volume_gib
  disks                  = var.disks
  termination_protection = var.termination_protection
  key_name               = var.key_name
  instance_profile       = var.instance_profile
  user_data_base64       = var.worker_user_data_base64
  idle_alarm             = var.idle_alarm
  tags                   = var.tags
}
