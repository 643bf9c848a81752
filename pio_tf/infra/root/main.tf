locals {
  workers  = toset([for number in range(1, var.spark.workers + 1) : "worker-${number}"])
  machines = concat(["driver", "master"], [for number in range(1, var.spark.workers + 1) : "worker-${number}"])
  tags     = merge(var.tags, { "pio-tf:cluster" = var.cluster })
  key_name = var.ssh.key_pair != null ? var.ssh.key_pair : aws_key_pair.this[0].key_name

  security_group_ids = concat([module.security.id], var.network.security_group_ids)
  instance_profile   = var.profile.make ? module.profile[0].name : var.profile.name

  # The volume's argument takes ARNs only.
  kms_key_id = var.machines.kms_key_id == null ? null : startswith(var.machines.kms_key_id, "arn:") ? var.machines.kms_key_id : join(":", [
    "arn", data.aws_partition.current[0].partition, "kms", var.region, data.aws_caller_identity.current[0].account_id,
    startswith(var.machines.kms_key_id, "alias/") ? var.machines.kms_key_id : "key/${var.machines.kms_key_id}",
  ])
  # Exactly one of each list is set. An image id is no secret, as all parameters are to the provider.
  images = {
    driver = coalesce(concat([var.driver.ami], [for id in data.aws_ssm_parameter.driver[*].value : nonsensitive(id)], data.aws_ami.driver[*].id)...)
    spark  = coalesce(concat([var.spark.ami], [for id in data.aws_ssm_parameter.spark[*].value : nonsensitive(id)], data.aws_ami.spark[*].id)...)
  }

  # AWS attaches a volume only in the machine's zone.
  of_disks = {
    kms_key_id        = local.kms_key_id
    availability_zone = module.network.availability_zone
    tags_at_launch    = var.machines.disk_tags_at_launch
  }

  idle_alarm = var.failsafe.idle_after == null ? null : {
    seconds = var.failsafe.idle_after
    action  = module.failsafe.stop_action
  }
  master_idle_alarm = var.failsafe.idle_after == null ? null : {
    seconds = var.failsafe.master_idle_after
    action  = module.failsafe.stop_action
  }
}

data "aws_partition" "current" {
  count = var.machines.kms_key_id == null ? 0 : 1
}

data "aws_caller_identity" "current" {
  count = var.machines.kms_key_id == null ? 0 : 1
}

module "network" {
  source = "./modules/network"

  name              = var.cluster
  cidr              = var.network.cidr
  availability_zone = var.network.availability_zone
  public_ips        = var.network.public_ips
  internet_gateway  = var.network.public_ips || var.network.driver_eip
  vpc_id            = var.network.vpc_id
  subnet_id         = var.network.subnet_id
  tags              = local.tags
}

module "security" {
  source = "./modules/security"

  name                   = "pio-tf-${var.cluster}"
  vpc_id                 = module.network.vpc_id
  ssh_cidrs              = var.network.ssh_cidrs
  ssh_security_group_ids = var.network.ssh_security_group_ids
  ssh_port               = var.ssh.port
  destinations           = var.network.destinations
  tags                   = local.tags
}

# Without an existing key pair, Terraform creates one from the public key. Machines read it only when they are created,
# so it never changes: another key would not reach existing machines, but every colleague's plan would replace the pair.
resource "aws_key_pair" "this" {
  count = var.ssh.key_pair == null ? 1 : 0

  key_name   = "pio-tf-${var.cluster}"
  public_key = var.ssh.public_key
  tags       = merge(local.tags, { Name = var.cluster })

  lifecycle {
    ignore_changes = [public_key]
  }
}

# A new value of the parameter is for new machines: those that exist ignore changes of their image.
data "aws_ssm_parameter" "driver" {
  count = var.driver.ami_parameter == null ? 0 : 1

  name            = var.driver.ami_parameter
  with_decryption = false
}

