"""Output of failed trainings, in the wording of PIO, Spark, Java and the services, cut short."""
# ruff: noqa: E501 - lines of a log are as long as they are

from __future__ import annotations

STAGE = (
    "org.apache.spark.SparkException: Job aborted due to stage failure: Task 3 in stage 9.0 failed 4 times, most recent "
    "failure: Lost task 3.3 in stage 9.0 (TID 724, 10.0.0.5, executor 1): "
)
"""How Spark ends when a task has failed too often; the task's own error follows."""

_REFUSED_INSTANCE = "Failed to create pio_meta_engine_instances/engine_instances"
LOGS = [
    (
        "[ERROR] [pio-tf] ended the run: its log was only 12012 errors in 60 s: [ERROR] [ESEngineInstances] "
        + _REFUSED_INSTANCE,
        "endless-retry",
        _REFUSED_INSTANCE,
    ),
    (
        "[INFO] [CoreWorkflow$] Training interrupted by org.apache.predictionio.workflow.StopAfterReadInterruption.",
        "interrupted",
        "stopped the training early",
    ),
    ("[ERROR] [CreateWorkflow$] WorkflowConfig is empty. Quitting", "no-configuration", "pio got no engine to train"),
    ("bash: line 1: /opt/pio/bin/pio: No such file or directory", "no-pio", "no PredictionIO at pio.home"),
    ("bash: line 1: cd: /home/ubuntu/ur: No such file or directory", "no-engine-directory", "pio.engine_dir"),
    (
        'Exception in thread "main" java.io.FileNotFoundException: /home/u/ur/engine.json (No such file or directory)',
        "no-engine-json",
        "engine.json",
    ),
    (
        "[ERROR] [CreateWorkflow$] Unable to obtain engine: com.actionml.RecommendationEngine. Aborting workflow.",
        "not-built",
        "not built",
    ),
    (
        "[ERROR] [Console$] Unable to locate a proper Apache Spark installation. Aborting.",
        "no-spark",
        "does not find the Spark that it needs",
    ),
    (
        """
        Exception in thread "main" java.lang.IllegalArgumentException: Unsupported class file major version 55
        \tat org.apache.xbean.asm6.ClassReader.<init>(ClassReader.java:166)
        """,
        "wrong-java",
        "need Java 8 on every machine",
    ),
    (
        """
        Exception in thread "main" java.lang.IllegalArgumentException
        \tat org.apache.xbean.asm5.ClassReader.<init>(Unknown Source)
        \tat org.apache.spark.util.ClosureCleaner$.getClassReader(ClosureCleaner.scala:46)
        """,
        "wrong-java",
        "need Java 8 on every machine: java.lang.IllegalArgumentException",
    ),
    (
        """
        [WARN] [TaskSetManager] Lost task 1.0 in stage 5.0 (TID 31, 10.0.0.5, executor 0): java.io.IOException: No space left on device
        \tat java.io.FileOutputStream.writeBytes(Native Method)
        """,
        "disk-full",
        "a disk is full",
    ),
    (
        'Exception in thread "main" java.lang.OutOfMemoryError: Java heap space',
        "heap",
        "a heap was too small",
    ),
    (
        "[ERROR] [Executor] Exception in task 0.0\njava.lang.OutOfMemoryError: GC overhead limit exceeded",
        "garbage-collection",
        "little but collect garbage",
    ),
    (
        "java.lang.OutOfMemoryError: unable to create new native thread",
        "threads",
        "refused Java another thread",
    ),
    (
        "OpenJDK 64-Bit Server VM warning: INFO: os::commit_memory(0x1, 2, 0) failed; error='Cannot allocate memory'",
        "no-memory",
        "less memory than the heap needs",
    ),
    (
        """
        [ERROR] [ESEngineInstances] Failed to create pio_meta_engine_instances/engine_instances
        org.elasticsearch.client.ResponseException: method [POST], host [http://es-1:9200], URI [/pio_meta], status line [HTTP/1.1 401 Unauthorized]
        \tat org.elasticsearch.client.RestClient.convertResponse(RestClient.java:253)
        """,
        "elasticsearch-login",
        "Elasticsearch refused the user or the password",
    ),
    (
        """
        [ERROR] [Storage$] Error initializing storage client for source PGSQL
        org.postgresql.util.PSQLException: FATAL: password authentication failed for user "pio"
        \tat org.postgresql.core.v3.ConnectionFactoryImpl.doAuthentication(ConnectionFactoryImpl.java:475)
        """,
        "database-login",
        'password authentication failed for user "pio"',
    ),
    (
        "java.sql.SQLException: Access denied for user 'pio'@'10.0.0.4' (using password: YES)",
        "database-login",
        "the database refused",
    ),
    (
        (
            "[ERROR] [Console$] org.apache.hadoop.security.AccessControlException: Permission denied: user=ubuntu, "
            'access=WRITE, inode="/":hdfs:supergroup:drwxr-xr-x'
        ),
        "hadoop-permission",
        "denies this user the permission",
    ),
    (
        (
            "org.apache.hadoop.ipc.RemoteException(org.apache.hadoop.hdfs.server.namenode.SafeModeException): "
            "Cannot create file/models/1. Name node is in safe mode."
        ),
        "safe-mode",
        "HDFS is in safe mode",
    ),
    (
        (
            'Exception in thread "main" java.lang.IllegalArgumentException: requirement failed: Primary action in '
            "PreparedData cannot be empty. Please check if DataSource generates TrainingData"
        ),
        "no-events",
        "no events that the engine trains with",
    ),
    ("[ERROR] [Common$] Invalid app name handmade", "no-app", "no such app"),
    (
        'Exception in thread "main" java.lang.IllegalStateException: No Elasticsearch client configuration detected',
        "no-elasticsearch-source",
        "named ELASTICSEARCH",
    ),
    (
        (
            "[ERROR] [StandaloneSchedulerBackend] Application has been killed. Reason: All masters are unresponsive! "
            "Giving up."
        ),
        "master-gone",
        "could not talk to the master",
    ),
    (
        "[ERROR] [StandaloneSchedulerBackend] Application has been killed. Reason: Master removed our application: FAILED",
        "application-removed",
        "its executors died",
    ),
    (
        f"""
        [ERROR] [TaskSchedulerImpl] Lost executor 1 on 10.0.0.5: Command exited with code 137
        Exception in thread "main" {STAGE}ExecutorLostFailure (executor 1 exited caused by one of the running tasks) Reason: Command exited with code 137
        Driver stacktrace:
        \tat org.apache.spark.scheduler.DAGScheduler.failJobAndIndependentStages(DAGScheduler.scala:1435)
        """,
        "executor-killed",
        "killed again and again for lack of memory",
    ),
    (
        f"""
        Exception in thread "main" {STAGE}ExecutorLostFailure (executor 1 exited caused by one of the running tasks) Reason: Remote RPC client disassociated. Likely due to containers exceeding thresholds, or network issues.
        Driver stacktrace:
        """,
        "executor-lost",
        "Spark lost executors",
    ),
    (
        f"""
        Exception in thread "main" {STAGE}org.elasticsearch.hadoop.EsHadoopIllegalArgumentException: Cannot detect ES version - typically this happens if the network/Elasticsearch cluster is not accessible
        """,
        "elasticsearch-workers",
        "the workers write the model themselves",
    ),
    (
        """
        [ERROR] [Storage$] Error initializing storage client for source ELASTICSEARCH
        java.net.UnknownHostException: es-one: Name or service not known
        \tat org.elasticsearch.client.RestClient.performRequest(RestClient.java:310)
        """,
        "unknown-host",
        "the host name of Elasticsearch has no known address: java.net.UnknownHostException: es-one",
    ),
    (
        """
        [WARN] [ClientCnxn] Session 0x0 for server null, unexpected error, closing socket connection and attempting reconnect
        java.net.ConnectException: Connection refused
        \tat sun.nio.ch.SocketChannelImpl.checkConnect(Native Method)
        [ERROR] [RecoverableZooKeeper] ZooKeeper exists failed after 1 attempts
        [ERROR] [StorageClient] Cannot connect to ZooKeeper (ZooKeeper ensemble: localhost). Please make sure that …
        [ERROR] [Storage$] Error initializing storage client for source HBASE
        """,
        "hbase",
        "HBase or its ZooKeeper did not answer",
    ),
    (
        """
        Exception in thread "main" java.net.ConnectException: Call From driver/10.0.0.4 to nn:9000 failed on connection exception: java.net.ConnectException: Connection refused
        \tat org.apache.hadoop.ipc.Client.call(Client.java:1480)
        Caused by: java.net.ConnectException: Connection refused
        """,
        "refused",
        "nothing answers where HDFS should: java.net.ConnectException: Call From driver/10.0.0.4 to nn:9000",
    ),
    (
        """
        [ERROR] [Storage$] Error initializing storage client for source PGSQL
        org.postgresql.util.PSQLException: Connection to db:5432 refused. Check that the hostname and port are correct
        """,
        "refused",
        "nothing answers where the database should",
    ),
    (
        'Exception in thread "main" org.apache.hadoop.net.ConnectTimeoutException: 20000 millis timeout to nn:8020',
        "no-route",
        "HDFS does not answer in time",
    ),
    (
        """
        Exception in thread "main" java.io.IOException: listener timeout after waiting for [30000] ms
        \tat org.elasticsearch.client.RestClient$SyncResponseListener.get(RestClient.java:684)
        """,
        "no-route",
        "Elasticsearch does not answer in time",
    ),
    (
        f"""
        [WARN] [TaskSetManager] Lost task 3.0 in stage 9.0 (TID 700, 10.0.0.5, executor 1): java.lang.NullPointerException
        [ERROR] [TaskSetManager] Task 3 in stage 9.0 failed 4 times; aborting job
        Exception in thread "main" {STAGE}java.lang.NullPointerException
        \tat com.actionml.URAlgorithm.calcAll(URAlgorithm.scala:367)

        Driver stacktrace:
        \tat org.apache.spark.scheduler.DAGScheduler.abortStage(DAGScheduler.scala:1422)
        Caused by: java.lang.NullPointerException
        \tat com.actionml.URAlgorithm.calcAll(URAlgorithm.scala:367)
        \t... 1 more
        """,
        "stage-failure",
        "a task failed again and again",
    ),
    (
        "Error: Unknown option --stop-after-reed\nTry --help for more information.",
        "arguments",
        "does not accept an argument: Error: Unknown option",
    ),
    ("Error: Unrecognized option: --executor-memmory", "arguments", "does not accept an argument"),
    (
        "[ERROR] [Runner$] Using cluster deploy mode with Spark standalone cluster is not supported",
        "arguments",
        "does not accept an argument",
    ),
    ("[ERROR] [Runner$] --scratch-uri cannot be set when deploy mode is client", "arguments", "--scratch-uri"),
    (
        "[ERROR] [Common$] PredictionIO Core Assembly (/opt/pio/lib/pio-assembly-0.14.0.jar) does not exist. Aborting.",
        "pio-incomplete",
        "PredictionIO at pio.home is incomplete",
    ),
    ("PIO_CONF_DIR is not found.", "pio-incomplete", "PredictionIO at pio.home is incomplete"),
    (
        "[ERROR] [Console$] unable to read engine factory from /home/u/ur/engine.json. Aborting.",
        "no-engine-json",
        "no usable engine.json",
    ),
    (
        "[ERROR] [CreateWorkflow$] Error reading from file: /home/u/ur/small.json: Permission denied. Aborting workflow.",
        "no-engine-json",
        "no usable engine.json",
    ),
    (
        """
        Exception in thread "main" org.json4s.ParserUtil$ParseException: expected field or array
        \tat org.json4s.ParserUtil$Buffer.fail(ParserUtil.scala:126)
        \tat org.apache.predictionio.tools.console.Console$.getEngineInfo(Console.scala:782)
        """,
        "no-engine-json",
        "no usable engine.json: org.json4s.ParserUtil$ParseException: expected field or array",
    ),
    (
        'Exception in thread "main" java.lang.NoClassDefFoundError: io/prediction/controller/EngineFactory',
        "old-engine",
        "before 0.10",
    ),
    (
        (
            'Exception in thread "main" java.lang.ClassCastException: com.a.Engine$ cannot be cast to '
            "org.apache.predictionio.controller.EngineFactory"
        ),
        "not-built",
        "not an engine factory",
    ),
    (
        'Exception in thread "main" java.lang.NoSuchMethodException: Engine com.a.FastEngine@1b2c is not trainable',
        "not-built",
        "not an engine factory",
    ),
    (
        'Exception in thread "main" java.lang.AbstractMethodError: com.a.Als.train(Lorg/apache/spark/SparkContext;)V',
        "versions",
        "built for different versions",
    ),
    (
        (
            f'Exception in thread "main" {STAGE}java.io.InvalidClassException: org.apache.spark.rdd.RDD; local class '
            "incompatible: stream classdesc serialVersionUID = 1, local class serialVersionUID = 2"
        ),
        "versions",
        "built for different versions",
    ),
    (
        """
        [ERROR] [WorkflowUtils$] Unable to extract parameters for com.a.DataSourceParams from JSON string: {"apName":"x"}. Aborting workflow.
        [ERROR] [WorkflowUtils$] Unable to extract datasource params JObject(List((apName,JString(x))))
        Exception in thread "main" org.json4s.package$MappingException: No usable value for appName
        \tat org.apache.predictionio.controller.Engine.jValueToEngineParams(Engine.scala:363)
        """,
        "engine-params",
        "the parameters in engine.json are not those",
    ),
    (
        """[ERROR] [WorkflowUtils$] Unable to find 'name' or 'params' fields in {"appName":"x"}.""",
        "engine-params",
        "the parameters in engine.json are not those",
    ),
    (
        "[ERROR] [WorkflowUtils$] Arrays are not allowed in the sparkConf section of engine.js.",
        "engine-params",
        "the parameters in engine.json are not those",
    ),
    (
        "[ERROR] [Doer$] com.a.AlsParams was used as the constructor argument to com.a.Als.<init>(), but no constructor can handle it. Aborting.",
        "engine-params",
        "the parameters in engine.json are not those",
    ),
    (
        "[ERROR] [WorkflowUtils$] Unable to find datasource class with name 'events' defined in Engine.",
        "engine-names",
        "that the engine does not have",
    ),
    (
        """
        Exception in thread "main" java.util.NoSuchElementException: key not found: alss
        \tat scala.collection.MapLike$class.default(MapLike.scala:228)
        \tat org.apache.predictionio.controller.Engine.jValueToEngineParams(Engine.scala:395)
        """,
        "engine-names",
        "that the engine does not have: java.util.NoSuchElementException: key not found: alss",
    ),
    (
        'Exception in thread "main" java.lang.IllegalArgumentException: requirement failed: EngineParams.algorithmParamsList must have at least 1 element.',
        "engine-names",
        "that the engine does not have",
    ),
    (
        'Exception in thread "main" java.io.IOException: Cannot run program "/opt/spark/bin/spark-submit": error=2, No such file or directory',
        "no-spark",
        "does not find the Spark that it needs",
    ),
    (
        "\x1b[0;31mSPARK_HOME must be set in conf/pio-env.sh, or in the environment!\x1b[0m",
        "no-spark",
        "does not find the Spark that it needs",
    ),
    (
        "\x1b[0;31mYou have Apache Spark 1.6.3 at /opt/spark which does not meet the minimum version requirement of 2.0.2.\x1b[0m",
        "no-spark",
        "does not find the Spark that it needs",
    ),
    (
        """
        [ERROR] [SparkContext] Error initializing SparkContext.
        java.io.FileNotFoundException: File hdfs://nn:9000/spark-events does not exist
        \tat org.apache.hadoop.hdfs.DistributedFileSystem.getFileStatus(DistributedFileSystem.java:1309)
        \tat org.apache.spark.scheduler.EventLoggingListener.start(EventLoggingListener.scala:100)
        """,
        "event-log",
        "event log, and did not start: java.io.FileNotFoundException: File hdfs://nn:9000/spark-events",
    ),
    (
        'Exception in thread "main" java.lang.OutOfMemoryError: Requested array size exceeds VM limit',
        "model-too-large",
        "at most 2 GiB",
    ),
    (
        "com.mysql.jdbc.PacketTooBigException: Packet for query is too large (9123456 > 4194304)",
        "model-too-large",
        "usually the model, is too large",
    ),
    (
        'Exception in thread "main" org.apache.predictionio.data.storage.StorageClientException: /models does not exist and automatic creation failed!',
        "local-model-directory",
        "can't write to the directory of a localfs source",
    ),
    ('Exception in thread "main" java.lang.OutOfMemoryError: Metaspace', "metaspace", "no memory left for classes"),
    ("java.lang.OutOfMemoryError: PermGen space", "metaspace", "no memory left for classes"),
    ("java.lang.OutOfMemoryError: Direct buffer memory", "direct-memory", "buffers outside the heap"),
    (
        f'Exception in thread "main" {STAGE}ExecutorLostFailure (executor 1 exited caused by one of the running tasks) Reason: Command exited with code 52',
        "executor-heap",
        "an executor's heap was too small",
    ),
    (
        f'Exception in thread "main" {STAGE}ExecutorLostFailure (executor 1 exited caused by one of the running tasks) Reason: Container killed by YARN for exceeding memory limits. 5.5 GB of 5.5 GB physical memory used.',
        "executor-killed",
        "killed again and again for lack of memory",
    ),
    (
        f'Exception in thread "main" {STAGE}ExecutorLostFailure (executor 1 exited caused by one of the running tasks) Reason: Container marked as failed. Exit status: 143. Diagnostics: Container killed on request. Exit code is 143',
        "executor-killed",
        "killed again and again for lack of memory",
    ),
    (
        f'Exception in thread "main" {STAGE}java.lang.StackOverflowError',
        "stack-overflow",
        "a thread's stack was too small",
    ),
    (
        '{"type":"cluster_block_exception","reason":"blocked by: [FORBIDDEN/12/index read-only / allow delete (api)];"}',
        "elasticsearch-read-only",
        "does not accept writes",
    ),
    (
        (
            'Exception in thread "main" org.elasticsearch.client.ResponseException: {"reason":"Types cannot be provided '
            'in put mapping requests, unless the include_type_name parameter is set to true."}'
        ),
        "elasticsearch-version",
        "too new for PredictionIO",
    ),
    (
        'Exception in thread "main" java.lang.IllegalStateException: /pio_meta_apps is invalid.',
        "elasticsearch-answer",
        "neither 200 nor 404",
    ),
    (
        'Exception in thread "main" java.sql.SQLException: No suitable driver found for jdbc:postgresql://db/pio',
        "jdbc-driver",
        "JDBC driver",
    ),
    ("java.lang.ClassNotFoundException: org.postgresql.Driver", "jdbc-driver", "JDBC driver"),
    (
        'Exception in thread "main" java.lang.IllegalArgumentException: requirement failed: RDD[Rating] in PreparedData cannot be empty. Please check if DataSource generates TrainingData',
        "no-events",
        "no events that the engine trains with",
    ),
    (
        'Exception in thread "main" java.lang.IllegalArgumentException: requirement failed: viewEvents in PreparedData cannot be empty.',
        "no-events",
        "no events that the engine trains with",
    ),
    (
        'Exception in thread "main" java.lang.IllegalArgumentException: requirement failed: RDD[Item] cannot be empty.',
        "no-events",
        "no events that the engine trains with",
    ),
    (
        f'Exception in thread "main" {STAGE}org.apache.predictionio.data.storage.DataMapException: The field rating is required.',
        "event-properties",
        "lacks a property that the engine requires",
    ),
    (
        f'Exception in thread "main" {STAGE}org.apache.predictionio.data.storage.hbase.HBEventsUtil$RowKeyException: Incorrect byte array size. Bytes: 1,2.',
        "foreign-events",
        "rows that PIO has not written",
    ),
    (
        "[ERROR] [DataView$] /tmp/view-1.parquet does not contain a valid Parquet file. Please delete it and try again.",
        "data-view",
        "DataView keeps events is broken",
    ),
    (
        """
        [ERROR] [HBPEvents] The appId 3 does not exist. Please use valid appId.
        Exception in thread "main" java.lang.Exception: HBase table not found for appId 3.
        """,
        "no-event-table",
        "its table of events does not",
    ),
    (
        'org.postgresql.util.PSQLException: ERROR: relation "pio_event_3" does not exist',
        "no-event-table",
        "its table of events does not",
    ),
    (
        """
        [ERROR] [ESApps] Failed to access to /pio_meta_apps/apps/_search
        [ERROR] [Common$] Invalid app name handmade
        Exception in thread "main" java.lang.IllegalArgumentException: Invalid app name handmade
        """,
        "metadata-unreadable",
        "could not read apps from Elasticsearch",
    ),
    (
        """
        [ERROR] [Storage$] Required repository (METADATA) configuration is missing.
        [ERROR] [Storage$] There were 1 configuration errors. Exiting.
        """,
        "storage-settings",
        "storage settings in pio-env.sh are incomplete",
    ),
    ("[ERROR] [Storage$] PGSQL is not a configured storage source.", "storage-settings", "are incomplete"),
    (
        """
        [ERROR] [Storage$] Error initializing storage client for source HDFS.
        java.lang.ClassNotFoundException: hdfs.StorageClient
        """,
        "storage-backend",
        "no program for a type of storage",
    ),
    (
        "[ERROR] [StorageClient] HBase master is not running (ZooKeeper ensemble: zk-1). Please make sure that …",
        "hbase",
        "HBase or its ZooKeeper did not answer",
    ),
    (
        (
            'Exception in thread "main" org.elasticsearch.client.transport.NoNodeAvailableException: None of the '
            "configured nodes are available: []"
        ),
        "refused",
        "nothing answers where Elasticsearch should",
    ),
    (
        "[ERROR] [ESEngineInstances] Failed to create pio_meta_engine_instances/engine_instances",
        "instance-not-stored",
        "did not store the engine instance",
    ),
    (
        'Exception in thread "main" org.json4s.package$MappingException: Do not know how to convert JString(x) into double',
        "value-type",
        "of another type than the engine expects",
    ),
    (
        'Exception in thread "main" java.lang.UnsupportedOperationException: empty collection',
        "no-data",
        "the engine computed with no data",
    ),
    (
        "[ERROR] [Engine$] Error occurred reading from data source. (Reason: Data source S3 was not properly initialized.)",
        "storage",
        "could not open a storage source",
    ),
    (
        "[ERROR] [Template$] This engine template requires at least PredictionIO 0.15.0. The template may not work with PredictionIO 0.14.0.",
        "template-version",
        "requires a later PredictionIO",
    ),
]
"""Each with the sign that programs get, and what the sentence must hold."""
