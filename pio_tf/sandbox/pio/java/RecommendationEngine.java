package com.actionml;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.io.IOException;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Comparator;
import java.util.HashMap;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeSet;
import org.apache.predictionio.controller.Engine;
import org.apache.predictionio.data.storage.Elasticsearch;
import org.apache.predictionio.data.storage.Event;
import org.apache.predictionio.data.storage.Storage;
import org.apache.spark.api.java.JavaPairRDD;
import org.apache.spark.api.java.JavaRDD;
import org.apache.spark.api.java.JavaSparkContext;
import org.apache.spark.broadcast.Broadcast;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;
import scala.Tuple2;

/**
 * A small recommender in the form of the Universal Recommender: co-occurrence with the log-likelihood ratio.
 *
 * <p>It counts how many users with the primary event on an item have an indicator's event on another one, and keeps the
 * most surprising. The workers read the events from HBase and write the model to a new index of Elasticsearch, which then
 * takes the place of the old one behind the alias. Nothing is shuffled: before the code is hot, Spark spends most of the
 * time of a shuffle on estimating sizes.
 */
public final class RecommendationEngine implements Engine<TrainingData, PreparedData> {
    private DataSource source;
    private final Preparator preparator = new Preparator();
    private URAlgorithm algorithm;

    @Override
    public String configure(JsonNode variant) {
        JsonNode params = variant.path("algorithms").path(0).path("params");
        algorithm = new URAlgorithm(params);
        source = new DataSource(
                variant.path("datasource").path("params").path("appName").asText(),
                new ArrayList<>(algorithm.limits.keySet()));
        return "DataSourceParams(" + source.app + ",List(" + String.join(", ", source.names) + "),None,None)";
    }

    @Override
    public List<Object> parts() {
        return Arrays.asList(source, preparator, algorithm);
    }

    @Override
    public TrainingData readTraining(JavaSparkContext spark) throws IOException {
        return source.read(spark);
    }

    @Override
    public PreparedData prepare(JavaSparkContext spark, TrainingData data) {
        return preparator.prepare(spark, data);
    }

    @Override
    public Object train(JavaSparkContext spark, PreparedData data) throws IOException {
        return algorithm.train(spark, data);
    }
}

/** The events, still in HBase. */
final class TrainingData {
    final JavaRDD<Event> events;

    TrainingData(JavaRDD<Event> events) {
        this.events = events;
    }
}

/** Each user's items by event, on every worker. */
final class PreparedData {
    final Broadcast<Map<String, Map<String, Set<String>>>> byUser;

    PreparedData(Broadcast<Map<String, Map<String, Set<String>>>> byUser) {
        this.byUser = byUser;
    }
}

/** Reads the events of an app. */
final class DataSource {
    private static final Logger LOG = LoggerFactory.getLogger("org.apache.predictionio.data.store.Common$");

    final String app;
    final List<String> names;

    DataSource(String app, List<String> names) {
        this.app = app;
        this.names = names;
    }

    TrainingData read(JavaSparkContext spark) throws IOException {
        Integer id = Storage.metadata().findApp(app);
        if (id == null) {
            LOG.error("Invalid app name " + app);
            throw new IllegalArgumentException("Invalid app name " + app);
        }
        Storage.metadata().openChannels();
        return new TrainingData(Storage.events(false).find(spark, id, names));
    }
}

/** Collects the events by user. */
final class Preparator {
    PreparedData prepare(JavaSparkContext spark, TrainingData data) {
        Map<String, Map<String, Set<String>>> byUser =
                data.events.aggregate(new HashMap<>(), Preparator::add, Preparator::merge);
        return new PreparedData(spark.broadcast(byUser));
    }

    private static Map<String, Map<String, Set<String>>> add(
            Map<String, Map<String, Set<String>>> byUser, Event event) {
        byUser.computeIfAbsent(event.user, user -> new HashMap<>())
                .computeIfAbsent(event.name.intern(), name -> new HashSet<>())
                .add(event.item.intern());
        return byUser;
    }

