import com.sun.net.httpserver.HttpExchange;
import com.sun.net.httpserver.HttpServer;
import java.io.BufferedOutputStream;
import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.ServerSocket;
import java.net.Socket;
import java.nio.charset.StandardCharsets;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.atomic.AtomicInteger;

/**
 * Three services as they stand on forgotten application servers: rates and tariffs, the fleet portal (both on the first
 * port, by path), and the archive on the second, which speaks HTTP/1.0 and ends each answer by closing.
 *
 * <p>Whoever reaches them may do everything. Usage: {@code java Backends PORT ARCHIVE_PORT}.
 */
public final class Backends {
    private static final int MOST_MEGABYTES = 200;
    private static final int MOST_BODY_BYTES = 1 << 20;
    private static final int MOST_HEAD_BYTES = 64 << 10;
    private static final int ARCHIVE_TIMEOUT_MS = 10_000;

    private static final Map<String, String> TARIFFS = new TreeMap<>(Map.of(
            "RES-1", tariff("RES-1", "residential", "0.1184", "0.1422"),
            "RES-2", tariff("RES-2", "residential", "0.1097", "0.1391"),
            "COM-1", tariff("COM-1", "commercial", "0.0963", "0.1250")));
    private static final AtomicInteger SURCHARGES = new AtomicInteger();
    private static final AtomicInteger ASSIGNMENTS = new AtomicInteger(300);

    private Backends() {}

    public static void main(String[] arguments) throws IOException {
        InetAddress here = InetAddress.getLoopbackAddress();
        ExecutorService threads = Executors.newFixedThreadPool(64);
        HttpServer server =
                HttpServer.create(new InetSocketAddress(here, Integer.parseInt(arguments[0])), 128);
        server.setExecutor(threads);
        server.createContext("/api/", Backends::rates);
        server.createContext("/portal/", Backends::portal);
        ServerSocket archive = new ServerSocket(Integer.parseInt(arguments[1]), 128, here);
        new Thread(() -> acceptArchive(archive, threads), "archive").start();
        server.start();
        System.out.println("rates, portal: " + arguments[0] + "; archive: " + arguments[1]);
    }

    // -- rates and tariffs

    private static void rates(HttpExchange exchange) throws IOException {
        try (exchange) {
            String path = exchange.getRequestURI().getRawPath();
            String method = exchange.getRequestMethod();
            boolean reads = method.equals("GET") || method.equals("HEAD");
            if (path.equals("/api/tariffs") && reads) {
                answer(exchange, 200, list("tariffs", tariffs()));
            } else if (path.equals("/api/tariffs/huge") && reads) {
                huge(exchange);
            } else if (path.startsWith("/api/tariffs/")) {
                oneTariff(exchange, path.substring("/api/tariffs/".length()), reads);
            } else if (path.equals("/api/rates") && reads) {
                answer(exchange, 200, "{\"rateSchedules\": [\"RES-1\", \"RES-2\", \"COM-1\"], "
                        + "\"seasonalSurcharge\": 0.0300, \"effectiveFrom\": \"2026-04-01\"}");
            } else if (path.equals("/api/rates/default-tier") && reads) {
                answer(exchange, 200, "{\"rateSchedule\": \"DEFAULT\", \"pricePerKwh\": 0.1250, \"source\": \"table of 2024\"}");
            } else if (path.equals("/api/rates/surcharges") && method.equals("POST")) {
                body(exchange);
                answer(exchange, 201, "{\"surchargeId\": \"SC-" + SURCHARGES.incrementAndGet() + "\", \"state\": \"scheduled\"}");
            } else if (path.matches("/api/forecasts/[^/]+") && reads) {
                chunked(exchange, forecast(path.substring("/api/forecasts/".length())));
            } else {
                boolean known = path.matches("/api/(tariffs|rates|rates/default-tier|rates/surcharges|forecasts/[^/]+)");
                problem(exchange, known ? 405 : 404);
            }
        }
    }

    private static synchronized List<String> tariffs() {
        return List.copyOf(TARIFFS.values());
    }

