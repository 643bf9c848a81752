output "machine" {
  description = "The machine: role, instance id and private address. Its Elastic IP, if it has one, is not Terraform's."
  value = {
    role       = var.role
    id         = aws_instance.this.id
    private_ip = aws_instance.this.private_ip
    eip        = null
  }
}
