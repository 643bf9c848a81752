"""A table of failures: messages of PIO, Spark, Java and the services in a log, their meaning, and what to do.

Of PIO, it has every message of its source that a user can cause in `pio train`: errors before an exit, exceptions,
requirements. The messages are those of PIO 0.12 to 0.14, Spark 2.1 to 3.5, Elasticsearch 5 to 7, HBase 1.2 and Hadoop
2.7.
"""

from __future__ import annotations

import re

from msgspec import Struct

from pio_tf.config.software import COMPATIBILITY

_APACHES_BUILDS = ", ".join(
    f"{pio} is built for Spark {row.defaults['spark']}" for pio, row in COMPATIBILITY.items() if row.has_binaries
)
_MORE_MEMORY = "raise driver.memory or spark.executor_memory, on larger instance types if necessary"
_ENGINE_JSON = "correct engine.json in pio.engine_dir on the driver, or the variant in train.pio_arguments"
_INSTALL = "install it on the driver (its disk stays), or correct pio-tf.hcl; `pio-tf up` starts the machines"
_REACHABLE = (
    "check that it runs, its address and port in pio-tf.hcl, and that its security group lets the driver and the "
    "workers in"
)


class FailurePattern(Struct, frozen=True):
    """A message in a log that names the cause of a failure.

    A quote from the log follows ``meaning``. ``{service}`` in it stands for the service that :data:`SERVICES` finds
    around the message.
    """

    name: str
    """The value of ``sign`` in JSON."""
    pattern: str
    meaning: str
    next_step: str

    def explain(self, services: set[str]) -> str:
        """Return the meaning, with the service that an error names."""
        return self.meaning.format(service=next((name for name, _ in SERVICES if name in services), "a service"))


