package org.apache.predictionio.controller;

import com.fasterxml.jackson.databind.JsonNode;
import java.util.List;
import org.apache.spark.api.java.JavaSparkContext;

/**
 * An engine in the steps that PredictionIO takes: read, prepare, train.
 *
 * @param <T> training data
 * @param <P> prepared data
 */
public interface Engine<T, P> {
    /** Read the parameters of engine.json, and return those of the data source as PredictionIO prints them. */
    String configure(JsonNode variant);

    /** Return the data source, the preparator and the algorithm, for the log. */
    List<Object> parts();

    T readTraining(JavaSparkContext spark) throws Exception;

    P prepare(JavaSparkContext spark, T data) throws Exception;

    /** Train, and return the model for the model store. */
    Object train(JavaSparkContext spark, P data) throws Exception;
}
