# pio-tf.hcl: a Spark driver, a Spark master and workers that train PredictionIO models.
#
# Edit the lines marked EDIT; the rest works as it is. Commented-out lines show defaults or examples.
# Every option: docs/configuration.md. Environment variables: env("NAME"), or "text ${env("NAME")} text".

cluster {
  name = "@cluster@" # value of the tag pio-tf:cluster on every resource
  # tags          = { team = "recommendations" } # more tags
  # start_timeout = "15m" # how long `up` waits without progress of machines, SSH and Spark
  # stop_timeout  = "15m" # how long `down` waits until every machine has stopped
  # capacity_wait = "5m"  # how long to retry when AWS has no capacity for a machine
  # force_stop_after = "8m" # how long a machine may stay "stopping" before pio-tf forces it to stop
}

aws {
  region = "@region@"
  # Credentials come from the same places as the AWS CLI's: environment, ~/.aws, SSO, instance role.
  # profile          = "training"
  # credentials_file = "~/.aws/credentials"
  # assume_role {
  #   role_arn     = "arn:aws:iam::123456789012:role/pio-tf"
  #   session_name = "pio-tf"
  #   external_id  = "from the role's trust policy"
  # }
  # allowed_account_ids = ["123456789012"] # refuse credentials of any other account
  # default_tags = { cost-center = "recommendations" } # on every resource, besides cluster.tags
  # Tags that others add, which are no change in a plan:
  # ignore_tags {
  #   keys         = ["CreatedBy"]
  #   key_prefixes = ["cost-tool:"]
  # }
}

network {
  # EDIT: a subnet that can reach Elasticsearch, HBase and HDFS. Machines also need a route to the internet (NAT), to
  # install software.
  vpc_id    = "vpc-00000000000000000"
  subnet_id = "subnet-00000000000000000"

  # Or a new network, instead of the two lines above:
  # cidr              = "10.20.0.0/24"
  # availability_zone = "@zone@"
  # public_ips        = true # reach the internet without NAT; AWS bills each by the hour while the machine runs

  # EDIT: addresses that may connect to the driver over SSH: yours or your bastion's, like ["203.0.113.0/24"], or
  # ["my-ip"] for this computer. While this is empty, pio-tf can connect only through AWS: see ssh.via.
  ssh_cidrs = []
  # my_ip_url = "https://checkip.amazonaws.com" # the service that knows the address for "my-ip"

  # Or the security groups of a bastion, or of an EC2 Instance Connect Endpoint:
  # ssh_security_group_ids = ["sg-0a1b2c3d"]

  # More security groups of the VPC for all machines, and destinations that machines may connect to
  # (docs/machines.md#connections):
  # security_group_ids = ["sg-0a1b2c3d"]
  # egress             = ["10.0.0.0/8", "0.0.0.0/0:443"] # default: everywhere

  # Fixed private addresses: driver = host 10 of the subnet, master 11, worker-1 12 … They must be free.
  # first_host = 10

  # A fixed public address for the driver. AWS bills it by the hour, always.
  # driver_eip = false
}

# The machine that runs `pio train`. It needs about as much memory as a worker, and at least 16 GiB.
driver {
  # The first type has 4 vCPUs and 30.5 GiB. Where AWS has no capacity for it, pio-tf takes the next.
  instance_types = ["r3.xlarge", "r5.xlarge", "r6i.xlarge"]
  # instance_type   = "r5.xlarge" # instead, if it may be no other
  # root_volume_gib = 50
  # memory          = "20g" # heap of the Spark driver; default: what the instance type can hold
  # root_volume_type       = "gp3" # or io1, io2
  # root_volume_iops       = 4000  # default of gp3: 3000
  # root_volume_throughput = 250   # MiB/s; default of gp3: 125
  # Spark's scratch files have a disk of their own (docs/machines.md#disks); default: instance store, or root disk.
  # scratch_volume {
  #   gib        = 200
  #   type       = "gp3"
  #   iops       = 4000
  #   throughput = 500
  # }
  # ami             = "ami-00000000000000000" # your own image, for example with PredictionIO
  # ami_parameter   = "/images/driver"        # or a parameter of Systems Manager that holds its id
  # ami_filter {
  #   owner = "099720109477" # Canonical
  #   name  = "ubuntu/images/hvm-ssd/ubuntu-jammy-22.04-amd64-server-*"
  # }
  # allow_small_memory = false # accept less than 16 GiB
}

