"""The narrowest IAM policies for a pipeline's jobs, out of the calls that Terraform and pio-tf make."""

from pio_tf.iam.roles import ROLES, Policy, Role, policies

__all__ = ["ROLES", "Policy", "Role", "policies"]
