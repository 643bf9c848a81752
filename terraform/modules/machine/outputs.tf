output "id" {
  description = "Instance id."
  value       = aws_instance.this.id
}

output "private_ip" {
  description = "Private IPv4 address. The machine keeps it."
  value       = aws_instance.this.private_ip
}
