import java.io.FileInputStream;
import java.net.DatagramPacket;
import java.net.DatagramSocket;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.Socket;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.security.KeyStore;
import java.security.cert.CertificateFactory;
import java.time.Duration;
import javax.net.ssl.SSLContext;
import javax.net.ssl.TrustManagerFactory;

/** java Client KIND HOST PORT TEXT ...: one access for each four arguments, one line of JSON for each. */
public class Client {
  public static void main(String[] words) throws Exception {
    HttpClient client = HttpClient.newBuilder().sslContext(trust()).connectTimeout(Duration.ofSeconds(8)).build();
    for (int at = 0; at + 3 < words.length; at += 4) {
      String answer;
      try {
        answer = ask(client, words[at], words[at + 1], Integer.parseInt(words[at + 2]), words[at + 3]);
      } catch (Exception error) {
        answer = "{\"error\": " + quote(error.toString()) + "}";
      }
      System.out.println(answer);
    }
  }

  static String ask(HttpClient client, String kind, String host, int port, String text) throws Exception {
    if (kind.startsWith("http")) {
      String name = host.contains(":") ? "[" + host + "]" : host;
      HttpRequest request = HttpRequest.newBuilder(URI.create(kind + "://" + name + ":" + port + text)).build();
      HttpResponse<String> response = client.send(request, HttpResponse.BodyHandlers.ofString());
      String status = response.statusCode() == 200 ? "" : "\"status\": " + response.statusCode() + ", ";
      return "{" + status + "\"body\": " + quote(response.body()) + "}";
    }
    byte[] buffer = new byte[1024];
    if (kind.equals("tcp")) {
      try (Socket socket = new Socket()) {
        socket.connect(new InetSocketAddress(host, port), 8000);
        socket.setSoTimeout(8000);
        socket.getOutputStream().write(text.getBytes());
        int count = socket.getInputStream().read(buffer);
        if (count < 0) throw new java.io.EOFException();
        return "{\"body\": " + quote(new String(buffer, 0, count)) + "}";
      }
    }
    try (DatagramSocket socket = new DatagramSocket()) {
      socket.setSoTimeout(2000);
      socket.connect(InetAddress.getByName(host), port);
      byte[] bytes = text.getBytes();
      socket.send(new DatagramPacket(bytes, bytes.length));
      DatagramPacket packet = new DatagramPacket(buffer, buffer.length);
      socket.receive(packet);
      return "{\"body\": " + quote(new String(buffer, 0, packet.getLength())) + "}";
    }
  }

  static SSLContext trust() throws Exception {
    KeyStore store = KeyStore.getInstance(KeyStore.getDefaultType());
    store.load(null);
    try (FileInputStream file = new FileInputStream(System.getenv("SSL_CERT_FILE"))) {
      store.setCertificateEntry("test", CertificateFactory.getInstance("X.509").generateCertificate(file));
    }
    TrustManagerFactory factory = TrustManagerFactory.getInstance(TrustManagerFactory.getDefaultAlgorithm());
    factory.init(store);
    SSLContext context = SSLContext.getInstance("TLS");
    context.init(null, factory.getTrustManagers(), null);
    return context;
  }

  static String quote(String text) {
    StringBuilder quoted = new StringBuilder("\"");
    for (char letter : text.toCharArray()) {
      if (letter == '"' || letter == '\\') quoted.append('\\').append(letter);
      else if (letter < ' ') quoted.append(String.format("\\u%04x", (int) letter));
      else quoted.append(letter);
    }
    return quoted.append('"').toString();
  }
}
