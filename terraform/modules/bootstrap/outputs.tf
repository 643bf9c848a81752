output "user_data_base64" {
  description = "The script, gzipped, for aws_instance.user_data_base64."
  value       = local.packed

  precondition {
    condition     = var.role != "worker" || var.master_host != null
    error_message = "A worker needs master_host."
  }

  precondition {
    condition     = local.packed_bytes <= 16384
    error_message = "The user data of a ${var.role} has ${local.packed_bytes} bytes, packed; AWS accepts 16384. Name fewer mirrors or shorter addresses, or shorten software.extra_bootstrap."
  }
}

output "script" {
  description = "The script as text."
  value       = local.script
}
