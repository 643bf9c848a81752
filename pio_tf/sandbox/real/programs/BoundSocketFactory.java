import java.io.IOException;
import java.net.InetSocketAddress;
import java.net.Socket;
import org.apache.hadoop.conf.Configurable;
import org.apache.hadoop.conf.Configuration;
import org.apache.hadoop.net.StandardSocketFactory;

/**
 * Makes sockets whose source address is dfs.datanode.hostname. On loopback the source would be 127.0.0.1, and the name
 * node gives clients the address from which a data node has connected.
 */
public final class BoundSocketFactory extends StandardSocketFactory implements Configurable {
    private Configuration configuration;

    @Override
    public void setConf(Configuration configuration) {
        this.configuration = configuration;
    }

    @Override
    public Configuration getConf() {
        return configuration;
    }

    @Override
    public Socket createSocket() throws IOException {
        Socket socket = super.createSocket();
        socket.bind(new InetSocketAddress(configuration.get("dfs.datanode.hostname"), 0));
        return socket;
    }
}
