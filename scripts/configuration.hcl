cluster {
  name         = "ur-training"
  tags         = { team = "recommendations" }
  stop_timeout = "20m"
}

aws {
  region  = "eu-west-1"
  profile = "training"

  assume_role {
    role_arn = "arn:aws:iam::123456789012:role/pio-tf"
  }
}

network {
  vpc_id     = "vpc-0a1b2c3d4e5f60718"
  subnet_id  = "subnet-0a1b2c3d4e5f60718"
  first_host = 40 # driver at host 40 of the subnet, master 41, worker-1 42 …
  ssh_cidrs  = ["10.0.8.0/24"]
}

driver {
  instance_types = ["r5.2xlarge", "r6i.2xlarge"]

  ami_filter {
    owner = "self"
    name  = "predictionio-driver-*"
  }
}

spark {
  workers              = 4
  instance_types       = ["r5.2xlarge", "r6i.2xlarge"]
  master_instance_type = "m5.large"
  root_volume_gib      = 100

  conf = {
    "spark.serializer"                = "org.apache.spark.serializer.KryoSerializer"
    "spark.kryoserializer.buffer.max" = "512m"
  }
}

machines {
  instance_profile = "training"
}

ssh {
  key     = "~/.ssh/id_ed25519"
  bastion = "ops@bastion.example.org"
}

pio {
  engine_dir = "/home/aml/universal-recommender"
  version    = "0.14.0"
}

elasticsearch {
  hosts        = ["es-1.example.internal", "https://es-2.example.internal:9243"]
  user         = "pio"
  password     = ssm("/pio/elasticsearch/password")
  cluster_name = "production"
}

hbase {
  hosts            = ["hbase-1.example.internal"]
  zookeeper_quorum = ["zk-1.example.internal", "zk-2.example.internal", "zk-3.example.internal"]
}

hdfs {
  namenode = "hdfs-1.example.internal"
}

source "PGSQL" {
  type       = "jdbc"
  url        = "jdbc:postgresql://db-1.example.internal:5432/pio"
  user       = "pio"
  password   = secretsmanager("pio/database", "password")
  driver_jar = "/usr/local/pio/lib/postgresql-42.2.18.jar"
}

repository "metadata" {
  name = "pio_meta_staging" # in the source ELASTICSEARCH, as the guide has it
}

software {
  mirrors = ["s3://recommendations/pio-tf", "https://archive.apache.org/dist"]

  elasticsearch {
    version = "6.8.23"
  }
}

train {
  spark_arguments = ["--conf", "spark.locality.wait=1s"]
}

model {
  max_shrink   = "30%"
  sample_query = { exists = { field = "purchase" } }
  keep_models  = 2
}

schedule {
  cron     = "cron(0 3 ? * SUN *)"
  timezone = "Europe/Berlin"
}

notify {
  webhook = env("SLACK_WEBHOOK")
  on      = ["failed", "lost", "deadline"]
}

terraform {
  lock_timeout = "2m"

  backend "s3" {
    bucket = env("STATE_BUCKET")
  }
}

failsafe {
  idle_after           = "6h"
  permissions_boundary = "arn:aws:iam::123456789012:policy/boundary"
}

guard {
  max_workers              = 8
  instance_types           = ["r5.*", "r6i.*", "m5.large"]
  max_monthly_cost_usd     = 250
  training_hours_per_month = 12
  hourly_prices            = { "r5.xlarge" = 0.282 } # eu-west-1

  waive "PTF009" {
    reason = "the subnet gives every machine a public address; its network ACL blocks all inbound traffic"
  }
}
