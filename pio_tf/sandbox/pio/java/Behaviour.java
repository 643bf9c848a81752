package org.apache.predictionio.workflow;

import com.fasterxml.jackson.databind.JsonNode;
import java.nio.charset.StandardCharsets;
import java.util.Arrays;
import org.apache.spark.SparkException;
import org.apache.spark.api.java.JavaSparkContext;

/** Trainings that take long, print much or fail, as {@code "standIn"} in engine.json asks: see the engine's README. */
final class Behaviour {
    private static final String LINE = "[INFO] [Noise] " + repeat("many words about little ", 42) + "\n";
    private static final byte[] BINARY_LINE =
            ("[INFO] [Noise] \u00ff\u00fe\u00c3( " + repeat("\u00e9\u00e8 no UTF-8 ", 76) + "\n")
                    .getBytes(StandardCharsets.ISO_8859_1);

    private final JsonNode asked;

    Behaviour(JsonNode asked) {
        this.asked = asked;
    }

    /** Print, wait and fail as asked. */
    void before(JavaSparkContext spark) throws Exception {
        byte[] line = asked.path("binary").asBoolean() ? BINARY_LINE : LINE.getBytes(StandardCharsets.UTF_8);
        long lines = (long) (asked.path("noiseMegabytes").asDouble() * 1_000_000 / line.length);
        for (long printed = 0; printed < lines; printed++) {
            System.out.write(line, 0, line.length);
        }
        System.out.flush();
        Thread.sleep((long) (asked.path("pauseSeconds").asDouble() * 1000));
        String failure = asked.path("fail").asText("");
        if (failure.equals("exception")) {
            throw new SparkException("Job aborted by the stand-in",
                    new IllegalArgumentException("engine.json asks the stand-in to fail"));
        }
        if (failure.equals("stackOverflow")) {
            spark.parallelize(Arrays.asList(1, 2), 2).foreach(Behaviour::descend);
        }
    }

    /** Call itself without end, as objects do that are nested too deeply for Java's serialization. */
    private static void descend(Integer depth) {
        descend(depth + 1);
    }

    private static String repeat(String text, int times) {
        return String.join("", java.util.Collections.nCopies(times, text));
    }
}
