import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Base64;
import java.util.List;
import java.util.concurrent.CountDownLatch;
import java.util.function.UnaryOperator;
import org.elasticsearch.common.settings.Settings;
import org.elasticsearch.common.util.concurrent.ThreadContext;
import org.elasticsearch.env.Environment;
import org.elasticsearch.index.reindex.ReindexPlugin;
import org.elasticsearch.node.InternalSettingsPreparer;
import org.elasticsearch.node.Node;
import org.elasticsearch.plugins.ActionPlugin;
import org.elasticsearch.plugins.Plugin;
import org.elasticsearch.rest.BytesRestResponse;
import org.elasticsearch.rest.RestHandler;
import org.elasticsearch.rest.RestStatus;
import org.elasticsearch.transport.Netty4Plugin;

/** An Elasticsearch node with the settings of the file elasticsearch.yml in the directory that the argument names. */
public final class Elasticsearch {
    /** Set: the user and password, as user:password, that each REST request needs. */
    private static final String CREDENTIALS = "ELASTICSEARCH_CREDENTIALS";

    public static void main(String[] arguments) throws Exception {
        Path directory = Path.of(arguments[0]);
        Settings home = Settings.builder().put("path.home", directory).build();
        Environment environment =
                InternalSettingsPreparer.prepareEnvironment(home, null, java.util.Collections.emptyMap(), directory);
        List<Class<? extends Plugin>> plugins = new ArrayList<>(List.of(Netty4Plugin.class, ReindexPlugin.class));
        if (System.getenv(CREDENTIALS) != null) {
            plugins.add(Password.class);
        }
        Node node = new PluginNode(environment, plugins);
        Runtime.getRuntime().addShutdownHook(new Thread(() -> {
            try {
                node.close();
            } catch (java.io.IOException error) {
                error.printStackTrace();
            }
        }));
        node.start();
        new CountDownLatch(1).await();
    }

    /** A node with plugins from the class path. Elasticsearch's own main program loads them from directories. */
    private static final class PluginNode extends Node {
        PluginNode(Environment environment, List<Class<? extends Plugin>> plugins) {
            super(environment, plugins, true);
        }

        @Override
        protected void registerDerivedNodeNameWithLogger(String name) {}
    }

    /** Refuses REST requests without the password. X-Pack, which no Maven repository has, does it at the same place. */
    public static final class Password extends Plugin implements ActionPlugin {
        @Override
        public UnaryOperator<RestHandler> getRestHandlerWrapper(ThreadContext context) {
            byte[] credentials = System.getenv(CREDENTIALS).getBytes(StandardCharsets.UTF_8);
            String expected = "Basic " + Base64.getEncoder().encodeToString(credentials);
            return handler -> (request, channel, client) -> {
                if (expected.equals(request.header("Authorization"))) {
                    handler.handleRequest(request, channel, client);
                    return;
                }
                String reason = request.header("Authorization") == null
                        ? "missing authentication token for REST request [" + request.rawPath() + "]"
                        : "unable to authenticate user for REST request [" + request.rawPath() + "]";
                BytesRestResponse refusal = new BytesRestResponse(
                        RestStatus.UNAUTHORIZED,
                        "application/json",
                        "{\"error\":{\"type\":\"security_exception\",\"reason\":\"" + reason + "\"},\"status\":401}");
                refusal.addHeader("WWW-Authenticate", "Basic realm=\"security\" charset=\"UTF-8\"");
                channel.sendResponse(refusal);
            };
        }
    }
}
