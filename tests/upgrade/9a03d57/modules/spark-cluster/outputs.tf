output "machines" {
  description = "The machines by name: role, instance id and private address."
  value = merge(
    {
      master = {
        role       = "master"
        id         = module.master.id
        private_ip = module.master.private_ip
        eip        = null
      }
    },
    {
      for name, machine in module.worker : name => {
        role       = "worker"
        id         = machine.id
        private_ip = machine.private_ip
        eip        = null
      }
    },
  )
}

output "master_private_ip" {
  description = "Private address of the master."
  value       = module.master.private_ip
}
