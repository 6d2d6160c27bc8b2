// Answers 403 for each URL that edgeban has banned, and lets every other request through.
//
// edgeban writes one key a banned URL into the namespace that is bound as BANNED; the keys end by themselves.
// README.md says how to install it.

const LONGEST_KEY = 512; // bytes that a key of Workers KV may have

// Returns the key of a URL: its WHATWG serialisation without fragment, as the visitor sent it, or the SHA-256 of that
// where it is longer than a key may be. key_of in chalicelib/vendors/workerskv/client.py makes the same key.
async function keyOf(requested) {
  const url = new URL(requested);
  url.hash = "";
  // The URL standard encodes this sign in a path since 2024. A runtime that does not do so yet would make another key.
  url.pathname = url.pathname.replaceAll("^", "%5E");
  const octets = new TextEncoder().encode(url.href);
  if (octets.length <= LONGEST_KEY) {
    return url.href;
  }
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", octets));
  return "sha256:" + Array.from(digest, (octet) => octet.toString(16).padStart(2, "0")).join("");
}

async function isBanned(request, env) {
  try {
    return (await env.BANNED.get(await keyOf(request.url))) !== null;
  } catch (error) {
    // The site stays up while the namespace cannot be read. The log shows it: a missing binding looks the same.
    console.error("edgeban: the namespace cannot be read, the request passes:", String(error));
    return false;
  }
}

export default {
  async fetch(request, env) {
    if (!(await isBanned(request, env))) {
      return fetch(request);
    }
    return new Response("403 Forbidden\n", {
      status: 403,
      // no-store: the page is back as soon as it is unbanned.
      headers: { "Content-Type": "text/plain; charset=utf-8", "Cache-Control": "no-store" },
    });
  },
};
