// Opens the daemon's page in a browser, as a person would, and tells what it shows: one line of JSON
// for each step. Arguments: the profile's directory, then steps.
//   open URL          goes there
//   until EXPRESSION  waits until it is true in the page
//   say EXPRESSION    tells its value
//   size WIDTH        makes the page so wide
//   theme NAME        light or dark
//   picture FILE      takes a picture of all of it
// The last line is what the browser's console said.
import { spawn } from "node:child_process";
import { writeFileSync } from "node:fs";

const [profile, ...steps] = process.argv.slice(1);
const PATIENCE = 60_000;

const chromium = spawn("chromium", [
  `--user-data-dir=${profile}`, "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
  "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync", "--hide-scrollbars",
  "--remote-debugging-pipe", "about:blank",
], { stdio: ["ignore", "ignore", "ignore", "pipe", "pipe"], detached: true });
process.on("exit", () => { try { process.kill(-chromium.pid, "SIGKILL"); } catch { /* it is gone */ } });
const [, , , writing, reading] = chromium.stdio;

const waiting = new Map();
const heard = [];
let number = 0;
let whenLoaded = () => {};
let rest = Buffer.alloc(0);
reading.on("data", (piece) => {
  rest = Buffer.concat([rest, piece]);
  for (let end = rest.indexOf(0); end >= 0; end = rest.indexOf(0)) {
    const message = JSON.parse(rest.subarray(0, end).toString());
    rest = rest.subarray(end + 1);
    const { id, method, params } = message;
    if (id) { waiting.get(id)(message); waiting.delete(id); }
    if (method === "Page.loadEventFired") whenLoaded();
    if (method === "Runtime.consoleAPICalled" && ["error", "warning", "assert"].includes(params.type)) {
      heard.push(params.args.map((it) => it.value ?? it.description).join(" "));
    }
    if (method === "Runtime.exceptionThrown") heard.push(params.exceptionDetails.exception?.description ?? params.exceptionDetails.text);
    if (method === "Log.entryAdded" && params.entry.level !== "verbose") heard.push(`${params.entry.text} ${params.entry.url ?? ""}`);
  }
});

let sessionId;
const tell = (method, params = {}) => new Promise((done, failed) => {
  number += 1;
  waiting.set(number, (answer) => answer.error ? failed(new Error(`${method}: ${answer.error.message}`)) : done(answer.result));
  writing.write(`${JSON.stringify({ id: number, method, params, sessionId })}\0`);
});

const value = async (expression) => {
  const told = await tell("Runtime.evaluate", { expression, returnByValue: true, awaitPromise: true });
  if (told.exceptionDetails) throw new Error(`${expression}: ${told.exceptionDetails.exception?.description}`);
  return told.result.value ?? null;
};

const doings = {
  open: async (url) => {
    const loaded = new Promise((done) => { whenLoaded = done; });
    await tell("Page.navigate", { url });
    await loaded;
  },
  say: async (expression) => console.log(JSON.stringify(await value(expression))),
  until: async (expression) => {
    const end = Date.now() + PATIENCE;
    while (await value(expression) !== true) {
      if (Date.now() > end) throw new Error(`never: ${expression}; ${await value("document.body.innerText")} ${heard}`);
      await new Promise((done) => setTimeout(done, 100));
    }
  },
  size: (width) => tell("Emulation.setDeviceMetricsOverride", {
    width: Number(width), height: 900, deviceScaleFactor: 1, mobile: false,
  }),
  theme: (name) => tell("Emulation.setEmulatedMedia", { features: [{ name: "prefers-color-scheme", value: name }] }),
  picture: async (file) => {
    const { data } = await tell("Page.captureScreenshot", { captureBeyondViewport: true });
    writeFileSync(file, Buffer.from(data, "base64"));
  },
};

const { targetInfos } = await tell("Target.getTargets");
const page = targetInfos.find((it) => it.type === "page");
({ sessionId } = await tell("Target.attachToTarget", { targetId: page.targetId, flatten: true }));
for (const domain of ["Page", "Runtime", "Log", "HeapProfiler"]) await tell(`${domain}.enable`);
doings.collect = () => tell("HeapProfiler.collectGarbage");
for (const step of steps) {
  const [, name, argument] = step.match(/^(\w+) ?(.*)$/s);
  await doings[name](argument);
}
console.log(JSON.stringify(heard));
process.exit(0);
