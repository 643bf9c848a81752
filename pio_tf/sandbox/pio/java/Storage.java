package org.apache.predictionio.data.storage;

import java.io.PrintWriter;
import java.io.StringWriter;
import java.util.HashMap;
import java.util.Map;
import java.util.TreeMap;
import org.apache.hadoop.conf.Configuration;
import org.apache.hadoop.fs.FileSystem;
import org.apache.hadoop.fs.Path;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/** The storages that pio-env.sh names, opened at their first use, with PredictionIO's messages. */
public final class Storage {
    private static final Logger LOG = LoggerFactory.getLogger("org.apache.predictionio.data.storage.Storage$");
    private static final String REPOSITORIES = "PIO_STORAGE_REPOSITORIES_";
    private static final String SOURCES = "PIO_STORAGE_SOURCES_";

    private static final Map<String, Object> OPENED = new HashMap<>();

    private Storage() {}

    /** Opens the client of a source. */
    private interface Opener<T> {
        T open(Map<String, String> settings) throws Exception;
    }

    /** Return the metadata. */
    public static Metadata metadata() {
        return new Metadata(elasticsearch(), name("METADATA"));
    }

    /** Return the client of the source that the METADATA repository uses. */
    private static Elasticsearch elasticsearch() {
        return open("METADATA", "elasticsearch", Elasticsearch::new);
    }

    /** Return the events. A test of the connection tries less often. */
    public static EventStore events(boolean test) {
        return open("EVENTDATA", "hbase", settings -> EventStore.open(name("EVENTDATA"), test));
    }

    /** Return the models. */
    public static Models models() {
        FileSystem files = open("MODELDATA", "hdfs", settings -> {
            FileSystem opened = FileSystem.get(new Configuration());
            opened.setWorkingDirectory(new Path(settings.getOrDefault("PATH", settings.get("HOSTS"))));
            return opened;
        });
        return new Models(files, name("MODELDATA"));
    }

    /** Return the settings of a source. */
    public static Map<String, String> settings(String source) {
        String prefix = SOURCES + source + "_";
        Map<String, String> found = new TreeMap<>();
        System.getenv().forEach((key, value) -> {
            if (key.startsWith(prefix)) {
                found.put(key.substring(prefix.length()), value);
            }
        });
        return found;
    }

    /** Return the name of the source of a repository. */
    public static String sourceOf(String repository) {
        String source = variable(repository, "SOURCE");
        if (!settings(source).containsKey("TYPE")) {
            LOG.error(source + " is not a configured storage source.");
        }
        return source;
    }

    /** Close what has been opened: the client of Elasticsearch has threads that keep the JVM alive. */
    public static void close() {
        for (Object one : OPENED.values()) {
            try {
                if (one instanceof AutoCloseable) {
                    ((AutoCloseable) one).close();
                }
            } catch (Exception error) {
                LOG.debug("could not close " + one, error);
            }
        }
        OPENED.clear();
    }

    private static String name(String repository) {
        return variable(repository, "NAME");
    }

    private static String variable(String repository, String key) {
        String value = System.getenv(REPOSITORIES + repository + "_" + key);
        if (value == null || value.isEmpty()) {
            LOG.error("Required repository (" + repository + ") configuration is missing.");
            LOG.error("There were 1 configuration errors. Exiting.");
            System.exit(1);
        }
        return value;
    }

    @SuppressWarnings("unchecked")
    private static <T> T open(String repository, String type, Opener<T> opener) {
        String source = sourceOf(repository);
        String found = settings(source).getOrDefault("TYPE", "");
        if (!found.equals(type)) {
            String kind = found + "." + repository;
            throw new StorageClientException("No storage backend implementation can be found (tried both "
                    + "org.apache.predictionio.data.storage." + kind + " and " + kind + ")");
        }
        if (!OPENED.containsKey(repository)) {
            Object client = null;
            try {
                client = opener.open(settings(source));
            } catch (Throwable error) {
                StringWriter trace = new StringWriter();
                error.printStackTrace(new PrintWriter(trace, true));
                LOG.error("Error initializing storage client for source " + source + ".\n" + trace + "\n\n");
            }
            OPENED.put(repository, client);
        }
        T client = (T) OPENED.get(repository);
        if (client == null) {
            throw new StorageClientException("Data source " + source + " was not properly initialized.");
        }
        return client;
    }
}
