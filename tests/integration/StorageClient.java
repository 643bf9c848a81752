import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.nio.charset.StandardCharsets;
import org.apache.hadoop.conf.Configuration;
import org.apache.hadoop.fs.FSDataInputStream;
import org.apache.hadoop.fs.FSDataOutputStream;
import org.apache.hadoop.fs.FileStatus;
import org.apache.hadoop.fs.FileSystem;
import org.apache.hadoop.fs.Path;
import org.apache.hadoop.hbase.HBaseConfiguration;
import org.apache.hadoop.hbase.HColumnDescriptor;
import org.apache.hadoop.hbase.HTableDescriptor;
import org.apache.hadoop.hbase.TableName;
import org.apache.hadoop.hbase.client.Admin;
import org.apache.hadoop.hbase.client.Connection;
import org.apache.hadoop.hbase.client.ConnectionFactory;
import org.apache.hadoop.hbase.client.Get;
import org.apache.hadoop.hbase.client.Put;
import org.apache.hadoop.hbase.client.Table;

/**
 * Does what the words of each line of its input say, and ends each answer with a line "done". Its arguments are a host and
 * the ports of ZooKeeper and the name node. Each action connects again.
 */
public final class StorageClient {
    private static final TableName TABLE = TableName.valueOf("test");
    private static final byte[] KEY = "key".getBytes(StandardCharsets.UTF_8);
    private static final Path FILE = new Path("/kept/file");
    private static final Path MODELS = new Path("/models");

    public static void main(String[] arguments) throws Exception {
        Configuration configuration = HBaseConfiguration.create();
        configuration.set("hbase.zookeeper.quorum", arguments[0]);
        configuration.set("hbase.zookeeper.property.clientPort", arguments[1]);
        configuration.set("fs.defaultFS", "hdfs://" + arguments[0] + ":" + arguments[2]);
        BufferedReader input = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        for (String line = input.readLine(); line != null; line = input.readLine()) {
            for (String word : line.split(" ")) {
                if (word.endsWith("-row")) {
                    row(configuration, word);
                } else {
                    files(configuration, word);
                }
            }
            System.out.println("done");
            System.out.flush();
        }
    }

    private static void files(Configuration configuration, String action) throws Exception {
        try (FileSystem files = FileSystem.newInstance(configuration)) {
            switch (action) {
                case "put-file":
                    try (FSDataOutputStream file = files.create(FILE, true)) {
                        file.write("file\n".getBytes(StandardCharsets.UTF_8));
                    }
                    break;
                case "list-models":
                    for (FileStatus file : files.listStatus(MODELS)) {
                        System.out.println(file.getPath().getName());
                    }
                    break;
                default:
                    try (FSDataInputStream file = files.open(FILE)) {
                        file.transferTo(System.out);
                    }
            }
        }
    }

    private static void row(Configuration configuration, String action) throws Exception {
        try (Connection connection = ConnectionFactory.createConnection(configuration);
                Admin admin = connection.getAdmin()) {
            if (!admin.tableExists(TABLE)) {
                HTableDescriptor table = new HTableDescriptor(TABLE);
                table.addFamily(new HColumnDescriptor("e"));
                admin.createTable(table);
            }
            try (Table table = connection.getTable(TABLE)) {
                if (action.equals("put-row")) {
                    table.put(new Put(KEY).addColumn("e".getBytes(), KEY, "row\n".getBytes()));
                } else {
                    System.out.print(new String(table.get(new Get(KEY)).value(), StandardCharsets.UTF_8));
                }
            }
        }
    }
}
