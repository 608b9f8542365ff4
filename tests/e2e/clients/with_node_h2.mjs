// What Node's HTTP/2 client does with one connection, line by line: with_node_h2.mjs URL, where
// the origin's paths begin.
import http2 from 'node:http2';
import { createHash } from 'node:crypto';
import { once } from 'node:events';

const session = http2.connect(process.argv[1]);
await once(session, 'remoteSettings');
console.log('websocket offered', session.remoteSettings.enableConnectProtocol);

async function ask(path, fields = {}, body = [], trailers) {
  const method = body.length ? 'POST' : 'GET';
  const stream = session.request({ ':path': path, ':method': method, ...fields }, { waitForTrailers: !!trailers });
  const answer = { interim: [], trailers: {}, text: '' };
  stream.on('headers', (it) => answer.interim.push([it[':status'], it.link]));
  stream.on('response', (it) => { answer.fields = it; });
  stream.on('trailers', (it) => { answer.trailers = { ...it }; });
  stream.on('wantTrailers', () => stream.sendTrailers(trailers));
  for (const piece of body) stream.write(piece);
  stream.end();
  for await (const piece of stream.setEncoding('utf8')) answer.text += piece;
  return answer;
}

console.log('get', (await ask('/hello')).text);

const cookies = await ask('/echo', { cookie: ['a=1', 'b=2'], te: 'trailers' });
const fields = JSON.parse(cookies.text).fields;
const named = (name) => fields.filter((_, at) => at % 2 === 1 && fields[at - 1].toLowerCase() === name);
console.log('cookies', named('cookie').join('|'));
// Node names the port, be it 80.
console.log('host', (named('host')[0] ?? named(':authority')[0]).replace(/:80$/, '') === new URL(process.argv[1]).host);
console.log('set-cookie', cookies.fields['set-cookie'].join('|'));

const down = await ask('/chunked', { te: 'trailers' });
console.log('trailers down', down.text, down.trailers['x-sum']);
const up = JSON.parse((await ask('/echo', { trailer: 'x-end' }, ['a', 'b'], { 'x-end': 'yes' })).text);
console.log('trailers up', up.length, up.trailers.join(': ').toLowerCase());

const numbers = Array.from({ length: 100 }, (_, number) => number);
const bodies = numbers.map((number) => Buffer.alloc(30_000, number));
const echoes = await Promise.all(bodies.map((body) => ask('/echo', {}, [body])));
const same = (echo, number) =>
  JSON.parse(echo.text).sha256 === createHash('sha256').update(bodies[number]).digest('hex');
console.log('at once', echoes.filter(same).length);

// A stream that is given up leaves the others alone.
const events = session.request({ ':path': '/events' });
await once(events, 'response');
events.close(http2.constants.NGHTTP2_CANCEL);
await once(events, 'close');
console.log('after a cancelled stream', (await ask('/hello')).text);
session.close();
