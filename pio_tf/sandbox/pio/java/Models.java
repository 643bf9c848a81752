package org.apache.predictionio.data.storage;

import java.io.IOException;
import org.apache.hadoop.fs.FSDataOutputStream;
import org.apache.hadoop.fs.FileSystem;
import org.apache.hadoop.fs.Path;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/** The models in HDFS, as PredictionIO keeps them: a file for each, in the directory of the source. */
public final class Models {
    private static final Logger LOG = LoggerFactory.getLogger("org.apache.predictionio.data.storage.hdfs.HDFSModels");

    private final FileSystem files;
    private final String prefix;

    Models(FileSystem files, String prefix) {
        this.files = files;
        this.prefix = prefix;
    }

    /** Write a model, and the directory if it is missing. A failure is only logged, and the training is a success. */
    public void insert(String id, byte[] model) {
        try (FSDataOutputStream file = files.create(new Path(prefix + id))) {
            file.write(model);
        } catch (IOException error) {
            LOG.error(error.getMessage());
        }
    }
}
