output "machine" {
  description = "The driver: role, instance id, private address, and Elastic IP if it has one."
  value = {
    role       = "driver"
    id         = module.machine.id
    private_ip = module.machine.private_ip
    eip        = one(aws_eip.this[*].public_ip)
  }
}
