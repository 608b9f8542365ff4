// What undici does, line by line: with_undici.mjs h1|h2 URL, where the origin's paths begin.
import { createHash } from 'node:crypto';
import { File } from 'node:buffer';
import { Readable } from 'node:stream';

// undici takes it for granted; Node 18 has it elsewhere, and its own fetch is undici's as well.
globalThis.File ??= File;
const { Pool, H2CClient } = await import('undici');
const [version, base] = process.argv.slice(1);
const client = version === 'h2' ? new H2CClient(base) : new Pool(base, { connections: 4, pipelining: 2 });
const ask = async (path, options) => {
  const answer = await client.request({ path, method: 'GET', ...options });
  return { status: answer.statusCode, headers: answer.headers, text: await answer.body.text() };
};

console.log('get', (await ask('/hello')).text);

const pieces = Array.from({ length: 50 }, (_, number) => Buffer.alloc(5000, number));
const body = Readable.from(pieces);
const echo = JSON.parse((await ask('/echo', { method: 'POST', body })).text);
const digest = createHash('sha256').update(Buffer.concat(pieces)).digest('hex');
console.log('stream up', echo.length, echo.sha256 === digest);

const numbers = Array.from({ length: 100 }, (_, number) => number);
const answers = await Promise.all(numbers.map((number) => ask(`/n/${number}`)));
console.log('at once', answers.filter((it, number) => it.text === `origin /n/${number}`).length);

const head = await ask('/file', { method: 'HEAD' });
console.log('head', head.status, head.headers['content-length'], head.text.length);
console.log('file', (await (await fetch(`${base}/file`)).arrayBuffer()).byteLength);
await client.close();
