"""From a Config to a Terraform stack, and Terraform itself: plan, guard, apply, outputs, state."""