    private static synchronized void oneTariff(HttpExchange exchange, String id, boolean reads) throws IOException {
        if (!id.matches("[A-Z0-9-]{1,16}")) {
            problem(exchange, 404);
        } else if (reads) {
            String found = TARIFFS.get(id);
            if (found == null) {
                problem(exchange, 404);
            } else {
                answer(exchange, 200, found);
            }
        } else if (exchange.getRequestMethod().equals("PUT")) {
            String text = body(exchange);
            if (!text.strip().startsWith("{") || TARIFFS.size() > 1000) {
                problem(exchange, 400);
            } else {
                TARIFFS.put(id, text.strip());
                answer(exchange, 200, "{\"tariffId\": " + quote(id) + ", \"state\": \"published\"}");
            }
        } else {
            problem(exchange, 405);
        }
    }

    private static String tariff(String id, String customerClass, String first, String second) {
        return "{\"tariffId\": " + quote(id) + ", \"customerClass\": " + quote(customerClass) + ", \"blocks\": ["
                + "{\"upToKwh\": 500, \"pricePerKwh\": " + first + "}, {\"upToKwh\": null, \"pricePerKwh\": " + second
                + "}], \"effectiveFrom\": \"2026-04-01\"}";
    }

    private static String[] forecast(String county) {
        String[] parts = new String[14];
        parts[0] = "{\"county\": " + quote(county) + ", \"forecast\": [";
        for (int month = 1; month <= 12; month++) {
            parts[month] = String.format(
                    "%s{\"period\": \"2027-%02d\", \"expectedKwh\": %d.5000, \"subsidyTier\": \"T%d\", \"confidence\": 0.9%d}",
                    month == 1 ? "" : ", ", month, 1_200_000 + 13_700 * month, month % 4, month % 10);
        }
        parts[13] = "]}\n";
        return parts;
    }

    /** As many megabytes of JSON as asked, for whoever wants to see that memory does not grow with an answer. */
    private static void huge(HttpExchange exchange) throws IOException {
        String query = exchange.getRequestURI().getRawQuery();
        int megabytes = 1;
        if (query != null && query.matches("mb=[0-9]{1,6}")) {
            megabytes = Math.min(MOST_MEGABYTES, Math.max(1, Integer.parseInt(query.substring(3))));
        }
        String row = "{\"tariffId\": \"RES-1\", \"period\": \"2026-01\", \"customerName\": \"Rosa Delgado\", \"pricePerKwh\": 0.1184, "
                + "\"subsidyTier\": \"T2\", \"note\": \"" + "x".repeat(380) + "\"}";
        byte[] rows = (",\n" + row).repeat(32).getBytes(StandardCharsets.UTF_8);
        long wanted = (long) megabytes << 20;
        head(exchange, 200, 0);
        try (OutputStream out = new BufferedOutputStream(exchange.getResponseBody(), 1 << 16)) {
            if (exchange.getRequestMethod().equals("HEAD")) {
                return;
            }
            out.write(("{\"rows\": [" + row).getBytes(StandardCharsets.UTF_8));
            for (long sent = 0; sent < wanted; sent += rows.length) {
                out.write(rows);
            }
            out.write("]}\n".getBytes(StandardCharsets.UTF_8));
        }
    }

    // -- the archive

    private static void acceptArchive(ServerSocket server, ExecutorService threads) {
        while (true) {
            try {
                Socket socket = server.accept();
                threads.execute(() -> answerArchive(socket));
            } catch (IOException fault) {
                System.err.println("archive: " + fault.getMessage());
            }
        }
    }

    /** Reads a request's head, writes an answer without a length, and closes. */
    private static void answerArchive(Socket socket) {
        try (socket) {
            socket.setSoTimeout(ARCHIVE_TIMEOUT_MS);
            String[] line = requestLine(socket.getInputStream());
            OutputStream out = socket.getOutputStream();
            out.write(archive(line).getBytes(StandardCharsets.UTF_8));
            out.flush();
            // What the client still sends is read, so that closing does not reset the connection under the answer.
            socket.shutdownOutput();
            socket.setSoTimeout(1_000);
            socket.getInputStream().readNBytes(MOST_BODY_BYTES);
        } catch (IOException fault) {
            // The client has gone; there is nobody to tell.
        }
    }

