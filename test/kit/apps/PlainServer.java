// SPDX-License-Identifier: Apache-2.0
import com.sun.net.httpserver.HttpServer;
import java.net.InetSocketAddress;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;

/** A plain server: PlainServer PORT LOG. It logs the peer's address and port, and its own pid. */
class PlainServer {
    public static void main(String[] args) throws Exception {
        Path log = Path.of(args[1]);
        HttpServer server = HttpServer.create(new InetSocketAddress(Integer.parseInt(args[0])), 0);
        server.createContext("/", exchange -> {
            InetSocketAddress peer = exchange.getRemoteAddress();
            String line = String.format("%s %d %d%n", peer.getAddress().getHostAddress(), peer.getPort(),
                    ProcessHandle.current().pid());
            Files.writeString(log, line, StandardOpenOption.CREATE, StandardOpenOption.APPEND);
            exchange.sendResponseHeaders(200, 3);
            exchange.getResponseBody().write("ok\n".getBytes());
            exchange.close();
        });
        server.start();
    }
}
