package org.apache.predictionio.workflow;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.io.File;
import java.io.IOException;
import java.net.URI;
import java.nio.charset.StandardCharsets;
import java.time.ZonedDateTime;
import java.time.format.DateTimeFormatter;
import java.util.Arrays;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import org.apache.predictionio.controller.Engine;
import org.apache.predictionio.data.storage.Elasticsearch;
import org.apache.predictionio.data.storage.Metadata;
import org.apache.predictionio.data.storage.Storage;
import org.apache.predictionio.data.storage.StorageClientException;
import org.apache.spark.SparkConf;
import org.apache.spark.api.java.JavaSparkContext;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;
import scala.ScalaReflectionException;

/**
 * The Spark job of {@code pio train} in the sandbox's STAND-IN for PredictionIO: its steps, lines, exit codes, failures.
 *
 * <p>An engine instance INIT in the metadata; the engine, which reads, prepares and trains; the model in the model
 * store; the engine instance COMPLETED. As in PredictionIO, a write that fails after the training is only logged.
 */
public final class CreateWorkflow {
    private static final String PACKAGE = "org.apache.predictionio.";
    private static final Logger WORKFLOW = logger("workflow.CreateWorkflow$");
    private static final Logger UTILS = logger("workflow.WorkflowUtils$");
    private static final Logger CORE = logger("workflow.CoreWorkflow$");
    private static final Logger ENGINE = logger("controller.Engine");
    private static final Logger TRAIN = logger("controller.Engine$");
    private static final Set<String> FLAGS = new HashSet<>(Arrays.asList(
            "--stop-after-read", "--stop-after-prepare", "--skip-sanity-check", "--verbose"));
    private static final DateTimeFormatter TIME = DateTimeFormatter.ofPattern("yyyy-MM-dd'T'HH:mm:ss.SSSXXX");

    private final Map<String, String> options;
    private final JsonNode variant;
    private final Behaviour behaviour;

    private CreateWorkflow(Map<String, String> options) {
        this.options = options;
        variant = readVariant(options.getOrDefault("--engine-variant", ""));
        behaviour = new Behaviour(variant.path("standIn"));
    }

    /** Train with the command line of PredictionIO's class of this name. */
    public static void main(String[] arguments) throws Exception {
        try {
            Map<String, String> options = new HashMap<>();
            for (int word = 0; word < arguments.length; word++) {
                boolean flag = FLAGS.contains(arguments[word]);
                options.put(arguments[word], flag || word + 1 == arguments.length ? "" : arguments[++word]);
            }
            new CreateWorkflow(options).run();
        } finally {
            Storage.close();
        }
    }

    @SuppressWarnings("unchecked")
    private void run() throws Exception {
        String factory = required("engineFactory", "engine factory class name");
        required("id", "engine variant ID");
        Engine<Object, Object> engine;
        try {
            engine = (Engine<Object, Object>) Class.forName(
                    factory, true, Thread.currentThread().getContextClassLoader()).getConstructor().newInstance();
        } catch (ClassNotFoundException error) {
            throw new ScalaReflectionException("object " + factory + " not found.");
        }
        configure(engine);
        Metadata.EngineInstances instances = Storage.metadata().openEngineInstances();
        ObjectNode instance = describeInstance();
        instances.insert(instance);
        try (JavaSparkContext spark = new JavaSparkContext(sparkConf(factory))) {
            train(spark, engine, instance);
        }
    }

    private void configure(Engine<Object, Object> engine) {
        ENGINE.info("Extracting datasource params...");
        if (variant.has("datasource") && !variant.get("datasource").has("name")) {
            UTILS.info("No 'name' is found. Default empty String will be used.");
        }
        ENGINE.info("Datasource params: (," + engine.configure(variant) + ")");
        ENGINE.info("Extracting preparator params...");
        ENGINE.info("Preparator params: (,Empty)");
        ENGINE.info("Extracting serving params...");
        ENGINE.info("Serving params: (,Empty)");
    }

