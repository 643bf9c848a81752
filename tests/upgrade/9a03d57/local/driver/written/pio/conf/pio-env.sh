SPARK_HOME="$HOME/spark"
ES_CONF_DIR="$HOME/elasticsearch"
HADOOP_CONF_DIR="$HOME/hadoop/etc/hadoop"
HBASE_CONF_DIR="$HOME/hbase/conf"


# Directories on this machine that PredictionIO keeps its own files in.
PIO_FS_BASEDIR="$HOME/.pio_store"
PIO_FS_ENGINESDIR=$PIO_FS_BASEDIR/engines
PIO_FS_TMPDIR=$PIO_FS_BASEDIR/tmp

# Storage
#
# Everything below names services that run elsewhere, all the time. This machine only connects to them.

# Repositories: what is kept

# Metadata: apps, access keys, engine instances
PIO_STORAGE_REPOSITORIES_METADATA_NAME=pio_meta
PIO_STORAGE_REPOSITORIES_METADATA_SOURCE=ELASTICSEARCH

PIO_STORAGE_REPOSITORIES_EVENTDATA_NAME=pio_event
PIO_STORAGE_REPOSITORIES_EVENTDATA_SOURCE=HBASE

# HDFS rather than LOCALFS in the guide: a prediction server on another machine must be able to read it
PIO_STORAGE_REPOSITORIES_MODELDATA_NAME=pio_model
PIO_STORAGE_REPOSITORIES_MODELDATA_SOURCE=HDFS

# Sources: where the repositories are kept

# Elasticsearch
PIO_STORAGE_SOURCES_ELASTICSEARCH_TYPE=elasticsearch
PIO_STORAGE_SOURCES_ELASTICSEARCH_HOME="$HOME/elasticsearch"
# The cluster.name of Elasticsearch's own configuration
PIO_STORAGE_SOURCES_ELASTICSEARCH_CLUSTERNAME=elasticsearch

# One entry per host in all three: PredictionIO goes by the shortest list. PredictionIO 0.12 and later speak REST (9200)
PIO_STORAGE_SOURCES_ELASTICSEARCH_HOSTS=@SERVICES@
PIO_STORAGE_SOURCES_ELASTICSEARCH_PORTS=9200
PIO_STORAGE_SOURCES_ELASTICSEARCH_SCHEMES=http

# HDFS: model data. The Universal Recommender keeps its model in Elasticsearch
PIO_STORAGE_SOURCES_HDFS_TYPE=hdfs
PIO_STORAGE_SOURCES_HDFS_PATH=hdfs://@SERVICES@:9000/models

# HBase
PIO_STORAGE_SOURCES_HBASE_TYPE=hbase
PIO_STORAGE_SOURCES_HBASE_HOME="$HOME/hbase"

# PredictionIO finds HBase by hbase-site.xml in HBASE_CONF_DIR; these two are for whoever reads this file
PIO_STORAGE_SOURCES_HBASE_HOSTS=@SERVICES@
PIO_STORAGE_SOURCES_HBASE_PORTS=0
