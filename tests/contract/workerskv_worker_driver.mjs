// Runs the Worker as it ships: reads one JSON document a line, writes one back.
//
// {"url": …, "method": …, "keys": [keys in the namespace], "fails": whether reading it fails} →
// {"status", "key": what the Worker asked for, "passed": whether the request went on unchanged, "headers"}

import { readFileSync } from "node:fs";
import { createInterface } from "node:readline";

const source = readFileSync(process.argv[2]).toString("base64");
const worker = (await import(`data:text/javascript;base64,${source}`)).default;
console.error = () => {};

for await (const line of createInterface({ input: process.stdin })) {
  const { url, method = "GET", keys = [], fails = false } = JSON.parse(line);
  const request = { url, method }; // no Request: its constructor would serialise the URL before the Worker does
  const asked = [];
  let passed = false;
  globalThis.fetch = async (sent) => {
    passed = sent === request;
    return new Response("origin", { status: 200 });
  };
  const BANNED = {
    async get(key) {
      if (fails) throw new Error("KV GET failed: 500");
      asked.push(key);
      return keys.includes(key) ? "" : null; // an empty value is a value
    },
  };
  const answer = await worker.fetch(request, fails === "binding" ? {} : { BANNED });
  console.log(
    JSON.stringify({ status: answer.status, key: asked[0], passed, headers: Object.fromEntries(answer.headers) }),
  );
}