    private static String[] requestLine(InputStream in) throws IOException {
        StringBuilder head = new StringBuilder();
        while (head.indexOf("\r\n\r\n", Math.max(0, head.length() - 4)) < 0 && head.length() < MOST_HEAD_BYTES) {
            int next = in.read();
            if (next < 0) {
                break;
            }
            head.append((char) next);
        }
        return head.toString().split("\r\n", 2)[0].split(" ");
    }

    private static String archive(String[] line) {
        boolean whole = line.length == 3;
        String path = whole ? line[1].split("\\?", 2)[0] : "";
        if (!whole || !(line[0].equals("GET") || line[0].equals("HEAD"))) {
            return old("405 Method Not Allowed", "{\"error\": \"method not allowed\"}\n");
        }
        if (!path.matches("/api/archive/(19|20)[0-9]{2}")) {
            return old("404 Not Found", "{\"error\": \"not found\"}\n");
        }
        String year = path.substring("/api/archive/".length());
        StringBuilder rows = new StringBuilder();
        for (int quarter = 1; quarter <= 4; quarter++) {
            rows.append(quarter == 1 ? "" : ",").append("\n  {\"quarter\": \"").append(year).append("Q").append(quarter)
                    .append("\", \"accountId\": \"A1001\", \"customerName\": \"Rosa Delgado\", \"ssn\": \"900-11-1001\", \"billed\": ")
                    .append(180 + 7 * quarter).append(".2500}");
        }
        return old("200 OK", line[0].equals("HEAD") ? "" : "{\"year\": " + year + ", \"rows\": [" + rows + "\n]}\n");
    }

    private static String old(String status, String body) {
        return "HTTP/1.0 " + status + "\r\nServer: archive/0.3\r\nContent-Type: application/json\r\nConnection: close\r\n\r\n" + body;
    }

    // -- the fleet portal

    private static void portal(HttpExchange exchange) throws IOException {
        try (exchange) {
            String path = exchange.getRequestURI().getRawPath();
            String method = exchange.getRequestMethod();
            if (path.equals("/portal/assignments") && method.equals("POST")) {
                body(exchange);
                answer(exchange, 201, "{\"assignmentId\": \"AS-" + ASSIGNMENTS.incrementAndGet() + "\", \"state\": \"assigned\"}");
                return;
            }
            String found = portalPage(path);
            if (found == null) {
                problem(exchange, 404);
            } else if (!method.equals("GET") && !method.equals("HEAD")) {
                problem(exchange, 405);
            } else {
                answer(exchange, 200, found);
            }
        }
    }

    private static String portalPage(String path) {
        if (path.matches("/portal/(assignments|schedule)/[A-Za-z0-9-]{1,32}")) {
            String driver = path.substring(path.lastIndexOf('/') + 1);
            return path.startsWith("/portal/assignments/") ? assignments(driver) : schedule(driver);
        }
        return switch (path) {
            case "/portal/users" -> "{\"users\": [" + user("d-7", "Jo Marsh", "driver") + ", " + user("d-8", "Pia Lund", "driver")
                    + ", " + user("m-1", "Sam Ortiz", "manager") + "]}";
            case "/portal/system" -> "{\"version\": \"3.4.1\", \"maintenance\": false, \"backup\": \"2026-03-31T02:00:00Z\"}";
            case "/portal/financial" -> "{\"month\": \"2026-03\", \"revenue\": 184220.50, \"payroll\": 96310.00, \"margin\": 0.2210}";
            case "/portal/variable-invoices" -> "{\"invoices\": [{\"invoiceId\": \"VI-881\", \"driverId\": \"d-7\", \"amount\": 412.75, "
                    + "\"bankAccount\": \"US00-TEST-0007\"}]}";
            case "/portal/weekly-incentives" -> "{\"week\": \"2026-W13\", \"incentives\": [{\"driverId\": \"d-7\", \"amount\": 60.00}]}";
            case "/portal/fleet-invoices" -> "{\"invoices\": [{\"invoiceId\": \"FI-120\", \"vendor\": \"Axle & Co\", \"amount\": 1980.00, "
                    + "\"bankAccount\": \"US00-TEST-0120\"}]}";
            case "/portal/dsp-scorecard" -> "{\"week\": \"2026-W13\", \"onTime\": 0.981, \"grade\": \"A\"}";
            case "/portal/pod-reports" -> "{\"reports\": [{\"stop\": 44, \"driverId\": \"d-7\", \"proof\": \"photo\", \"accepted\": true}]}";
            case "/portal/reports" -> "{\"reports\": [{\"name\": \"routes\", \"rows\": 41}, {\"name\": \"hours\", \"rows\": 17}]}";
            case "/portal/wst" -> "{\"week\": \"2026-W13\", \"hours\": [{\"driverId\": \"d-7\", \"worked\": 38.5, \"hourlyRate\": 22.75}, "
                    + "{\"driverId\": \"d-8\", \"worked\": 40.0, \"hourlyRate\": 23.10}]}";
            case "/portal/assignments" -> "{\"assignments\": [" + assignment("d-7") + ", " + assignment("d-8") + "]}";
            case "/portal/schedule" -> "{\"schedules\": [" + schedule("d-7") + ", " + schedule("d-8") + "]}";
            default -> null;
        };
    }

