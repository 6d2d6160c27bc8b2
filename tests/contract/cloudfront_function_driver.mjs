// Runs the viewer function as it ships, in what its runtime offers: reads one request a line, writes its answer.
// {"url": the request's target as sent, "keys": [...], "http": false, "fails": false}
import { readFileSync } from "node:fs";
import { createInterface } from "node:readline";
import crypto from "node:crypto";

let keys = new Set(), fails = false, asked = "";
const cf = {
  kvs: () => ({
    exists: async (key) => {
      asked = key;
      if (Buffer.byteLength(key) > 512) throw new Error("key too long");
      if (fails) throw new Error("no store");
      return keys.has(key);
    },
  }),
};
const source = readFileSync(process.argv[2], "utf8").replace(/^import .*$/gm, "");
const quiet = { log: () => undefined };
// The runtime has no URL, no TextEncoder and no fetch.
const handler = new Function("cf", "crypto", "console", "URL", "TextEncoder", "fetch", `${source}; return handler;`)(cf, crypto, quiet);

for await (const line of createInterface({ input: process.stdin })) {
  const given = JSON.parse(line);
  keys = new Set(given.keys ?? []);
  fails = given.fails ?? false;
  asked = "";
  const [, scheme, host, target] = given.url.match(/^(https?):\/\/([^/?]*)(.*)$/s);
  const [path, ...rest] = (target.startsWith("/") ? target : "/" + target).split("?");
  const request = {
    method: "GET",
    uri: path,
    querystring: {},
    headers: { host: { value: host } },
    cookies: {},
    rawQueryString: () => (rest.length ? rest.join("?") : undefined),
  };
  if (given.proto !== false) request.headers["cloudfront-forwarded-proto"] = { value: scheme };
  const answer = await handler({ version: "1.0", request });
  process.stdout.write(JSON.stringify({ status: answer.statusCode ?? 200, passed: answer === request, key: asked, headers: answer.headers }) + "\n");
}
