# Only values that never change with power: a plan after a stop must find no changes.

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
  description = "Security group of the machines. Let it into the groups of Elasticsearch, HBase and HDFS."
  value       = module.security.id
}

output "deadline_role_arn" {
  description = "Role with which EventBridge Scheduler stops the machines at a deadline; null: none."
  value       = module.failsafe.role_arn
}

output "schedule_role_arn" {
  description = "Role with which EventBridge Scheduler starts and stops the machines for scheduled trainings; null: none."
  value       = module.failsafe.schedule_role_arn
}
