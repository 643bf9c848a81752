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
        "[ERROR] [pio-tf] ended the run, whose log was only 12012 errors in 60 s: [ERROR] [ESEngineInstances] "
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
        "does not find Spark",
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
        "has no events of the primary indicator",
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
]
"""Each with the sign that programs get, and what the sentence must hold."""
