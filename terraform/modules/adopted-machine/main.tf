# One EC2 instance that exists already. Terraform imports it and tags it, and changes nothing else on it.

locals {
  tags = merge(var.tags, {
    "pio-tf:cluster" = var.cluster
    "pio-tf:machine" = var.name
    "pio-tf:role"    = var.role
  })
}

resource "aws_instance" "this" {
  # checkov:skip=CKV2_AWS_41: The machine is left as it is.
  # checkov:skip=CKV_AWS_8: The machine exists: AWS encrypts no disk that does.
  # checkov:skip=CKV_AWS_79: The machine's software may need IMDSv1.
  # checkov:skip=CKV_AWS_126: The machine is left as it is.
  # checkov:skip=CKV_AWS_135: The machine is left as it is.
  # There is no such image or type: where nothing imports the machine, AWS refuses to create another one.
  ami           = "imported"
  instance_type = "imported"

  lifecycle {
    prevent_destroy = true

    # All that a machine made elsewhere may have differs from what an argument here would say: disks, groups, addresses,
    # network interfaces, user data, metadata options. Terraform Core gives the provider the values that AWS has, and
    # takes its plan only where they stay.
    ignore_changes = all

    postcondition {
      condition     = self.id == var.id
      error_message = "Terraform's state has ${self.id} as ${var.name}, but it should be ${var.id}. Name ${self.id} again; or run Terraform's `state rm` for this address: the next apply imports ${var.id}."
    }
  }
}

# Not the instance's argument `tags`, which would remove the tags that others give it.
resource "aws_ec2_tag" "this" {
  for_each = local.tags

  resource_id = aws_instance.this.id
  key         = each.key
  value       = each.value
}
