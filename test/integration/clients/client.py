"""python3 client.py KIND HOST PORT TEXT ...: one access for each four arguments, one line of JSON for each.
KIND is http, https, tcp or udp; the line is what came back, or the status, or the error."""
import json
import socket
import sys
import urllib.error
import urllib.request


def ask(kind, host, port, text):
    bracketed = f'[{host}]' if ':' in host else host
    if kind in ('http', 'https'):
        with urllib.request.urlopen(f'{kind}://{bracketed}:{port}{text}', timeout=8) as response:
            return response.read().decode()
    if kind == 'tcp':
        with socket.create_connection((host, port), timeout=8) as connection:
            connection.sendall(text.encode())
            return connection.recv(1024).decode()
    family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_DGRAM)[0]
    with socket.socket(family, socket.SOCK_DGRAM) as connection:
        connection.settimeout(2)
        connection.connect(address)
        connection.send(text.encode())
        return connection.recv(1024).decode()


words = sys.argv[1:]
while words:
    kind, host, port, text, *words = words
    try:
        answer = {'body': ask(kind, host, int(port), text)}
    except urllib.error.HTTPError as error:
        answer = {'status': error.code, 'body': error.read().decode()}
    except OSError as error:
        answer = {'error': str(error) or type(error).__name__}
    print(json.dumps(answer), flush=True)