CERTAIN = (
    FailurePattern(
        "endless-retry",
        r"^\[ERROR\] \[pio-tf\] ended the run: its log was only \d+ errors in \d+ s: ",
        "PIO retried a refused request without end",
        "find out why the service refuses it: Elasticsearch refuses writes to an index with a block, which it sets "
        "itself when a disk is full; `pio-tf check` names it",
    ),
    FailurePattern(
        "interrupted",
        r"Training interrupted by \S+",
        "an option stopped the training early (--stop-after-read, -prepare, …)",
        "remove --stop-after-read and --stop-after-prepare from train.pio_arguments",
    ),
    FailurePattern(
        "no-configuration",
        r"WorkflowConfig is empty",
        "pio got no engine to train",
        "check train.pio_arguments in pio-tf.hcl: PIO did not understand its options",
    ),
    FailurePattern(
        "arguments",
        r"Error: Un(?:known|recognized) (?:option|argument)|Error: Missing (?:option|argument)"
        r"|Using cluster deploy mode with Spark standalone|--scratch-uri cannot be set",
        "PIO or spark-submit does not accept an argument",
        "correct train.pio_arguments or train.spark_arguments in pio-tf.hcl (`pio help train` lists PIO's options)",
    ),
    FailurePattern(
        "no-pio",
        r"bin/pio: (?:No such file or directory|Permission denied|cannot execute)|pio: command not found",
        "there is no PredictionIO at pio.home",
        _INSTALL,
    ),
    FailurePattern(
        "pio-incomplete",
        r"PredictionIO Core Assembly .* does not exist|PIO_CONF_DIR is not found",
        "the PredictionIO at pio.home is incomplete",
        "install the whole distribution of that version there: conf and lib beside bin",
    ),
    FailurePattern(
        "no-engine-directory",
        r"\bcd: .*: (?:No such file or directory|Permission denied|Not a directory)",
        "there is no engine at pio.engine_dir",
        _INSTALL,
    ),
    FailurePattern(
        "no-engine-json",
        r"engine\.json \(No such file or directory\)|engine\.json does not exist|Error reading from file: "
        r"|nable to read engine (?:factory|variant ID)|console\.Console\$\.getEngineInfo",
        "the engine has no usable engine.json",
        "put engine.json, valid JSON with id and engineFactory, into pio.engine_dir on the driver",
    ),
    FailurePattern(
        "old-engine",
        r"NoClassDefFoundError: io/prediction/|ClassNotFoundException: io\.prediction\.",
        "the engine was written for PredictionIO before 0.10, which had other names for its classes",
        "use a later version of the template, or rename io.prediction to org.apache.predictionio in it and build it",
    ),
    FailurePattern(
        "not-built",
        r"Unable to obtain engine: |No engine found\.|ScalaReflectionException: (?:object|class) \S+ .*not found"
        r"|cannot be cast to (?:class )?org\.apache\.predictionio\.controller\.EngineFactory"
        r"|is not trainable",
        "the engine is not built, or engineFactory in engine.json names a class that is not an engine factory",
        "run `pio build` in the engine's directory on the driver, or correct engineFactory in engine.json",
    ),
    FailurePattern(
        "versions",
        r"NoSuchMethodError|AbstractMethodError|IncompatibleClassChangeError"
        r"|NoClassDefFoundError: (?:org/apache/spark|scala)/|InvalidClassException: (?:org\.apache\.spark|scala)\.",
        "PredictionIO, the engine and Spark were built for different versions",
        f"use one Spark for all: Apache's binary of PredictionIO {_APACHES_BUILDS}; a build of your own, "
        "for its `-Dspark.version`. Then build the engine again",
    ),
    FailurePattern(
        "engine-params",
        r"Unable to extract \w+ (?:for|name and params|params) |Unable to find 'name' or 'params' fields"
        r"|Arrays are not allowed in the sparkConf|was used as the constructor argument to",
        "the parameters in engine.json are not those of the engine's classes",
        f"{_ENGINE_JSON}; the parameters are the fields of the engine's Params classes",
    ),
    FailurePattern(
        "engine-names",
        r"Unable to find \w+ class with name |cannot be found in the engine's definition|Empty algorithm name supplied"
        r"|algorithmParamsList must have at least|controller\.Engine\.jValueToEngineParams",
        "engine.json names an algorithm, data source, preparator or serving that the engine does not have",
        f"{_ENGINE_JSON}; the names are those in the engine's factory",
    ),
    FailurePattern(
        "no-spark",
        r"Unable to locate a proper Apache Spark installation|bin/spark-submit: (?:No such file|not found)"
        r"|Cannot run program \S+bin/spark-submit|SPARK_HOME must be set|not meet the minimum version requirement",
        "PIO does not find the Spark that it needs at SPARK_HOME",
        "check spark.home: the driver needs a Spark of the version that PIO was built for",
    ),
    FailurePattern(
        "wrong-java",
        r"Unsupported class file major version|UnsupportedClassVersionError|InaccessibleObjectException"
        r"|xbean\.asm\d*\.ClassReader\.<init>|JAVA_HOME is not set|java: command not found",
        "Java is missing or of the wrong version: PIO up to 0.14 and Spark 2 need Java 8 on every machine",
        "install that Java on the machines, and set JAVA_HOME in the user's profile on the driver",
    ),
    FailurePattern(
        "event-log",
        r"scheduler\.EventLoggingListener\.start|EventLogFileWriter\.requireLogBaseDirAsDirectory",
        "Spark could not write its event log, and did not start",
        "create the directory of spark.eventLog.dir, and allow the user of ssh.user to write there",
    ),
    FailurePattern(
        "model-not-stored",
        r"^\[ERROR\] \[(?:HDFS|LocalFS|S3)Models\$?\] ",
        "PIO could not store the model, and continued as if it had",
        "fix the model store (permissions, free space, whether it answers), and train again",
    ),
    FailurePattern(
        "model-too-large",
        r"Requested array size exceeds VM limit|Packet for query is too large|PacketTooBigException",
        "an object, usually the model, is too large: PIO stores a model as one array of at most 2 GiB",
        "train a smaller model (rank, items, indicators); for MySQL, raise max_allowed_packet",
    ),
    FailurePattern(
        "local-model-directory",
        r"already exists but it is not (?:a directory|writable)!|does not exist and automatic creation failed!",
        "PIO can't write to the directory of a localfs source",
        "create the directory on the driver for the user of ssh.user, or correct path of that source in pio-tf.hcl",
    ),
    FailurePattern(
        "disk-full",
        r"No space left on device|Disk quota exceeded|DSQuotaExceededException",
        "a disk is full",
        "find it with `df -h` on the machines, spark.local.dir first; make room, or enlarge the volume",
    ),
    FailurePattern(
        "garbage-collection",
        r"GC overhead limit exceeded",
        "a heap was so full that Java did little but collect garbage",
        _MORE_MEMORY,
    ),
    FailurePattern(
        "threads",
        r"OutOfMemoryError: unable to create (?:new )?native thread",
        "the system refused Java another thread",
        "raise the user's limits (`ulimit -u`) on that machine, or ask for fewer cores with spark.executor.cores",
    ),
    FailurePattern(
        "metaspace",
        r"OutOfMemoryError: (?:Metaspace|PermGen space|Compressed class space)",
        "Java had no memory left for classes",
        "raise or remove -XX:MaxMetaspaceSize in spark.driver.extraJavaOptions and spark.executor.extraJavaOptions",
    ),
    FailurePattern(
        "direct-memory",
        r"OutOfMemoryError: (?:Direct buffer memory|Cannot reserve)|OutOfDirectMemoryError",
        "Java had no memory left for buffers outside the heap",
        "raise -XX:MaxDirectMemorySize in spark.executor.extraJavaOptions, and leave as much memory beside the heap",
    ),
    FailurePattern(
        "heap",
        r"java\.lang\.OutOfMemoryError",
        "a heap was too small",
        _MORE_MEMORY,
    ),
    FailurePattern(
        "no-memory",
        r"insufficient memory for the Java Runtime|Cannot allocate memory",
        "the machine has less memory than the heap needs",
        "lower driver.memory or spark.executor_memory, or take a larger instance type",
    ),
    FailurePattern(
        "elasticsearch-login",
        r"401 Unauthorized|unable to authenticate user|missing authentication (?:token|credentials)"
        r"|action \[\S+\] is unauthorized",
        "Elasticsearch refused the user or the password",
        "check elasticsearch.user and elasticsearch.password, and that user's privileges",
    ),
    FailurePattern(
        "elasticsearch-read-only",
        r"cluster_block_exception|index read-only / allow delete",
        "Elasticsearch does not accept writes to an index",
        "make room on its disks, then set index.blocks.read_only_allow_delete to null (PUT /INDEX/_settings)",
    ),
    FailurePattern(
        "elasticsearch-version",
        r"Types cannot be provided in put mapping|Unsupported/Unknown Elasticsearch version",
        "this version of Elasticsearch is too new for PredictionIO",
        "use Elasticsearch 5 or 6 with PredictionIO 0.14",
    ),
    FailurePattern(
        "elasticsearch-answer",
        r"IllegalStateException: /\S+ is invalid",
        "Elasticsearch, or a proxy in front of it, answered neither 200 nor 404 when PIO asked for an index",
        "check elasticsearch.hosts in pio-tf.hcl, and the status of `curl -I` for that index from the driver",
    ),
    FailurePattern(
        "jdbc-driver",
        r"No suitable driver|ClassNotFoundException: (?:org\.postgresql|com\.mysql)\.\S*Driver",
        "PIO does not find the database's JDBC driver",
        "copy its jar to driver_jar of that source in pio-tf.hcl, on the driver",
    ),
    FailurePattern(
        "database-login",
        r"password authentication failed for user|Access denied for user|no pg_hba\.conf entry",
        "the database refused the user or the password",
        "check the database's user and password in pio-tf.hcl, and which clients the database accepts",
    ),
    FailurePattern(
        "kerberos",
        r"GSS initiate failed|SIMPLE authentication is not enabled",
        "HDFS or HBase requires Kerberos, which the driver did not offer",
        "log in with kinit as that user on the driver, or use services without Kerberos",
    ),
    FailurePattern(
        "hadoop-permission",
        r"AccessControlException: Permission denied: |AccessDeniedException: Insufficient permissions",
        "HDFS or HBase denies this user the permission",
        "allow the user of ssh.user to write there (`hdfs dfs -chown`, or a grant in HBase's shell)",
    ),
    FailurePattern(
        "safe-mode",
        r"SafeModeException|Name node is in safe mode",
        "HDFS is in safe mode: it refuses writes",
        "wait until enough data nodes have reported, or find out why with `hdfs dfsadmin -safemode get` and `-report`",
    ),
    FailurePattern(
        "no-events",
        r"PreparedData cannot be empty|TrainingData cannot be empty|RDD\[\S+\] cannot be empty"
        r"|mllibRatings cannot be empty",
        "the event store has no events that the engine trains with",
        "compare the app's name and the event names in engine.json with the event store; the Universal Recommender "
        "needs events with the first name",
    ),
    FailurePattern(
        "event-properties",
        r"DataMapException: |Failed to get extract entity from DataMap",
        "an event lacks a property that the engine requires",
        "correct the events with that entity, or let the engine's DataSource accept events without the property",
    ),
    FailurePattern(
        "foreign-events",
        r"RowKeyException: |Failed to get value for column ",
        "a table of events in HBase holds rows that PIO has not written",
        "check that only PredictionIO writes to its tables, `pio_event:events_<app id>`",
    ),
    FailurePattern(
        "data-view",
        r"does not contain a valid Parquet file",
        "a file in which the engine's DataView keeps events is broken",
        "delete that file, and train again",
    ),
    FailurePattern(
        "no-event-table",
        r"HBase table not found for appId|The appId \d+ .*does not exist|relation \S+pio_event_\S+ does not exist"
        r"|Table '\S*pio_event_\S+ doesn't exist",
        "the app exists in PIO's metadata, but its table of events does not",
        "check that hbase (or the source of eventdata) in pio-tf.hcl is the one that the event server writes to; "
        "`pio app data-delete` on the driver creates an empty table",
    ),
    FailurePattern(
        "metadata-unreadable",
        r"\[ES(?:Apps|Channels)\] Failed to access to ",
        "PIO could not read apps from Elasticsearch",
        "look at Elasticsearch's own log, and at the index pio_meta_apps; `pio app list` on the driver must work",
    ),
    FailurePattern(
        "no-app",
        r"Invalid (?:app|channel) name ",
        "PIO's metadata has no such app",
        "compare appName in engine.json with `pio app list` on the driver",
    ),
    FailurePattern(
        "storage-settings",
        r"Required repository \(\w+\) configuration is missing|is not a configured storage source"
        r"|There were \d+ configuration errors|variable is not set!",
        "PIO's storage settings in pio-env.sh are incomplete",
        "run `pio-tf config push`, and check that nothing in the user's profile on the driver changes PIO_STORAGE_…",
    ),
    FailurePattern(
        "storage-backend",
        r"No storage backend implementation can be found|ClassNotFoundException: \w+\.StorageClient"
        r"|Unable to instantiate data object with class",
        "this PredictionIO has no program for a type of storage",
        "check that PIO_HOME/lib/spark has pio-data-TYPE-assembly-VERSION.jar of the same version",
    ),
    FailurePattern(
        "no-elasticsearch-source",
        r"No Elasticsearch client configuration detected",
        "the Universal Recommender finds no storage source named ELASTICSEARCH",
        "add the elasticsearch block to pio-tf.hcl; pio-env.sh must name its source ELASTICSEARCH",
    ),
    FailurePattern(
        "master-gone",
        r"All masters are unresponsive|Spark cluster looks down",
        "the Spark driver could not talk to the master",
        "look at `journalctl -u pio-tf-spark` on the master; the security group must let the driver in",
    ),
    FailurePattern(
        "application-removed",
        r"Master removed our application",
        "Spark's master gave up the training: its executors died one after another",
        "find the reason on the workers: stderr in the application's directory under Spark's work directory",
    ),
    FailurePattern(
        "stack-overflow",
        r"java\.lang\.StackOverflowError",
        "a thread's stack was too small, usually because an RDD is computed from hundreds of others",
        "use fewer iterations, set checkpoints (sc.setCheckpointDir in the engine), or raise -Xss in "
        "spark.executor.extraJavaOptions and spark.driver.extraJavaOptions",
    ),
)
"""Patterns that name the cause anywhere in a log. If several match, the first of this table counts."""

