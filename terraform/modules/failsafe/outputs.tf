output "role_arn" {
  description = "The role for deadlines; null: none."
  value       = local.role_arn
}

output "schedule_role_arn" {
  description = "The role for scheduled trainings; null: none."
  value       = local.schedule_role_arn
}

output "stop_action" {
  description = "Action of an alarm that stops the machine of its metric: CloudWatch's own EC2 action."
  value       = "arn:${data.aws_partition.current.partition}:automate:${var.region}:ec2:stop"
}