    private static Map<String, Map<String, Set<String>>> merge(
            Map<String, Map<String, Set<String>>> byUser, Map<String, Map<String, Set<String>>> more) {
        more.forEach((user, events) -> events.forEach((name, items) -> byUser
                .computeIfAbsent(user, one -> new HashMap<>())
                .computeIfAbsent(name, one -> new HashSet<>())
                .addAll(items)));
        return byUser;
    }
}

/** Finds the correlated items of each item, and writes them to Elasticsearch. */
final class URAlgorithm {
    private static final Logger MODEL = LoggerFactory.getLogger("com.actionml.URModel");
    private static final Logger CLIENT = LoggerFactory.getLogger("com.actionml.EsClient$");
    private static final double NOTHING = 1e-6;
    private static final int DEFAULT_LIMIT = 50;

    final Map<String, Integer> limits = new LinkedHashMap<>();
    private final String alias;
    private final String type;

    URAlgorithm(JsonNode params) {
        alias = params.path("indexName").asText();
        type = params.path("typeName").asText();
        params.path("indicators").forEach(one -> limits.put(
                one.path("name").asText(), one.path("maxCorrelatorsPerItem").asInt(DEFAULT_LIMIT)));
    }

    Object train(JavaSparkContext spark, PreparedData data) throws IOException {
        Map<String, String> settings = Storage.settings("ELASTICSEARCH");
        if (settings.isEmpty()) {
            throw new IllegalStateException("No Elasticsearch client configuration detected, check your pio-env.sh for"
                    + "proper configuration settings");
        }
        Set<String> items = new TreeSet<>();
        String primary = limits.keySet().iterator().next();
        data.byUser.value().values().forEach(events -> items.addAll(events.getOrDefault(primary, new HashSet<>())));
        JavaPairRDD<String, Map<String, List<String>>> model = correlate(spark, data.byUser, primary, items);
        MODEL.info("New data to index, performing a hot swap of the index.");
        String index = alias + "_" + System.currentTimeMillis();
        try (Elasticsearch elasticsearch = new Elasticsearch(settings)) {
            createIndex(elasticsearch, index);
            String documents = "/" + index + "/" + type + "/_bulk";
            model.foreachPartition(rows -> {
                StringBuilder lines = new StringBuilder();
                while (rows.hasNext()) {
                    Tuple2<String, Map<String, List<String>>> row = rows.next();
                    lines.append(lines(row._1, row._2));
                }
                if (lines.length() > 0) {
                    try (Elasticsearch worker = new Elasticsearch(settings)) {
                        JsonNode answer = worker.ask("POST", documents, lines.toString());
                        if (answer.path("errors").asBoolean()) {
                            throw new IOException("Elasticsearch refused documents of the model: " + answer);
                        }
                    }
                }
            });
            swap(elasticsearch, index);
        }
        CLIENT.info("Created index " + index + ", and alias " + alias + " points to it");
        ObjectNode summary = Elasticsearch.JSON.createObjectNode();
        return summary.put("index", index).put("items", items.size()).put("master", spark.master());
    }

    /** Return the correlated items of each item of the primary event, by indicator, the strongest first. */
    private JavaPairRDD<String, Map<String, List<String>>> correlate(
            JavaSparkContext spark,
            Broadcast<Map<String, Map<String, Set<String>>>> byUser,
            String primary,
            Set<String> items) {
        Map<String, Integer> kept = new LinkedHashMap<>(limits);
        int partitions = 2 * Math.max(2, spark.defaultParallelism());
        return spark.parallelize(new ArrayList<>(items), partitions).mapPartitionsToPair(some -> {
            List<Map<String, Set<String>>> buyers = new ArrayList<>();
            byUser.value().values().stream().filter(events -> events.containsKey(primary)).forEach(buyers::add);
            Map<String, Map<String, Integer>> totals = count(buyers);
            List<Tuple2<String, Map<String, List<String>>>> rows = new ArrayList<>();
            some.forEachRemaining(item -> {
                List<Map<String, Set<String>>> own = new ArrayList<>();
                buyers.stream().filter(events -> events.get(primary).contains(item)).forEach(own::add);
                List<Correlator> all = new ArrayList<>();
                count(own).forEach((name, others) -> others.forEach((other, both) -> {
                    boolean itself = name.equals(primary) && other.equals(item);
                    double ratio = itself ? 0 : LogLikelihood.ratio(
                            both, totals.get(primary).get(item), totals.get(name).get(other), buyers.size());
                    all.add(new Correlator(name, other, ratio));
                }));
                rows.add(new Tuple2<>(item, strongest(all, kept)));
            });
            return rows.iterator();
        });
    }

