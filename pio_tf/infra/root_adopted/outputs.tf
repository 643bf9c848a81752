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
  description = "The machines by name: role, instance id and private address."
  value       = { for name, one in module.machine : name => one.machine }
}

output "deadline_role_arn" {
  description = "Role with which EventBridge Scheduler stops the machines at a deadline; null: none."
  value       = module.failsafe.role_arn
}

output "schedule_role_arn" {
  description = "Role with which EventBridge Scheduler starts and stops the machines for scheduled trainings; null: none."
  value       = module.failsafe.schedule_role_arn
}
