output "id" {
  description = "The security group. Allow it in those of Elasticsearch, HBase and HDFS."
  value       = aws_security_group.this.id

  # A machine downloads its software and looks for its master at its first boot.
  depends_on = [
    aws_security_group_rule.within,
    aws_security_group_rule.egress,
    aws_security_group_rule.egress_ports,
    aws_security_group_rule.egress_within,
  ]
}
