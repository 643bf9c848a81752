import java.nio.file.Files;
import java.nio.file.Path;
import org.apache.hadoop.conf.Configuration;
import org.apache.hadoop.hbase.HBaseConfiguration;
import org.apache.hadoop.hbase.LocalHBaseCluster;
import org.apache.hadoop.util.ShutdownHookManager;
import org.apache.zookeeper.KeeperException;
import org.apache.zookeeper.ZooKeeper;

/**
 * An HBase master and a region server in one process, with ZooKeeper elsewhere. The class path has hbase-site.xml. The
 * program creates the file that its argument names when the master is initialized.
 */
public final class HBase {
    private static final int BEFORE_FILE_SYSTEMS = 100;
    private static final int SHUTDOWN_SECONDS = 12;
    private static final int SESSION_MILLISECONDS = 30_000;

    public static void main(String[] arguments) throws Exception {
        Configuration configuration = HBaseConfiguration.create();
        removeOldServers(configuration);
        LocalHBaseCluster cluster = new LocalHBaseCluster(configuration, 1);
        ShutdownHookManager.get().addShutdownHook(() -> shutDown(cluster), BEFORE_FILE_SYSTEMS);
        cluster.startup();
        Thread waiting = new Thread(() -> {
            try {
                while (cluster.getActiveMaster() == null || !cluster.getActiveMaster().isInitialized()) {
                    Thread.sleep(50);
                }
                Files.createFile(Path.of(arguments[0]));
            } catch (Exception error) {
                error.printStackTrace();
                System.exit(1);
            }
        });
        waiting.setDaemon(true);
        waiting.start();
        cluster.join();
        System.exit(1);
    }

    /** A killed process has left its servers in ZooKeeper, until their sessions expire. A new master waits for that. */
    private static void removeOldServers(Configuration configuration) throws Exception {
        String quorum = configuration.get("hbase.zookeeper.quorum");
        String port = configuration.get("hbase.zookeeper.property.clientPort");
        ZooKeeper zooKeeper = new ZooKeeper(quorum + ":" + port, SESSION_MILLISECONDS, event -> {});
        try {
            remove(zooKeeper, "/hbase/master");
            for (String server : children(zooKeeper, "/hbase/rs")) {
                remove(zooKeeper, "/hbase/rs/" + server);
            }
        } finally {
            zooKeeper.close();
        }
    }

    private static Iterable<String> children(ZooKeeper zooKeeper, String path) throws Exception {
        while (true) {
            try {
                return zooKeeper.getChildren(path, false);
            } catch (KeeperException.NoNodeException none) {
                return java.util.List.of();
            } catch (KeeperException.ConnectionLossException notYet) {
                Thread.sleep(200);
            }
        }
    }

    private static void remove(ZooKeeper zooKeeper, String path) throws Exception {
        while (true) {
            try {
                zooKeeper.delete(path, -1);
                return;
            } catch (KeeperException.NoNodeException none) {
                return;
            } catch (KeeperException.ConnectionLossException notYet) {
                Thread.sleep(200);
            }
        }
    }

    private static void shutDown(LocalHBaseCluster cluster) {
        Thread ending = new Thread(() -> {
            cluster.shutdown();
            cluster.join();
        });
        ending.setDaemon(true);
        ending.start();
        try {
            ending.join(SHUTDOWN_SECONDS * 1000L);
        } catch (InterruptedException interrupted) {
            Thread.currentThread().interrupt();
        }
        Runtime.getRuntime().halt(0);
    }
}
