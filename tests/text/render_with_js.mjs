// Render chat templates with the page's text/chat-template.js and its worker.
//   node render_with_js.mjs DIRECTORY < request > answer
// The request is a list of {template, context, limit}; the answer a list of
// {text} or {error}, each with the milliseconds it took.

import { readFileSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { pathToFileURL } from "node:url";
import { Worker as NodeWorker } from "node:worker_threads";

// Node's workers speak through parentPort; give both sides the browser's names.
const PRELUDE = `
  const { parentPort, workerData } = require("node:worker_threads");
  globalThis.postMessage = (data) => parentPort.postMessage(data);
  parentPort.on("message", (data) => globalThis.onmessage({ data }));
  import(workerData);
`;

globalThis.Worker = class {
  constructor(url) {
    this.worker = new NodeWorker(PRELUDE, { eval: true, workerData: url.href });
    this.worker.on("message", (data) => this.onmessage?.({ data }));
    this.worker.on("error", (error) => this.onerror?.({ message: error.message }));
  }
  postMessage(data) {
    this.worker.postMessage(data);
  }
  terminate() {
    this.worker.terminate();
  }
};

await import(pathToFileURL(join(resolve(process.argv[2]), "text/chat-template.js")).href);
const answers = [];
for (const { template, context, limit } of JSON.parse(readFileSync(0, "utf8"))) {
  const start = performance.now();
  const answer = await globalThis.loraLab.renderChat(template, JSON.stringify(context), limit);
  answers.push({ ...answer, milliseconds: performance.now() - start });
}
writeFileSync(1, JSON.stringify(answers));
process.exit(0);
