# Written by pio-tf from pio-tf.hcl: change that file, not this one.

# Fixed private addresses: from network.first_host on, in the order driver, master, worker-1, worker-2 …
# The workers know their master's address before it exists, so all machines are made at once.

locals {
  private_ips = {
    for index, name in local.machines : name => cidrhost(module.network.cidr, var.network.first_host + index)
  }
  hosts = {
    for name, address in local.private_ips : (name == "driver" ? name : "spark-${name}") => address
  }
  master_host = local.private_ips["master"]
}
