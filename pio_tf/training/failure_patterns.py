"""What PIO, Spark, Java and the services say when a training goes wrong, what it means, and what to do: a table.

The words are those of PIO 0.12 to 0.14, Spark 2.1 to 3.5, Elasticsearch 5 to 7, HBase 1.2 and Hadoop 2.7.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

_MORE_MEMORY = "give more with driver.memory or spark.executor_memory, on larger instance types if need be"
_INSTALL = "install it on the driver (its disk stays), or correct pio-tf.hcl; `pio-tf up` starts the machines"
_REACHABLE = (
    "check that it runs, that pio-tf.hcl has its address and port, and that its security group lets the driver "
    "and the workers in"
)


@dataclass(frozen=True)
class FailurePattern:
    """Words in a log. ``meaning`` is half a sentence: a quote from the log follows it. ``{service}`` in it stands for
    what :data:`SERVICES` finds around the words."""

    name: str
    """For programs."""
    pattern: str
    meaning: str
    next_step: str


CERTAIN = (
    FailurePattern(
        "interrupted",
        r"Training interrupted by \S+",
        "the engine stopped it on purpose (--stop-after-read, -prepare, …)",
        "take --stop-after-read and --stop-after-prepare out of train.pio_arguments",
    ),
    FailurePattern(
        "no-configuration",
        r"WorkflowConfig is empty",
        "pio was not given an engine to train",
        "check train.pio_arguments in pio-tf.hcl: PIO did not understand the options that it was given",
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
        "the engine has no engine.json that PIO can use",
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
        "the wrong Java ran it, or none: PIO up to 0.14 and Spark 2 need Java 8, on every machine the same",
        "install that Java on the machines, and set JAVA_HOME in the user's profile on the driver",
    ),
    FailurePattern(
        "model-not-stored",
        r"^\[ERROR\] \[(?:HDFS|LocalFS|S3)Models\$?\] ",
        "PIO could not store the model, and went on as if it had",
        "mend the model store (its permissions, its room, whether it answers), and train again",
    ),
    FailurePattern(
        "disk-full",
        r"No space left on device|Disk quota exceeded|DSQuotaExceededException",
        "a disk is full",
        "look with `df -h` on the machines, at spark.local.dir above all; make room, or make the volume larger",
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
        "the system gave Java no further thread",
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
        "the machine has less memory than the heap was promised",
        "give less with driver.memory or spark.executor_memory, or take a larger instance type",
    ),
    FailurePattern(
        "elasticsearch-login",
        r"401 Unauthorized|unable to authenticate user|missing authentication (?:token|credentials)"
        r"|action \[\S+\] is unauthorized",
        "Elasticsearch refused the user or the password",
        "check elasticsearch.user and elasticsearch.password, and what that user may do",
    ),
    FailurePattern(
        "database-login",
        r"password authentication failed for user|Access denied for user|no pg_hba\.conf entry",
        "the database refused the user or the password",
        "check the user and the password of the database in pio-tf.hcl, and what the database lets in",
    ),
    FailurePattern(
        "kerberos",
        r"GSS initiate failed|SIMPLE authentication is not enabled",
        "HDFS or HBase wants Kerberos, which the driver did not offer",
        "let the user log in with kinit on the driver, or use services without Kerberos",
    ),
    FailurePattern(
        "hadoop-permission",
        r"AccessControlException: Permission denied: |AccessDeniedException: Insufficient permissions",
        "HDFS or HBase does not let this user do that",
        "let the user of ssh.user write there (`hdfs dfs -chown`, or a grant in HBase's shell)",
    ),
    FailurePattern(
        "safe-mode",
        r"SafeModeException|Name node is in safe mode",
        "HDFS is in safe mode: it takes no writes",
        "wait until enough data nodes have reported, or see why with `hdfs dfsadmin -safemode get` and `-report`",
    ),
    FailurePattern(
        "no-events",
        r"Primary action in PreparedData cannot be empty",
        "there are no events of the primary indicator to learn from",
        "compare the app's name and the first event name in engine.json with what the event store holds",
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
        "the Universal Recommender finds no storage source that is named ELASTICSEARCH",
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
        "Spark's master gave the training up: its executors died one after another",
        "look why on the workers, in the application's directory below Spark's work: stderr",
    ),
)
"""Signs that name the cause wherever they stand in a log. Where it has several, the first of this table is told."""

LIKELY = (
    FailurePattern(
        "executor-killed",
        r"ExecutorLostFailure.*(?:exited with code 137|[Ee]xit (?:status|code):? 137)",
        "an executor was killed, again and again, for want of memory",
        "the machine had too little beside the heap (`dmesg` on the worker names the OOM killer): give executors less "
        "with spark.executor_memory, or take larger workers",
    ),
    FailurePattern(
        "executor-lost",
        r"ExecutorLostFailure|FetchFailedException|MetadataFetchFailedException",
        "Spark lost executors, and a task could not be finished without them",
        "look at `journalctl -u pio-tf-spark` and `dmesg` on the worker: killed for want of memory, or cut off",
    ),
    FailurePattern(
        "elasticsearch-workers",
        r"Cannot detect ES version|EsHadoopNoNodesLeftException|Connection error \(check network",
        "a worker or the driver could not talk to Elasticsearch, to which the workers write the model themselves",
        "its security group must let the workers in; each node must be reachable at the address that it publishes",
    ),
    FailurePattern(
        "unknown-host",
        r"UnknownHostException|Name or service not known|Temporary failure in name resolution",
        "no address is known for the host of {service}",
        "correct the name in pio-tf.hcl, or give the machines a DNS or /etc/hosts that knows it",
    ),
    FailurePattern(
        "hbase",
        r"RetriesExhausted|NoServerForRegionException|MasterNotRunningException|ZooKeeperConnectionException"
        r"|KeeperErrorCode = ConnectionLoss|Cannot connect to ZooKeeper|ZooKeeper \w+ failed after \d+ attempts",
        "HBase or its ZooKeeper did not answer, however often it was asked",
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
        "a task failed again and again, and Spark gave the job up",
        "read the output from its first ERROR on; the task's own error is the last `Caused by`",
    ),
)
"""Signs that count only in the error that ended the training: Spark and HBase recover from most of these."""

SERVICES = (
    ("Elasticsearch", r"elasticsearch|:9[23]00\b"),
    ("HBase", r"hadoop\.hbase|source HBASE\b|:160\d0\b|:600\d0\b"),
    ("ZooKeeper", r"zookeeper|:2181\b"),
    ("HDFS", r"hadoop\.hdfs|hadoop\.ipc|:(?:9000|8020)\b|source HDFS\b"),
    ("the database", r"postgresql|mysql|jdbc|:5432\b|:3306\b|PGSQL\b"),
    ("Spark's master", r"StandaloneAppClient|:7077\b"),
)
"""Whose words these are: a name, and what betrays it in an error or the stack below it. The first one found is told.
HBase stands before ZooKeeper and HDFS, which it uses."""


def shown(text: str, longest: int = 400) -> str:
    """A line of the log as a quote: no more than ``longest`` characters of it."""
    text = text.strip()
    return text if len(text) <= longest else f"{text[: longest - 1]}…"


class Finder:
    """Looks for the signs of one table."""

    def __init__(self, signs: tuple[FailurePattern, ...]) -> None:
        self._signs = tuple((sign, re.compile(sign.pattern)) for sign in signs)
        # A log has many lines, and almost none holds a sign: fixed words are soon looked for.
        self._beginnings = tuple({beginning for sign in signs for beginning in _beginnings(sign.pattern)})

    def find(self, line: str) -> FailurePattern | None:
        """The first sign of the table that this line holds."""
        for beginning in self._beginnings:
            if beginning in line:
                return next((sign for sign, pattern in self._signs if pattern.search(line)), None)
        return None


_ALTERNATIVES = re.compile(r"\|(?![^()]*\))")
_FIXED = re.compile(r"\^?(?:\\b)?((?:(?:[\w /:<>,-]|\\\W)(?![?*+{]))*)")


def _beginnings(pattern: str) -> list[str]:
    """The words that each alternative of a pattern begins with. Empty, and so in every line, where it begins otherwise
    or is too involved for this."""
    found = map(_FIXED.match, _ALTERNATIVES.split(pattern))
    return [re.sub(r"\\(\W)", r"\1", one[1]) if one else "" for one in found]


_SERVICES = tuple((name, re.compile(pattern, re.IGNORECASE)) for name, pattern in SERVICES)


def services_in(line: str) -> set[str]:
    """The services that a line of an error, or of the stack below it, speaks of."""
    return {name for name, pattern in _SERVICES if pattern.search(line)}


def told(sign: FailurePattern, services: set[str]) -> str:
    """The sign's meaning, with the service that it is about where that is known."""
    service = next((name for name, _ in _SERVICES if name in services), "a service")
    return sign.meaning.format(service=service)