    private static String user(String id, String name, String role) {
        return "{\"userId\": " + quote(id) + ", \"name\": " + quote(name) + ", \"role\": " + quote(role) + ", \"bankAccount\": "
                + quote("US00-TEST-" + id) + "}";
    }

    private static String assignments(String driver) {
        return "{\"driverId\": " + quote(driver) + ", \"assignments\": [" + assignment(driver) + "], \"hourlyRate\": 22.75}";
    }

    private static String assignment(String driver) {
        return "{\"assignmentId\": " + quote("AS-" + driver) + ", \"driverId\": " + quote(driver)
                + ", \"route\": \"CX-14\", \"van\": \"V-031\", \"stops\": 171}";
    }

    private static String schedule(String driver) {
        return "{\"driverId\": " + quote(driver) + ", \"shifts\": [{\"day\": \"2026-04-01\", \"from\": \"07:00\", \"to\": \"17:00\"}, "
                + "{\"day\": \"2026-04-02\", \"from\": \"07:00\", \"to\": \"17:00\"}]}";
    }

    // -- the wire

    private static String list(String name, List<String> items) {
        return "{" + quote(name) + ": [" + String.join(", ", items) + "]}";
    }

    private static String quote(String text) {
        StringBuilder out = new StringBuilder("\"");
        for (char letter : text.toCharArray()) {
            if (letter == '"' || letter == '\\') {
                out.append('\\').append(letter);
            } else {
                out.append(letter < ' ' ? '?' : letter);
            }
        }
        return out.append('"').toString();
    }

    private static String body(HttpExchange exchange) throws IOException {
        return new String(exchange.getRequestBody().readNBytes(MOST_BODY_BYTES), StandardCharsets.UTF_8);
    }

    private static void head(HttpExchange exchange, int status, long length) throws IOException {
        exchange.getResponseHeaders().set("Content-Type", "application/json; charset=utf-8");
        exchange.sendResponseHeaders(status, exchange.getRequestMethod().equals("HEAD") ? -1 : length);
    }

    private static void answer(HttpExchange exchange, int status, String text) throws IOException {
        byte[] bytes = (text + "\n").getBytes(StandardCharsets.UTF_8);
        head(exchange, status, bytes.length);
        if (!exchange.getRequestMethod().equals("HEAD")) {
            exchange.getResponseBody().write(bytes);
        }
    }

    /** An answer in as many chunks as it has parts. */
    private static void chunked(HttpExchange exchange, String[] parts) throws IOException {
        head(exchange, 200, 0);
        if (exchange.getRequestMethod().equals("HEAD")) {
            return;
        }
        OutputStream out = exchange.getResponseBody();
        for (String part : parts) {
            out.write(part.getBytes(StandardCharsets.UTF_8));
            out.flush();
        }
    }

    private static void problem(HttpExchange exchange, int status) throws IOException {
        answer(exchange, status, "{\"error\": \"" + (status == 404 ? "not found" : status == 405 ? "method not allowed" : "bad request") + "\"}");
    }
}