    /** Return how many of these users have each item, by event. */
    private static Map<String, Map<String, Integer>> count(List<Map<String, Set<String>>> users) {
        Map<String, Map<String, Integer>> found = new HashMap<>();
        users.forEach(events -> events.forEach((name, items) -> items.forEach(
                item -> found.computeIfAbsent(name, one -> new HashMap<>()).merge(item, 1, Integer::sum))));
        return found;
    }

    private static Map<String, List<String>> strongest(List<Correlator> all, Map<String, Integer> limits) {
        all.sort(Comparator.comparingDouble((Correlator one) -> -one.ratio).thenComparing(one -> one.item));
        Map<String, List<String>> found = new HashMap<>();
        for (Correlator one : all) {
            List<String> items = found.computeIfAbsent(one.indicator, name -> new ArrayList<>());
            if (one.ratio > NOTHING && items.size() < limits.get(one.indicator)) {
                items.add(one.item);
            }
        }
        return found;
    }

    private static String lines(String item, Map<String, List<String>> correlators) {
        ObjectNode action = Elasticsearch.JSON.createObjectNode();
        action.putObject("index").put("_id", item);
        ObjectNode document = Elasticsearch.JSON.createObjectNode().put("id", item);
        correlators.forEach((name, items) -> {
            if (!items.isEmpty()) {
                items.forEach(document.withArray(name)::add);
            }
        });
        return action + "\n" + document + "\n";
    }

    private void createIndex(Elasticsearch elasticsearch, String index) throws IOException {
        ObjectNode body = Elasticsearch.JSON.createObjectNode();
        ObjectNode properties = body.putObject("mappings").putObject(type).putObject("properties");
        properties.putObject("id").put("type", "keyword");
        limits.keySet().forEach(name -> properties.putObject(name).put("type", "keyword"));
        elasticsearch.ask("PUT", "/" + index, body);
    }

    /** Point the alias to the new index and remove the old one in one request, as the Universal Recommender does. */
    private void swap(Elasticsearch elasticsearch, String index) throws IOException {
        elasticsearch.ask("POST", "/" + index + "/_refresh", (String) null);
        ObjectNode body = Elasticsearch.JSON.createObjectNode();
        ArrayNode actions = body.putArray("actions");
        actions.addObject().putObject("add").put("index", index).put("alias", alias);
        if (elasticsearch.has("/_alias/" + alias)) {
            elasticsearch.ask("GET", "/_alias/" + alias, (String) null).fieldNames().forEachRemaining(
                    old -> actions.addObject().putObject("remove_index").put("index", old));
        }
        elasticsearch.ask("POST", "/_aliases", body);
    }
}

/** An item that is correlated with another one, for an indicator. */
final class Correlator {
    final String indicator;
    final String item;
    final double ratio;

    Correlator(String indicator, String item, double ratio) {
        this.indicator = indicator;
        this.item = item;
        this.ratio = ratio;
    }
}

/** Dunning's log-likelihood ratio of a 2x2 table of users, as in the light stand-in's cooccurrence.py. */
final class LogLikelihood {
    private static final double DECIMALS = 1e6;

    private LogLikelihood() {}

    /**
     * Return the ratio, rounded to 6 decimals and at least 0.
     *
     * @param both users with both events
     * @param first users with the first event, with or without the second
     * @param second users with the second event, with or without the first
     * @param users all users
     */
    static double ratio(double both, double first, double second, double users) {
        double cells = xLogX(both) + xLogX(first - both) + xLogX(second - both) + xLogX(users - first - second + both);
        double rows = xLogX(first) + xLogX(users - first);
        double columns = xLogX(second) + xLogX(users - second);
        return Math.round(Math.max(0, 2 * (xLogX(users) + cells - rows - columns)) * DECIMALS) / DECIMALS;
    }

    private static double xLogX(double count) {
        return count <= 0 ? 0 : count * Math.log(count);
    }
}
