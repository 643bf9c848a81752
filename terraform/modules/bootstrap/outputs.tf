output "user_data" {
  description = "The script, for aws_instance.user_data."
  value       = local.script

  precondition {
    condition     = var.role != "worker" || var.master_host != null
    error_message = "A worker needs master_host."
  }
}
