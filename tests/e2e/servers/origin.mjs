// An origin made of Node's own HTTP server, and of ws for WebSocket.
//
// origin.mjs PORT [h2]: with h2 it speaks HTTP/2 only, and no WebSocket
//
// POST /echo     what was asked, as JSON: version, method, raw fields, length and digest of the body, trailers
// /chunked       three pieces and a trailer, x-sum
// /hints         103 with a link, then 200
// /file          100,000 bytes; HEAD and one range are understood
// /refuse        403 to whoever expects 100 Continue
// /pieces        says on its output when which piece of the body came
// /events        Server-Sent Events: one for each line of our own input
// /status/N      status N without a body
// WebSocket: an echo; /close/N is closed with code N at once
import http from 'node:http';
import http2 from 'node:http2';
import { createHash } from 'node:crypto';
import { createInterface } from 'node:readline';
import { WebSocketServer } from 'ws';

const file = Buffer.from(Array.from({ length: 100_000 }, (_, at) => at % 251));
const listeners = new Set();

const routes = {
  echo(request, response) {
    const digest = createHash('sha256');
    let length = 0;
    request.on('data', (piece) => { length += piece.length; digest.update(piece); });
    request.on('end', () => {
      const { httpVersion: version, method, url, rawHeaders: fields, rawTrailers: trailers } = request;
      const sha256 = digest.digest('hex');
      const text = JSON.stringify({ version, method, url, fields, length, sha256, trailers });
      response.writeHead(200, { 'content-type': 'application/json', 'set-cookie': ['a=1', 'b=2'] });
      response.end(text);
    });
  },
  chunked(_, response) {
    response.writeHead(200, { trailer: 'x-sum' });
    for (const piece of ['one ', 'two ', 'three']) response.write(piece);
    response.addTrailers({ 'x-sum': '3' });
    response.end();
  },
  hints(_, response) {
    response.writeEarlyHints({ link: '</style.css>; rel=preload; as=style' });
    response.end('hinted');
  },
  file(request, response) {
    const range = /^bytes=(\d+)-(\d+)$/.exec(request.headers.range ?? '');
    if (!range) return response.writeHead(200, { 'content-length': file.length }).end(file);
    const [from, to] = [Number(range[1]), Number(range[2])];
    response.writeHead(206, { 'content-range': `bytes ${from}-${to}/${file.length}` });
    response.end(file.subarray(from, to + 1));
  },
  refuse(_, response) {
    response.writeHead(403, isHttp2 ? {} : { connection: 'close' }).end('no');
  },
  pieces(request, response) {
    request.setEncoding('utf8');
    request.on('data', (piece) => console.log(`piece ${piece.trim()}`));
    request.on('end', () => response.end('all'));
  },
  events(_, response) {
    response.writeHead(200, { 'content-type': 'text/event-stream', 'cache-control': 'no-store' });
    response.flushHeaders();
    listeners.add(response);
    response.on('close', () => { listeners.delete(response); console.log('listener gone'); });
    console.log('listener');
  },
  status(request, response) {
    response.writeHead(Number(request.url.split('/')[2])).end();
  },
};

function serve(request, response) {
  const route = routes[request.url.split(/[/?]/)[1]];
  if (route) return route(request, response);
  request.resume();
  response.end(`origin ${request.url}`);
}

const isHttp2 = process.argv[2] === 'h2';
const server = isHttp2 ? http2.createServer(serve) : http.createServer({ keepAliveTimeout: 20_000 }, serve);
server.on('checkContinue', (request, response) => {
  if (request.url !== '/refuse') response.writeContinue();
  serve(request, response);
});

const sockets = new WebSocketServer({
  ...(isHttp2 ? { noServer: true } : { server }),
  maxPayload: 64 << 20,
  perMessageDeflate: true,
  handleProtocols: (offered) => [...offered][0],
});
sockets.on('connection', (socket, request) => {
  const closing = /^\/close\/(\d+)$/.exec(request.url);
  if (closing) return socket.close(Number(closing[1]), 'as asked');
  socket.on('message', (data, binary) => socket.send(data, { binary }));
  socket.on('ping', (data) => console.log(`ping ${data}`));
  socket.on('close', (code, reason) => console.log(`closed ${code} ${reason}`));
});

createInterface({ input: process.stdin }).on('line', (line) => {
  for (const response of listeners) response.write(`data: ${line}\n\n`);
});

server.listen(Number(process.argv[1]), '127.0.0.1', () => console.log('listening'));
