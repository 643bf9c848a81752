"""A table of failures: messages of PIO, Spark, Java and the services in a log, their meaning, and what to do.

The messages are those of PIO 0.12 to 0.14, Spark 2.1 to 3.5, Elasticsearch 5 to 7, HBase 1.2 and Hadoop 2.7.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

_MORE_MEMORY = "raise driver.memory or spark.executor_memory, on larger instance types if necessary"
_INSTALL = "install it on the driver (its disk stays), or correct pio-tf.hcl; `pio-tf up` starts the machines"
_REACHABLE = (
    "check that it runs, its address and port in pio-tf.hcl, and that its security group lets the driver and the "
    "workers in"
)


@dataclass(frozen=True)
class FailurePattern:
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
        r"^\[ERROR\] \[pio-tf\] ended the run, whose log was only \d+ errors in \d+ s: ",
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
        "no-pio",
        r"bin/pio: (?:No such file or directory|Permission denied|cannot execute)|pio: command not found",
        "there is no PredictionIO at pio.home",
        _INSTALL,
    ),
    FailurePattern(
        "no-engine-directory",
        r"\bcd: .*: (?:No such file or directory|Permission denied|Not a directory)",
        "there is no engine at pio.engine_dir",
        _INSTALL,
    ),
    FailurePattern(
        "no-engine-json",
        r"engine\.json \(No such file or directory\)|engine\.json does not exist"
        r"|Unable to read engine (?:factory class name|variant ID)",
        "the engine has no usable engine.json",
        "put engine.json, with id and engineFactory, into pio.engine_dir on the driver",
    ),
    FailurePattern(
        "not-built",
        r"Unable to obtain engine: |No engine found\.|PredictionIO Core Assembly .* does not exist",
        "PIO does not find the engine's classes: it is not built, or engineFactory in engine.json is wrong",
        "run `pio build` in the engine's directory on the driver, or correct engineFactory in engine.json",
    ),
    FailurePattern(
        "no-spark",
        r"Unable to locate a proper Apache Spark installation|bin/spark-submit: (?:No such file|not found)",
        "PIO does not find Spark at SPARK_HOME",
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
        "model-not-stored",
        r"^\[ERROR\] \[(?:HDFS|LocalFS|S3)Models\$?\] ",
        "PIO could not store the model, and continued as if it had",
        "fix the model store (permissions, free space, whether it answers), and train again",
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
        r"Primary action in PreparedData cannot be empty",
        "the event store has no events of the primary indicator",
        "compare the app's name and the first event name in engine.json with the event store",
    ),
    FailurePattern(
        "no-app",
        r"Invalid (?:app|channel) name ",
        "PIO's metadata has no such app",
        "compare appName in engine.json with `pio app list` on the driver",
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
)
"""Patterns that name the cause anywhere in a log. If several match, the first of this table counts."""

LIKELY = (
    FailurePattern(
        "executor-killed",
        r"ExecutorLostFailure.*(?:exited with code 137|[Ee]xit (?:status|code):? 137)",
        "an executor was killed again and again for lack of memory",
        "the machine had too little memory besides the heap (`dmesg` on the worker names the OOM killer): lower "
        "spark.executor_memory, or take larger workers",
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
        r"RetriesExhausted|NoServerForRegionException|MasterNotRunningException|ZooKeeperConnectionException"
        r"|KeeperErrorCode = ConnectionLoss|Cannot connect to ZooKeeper|ZooKeeper \w+ failed after \d+ attempts",
        "HBase or its ZooKeeper did not answer, after many retries",
        _REACHABLE,
    ),
    FailurePattern(
        "refused",
        r"ConnectException|[Cc]onnection refused|Connection to \S+ refused",
        "nothing answers where {service} should",
        _REACHABLE,
    ),
    FailurePattern(
        "no-route",
        r"NoRouteToHostException|SocketTimeoutException|ConnectTimeoutException|connect(?:ion)? timed out",
        "{service} does not answer in time",
        _REACHABLE,
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
    ("Elasticsearch", r"elasticsearch|:9[23]00\b"),
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
        self._patterns = tuple((one, re.compile(one.pattern)) for one in patterns)
        # A log has many lines, and almost none matches: fixed words are fast to look for.
        self._beginnings = tuple({beginning for one in patterns for beginning in _beginnings(one.pattern)})

    def find(self, line: str) -> FailurePattern | None:
        """Return the first pattern of the table that matches a line."""
        for beginning in self._beginnings:
            if beginning in line:
                return next((one for one, pattern in self._patterns if pattern.search(line)), None)
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
