# A cluster on the sandbox: a local stand-in for AWS. `pio-tf init` without --sandbox writes one for AWS.

cluster {
  name = "old-local"
}

aws {
  # Where the sandbox answers, and its credentials (any will do there). On AWS only the region is needed.
  region           = "us-east-1"
  endpoint_url     = "@URL@"
  profile          = "sandbox"
  credentials_file = ".pio-tf/sandbox_credentials"
}

network {
  # A network on loopback: every machine listens on an address of its own, from .10 on: the driver, then the
  # Spark master, then the workers.
  cidr = "127.77.214.0/24"
}

driver {
  # On AWS the driver should be an r5.xlarge or larger; here nothing but a small sample is trained on.
  instance_type      = "t3.medium"
  allow_small_memory = true
}

spark {
  workers       = 1
  instance_type = "t3.medium"

  # Spark comes with the sandbox; `home` is the one place in this file where it is, on every machine.
  home = "~/spark"

  conf = {
    # The sample is small: Spark's default of 200 partitions would be 200 almost empty tasks a shuffle.
    "spark.sql.shuffle.partitions" = "4"
    "spark.default.parallelism"    = "4"
  }
}

ssh {
  user    = "ubuntu"
  key     = ".pio-tf/sandbox_key"
  port    = 2222
  address = "private"
}

pio {
  # A small stand-in for PredictionIO, which says so: it trains on a sample that comes with it.
  home       = "~/pio"
  engine_dir = "~/engine"
}

# The services that PredictionIO connects to are small stand-ins, too. Their client files go to the machine's home: it
# shares /usr/local with this computer.
elasticsearch {
  hosts = ["@SERVICES@"]
  port  = 9200
  home  = "~/elasticsearch"
}

hbase {
  hosts          = ["@SERVICES@"]
  zookeeper_port = 2181
  home           = "~/hbase"
}

hdfs {
  namenode    = "@SERVICES@"
  port        = 9000
  hadoop_home = "~/hadoop"
}

terraform {
  # Takes the AWS provider from the sandbox's own copy.
  cli_config_file = "@CLI_CONFIG@"
}