spark {
  workers        = 2
  # min_workers    = 1 # how many are enough if AWS lacks capacity; default: all
  instance_types = ["r3.xlarge", "r5.xlarge", "r6i.xlarge"] # of the workers, and of the master unless it has its own:
  # master_instance_types = ["m5.large", "m6i.large"]
  # instance_type         = "r5.xlarge" # instead, if it may be no other
  # master_instance_type  = "m5.large"
  # root_volume_gib      = 50
  # root_volume_type       = "gp3"
  # root_volume_iops       = 4000
  # root_volume_throughput = 250
  # scratch_volume {
  #   gib        = 500
  #   type       = "gp3"
  #   iops       = 4000
  #   throughput = 500
  # }
  # ami                  = "ami-00000000000000000"
  # ami_parameter        = "/images/worker"
  # ami_filter {
  #   owner = "099720109477"
  #   name  = "ubuntu/images/hvm-ssd/ubuntu-jammy-22.04-amd64-server-*"
  # }

  # Heap and cores of an executor, one per worker. Default: what the instance type can hold.
  # executor_memory = "20g"
  # executor_cores  = 4

  # The Spark that new machines install: the one that PredictionIO was built for. Apache's binary of 0.14.0 needs 2.1.3;
  # for another one, see software.pio.
  # version         = "2.1.3"
  # home            = "/usr/local/spark"
  # download_url    = "https://example.org/spark-2.1.3.tgz" # your own build; default: from software.mirrors
  # download_sha512 = env("SPARK_SHA512") # required with download_url
  # start_command   = "/usr/local/spark/sbin/start-all.sh" # where no unit starts Spark
  # master_port     = 7077
  # master_ui_port  = 8080

  # Write Spark's event log of each training to HDFS, for a Spark history server.
  # event_log     = true
  # event_log_dir = "/spark-events"

  # More settings for spark-defaults.conf:
  # conf = { "spark.serializer" = "org.apache.spark.serializer.KryoSerializer" }
}

# All machines: driver, master and workers (docs/machines.md).
machines {
  # instance_profile      = "training" # an existing one, for the calls that machines make to AWS
  # make_instance_profile = true       # instead: one with just what pio-tf's programs on the machines use
  # kms_key_id             = "alias/training" # encrypts the disks of new machines; default: AWS's own
  # tag_disks_at_launch    = true # for accounts that refuse disks without tags
  # termination_protection = true # AWS and `pio-tf destroy` refuse to remove machines
}

ssh {
  key = "~/.ssh/id_ed25519" # EDIT: your private key; the public one has the same name with .pub
  # user     = "ubuntu"
  # port     = 22
  # key_pair = "existing-key-pair" # default: a new one, made from the public key
  # bastion  = "ops@bastion.example.org:22"
  # via      = "ssm" # the driver needs no open port: ssm or instance-connect (docs/access.md#without-an-open-port)
  # address  = "auto" # of the driver: auto, private, public or instance-id
  # host_keys = "auto" # unknown host keys: auto, verify or accept-new
}

pio {
  engine_dir = "/home/ubuntu/universal-recommender" # EDIT: the same path as on the prediction server
  # version    = "0.14.0"
  # home       = "/usr/local/pio"
  # fs_basedir = "~/.pio_store"
  # keep_files = true # leave pio-env.sh and the other files on the driver as they are

  # The engine's sources on this computer, which `train` pushes to the driver (docs/engine.md).
  # engine {
  #   source   = "./my-engine"
  #   max_file = "100m" # the largest file that is pushed
  # }
}

