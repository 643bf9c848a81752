package org.apache.predictionio.data.storage;

import java.io.Serializable;

/** An event of a user on an item. */
public final class Event implements Serializable {
    private static final long serialVersionUID = 1;

    public final String name;
    public final String user;
    public final String item;

    public Event(String name, String user, String item) {
        this.name = name;
        this.user = user;
        this.item = item;
    }
}
