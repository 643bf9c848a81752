package org.apache.predictionio.data.storage;

/** A storage that cannot be used. */
public final class StorageClientException extends RuntimeException {
    private static final long serialVersionUID = 1;

    public StorageClientException(String message) {
        super(message);
    }
}
