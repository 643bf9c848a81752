# Written by pio-tf from pio-tf.hcl: change that file, not this one.

cluster = "old-team"
region  = "us-east-1"
tags    = {}
network = {
  cidr       = "127.77.215.0/24"
  public_ips = false
  ssh_cidrs  = []
  first_host = 10
  driver_eip = false
}
ssh = {
  user       = "ubuntu"
  port       = 2222
  public_key = "@SSH_KEY@"
}
driver = {
  instance_type   = "t3.medium"
  root_volume_gib = 50
  ami_filter = {
    owner = "099720109477"
    name  = "ubuntu/images/hvm-ssd/ubuntu-jammy-22.04-amd64-server-*"
  }
}
spark = {
  workers         = 1
  instance_type   = "t3.medium"
  root_volume_gib = 50
  ami_filter = {
    owner = "099720109477"
    name  = "ubuntu/images/hvm-ssd/ubuntu-jammy-22.04-amd64-server-*"
  }
  master_port    = 7077
  master_ui_port = 8080
}
failsafe = {
  make_role         = true
  role_path         = "/pio-tf/"
  idle_after        = 14400
  master_idle_after = 86400
}
software = {
  user               = "aml"
  elasticsearch_name = "elasticsearch"
  components = [
    {
      name    = "spark"
      version = "2.4.8"
      home    = "~/spark"
      sha512  = "752c4d4d8fe1d72f5ba01f40d22df35698585bd17ed4749f6065b0039ff40db7ff8ea87dc0fb5b1ec03871e427a002581ec12f486392b92b88643d4243908e55"
      urls    = ["https://archive.apache.org/dist/spark/spark-2.4.8/spark-2.4.8-bin-hadoop2.7.tgz"]
    },
    {
      name    = "hadoop"
      version = "2.7.7"
      home    = "~/hadoop"
      sha512  = "17c8917211dd4c25f78bf60130a390f9e273b0149737094e45f4ae5c917b1174b97eb90818c5df068e607835120126281bcc07514f38bd7fd3cb8e9d3db1bdde"
      urls    = ["https://archive.apache.org/dist/hadoop/common/hadoop-2.7.7/hadoop-2.7.7.tar.gz"]
    },
    {
      name    = "hbase"
      version = "1.2.6"
      home    = "~/hbase"
      sha512  = "https://archive.apache.org/dist/hbase/1.2.6/hbase-1.2.6-bin.tar.gz.sha512"
      urls    = ["https://archive.apache.org/dist/hbase/1.2.6/hbase-1.2.6-bin.tar.gz"]
    },
    {
      name    = "elasticsearch"
      version = "5.6.9"
      home    = "~/elasticsearch"
      sha512  = "-"
      urls    = []
    },
    {
      name    = "pio"
      version = "0.14.0"
      home    = "~/pio"
      sha512  = "https://archive.apache.org/dist/predictionio/0.14.0/apache-predictionio-0.14.0-bin.tar.gz.sha512"
      urls    = ["https://archive.apache.org/dist/predictionio/0.14.0/apache-predictionio-0.14.0-bin.tar.gz"]
    },
  ]
}
