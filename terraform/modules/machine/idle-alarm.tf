locals {
  # CloudWatch looks back at most a day, or a week in periods of an hour. EC2 measures every five minutes.
  idle_period = try(var.idle_alarm.seconds, 0) > 86400 ? 3600 : 300
}

# The second guard, after the deadline: it stops a machine after hours of idle processors. A Spark driver that waits for its
# executors, a worker without a task and any master look idle to every metric of EC2. Only time tells them from forgotten
# ones, so the periods are long. There is one metric, because an alarm with EC2's actions must be on a metric of one
# instance. A stopped machine sends no data, and missing data is not idleness.
resource "aws_cloudwatch_metric_alarm" "idle" {
  count = var.idle_alarm == null ? 0 : 1

  alarm_name          = "pio-tf/${var.cluster}/${var.name}/idle"
  alarm_description   = "Stops ${var.name} of cluster ${var.cluster} when it has done nothing for ${var.idle_alarm.seconds / 3600} hours"
  namespace           = "AWS/EC2"
  metric_name         = "CPUUtilization"
  dimensions          = { InstanceId = aws_instance.this.id }
  statistic           = "Average"
  comparison_operator = "LessThanThreshold"
  threshold           = 1 # percent; one busy core of 96 is more
  period              = local.idle_period
  evaluation_periods  = ceil(var.idle_alarm.seconds / local.idle_period)
  datapoints_to_alarm = ceil(var.idle_alarm.seconds / local.idle_period)
  treat_missing_data  = "notBreaching"
  alarm_actions       = [var.idle_alarm.action]
  tags                = local.tags
}
