"""One loopback port for people, scrapers and probes: page, metrics, health.

    server = WebServer(status, exposition=metrics.exposition, port=9464)   # binds; PortBusy when it cannot
    server.start()
    print(server.url)
    server.stop()                                                          # leaves no thread behind

Only transport lives here (connections, limits, headers); what is said is in routes.py.
"""

import errno
import re
import socket
import socketserver
import sys
import threading
from collections.abc import Callable
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from runtime.status import Status
from runtime.web.routes import PLAIN, Answer, Exposition, Routes

DEFAULT_PORT = 9464
HOST = "127.0.0.1"
MAX_CONNECTIONS = 32
IDLE_LIMIT_S = 10.0
POLL_S = 0.1  # how long stop() may have to wait for the accepting thread

# What viewers on this machine call us; another Host is a foreign site that resolves to loopback (DNS rebinding).
OUR_NAMES = re.compile(r"(localhost|127\.0\.0\.1)(:\d+)?")

SECURITY_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}


class PortBusy(OSError):
    """The port cannot be had; the message is one line with option, value and remedy. Exit code 2."""


class WebServer:
    """Serves one run. `on_fault` hears of answers that failed, on one of the server's threads."""

    def __init__(
        self,
        status: Status,
        *,
        exposition: Exposition,
        port: int = DEFAULT_PORT,
        on_fault: Callable[[str], None] = lambda _: None,
    ) -> None:
        try:
            self._http = _Server(port, Routes(status, exposition=exposition), on_fault)
        except OSError as error:
            raise PortBusy(_port_message(port, error)) from error
        self._thread = threading.Thread(target=self._http.serve_forever, args=(POLL_S,), name="web")

    @property
    def port(self) -> int:
        """The port really bound, also when 0 was asked for."""
        return self._http.server_port

    @property
    def url(self) -> str:
        return f"http://{HOST}:{self.port}/"

    def start(self) -> None:
        """Begin to answer."""
        self._thread.start()

    def stop(self) -> None:
        """Hang up on everybody and wait for all threads; may be called twice, or without `start`."""
        if self._thread.ident is not None:
            self._http.shutdown()
            self._thread.join()
        self._http.hang_up()
        self._http.server_close()
        self._http.routes.close()


class _Server(ThreadingHTTPServer):
    """A thread per connection, of which there is a bounded, known set that can be hung up on."""

    daemon_threads = False  # so that server_close() waits for them
    request_queue_size = MAX_CONNECTIONS

    def __init__(self, port: int, routes: Routes, on_fault: Callable[[str], None]) -> None:
        self.routes = routes
        self.on_fault = on_fault
        self._connections: set[socket.socket] = set()
        self._connections_lock = threading.Lock()
        super().__init__((HOST, port), _Handler)

    def server_bind(self) -> None:
        # The parent also asks the resolver for our own name, which can take seconds without a network.
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = HOST, int(self.server_address[1])

    def get_request(self) -> tuple[socket.socket, tuple[str, int]]:
        connection, address = super().get_request()
        with self._connections_lock:
            if len(self._connections) >= MAX_CONNECTIONS:
                connection.close()
                raise OSError(errno.EMFILE, "too many connections")  # the accepting loop goes on to the next one
            self._connections.add(connection)
        return connection, address

    def close_request(self, request: socket.socket | tuple[bytes, socket.socket]) -> None:
        with self._connections_lock:
            self._connections -= {request}
        super().close_request(request)

    def hang_up(self) -> None:
        """End all connections, so that their threads end."""
        with self._connections_lock:
            for connection in self._connections:
                try:
                    connection.shutdown(socket.SHUT_RDWR)
                except OSError as error:
                    if error.errno != errno.ENOTCONN:  # the other side was first
                        raise

    def handle_error(self, _request: object, _client_address: object) -> None:
        """Report an answer that failed; a viewer who went away is no fault. The run never notices either."""
        error = sys.exception()
        if not isinstance(error, ConnectionError):
            self.on_fault(f"{type(error).__name__}: {error}")


class _Handler(BaseHTTPRequestHandler):
    """One request per connection (HTTP/1.0), so that no thread outlives its answer."""

    server: _Server
    server_version = "udaseg"
    sys_version = ""
    timeout = IDLE_LIMIT_S

    def do_GET(self) -> None:
        """Answer with a body."""
        self._send(self._answer(), with_body=True)

    def do_HEAD(self) -> None:
        """Answer without it."""
        self._send(self._answer(), with_body=False)

    def _answer(self) -> Answer:
        if not OUR_NAMES.fullmatch(self.headers.get("Host", "localhost")):
            return HTTPStatus.MISDIRECTED_REQUEST, PLAIN, b"this server answers to localhost only\n"
        return self.server.routes.answer(self.path, accept=self.headers.get("Accept", ""))

    def _send(self, answer: Answer, *, with_body: bool) -> None:
        status, content_type, body = answer
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        for name, value in SECURITY_HEADERS.items():
            self.send_header(name, value)
        self.end_headers()
        if with_body:
            self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Requests are not logged: the terminal belongs to the panel."""


def _port_message(port: int, error: OSError) -> str:
    why = "is in use" if error.errno == errno.EADDRINUSE else f"cannot be bound ({error.strerror})"
    return f"--port {port}: {why}; expected a free port on {HOST}, --port 0 picks a free one"