data "aws_ami" "driver" {
  count = var.driver.ami_filter == null ? 0 : 1

  most_recent = true
  owners      = [var.driver.ami_filter.owner]

  filter {
    name   = "name"
    values = [var.driver.ami_filter.name]
  }
}

data "aws_ssm_parameter" "spark" {
  count = var.spark.ami_parameter == null ? 0 : 1

  name            = var.spark.ami_parameter
  with_decryption = false
}

data "aws_ami" "spark" {
  count = var.spark.ami_filter == null ? 0 : 1

  most_recent = true
  owners      = [var.spark.ami_filter.owner]

  filter {
    name   = "name"
    values = [var.spark.ami_filter.name]
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
  kms_key_id           = local.kms_key_id
  driver_id            = module.driver.machine.id
  tags                 = merge(local.tags, { Name = "pio-tf-${var.cluster}" })
}

module "profile" {
  source = "./modules/profile"
  count  = var.profile.make ? 1 : 0

  cluster              = var.cluster
  name                 = "pio-ec2-${var.cluster}-${var.region}"
  path                 = var.failsafe.role_path
  permissions_boundary = var.failsafe.permissions_boundary
  archives             = var.profile.archives
  topic_arns           = var.profile.topic_arns
  sessions             = var.profile.sessions
  tags                 = merge(local.tags, { Name = "pio-tf-${var.cluster}" })
}

# The driver reads neither port of the master: null stands for the default.
module "bootstrap" {
  source   = "./modules/bootstrap"
  for_each = toset(["driver", "master"])

  role           = each.key
  ssh_user       = var.ssh.user
  region         = var.region
  software       = var.software
  hosts          = local.hosts
  scratch_volume = each.key == "driver" && var.driver.disks.scratch != null
  master_port    = each.key == "master" ? var.spark.master_port : null
  master_ui_port = each.key == "master" ? var.spark.master_ui_port : null
}

# A module of its own: the address of the master may be known only once the master exists.
module "worker_bootstrap" {
  source = "./modules/bootstrap"

  role           = "worker"
  ssh_user       = var.ssh.user
  region         = var.region
  software       = var.software
  hosts          = merge(local.hosts, { spark-master = local.master_host })
  master_host    = local.master_host
  scratch_volume = var.spark.disks.scratch != null
  master_port    = var.spark.master_port
}

module "driver" {
  source = "./modules/driver"

  cluster                = var.cluster
  subnet_id              = module.network.subnet_id
  private_ip             = lookup(local.private_ips, "driver", null)
  security_group_ids     = local.security_group_ids
  instance_type          = var.driver.instance_type
  ami                    = local.images["driver"]
  root_volume_gib        = var.driver.root_volume_gib
  disks                  = merge(var.driver.disks, local.of_disks)
  termination_protection = var.machines.termination_protection
  key_name               = local.key_name
  instance_profile       = local.instance_profile
  user_data_base64       = module.bootstrap["driver"].user_data_base64
  eip                    = var.network.driver_eip
  idle_alarm             = local.idle_alarm
  tags                   = var.tags
}

module "spark_cluster" {
  source = "./modules/spark-cluster"

  cluster                 = var.cluster
  subnet_id               = module.network.subnet_id
  private_ips             = local.private_ips
  security_group_ids      = local.security_group_ids
  instance_type           = var.spark.instance_type
  master_instance_type    = var.spark.master_instance_type
  workers                 = local.workers
  ami                     = local.images["spark"]
  root_volume_gib         = var.spark.root_volume_gib
  disks                   = merge(var.spark.disks, local.of_disks)
  termination_protection  = var.machines.termination_protection
  key_name                = local.key_name
  instance_profile        = local.instance_profile
  master_user_data_base64 = module.bootstrap["master"].user_data_base64
  worker_user_data_base64 = module.worker_bootstrap.user_data_base64
  idle_alarm              = local.idle_alarm
  master_idle_alarm       = local.master_idle_alarm
  tags                    = var.tags
}
