"""The narrowest IAM policies for a pipeline's jobs, from the calls that Terraform and pio-tf make."""

from pio_tf.iam.roles import ROLES, JobRole, Policy, policies

__all__ = ["ROLES", "JobRole", "Policy", "policies"]
