# AWS chooses the private addresses, which the machines then keep. Workers are created after their master.

locals {
  private_ips = {}
  hosts       = {} # pio-tf adds names once the machines have addresses
  master_host = module.spark_cluster.master_private_ip
}