# EDIT: your existing services. These hosts are examples.
elasticsearch {
  hosts        = ["es-1.example.internal", "es-2.example.internal"]
  cluster_name = "elasticsearch" # cluster.name in elasticsearch.yml
  # port     = 9200 # the REST port, not 9300; a host can have its own: "https://es-1.example.internal:9243"
  # scheme   = "http"
  # user     = "pio"
  # password = env("ELASTICSEARCH_PASSWORD") # or ssm("/name"), or secretsmanager("name", "key")
  # home     = "/usr/local/elasticsearch"
}

hbase {
  hosts = ["hbase-1.example.internal"]
  # zookeeper_quorum = ["zk-1.example.internal", "zk-2.example.internal"] # default: the hosts above
  # zookeeper_port   = 2181
  # znode_parent     = "/hbase-secure"                  # zookeeper.znode.parent; default: HBase's own, /hbase
  # hbase_site       = { "hbase.rootdir" = "/hbase-2" } # more properties for hbase-site.xml
  # home             = "/usr/local/hbase"
}

hdfs {
  namenode = "hdfs-1.example.internal"
  # port        = 9000
  # nameservice = "mycluster" # several name nodes (HA): instead of namenode
  # namenodes   = ["hdfs-1.example.internal", "hdfs-2.example.internal:8020"]
  # models_path = "/models"
  # hadoop_home = "/usr/local/hadoop"
  # core_site   = { "hadoop.rpc.protection" = "privacy" }            # more properties for core-site.xml
  # hdfs_site   = { "dfs.client.use.datanode.hostname" = "true" }    # and hdfs-site.xml
}

# Which source stores which data. The three above are the sources ELASTICSEARCH, HBASE and HDFS; docs/storage.md
# describes others.
# repository "metadata" {
#   source = "ELASTICSEARCH"
#   name   = "pio_meta"
# }
# repository "eventdata" {
#   source = "HBASE"
#   name   = "pio_event"
# }
# repository "modeldata" {
#   source = "HDFS"
#   name   = "pio_model"
# }
# source "PGSQL" {
#   type       = "jdbc"
#   url        = "jdbc:postgresql://db-1.example.internal:5432/pio"
#   user       = "pio"
#   password   = ssm("/pio/database/password")
#   driver_jar = "/usr/local/pio/lib/postgresql-42.2.18.jar"
# }

# Software that new machines install, checked by SHA-512. Default: all of it from Apache's archive.
software {
  # user    = "aml" # user that Spark runs as
  # mirrors = ["s3://bucket/pio-tf", "https://mirror.example.org/apache"] # tried in order; `pio-tf mirror` fills one

  # A proxy for the first boot; never for the metadata service and the cluster's machines:
  # http_proxy  = "http://proxy.example.internal:3128"
  # https_proxy = "http://proxy.example.internal:3128"
  # no_proxy    = [".example.internal"]

  # extra_bootstrap = "extra.sh" # your script, which every machine runs as root at the end of its first boot

  # Java 8 as a tarball, if neither the image nor its distribution has it (Debian). An empty block: Eclipse Temurin's.
  # java {
  #   url     = "https://example.org/OpenJDK8U-jre_x64_linux.tar.gz"
  #   sha512  = env("JAVA_SHA512")
  #   version = "8u402"
  #   home    = "/usr/local/java"
  # }

  # Other versions than those that fit pio.version, or other archives.
  # hadoop {
  #   version = "2.7.7"
  #   url     = "https://example.org/hadoop-2.7.7.tar.gz"
  #   sha512  = env("HADOOP_SHA512")
  # }
  # hbase {
  #   version = "1.2.6"
  #   url     = "https://example.org/hbase-1.2.6.tar.gz"
  #   sha512  = env("HBASE_SHA512")
  # }
  # elasticsearch {
  #   version = "6.8.23" # of your Elasticsearch service
  # }

  # Your own build of PredictionIO, made by make-distribution.sh: before 0.14.0, or for another Spark than 2.1.3.
  # pio {
  #   url           = "s3://bucket/PredictionIO-0.14.0.tar.gz"
  #   sha512        = env("PIO_SHA512")
  #   spark_version = "2.4.8" # as in make-distribution.sh -Dspark.version=2.4.8
  # }
}

