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

/** Does what its arguments say after a host and the ports of ZooKeeper and the name node. */
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
        for (int index = 3; index < arguments.length; index++) {
            switch (arguments[index]) {
                case "put-row":
                case "get-row":
                    row(configuration, arguments[index]);
                    break;
                case "put-file":
                    try (FSDataOutputStream file = FileSystem.get(configuration).create(FILE, true)) {
                        file.write("file\n".getBytes(StandardCharsets.UTF_8));
                    }
                    break;
                case "list-models":
                    for (FileStatus file : FileSystem.get(configuration).listStatus(MODELS)) {
                        System.out.println(file.getPath().getName());
                    }
                    break;
                default:
                    try (FSDataInputStream file = FileSystem.get(configuration).open(FILE)) {
                        file.transferTo(System.out);
                    }
            }
        }
        System.out.flush();
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