LIKELY = (
    FailurePattern(
        "executor-killed",
        r"ExecutorLostFailure.*(?:code:? 137|status:? 137|code is 137|Container killed)",
        "an executor was killed again and again for lack of memory",
        "the machine had too little memory besides the heap (`dmesg` on the worker names the OOM killer): lower "
        "spark.executor_memory, or take larger workers",
    ),
    FailurePattern(
        "executor-heap",
        r"ExecutorLostFailure.*exited with code 52",
        "an executor's heap was too small: Spark ends an executor with 52 after an OutOfMemoryError",
        _MORE_MEMORY,
    ),
    FailurePattern(
        "executor-lost",
        r"ExecutorLostFailure|FetchFailedException|MetadataFetchFailedException",
        "Spark lost executors, and could not finish a task without them",
        "look at `journalctl -u pio-tf-spark` and `dmesg` on the worker: killed for lack of memory, or disconnected",
    ),
    FailurePattern(
        "elasticsearch-workers",
        r"Cannot detect ES version|EsHadoopNoNodesLeftException|Connection error \(check network",
        "a worker or the driver could not talk to Elasticsearch: the workers write the model themselves",
        "let the workers in with its security group; each node must be reachable at the address that it publishes",
    ),
    FailurePattern(
        "unknown-host",
        r"UnknownHostException|Name or service not known|Temporary failure in name resolution",
        "the host name of {service} has no known address",
        "correct the name in pio-tf.hcl, or add it to the machines' DNS or /etc/hosts",
    ),
    FailurePattern(
        "hbase",
        r"HBase master is not running|Failed to connect to HBase|RetriesExhausted|NoServerForRegionException"
        r"|MasterNotRunningException|ZooKeeperConnectionException"
        r"|KeeperErrorCode = ConnectionLoss|Cannot connect to ZooKeeper|ZooKeeper \w+ failed after \d+ attempts",
        "HBase or its ZooKeeper did not answer, after many retries",
        _REACHABLE,
    ),
    FailurePattern(
        "refused",
        r"ConnectException|[Cc]onnection refused|Connection to \S+ refused|NoNodeAvailableException",
        "nothing answers where {service} should",
        _REACHABLE,
    ),
    FailurePattern(
        "no-route",
        r"NoRouteToHostException|SocketTimeoutException|ConnectTimeoutException|connect(?:ion)? timed out"
        r"|listener timeout after waiting for",
        "{service} does not answer in time",
        _REACHABLE,
    ),
    FailurePattern(
        "instance-not-stored",
        r"Failed to (?:create|update) \S+/engine_instances",
        "Elasticsearch did not store the engine instance: PIO may try again without end",
        "look for a block of that index (GET /INDEX/_settings), and for a full disk (GET /_cat/allocation)",
    ),
    FailurePattern(
        "value-type",
        r"MappingException: ",
        "a value in engine.json, or in an event's properties, is missing or of another type than the engine expects",
        "compare the field that the message names with the engine's classes",
    ),
    FailurePattern(
        "no-data",
        r"UnsupportedOperationException: empty collection",
        "the engine computed with no data, usually because it found no events",
        "compare the app's name and the event names in engine.json with the event store",
    ),
    FailurePattern(
        "storage",
        r"Error initializing storage client for source |was not properly initialized",
        "PIO could not open a storage source",
        "read the output from that line; `pio status` on the driver tries every source",
    ),
    FailurePattern(
        "template-version",
        r"This engine template requires at least PredictionIO",
        "the engine's template.json requires a later PredictionIO",
        "install that PredictionIO, or use a version of the template for yours",
    ),
    FailurePattern(
        "stage-failure",
        r"Job aborted due to stage failure",
        "a task failed again and again, and Spark gave up the job",
        "read the output from its first ERROR; the task's own error is the last `Caused by`",
    ),
)
"""Patterns that count only in the error that ended the training: Spark and HBase recover from most of these."""

