package org.apache.predictionio.data.storage;

import com.fasterxml.jackson.databind.JsonNode;
import java.io.IOException;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.time.OffsetDateTime;
import java.time.ZoneOffset;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.UUID;
import org.apache.hadoop.conf.Configuration;
import org.apache.hadoop.hbase.HBaseConfiguration;
import org.apache.hadoop.hbase.HColumnDescriptor;
import org.apache.hadoop.hbase.HTableDescriptor;
import org.apache.hadoop.hbase.MasterNotRunningException;
import org.apache.hadoop.hbase.NamespaceDescriptor;
import org.apache.hadoop.hbase.TableName;
import org.apache.hadoop.hbase.ZooKeeperConnectionException;
import org.apache.hadoop.hbase.client.Admin;
import org.apache.hadoop.hbase.client.Connection;
import org.apache.hadoop.hbase.client.ConnectionFactory;
import org.apache.hadoop.hbase.client.HBaseAdmin;
import org.apache.hadoop.hbase.client.Put;
import org.apache.hadoop.hbase.client.Result;
import org.apache.hadoop.hbase.client.Scan;
import org.apache.hadoop.hbase.client.Table;
import org.apache.hadoop.hbase.filter.CompareFilter.CompareOp;
import org.apache.hadoop.hbase.filter.FilterList;
import org.apache.hadoop.hbase.filter.SingleColumnValueFilter;
import org.apache.hadoop.hbase.io.ImmutableBytesWritable;
import org.apache.hadoop.hbase.mapreduce.TableInputFormat;
import org.apache.hadoop.hbase.protobuf.ProtobufUtil;
import org.apache.hadoop.hbase.util.Base64;
import org.apache.hadoop.hbase.util.Bytes;
import org.apache.spark.api.java.JavaRDD;
import org.apache.spark.api.java.JavaSparkContext;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * The events in HBase, in PredictionIO's layout: table {@code NAMESPACE:events_APP}, column family {@code e}.
 *
 * <p>A row's key is the MD5 of {@code entityType-entityId}, the event's time in milliseconds, and 8 random bytes.
 */
public final class EventStore implements AutoCloseable {
    private static final String PACKAGE = "org.apache.predictionio.data.storage.hbase.";
    private static final Logger CLIENT = LoggerFactory.getLogger(PACKAGE + "StorageClient");
    private static final Logger TABLES = LoggerFactory.getLogger(PACKAGE + "HBLEvents");
    private static final Logger EVENTS = LoggerFactory.getLogger(PACKAGE + "HBPEvents");
    private static final byte[] FAMILY = Bytes.toBytes("e");
    private static final byte[] RESERVED = Bytes.toBytes("r");
    private static final String BUSY = "make sure that the configuration is pointing at the correct ZooKeeper ensemble. ";

    private final String namespace;
    private final Connection connection;

    private EventStore(String namespace, Connection connection) {
        this.namespace = namespace;
        this.connection = connection;
    }

    /** Connect to the HBase of hbase-site.xml, once HBase itself says that it is available. */
    static EventStore open(String namespace, boolean test) throws Exception {
        Configuration conf = HBaseConfiguration.create();
        if (test) {
            conf.set("hbase.client.retries.number", "1");
            conf.set("zookeeper.session.timeout", "30000");
            conf.set("zookeeper.recovery.retry", "1");
        }
        String ensemble = "(ZooKeeper ensemble: " + conf.get("hbase.zookeeper.quorum") + "). Please ";
        try {
            HBaseAdmin.checkHBaseAvailable(conf);
        } catch (MasterNotRunningException error) {
            CLIENT.error("HBase master is not running " + ensemble + "make sure that HBase is running properly, and that "
                    + "the configuration is pointing at the correct ZooKeeper ensemble.");
            throw error;
        } catch (ZooKeeperConnectionException error) {
            CLIENT.error("Cannot connect to ZooKeeper " + ensemble + BUSY + "By default, HBase manages its own "
                    + "ZooKeeper, so if you have not configured HBase to use an external ZooKeeper, that means your HBase "
                    + "is not started or configured properly.");
            throw error;
        } catch (Exception error) {
            CLIENT.error("Failed to connect to HBase. Please check if HBase is running properly.");
            throw error;
        }
        return new EventStore(namespace, ConnectionFactory.createConnection(conf));
    }

    /** Make the namespace and the table of an app if they are missing. */
    public void init(int app) throws IOException {
        try (Admin admin = connection.getAdmin()) {
            boolean known = Arrays.stream(admin.listNamespaceDescriptors()).anyMatch(
                    one -> one.getName().equals(namespace));
            if (!known) {
                TABLES.info("The namespace " + namespace + " doesn't exist yet. Creating now...");
                admin.createNamespace(NamespaceDescriptor.create(namespace).build());
            }
            TableName table = table(app);
            if (!admin.tableExists(table)) {
                TABLES.info("The table " + table + " doesn't exist yet. Creating now...");
                HTableDescriptor description = new HTableDescriptor(table);
                description.addFamily(new HColumnDescriptor(FAMILY));
                description.addFamily(new HColumnDescriptor(RESERVED));
                admin.createTable(description);
            }
        }
    }

