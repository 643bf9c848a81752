# Written by pio-tf from pio-tf.hcl: change that file, not this one.

# Only what never changes with power: a plan after a stop must find no changes here.

output "cluster" {
  description = "Name of the cluster."
  value       = var.cluster
}

output "region" {
  description = "AWS region."
  value       = var.region
}

output "machines" {
  description = "The machines by name: role, instance id, private address, and Elastic IP if it has one."
  value       = merge({ driver = module.driver.machine }, module.spark_cluster.machines)
}

output "security_group_id" {
  description = "Security group of the machines: let it into those of Elasticsearch, HBase and HDFS."
  value       = module.security.id
}

output "deadline_role_arn" {
  description = "The role that EventBridge Scheduler stops the machines with when a deadline has come; null: there is none."
  value       = module.failsafe.role_arn
}
