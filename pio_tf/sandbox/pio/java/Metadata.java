package org.apache.predictionio.data.storage;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.io.IOException;
import java.security.SecureRandom;
import java.util.Base64;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * PredictionIO's metadata in Elasticsearch, as 0.14.0 keeps it: an index for each kind, with a type of the same name.
 *
 * <p>Each use of a kind first looks for its index and its mapping, as PredictionIO does.
 */
public final class Metadata {
    private static final String PACKAGE = "org.apache.predictionio.data.storage.elasticsearch.";
    private static final Logger INSTANCES = LoggerFactory.getLogger(PACKAGE + "ESEngineInstances");
    private static final Logger APPS = LoggerFactory.getLogger(PACKAGE + "ESApps");

    private final Elasticsearch elasticsearch;
    private final String name;

    Metadata(Elasticsearch elasticsearch, String name) {
        this.elasticsearch = elasticsearch;
        this.name = name;
    }

    /** Make every index that is missing. */
    public void open() throws IOException {
        openEngineInstances();
        open("evaluation_instances");
        openApps();
        open("accesskeys", "key", "events");
        openChannels();
    }

    /** The engine instances: one for each training. */
    public final class EngineInstances {
        private final String path;

        private EngineInstances(String path) {
            this.path = path;
        }

        /** Write a new instance and return its id. If Elasticsearch refuses, it tries again without end. */
        public String insert(ObjectNode instance) {
            String id = null;
            while (id == null) {
                id = newId();
            }
            update(instance.put("id", id));
            return id;
        }

        private String newId() {
            try {
                JsonNode answer = elasticsearch.ask("POST", "/" + path + "/?refresh=true", "{}");
                return answer.path("_id").asText(null);
            } catch (IOException error) {
                INSTANCES.error("Failed to create " + path, error);
                return null;
            }
        }

        /** Overwrite an instance. A failure is only logged. */
        public void update(ObjectNode instance) {
            String document = path + "/" + instance.path("id").asText();
            try {
                elasticsearch.ask("POST", "/" + document + "?refresh=true", instance);
            } catch (IOException error) {
                INSTANCES.error("Failed to update " + document, error);
            }
        }
    }

    /** Open the engine instances. */
    public EngineInstances openEngineInstances() throws IOException {
        return new EngineInstances(open("engine_instances", "status", "engineId", "engineVersion", "engineVariant",
                "engineFactory", "batch", "dataSourceParams", "preparatorParams", "algorithmsParams", "servingParams"));
    }

    /** Return the id of an app; null if there is none. */
    public Integer findApp(String app) throws IOException {
        String path = openApps();
        ObjectNode query = Elasticsearch.JSON.createObjectNode();
        query.putObject("query").putObject("term").put("name", app);
        try {
            JsonNode hits = elasticsearch.ask("POST", "/" + path + "/_search", query).path("hits").path("hits");
            return hits.size() == 0 ? null : Integer.valueOf(hits.get(0).path("_source").path("id").asInt());
        } catch (IOException error) {
            APPS.error("Failed to access to /" + path + "/_search", error);
            return null;
        }
    }

    /** Write a new app and return its id. */
    public int newApp(String app) throws IOException {
        String path = openApps();
        JsonNode next = elasticsearch.ask("POST", "/" + name + "_sequences/sequences/apps?refresh=false",
                Elasticsearch.JSON.createObjectNode().put("n", "apps"));
        int id = next.path("_version").asInt();
        ObjectNode document = Elasticsearch.JSON.createObjectNode().put("id", id).put("name", app);
        elasticsearch.ask("POST", "/" + path + "/" + id + "?refresh=true", document);
        return id;
    }

    /** Write a new access key for an app and return it. */
    public String newAccessKey(int app) throws IOException {
        String path = open("accesskeys", "key", "events");
        byte[] random = new byte[48];
        new SecureRandom().nextBytes(random);
        String key = Base64.getUrlEncoder().encodeToString(random);
        ObjectNode document = Elasticsearch.JSON.createObjectNode().put("key", key).put("appid", app);
        document.putArray("events");
        elasticsearch.ask("POST", "/" + path + "/" + key + "?refresh=true", document);
        return key;
    }

    /** Open the channels, which PredictionIO asks for those of an app. */
    public void openChannels() throws IOException {
        open("sequences");
        open("channels", "name");
    }

    private String openApps() throws IOException {
        open("sequences");
        return open("apps", "id", "name");
    }

    /** Make the index and the mapping of a kind if they are missing; return ``index/type``. */
    private String open(String kind, String... keywords) throws IOException {
        String index = name + "_" + kind;
        if (!elasticsearch.has("/" + index)) {
            elasticsearch.ask("PUT", "/" + index, (String) null);
        }
        if (!elasticsearch.has("/" + index + "/_mapping/" + kind)) {
            ObjectNode mapping = Elasticsearch.JSON.createObjectNode();
            ObjectNode properties = mapping.putObject(kind).putObject("properties");
            for (String keyword : keywords) {
                properties.putObject(keyword).put("type", "keyword");
            }
            if (kind.endsWith("_instances")) {
                properties.putObject("startTime").put("type", "date");
                properties.putObject("endTime").put("type", "date");
            }
            if (kind.equals("sequences")) {
                properties.putObject("n").put("enabled", false);
            }
            elasticsearch.ask("PUT", "/" + index + "/_mapping/" + kind, mapping);
        }
        return index + "/" + kind;
    }
}
