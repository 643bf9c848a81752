"""Real Elasticsearch, HDFS, HBase and ZooKeeper for the sandbox, each in a process of its own."""
