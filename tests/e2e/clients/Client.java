import java.net.URI;
import java.net.http.*;
import java.net.http.HttpRequest.BodyPublishers;
import java.net.http.HttpResponse.BodyHandlers;
import java.util.concurrent.*;
import java.util.stream.*;

/** What Java's HttpClient does, line by line: Client URL, where the origin's paths begin. */
class Client {
    static String base;
    // As it comes: it prefers HTTP/2, and over plain text asks for an upgrade to it (h2c).
    static HttpClient client = HttpClient.newHttpClient();

    static HttpRequest.Builder to(String path) {
        return HttpRequest.newBuilder(URI.create(base + path));
    }

    static HttpResponse<String> send(HttpRequest.Builder request) throws Exception {
        return client.send(request.build(), BodyHandlers.ofString());
    }

    public static void main(String[] arguments) throws Exception {
        base = arguments[0];
        var first = send(to("/echo"));
        System.out.println("get " + first.version() + " " + first.statusCode() + " upgrade "
            + first.body().toLowerCase().matches(".*(upgrade|http2-settings).*"));
        var body = "x".repeat(1_000_000);
        var posted = send(to("/echo").POST(BodyPublishers.ofString(body)));
        System.out.println("length " + posted.body().contains("\"length\":1000000"));
        var pieces = Stream.generate(() -> "y".repeat(10_000).getBytes()).limit(30).toList();
        var chunked = send(to("/echo").PUT(BodyPublishers.ofByteArrays(pieces)));
        System.out.println("chunked " + chunked.body().contains("\"length\":300000"));
        var all = IntStream.range(0, 50).mapToObj(number ->
            client.sendAsync(to("/n/" + number).build(), BodyHandlers.ofString())
                .thenApply(answer -> answer.body().equals("origin /n/" + number))).toList();
        System.out.println("at once " + all.stream().filter(CompletableFuture::join).count());

        var echo = new CompletableFuture<String>();
        var closed = new CompletableFuture<Integer>();
        var listener = new WebSocket.Listener() {
            final StringBuilder text = new StringBuilder();
            public CompletionStage<?> onText(WebSocket socket, CharSequence data, boolean last) {
                text.append(data);
                if (last) echo.complete(text.toString());
                return WebSocket.Listener.super.onText(socket, data, last);
            }
            public CompletionStage<?> onClose(WebSocket socket, int code, String reason) {
                closed.complete(code);
                return null;
            }
        };
        var socket = client.newWebSocketBuilder()
            .buildAsync(URI.create(base.replace("http", "ws") + "/"), listener).join();
        socket.sendText(body, true).join();
        System.out.println("websocket " + echo.get(30, TimeUnit.SECONDS).equals(body));
        socket.sendClose(1000, "done").join();
        System.out.println("closed " + closed.get(30, TimeUnit.SECONDS));
    }
}
