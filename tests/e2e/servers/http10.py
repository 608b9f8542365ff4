"""Python's HTTP server of old: HTTP/1.0, a connection for each request, and answers whose end is
the connection's end: http10.py PORT"""
import http.server, sys


class Handler(http.server.BaseHTTPRequestHandler):
    def answer(self):
        length = int(self.headers.get("content-length", 0))
        body = self.rfile.read(length)
        self.send_response(200)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(f"{self.command} {len(body)} ".encode() + b"x" * 200_000)

    do_GET = do_POST = do_HEAD = answer

    def log_message(self, *_):
        pass


server = http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler)
print("listening", flush=True)
server.serve_forever()
