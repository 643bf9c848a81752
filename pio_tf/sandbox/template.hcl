# A cluster on the sandbox: a local stand-in for AWS. `pio-tf init` without --sandbox writes one for AWS.

cluster {
  name = "@cluster@"
}

aws {
  # The sandbox's address and access key. On AWS, only the region is required.
  region           = "@region@"
  endpoint_url     = "@url@"
  profile          = "@profile@"
  credentials_file = "@credentials_file@"
}

network {
  # A network on loopback, in the range of this sandbox. Every machine listens on its own address: the driver on .10,
  # then the Spark master, then the workers.
  cidr = "@cidr@"
}

driver {
  # On AWS, use an r5.xlarge or larger. Here the driver trains only on a small sample.
  instance_type      = "t3.medium"
  allow_small_memory = true
}

spark {
  workers       = 2
  instance_type = "t3.medium"

  # Spark comes with the sandbox: this is its place on every machine.
  home = "~/spark"

  conf = {
    # The sample is small: Spark's default of 200 partitions would be 200 almost empty tasks a shuffle.
    "spark.sql.shuffle.partitions" = "4"
    "spark.default.parallelism"    = "4"
  }
}

ssh {
  user    = "@user@"
  key     = "@key@"
  port    = "@port@"
  address = "private"
}

pio {
  # A small stand-in for PredictionIO, which says so. It trains on a sample that comes with it.
  home       = "~/pio"
  engine_dir = "~/engine"
}

# The sandbox's PredictionIO is made for this Spark. Without it, pio-tf takes the Spark of Apache's PredictionIO.
software {
  pio {
    spark_version = "@spark_version@"
  }
}

# The services that PredictionIO connects to are the sandbox's, too: stand-ins, or real ones after
# `pio-tf sandbox start --services real`. Their client files are in the machine's home directory, because the machine
# shares /usr/local with this computer.
elasticsearch {
  hosts = ["@services@"]
  port  = "@elasticsearch_port@"
  home  = "~/elasticsearch"

  # The sandbox's own. On AWS, keep a password in SSM or Secrets Manager: password = ssm("/name").
  user     = "@elasticsearch_user@"
  password = "@elasticsearch_password@"
}

hbase {
  hosts          = ["@services@"]
  zookeeper_port = "@zookeeper_port@"
  home           = "~/hbase"
}

hdfs {
  namenode    = "@services@"
  port        = "@namenode_port@"
  hadoop_home = "~/hadoop"
}

terraform {
  # Terraform takes the AWS provider from the sandbox's own copy.
  cli_config_file = "@cli_config_file@"
}