train {
  # keep_up         = false # keep the machines running after a training
  # linger          = "2m" # the driver powers itself off so long after a training that no client uses
  # max_runtime     = "8h" # from their start; then AWS stops the machines, even if this computer is off
  # on_success      = ["curl -fsS http://prediction-1:8000/reload"] # on the driver (docs/training.md#after-a-success)
  # on_success_timeout = "5m" # for all of them together
  # pio_arguments   = ["--verbose"] # pio train … --
  # spark_arguments = ["--conf", "spark.locality.wait=1s"] # pio train -- …
  # upload          = "s3://example-logs/pio-tf" # a copy of each run's log and record, besides this computer
}

# The model of the Universal Recommender: checks, and copies to go back to (docs/model.md).
# model {
#   min_documents = 1000
#   max_shrink    = "30%" # in documents, against the model before
#   sample_query  = { exists = { field = "purchase" } } # must find a document
#   keep_models   = 2 # the one that is served, and the one before
# }

# Trainings on AWS's own clock, without a client (docs/schedule.md). The block makes a role for them.
# schedule {
#   cron     = "cron(0 3 ? * SUN *)" # default: the time that `pio-tf schedule set` names
#   timezone = "Europe/Berlin"
#   role_arn = "arn:aws:iam::123456789012:role/starter" # instead, if Terraform may not change IAM
# }

# Messages about trainings (docs/training.md#messages).
notify {
  # webhook   = env("SLACK_WEBHOOK")
  # sns_topic = "@topic@"
  # on        = ["failed", "lost", "deadline"] # default: succeeded, too
}

terraform {
  # binary          = "tofu" # default: terraform or tofu from PATH, else the one in pio-tf[terraform]
  # aws_provider_version = "~> 6.20" # default: any from 3.39 to 6
  # parallelism     = 10 # default: from the number of machines
  # directory       = "stack" # default: .pio-tf/<cluster>/stack beside this file
  # cli_config_file = "~/.terraformrc"

  # lock_timeout    = "10s" # how long to wait while another client has locked the state

  # The state is in the stack's directory, unless you share it (docs/state.md). `pio-tf init --backend` makes such a
  # bucket.
  # backend "s3" {
  #   bucket = "my-terraform-states"
  #   region = "@region@"
  # }
}

# Automatic stops (docs/failsafe.md). train.max_runtime sets the deadline.
failsafe {
  # idle_after           = "4h" # then an alarm stops an idle driver or worker
  # idle_alarms          = true
  # self_stop            = true # the driver powers itself off after a training, and the others after it
  # role                 = true # make the role with which AWS stops the machines at their deadline
  # role_path            = "/pio-tf/"
  # permissions_boundary = "arn:aws:iam::123456789012:policy/boundary"
  # role_arn             = "arn:aws:iam::123456789012:role/stopper" # instead, if Terraform may not change IAM
}

# Limits for plans. docs/guard.md lists the rules that always hold.
guard {
  # max_workers              = 8
  # instance_types           = ["r3.*", "m5.large"] # default: any
  # max_monthly_cost_usd     = 250 # estimated for this many hours of training:
  # training_hours_per_month = 20
  # hourly_prices            = { "r3.xlarge" = 0.371 } # USD; default: those of us-east-1
  # waive "PTF009" {
  #   reason = "why this rule does not refuse a plan"
  # }
}
