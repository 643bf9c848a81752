package org.apache.predictionio.tools.console;

import com.fasterxml.jackson.databind.JsonNode;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Paths;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import org.apache.predictionio.data.storage.Elasticsearch;
import org.apache.predictionio.data.storage.EventStore;
import org.apache.predictionio.data.storage.Metadata;
import org.apache.predictionio.data.storage.Storage;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/** The commands of the STAND-IN's {@code pio} that use the storages: the end of `status`, `app new`, `import`. */
public final class Console {
    private static final Logger MANAGEMENT = logger("commands.Management$");
    private static final Logger STORAGE = LoggerFactory.getLogger("org.apache.predictionio.data.storage.Storage$");
    private static final Logger APP = logger("commands.App$");
    private static final Logger PIO = logger("console.Pio$");
    private static final Logger IMPORT = logger("imprt.FileToEvents$");
    private static final int FAILED = 1;

    private Console() {}

    /** Run one command; `sample NAME FILE` makes an app with the events of a file, unless there is one. */
    public static void main(String[] arguments) throws Exception {
        int code;
        try {
            code = run(arguments);
        } finally {
            Storage.close();
        }
        System.exit(code);
    }

    private static int run(String[] words) throws Exception {
        String command = words.length == 0 ? "" : words[0];
        if (command.equals("status")) {
            return status();
        }
        if (command.equals("app") && words.length == 3 && words[1].equals("new")) {
            return newApp(words[2]);
        }
        if (command.equals("import") && words.length == 5 && words[1].equals("--appid") && words[3].equals("--input")) {
            return importEvents(Integer.parseInt(words[2]), words[4]);
        }
        if (command.equals("sample") && words.length == 3) {
            if (Storage.metadata().findApp(words[1]) != null) {
                return 0;
            }
            int code = newApp(words[1]);
            return code == 0 ? importEvents(Storage.metadata().findApp(words[1]), words[2]) : code;
        }
        System.err.println("Error: Unknown command " + String.join(" ", words));
        return FAILED;
    }

    private static int status() {
        List<String> opened = new ArrayList<>();
        try {
            verify("METADATA", "Meta Data", opened);
            Storage.metadata().open();
            verify("MODELDATA", "Model Data", opened);
            Storage.models();
            verify("EVENTDATA", "Event Data", opened);
            EventStore events = Storage.events(true);
            STORAGE.info("Test writing to Event Store (App Id 0)...");
            events.init(0);
            Map<String, String> event = new TreeMap<>();
            for (String field : new String[] {"event", "entityType", "entityId"}) {
                event.put(field, "test");
            }
            events.insert(0, Collections.<JsonNode>singleton(Elasticsearch.JSON.valueToTree(event)));
            events.remove(0);
        } catch (Throwable error) {
            MANAGEMENT.error("Unable to connect to all storage backends successfully.\n"
                    + "The following shows the error message from the storage backend.\n\n"
                    + error.getMessage() + " (" + error.getClass().getName() + ")\n\n"
                    + "Dumping configuration of initialized storage backend sources.\n"
                    + "Please make sure they are correct.\n\n" + String.join("\n", opened));
            return FAILED;
        }
        MANAGEMENT.info("Your system is all ready to go.");
        return 0;
    }

    private static void verify(String repository, String title, List<String> opened) {
        String source = Storage.sourceOf(repository);
        STORAGE.info("Verifying " + title + " Backend (Source: " + source + ")...");
        Map<String, String> settings = Storage.settings(source);
        List<String> pairs = new ArrayList<>();
        settings.forEach((key, value) -> pairs.add(key + " -> " + value));
        String line = "Source Name: " + source + "; Type: " + settings.get("TYPE") + "; Configuration: "
                + String.join(", ", pairs);
        if (!opened.contains(line)) {
            opened.add(line);
        }
    }

    private static int newApp(String name) throws IOException {
        Metadata metadata = Storage.metadata();
        if (metadata.findApp(name) != null) {
            APP.error("App " + name + " already exists. Aborting.");
            return FAILED;
        }
        int app = metadata.newApp(name);
        Storage.events(false).init(app);
        APP.info("Initialized Event Store for this app ID: " + app + ".");
        String key = metadata.newAccessKey(app);
        PIO.info("Created a new app:");
        PIO.info("      Name: " + name);
        PIO.info("        ID: " + app);
        PIO.info("Access Key: " + key);
        return 0;
    }

    private static int importEvents(int app, String file) throws IOException {
        List<JsonNode> events = new ArrayList<>();
        for (String line : Files.readAllLines(Paths.get(file), StandardCharsets.UTF_8)) {
            if (!line.trim().isEmpty()) {
                events.add(Elasticsearch.JSON.readTree(line));
            }
        }
        Storage.events(false).insert(app, events);
        IMPORT.info("Events are imported.");
        IMPORT.info("Done.");
        return 0;
    }

    private static Logger logger(String name) {
        return LoggerFactory.getLogger("org.apache.predictionio.tools." + name);
    }
}