    /** Remove the table of an app. */
    public void remove(int app) throws IOException {
        try (Admin admin = connection.getAdmin()) {
            TABLES.info("Removing table " + table(app) + "...");
            admin.disableTable(table(app));
            admin.deleteTable(table(app));
        }
    }

    /** Write events, each as the JSON of {@code pio export}. */
    public void insert(int app, Iterable<JsonNode> events) throws IOException {
        List<Put> puts = new ArrayList<>();
        for (JsonNode event : events) {
            puts.add(put(event));
        }
        try (Table table = connection.getTable(table(app))) {
            table.put(puts);
        }
    }

    /** Return the events of users on items, which Spark reads on the workers when it needs them. */
    public JavaRDD<Event> find(JavaSparkContext spark, int app, List<String> names) throws IOException {
        try (Admin admin = connection.getAdmin()) {
            if (!admin.tableExists(table(app))) {
                EVENTS.error("The appId " + app + " does not exist. Please use valid appId.");
                throw new IOException("HBase table not found for appId " + app + ".");
            }
        }
        FilterList anyName = new FilterList(FilterList.Operator.MUST_PASS_ONE);
        names.forEach(name -> anyName.addFilter(equal("e", name)));
        SingleColumnValueFilter onItems = equal("tety", "item");
        onItems.setFilterIfMissing(true);
        Scan scan = new Scan();
        scan.setFilter(new FilterList(equal("ety", "user"), anyName, onItems));
        scan.setCaching(500);
        scan.setCacheBlocks(false);
        Configuration conf = HBaseConfiguration.create();
        conf.set(TableInputFormat.INPUT_TABLE, table(app).getNameAsString());
        conf.set(TableInputFormat.SCAN, Base64.encodeBytes(ProtobufUtil.toScan(scan).toByteArray()));
        return spark.newAPIHadoopRDD(conf, TableInputFormat.class, ImmutableBytesWritable.class, Result.class)
                .map(row -> new Event(text(row._2, "e"), text(row._2, "eid"), text(row._2, "teid")));
    }

    @Override
    public void close() throws IOException {
        connection.close();
    }

    private TableName table(int app) {
        return TableName.valueOf(namespace + ":events_" + app);
    }

    private static SingleColumnValueFilter equal(String column, String value) {
        return new SingleColumnValueFilter(FAMILY, Bytes.toBytes(column), CompareOp.EQUAL, Bytes.toBytes(value));
    }

    private static String text(Result row, String column) {
        return Bytes.toString(row.getValue(FAMILY, Bytes.toBytes(column)));
    }

    private static Put put(JsonNode event) {
        OffsetDateTime time = time(event, "eventTime");
        OffsetDateTime created = time(event, "creationTime");
        long milliseconds = time.toInstant().toEpochMilli();
        byte[] key = Bytes.add(
                md5(event.path("entityType").asText() + "-" + event.path("entityId").asText()),
                Bytes.toBytes(milliseconds),
                Bytes.toBytes(UUID.randomUUID().getLeastSignificantBits()));
        Put put = new Put(key, milliseconds);
        add(put, "e", event.path("event"));
        add(put, "ety", event.path("entityType"));
        add(put, "eid", event.path("entityId"));
        add(put, "tety", event.path("targetEntityType"));
        add(put, "teid", event.path("targetEntityId"));
        add(put, "prid", event.path("prId"));
        if (event.path("properties").size() > 0) {
            put.addColumn(FAMILY, Bytes.toBytes("p"), Bytes.toBytes(event.path("properties").toString()));
        }
        put.addColumn(FAMILY, Bytes.toBytes("et"), Bytes.toBytes(milliseconds));
        put.addColumn(FAMILY, Bytes.toBytes("ct"), Bytes.toBytes(created.toInstant().toEpochMilli()));
        addZone(put, "etz", time);
        addZone(put, "ctz", created);
        return put;
    }

    private static void add(Put put, String column, JsonNode value) {
        if (!value.isMissingNode() && !value.isNull()) {
            put.addColumn(FAMILY, Bytes.toBytes(column), Bytes.toBytes(value.asText()));
        }
    }

    private static void addZone(Put put, String column, OffsetDateTime time) {
        if (!time.getOffset().equals(ZoneOffset.UTC)) {
            put.addColumn(FAMILY, Bytes.toBytes(column), Bytes.toBytes(time.getOffset().getId()));
        }
    }

    private static OffsetDateTime time(JsonNode event, String field) {
        return event.has(field) ? OffsetDateTime.parse(event.get(field).asText()) : OffsetDateTime.now(ZoneOffset.UTC);
    }

    private static byte[] md5(String text) {
        try {
            return MessageDigest.getInstance("MD5").digest(Bytes.toBytes(text));
        } catch (NoSuchAlgorithmException error) {
            throw new IllegalStateException(error);
        }
    }
}
