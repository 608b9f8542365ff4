// What Node's own HTTP client and ws do, line by line: with_node.mjs URL, where paths begin.
import http from 'node:http';
import { once } from 'node:events';
import { WebSocket } from 'ws';

const base = process.argv[1];
const agent = new http.Agent({ keepAlive: true, maxSockets: 5 });

async function ask(path, { method = 'GET', headers = {}, body = [], trailers } = {}) {
  const request = http.request(base + path, { agent, method, headers });
  const hints = [];
  request.on('information', (info) => hints.push([info.statusCode, info.headers.link]));
  for (const piece of body) request.write(piece);
  if (trailers) request.addTrailers(trailers);
  request.end();
  const [response] = await once(request, 'response');
  let text = '';
  for await (const piece of response.setEncoding('utf8')) text += piece;
  return { text, hints, trailers: response.trailers, status: response.statusCode };
}

console.log('get', (await ask('/hello')).text);
console.log('hints', JSON.stringify((await ask('/hints')).hints));
console.log('trailers down', JSON.stringify((await ask('/chunked', { headers: { te: 'trailers' } })).trailers));

const sent = { method: 'POST', headers: { trailer: 'x-end' }, body: ['a', 'b'], trailers: { 'x-end': 'yes' } };
const echo = JSON.parse((await ask('/echo', sent)).text);
console.log('trailers up', echo.length, echo.trailers.join(': '));

const numbers = Array.from({ length: 200 }, (_, number) => number);
const answers = await Promise.all(numbers.map((number) => ask(`/n/${number}`)));
console.log('at once', answers.filter((it, number) => it.text === `origin /n/${number}`).length);

const socket = new WebSocket(base.replace('http', 'ws') + '/', { maxPayload: 64 << 20 });
await once(socket, 'open');
const big = Buffer.alloc(4 << 20, 'x');
socket.send(big);
const [data] = await once(socket, 'message');
socket.ping('here');
const [pong] = await once(socket, 'pong');
socket.close(4002, 'bye');
const [code, reason] = await once(socket, 'close');
console.log('websocket', data.equals(big), `${pong}`, code, `${reason}`);
agent.destroy();
