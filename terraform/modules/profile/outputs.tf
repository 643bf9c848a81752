output "name" {
  description = "Name of the instance profile."
  value       = aws_iam_instance_profile.this.name

  # A machine reads its software from S3 at its first boot.
  depends_on = [aws_iam_role_policy.this]
}
