// A page with 100 assets, which tells how many of them it got: page.mjs PORT
// Each request is a line of our output: its path.
import http from 'node:http';

const numbers = Array.from({ length: 100 }, (_, number) => number);
const kinds = [
  ['script', 'text/javascript', (path) => `<script src="${path}" onload="loaded++"></script>`, (n) => `ran.add(${n})`],
  ['style', 'text/css', (path) => `<link rel="stylesheet" href="${path}" onload="loaded++">`, (n) => `#s${n}{color:red}`],
  ['image', 'image/svg+xml', (path) => `<img src="${path}" onload="loaded++">`,
    (n) => `<svg xmlns="http://www.w3.org/2000/svg" width="${n + 1}" height="1"/>`],
];
const page = `<!doctype html><title>lab</title><link rel="icon" href="data:,">
<script>let loaded = 0; const ran = new Set();</script>
${numbers.map((n) => kinds[n % 3][2](`/${kinds[n % 3][0]}/${n}`)).join('\n')}
<p id="told">nothing</p>
<script>onload = () => { document.getElementById('told').textContent =
  \`\${loaded} loaded, \${ran.size} ran, \${document.styleSheets.length} styles\`; };</script>`;

http.createServer((request, response) => {
  console.log(`request ${request.url}`);
  const [, name, number] = request.url.split('/');
  const kind = kinds.find(([it]) => it === name);
  if (request.url === '/') return response.setHeader('content-type', 'text/html').end(page);
  if (!kind) return response.writeHead(404).end();
  // As large as assets are: some fill packets, some do not.
  const filler = '\n'.repeat((Number(number) * 997) % 40_000);
  response.setHeader('content-type', kind[1]).end(kind[3](Number(number)) + filler);
}).listen(Number(process.argv[1]), '127.0.0.1', () => console.log('listening'));
