package org.apache.predictionio.data.storage;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.Map;
import org.apache.http.HttpHost;
import org.apache.http.auth.AuthScope;
import org.apache.http.auth.UsernamePasswordCredentials;
import org.apache.http.entity.ContentType;
import org.apache.http.impl.client.BasicCredentialsProvider;
import org.apache.http.nio.entity.NStringEntity;
import org.apache.http.util.EntityUtils;
import org.elasticsearch.client.Response;
import org.elasticsearch.client.RestClient;
import org.elasticsearch.client.RestClientBuilder;

/** Elasticsearch over REST, with the client and the settings of PredictionIO. */
public final class Elasticsearch implements AutoCloseable {
    public static final ObjectMapper JSON = new ObjectMapper();

    private static final int MISSING = 404;

    private final RestClient client;

    /** Make a client from PIO_STORAGE_SOURCES_*. As in PredictionIO, the shortest list of hosts, ports, schemes counts. */
    public Elasticsearch(Map<String, String> settings) {
        String[] hosts = settings.getOrDefault("HOSTS", "localhost").split(",");
        String[] ports = settings.getOrDefault("PORTS", "9200").split(",");
        String[] schemes = settings.getOrDefault("SCHEMES", "http").split(",");
        List<HttpHost> nodes = new ArrayList<>();
        for (int node = 0; node < Math.min(hosts.length, Math.min(ports.length, schemes.length)); node++) {
            nodes.add(new HttpHost(hosts[node], Integer.parseInt(ports[node]), schemes[node]));
        }
        RestClientBuilder builder = RestClient.builder(nodes.toArray(new HttpHost[0]));
        if (settings.containsKey("USERNAME") || settings.containsKey("PASSWORD")) {
            BasicCredentialsProvider login = new BasicCredentialsProvider();
            login.setCredentials(AuthScope.ANY, new UsernamePasswordCredentials(
                    settings.getOrDefault("USERNAME", ""), settings.getOrDefault("PASSWORD", "")));
            builder.setHttpClientConfigCallback(http -> http.setDefaultCredentialsProvider(login));
        }
        client = builder.build();
    }

    /** Return the JSON of an answer. */
    public JsonNode ask(String method, String path, JsonNode body) throws IOException {
        return ask(method, path, body == null ? null : body.toString());
    }

    /** Return the JSON of an answer to JSON, or to lines of it. */
    public JsonNode ask(String method, String path, String body) throws IOException {
        String[] parts = path.split("\\?refresh=", 2);
        Map<String, String> parameters =
                parts.length == 2 ? Collections.singletonMap("refresh", parts[1]) : Collections.emptyMap();
        Response response = body == null
                ? client.performRequest(method, parts[0], parameters)
                : client.performRequest(
                        method, parts[0], parameters, new NStringEntity(body, ContentType.APPLICATION_JSON));
        return JSON.readTree(EntityUtils.toString(response.getEntity(), StandardCharsets.UTF_8));
    }

    /** Return whether a path exists. */
    public boolean has(String path) throws IOException {
        return client.performRequest("HEAD", path).getStatusLine().getStatusCode() != MISSING;
    }

    @Override
    public void close() throws IOException {
        client.close();
    }
}
