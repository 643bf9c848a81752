# AWS chooses the private addresses, which the machines then keep. The workers are made after their master.

locals {
  private_ips = {}
  hosts       = {} # pio-tf adds the machines' names once they have addresses
  master_host = module.spark_cluster.master_private_ip
}
