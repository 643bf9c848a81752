"""Config -> a Terraform stack; Terraform itself: plan, guard, apply, outputs."""