SERVICES = (
    ("Elasticsearch", r"elasticsearch|:9[23]00\b|http\.impl\.nio\b"),
    ("HBase", r"hadoop\.hbase|source HBASE\b|:160\d0\b|:600\d0\b"),
    ("ZooKeeper", r"zookeeper|:2181\b"),
    ("HDFS", r"hadoop\.hdfs|hadoop\.ipc|:(?:9000|8020)\b|source HDFS\b"),
    ("the database", r"postgresql|mysql|jdbc|:5432\b|:3306\b|PGSQL\b"),
    ("Spark's master", r"StandaloneAppClient|:7077\b"),
)
"""Services, each with the words that identify it in an error or its stack. The first one found counts. HBase stands
before ZooKeeper and HDFS, which it uses."""


_SERVICES = tuple((name, re.compile(pattern, re.IGNORECASE)) for name, pattern in SERVICES)
_ALTERNATIVES = re.compile(r"\|(?![^()]*\))")
_FIXED = re.compile(r"\^?(?:\\b)?((?:(?:[\w /:<>,-]|\\\W)(?![?*+{]))*)")


class PatternFinder:
    """Finds the patterns of one table."""

    def __init__(self, patterns: tuple[FailurePattern, ...]) -> None:
        self._patterns = patterns
        # A log has many lines, and almost none matches: fixed words are fast to look for.
        self._beginnings = tuple({beginning for one in patterns for beginning in _beginnings(one.pattern)})

    def find(self, line: str) -> FailurePattern | None:
        """Return the first pattern of the table that matches a line."""
        for beginning in self._beginnings:
            if beginning in line:
                # Python keeps what it has compiled. Few trainings fail, and each needs few of these.
                return next((one for one in self._patterns if re.search(one.pattern, line)), None)
        return None


def _beginnings(pattern: str) -> list[str]:
    """Return the words with which each alternative of a pattern begins; "", which every line holds, for other ones."""
    found = map(_FIXED.match, _ALTERNATIVES.split(pattern))
    return [re.sub(r"\\(\W)", r"\1", one[1]) if one else "" for one in found]


def services_in(line: str) -> set[str]:
    """Return the services that a line of an error, or of its stack, names."""
    return {name for name, pattern in _SERVICES if pattern.search(line)}


def quote_line(text: str, longest: int = 400) -> str:
    """Return a line of the log as a quote of at most ``longest`` characters."""
    text = text.strip()
    return text if len(text) <= longest else f"{text[: longest - 1]}…"