    private void train(JavaSparkContext spark, Engine<Object, Object> engine, ObjectNode instance) throws Exception {
        List<Object> parts = engine.parts();
        TRAIN.info("EngineWorkflow.train");
        TRAIN.info("DataSource: " + parts.get(0));
        TRAIN.info("Preparator: " + parts.get(1));
        TRAIN.info("AlgorithmList: List(" + parts.get(2) + ")");
        boolean checks = !options.containsKey("--skip-sanity-check");
        TRAIN.info("Data sanity check is " + (checks ? "on." : "off."));
        behaviour.before(spark);
        Object data;
        try {
            data = engine.readTraining(spark);
        } catch (StorageClientException error) {
            TRAIN.error("Error occurred reading from data source. (Reason: " + error.getMessage()
                    + ") Please see the log for debugging details.", error);
            Storage.close();
            spark.close();
            System.exit(1);
            return;
        }
        skipCheck(checks, data);
        if (options.containsKey("--stop-after-read")) {
            TRAIN.info("Stopping here because --stop-after-read is set.");
            CORE.info("Training interrupted by " + PACKAGE + "workflow.StopAfterReadInterruption.");
            return;
        }
        Object prepared = engine.prepare(spark, data);
        skipCheck(checks, prepared);
        if (options.containsKey("--stop-after-prepare")) {
            TRAIN.info("Stopping here because --stop-after-prepare is set.");
            CORE.info("Training interrupted by " + PACKAGE + "workflow.StopAfterPrepareInterruption.");
            return;
        }
        Object model = engine.train(spark, prepared);
        skipCheck(checks, model);
        TRAIN.info("EngineWorkflow.train completed");
        String id = instance.path("id").asText();
        ENGINE.info("engineInstanceId=" + id);
        Storage.metadata().openEngineInstances();
        CORE.info("Inserting persistent model");
        Storage.models().insert(id, model.toString().getBytes(StandardCharsets.UTF_8));
        CORE.info("Updating engine instance");
        Metadata.EngineInstances instances = Storage.metadata().openEngineInstances();
        instances.update(instance.put("status", "COMPLETED").put("endTime", now()));
        CORE.info("Training completed successfully.");
    }

    private static void skipCheck(boolean checks, Object data) {
        if (checks) {
            TRAIN.info(data.getClass().getName() + " does not support data sanity check. Skipping check.");
        }
    }

    /** Return the engine instance before the training, without its id: with every variable of pio-env.sh. */
    private ObjectNode describeInstance() {
        String now = now();
        ObjectNode instance = Elasticsearch.JSON.createObjectNode();
        instance.put("status", "INIT").put("startTime", now).put("endTime", now);
        instance.put("engineId", options.get("--engine-id")).put("engineVersion", options.get("--engine-version"));
        instance.put("engineVariant", variant.path("id").asText());
        instance.put("engineFactory", variant.path("engineFactory").asText());
        instance.put("batch", options.getOrDefault("--batch", ""));
        ObjectNode env = instance.putObject("env");
        environment().forEach(env::put);
        ObjectNode spark = instance.putObject("sparkConf");
        variant.path("sparkConf").fields().forEachRemaining(one -> spark.put(one.getKey(), one.getValue().asText()));
        instance.put("dataSourceParams", named(variant.path("datasource")).toString());
        instance.put("preparatorParams", named(variant.path("preparator")).toString());
        ArrayNode algorithms = Elasticsearch.JSON.createArrayNode();
        variant.path("algorithms").forEach(one -> algorithms.add(named(one)));
        instance.put("algorithmsParams", algorithms.toString());
        instance.put("servingParams", named(variant.path("serving")).toString());
        return instance;
    }

    private static ObjectNode named(JsonNode part) {
        ObjectNode params = Elasticsearch.JSON.createObjectNode();
        params.set(part.path("name").asText(""), part.path("params").isObject()
                ? part.get("params") : Elasticsearch.JSON.createObjectNode());
        return params;
    }

    /** Return the variables of --env. As in PredictionIO, a value ends at its comma, and one with "=" is lost. */
    private Map<String, String> environment() {
        Map<String, String> found = new HashMap<>();
        for (String pair : options.getOrDefault("--env", "").split(",")) {
            String[] parts = pair.split("=");
            if (parts.length == 2) {
                found.put(parts[0], parts[1]);
            }
        }
        return found;
    }

    /** Return Spark's settings. Those of engine.json override the others, as in PredictionIO. */
    private SparkConf sparkConf(String factory) {
        SparkConf conf = new SparkConf().setAppName("PredictionIO Training: " + factory);
        environment().forEach(conf::setExecutorEnv);
        variant.path("sparkConf").fields().forEachRemaining(one -> conf.set(one.getKey(), one.getValue().asText()));
        return conf;
    }

    private JsonNode readVariant(String uri) {
        try {
            return Elasticsearch.JSON.readTree(new File(URI.create(uri)));
        } catch (IOException error) {
            WORKFLOW.error("Error reading from file: " + error.getMessage() + ". Aborting workflow.");
            System.exit(1);
            return null;
        }
    }

    private String required(String field, String title) {
        if (!variant.path(field).isTextual()) {
            WORKFLOW.error("Unable to read " + title + " from " + options.get("--engine-variant") + ". Aborting.");
            System.exit(1);
        }
        return variant.path(field).asText();
    }

    private static String now() {
        return ZonedDateTime.now().format(TIME);
    }

    private static Logger logger(String name) {
        return LoggerFactory.getLogger(PACKAGE + name);
    }
}
