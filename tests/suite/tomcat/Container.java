import jakarta.servlet.http.HttpServlet;
import jakarta.servlet.http.HttpServletRequest;
import jakarta.servlet.http.HttpServletResponse;
import java.io.BufferedReader;
import java.io.File;
import java.io.IOException;
import java.io.InputStreamReader;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.util.ArrayList;
import java.util.List;
import java.util.Set;
import java.util.logging.Level;
import java.util.logging.Logger;
import org.apache.catalina.Context;
import org.apache.catalina.connector.Connector;
import org.apache.catalina.startup.Tomcat;

/**
 * A servlet container that remembers which servlet each request reached, and by what path.
 *
 * <p>It listens at two ports: the first as Tomcat ships, the second with everything loosened that a connector lets one
 * loosen about paths. Usage: {@code java Container FOLDER}. It says both ports, and for each line that it reads what was
 * reached since the last, as a JSON array. It ends with its input.
 */
public final class Container {
    private static final List<String> REACHED = new ArrayList<>();

    private Container() {}

    public static void main(String[] arguments) throws Exception {
        Logger.getLogger("org.apache").setLevel(Level.OFF);
        Tomcat tomcat = new Tomcat();
        tomcat.setBaseDir(Files.createTempDirectory(new File(arguments[0]).toPath(), "tomcat").toString());
        Connector usual = connector();
        Connector loose = connector();
        loose.setEncodedSolidusHandling("decode");
        loose.setEncodedReverseSolidusHandling("decode");
        loose.setAllowBackslash(true);
        loose.setProperty("relaxedPathChars", "<>[\\]^`{|}\"");
        loose.setProperty("relaxedQueryChars", "<>[\\]^`{|}\"");
        loose.setURIEncoding("ISO-8859-1");
        tomcat.setConnector(usual);
        tomcat.getService().addConnector(loose);
        Context context = tomcat.addContext("", arguments[0]);
        // The annotations' own classes are in another package, and there are none here.
        context.setIgnoreAnnotations(true);
        context.addServletContainerInitializer((classes, servlets) -> {
            servlets.addServlet("public", new Recorder("public")).addMapping("/public/*");
            servlets.addServlet("secret", new Recorder("secret")).addMapping("/secret/*", "/secret");
            servlets.addServlet("default", new Recorder("default")).addMapping("/");
        }, Set.of());
        tomcat.start();
        System.out.println(usual.getLocalPort() + " " + loose.getLocalPort());
        BufferedReader words = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        while (words.readLine() != null) {
            synchronized (REACHED) {
                System.out.println("[" + String.join(",", REACHED) + "]");
                REACHED.clear();
            }
        }
        System.exit(0);
    }

    private static Connector connector() {
        Connector connector = new Connector("HTTP/1.1");
        connector.setPort(0);
        connector.setProperty("address", "127.0.0.1");
        return connector;
    }

    /** Remembers each request and answers with what it remembered. */
    private static final class Recorder extends HttpServlet {
        private static final long serialVersionUID = 1;
        private final String name;

        Recorder(String name) {
            this.name = name;
        }

        @Override
        protected void service(HttpServletRequest request, HttpServletResponse response) throws IOException {
            String info = request.getPathInfo() == null ? "" : request.getPathInfo();
            String line = "{\"servlet\":" + quoted(name)
                    + ",\"path\":" + quoted(request.getServletPath() + info)
                    + ",\"uri\":" + quoted(request.getRequestURI())
                    + ",\"query\":" + quoted(request.getQueryString())
                    + ",\"parameters\":" + request.getParameterMap().size()
                    + ",\"request\":" + quoted(request.getHeader("X-Request-Id")) + "}";
            synchronized (REACHED) {
                REACHED.add(line);
            }
            response.setContentType("application/json");
            response.getOutputStream().write(line.getBytes(StandardCharsets.UTF_8));
        }

        private static String quoted(String text) {
            if (text == null) {
                return "null";
            }
            StringBuilder out = new StringBuilder("\"");
            for (char unit : text.toCharArray()) {
                boolean plain = unit >= ' ' && unit < 127 && unit != '"' && unit != '\\';
                out.append(plain ? String.valueOf(unit) : String.format("\\u%04x", (int) unit));
            }
            return out.append('"').toString();
        }
    }
}
