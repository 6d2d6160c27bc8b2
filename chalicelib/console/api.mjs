/** Calls to the API, the token, and answers that are asked for again while a view shows them. */
import { useCallback, useEffect, useRef, useState } from "./hooks.mjs";

const BASE = new URL("../v1/", document.baseURI);
const TOKEN = "edgeban.token";
const VISIBLE_MS = 5000, HIDDEN_MS = 30000, LONGEST_MS = 60000, PATIENCE_MS = 30000;

let signedOut = () => {};
/** Name what is to happen when the API no longer knows the token. */
export const onSignedOut = (act) => { signedOut = act; };
export const token = () => sessionStorage.getItem(TOKEN);
export const keepToken = (value) => (value ? sessionStorage.setItem(TOKEN, value) : sessionStorage.removeItem(TOKEN));

/** What the API refused, or why it was not reached. `kind`: offline, forbidden, absent, gone, conflict, refused or broken. */
export class ApiError extends Error {
  constructor(kind, message, { status = 0, code = "", requestId = "", retryAfter = 0 } = {}) {
    super(message);
    Object.assign(this, { kind, status, code, requestId, retryAfter });
  }
}

const KINDS = { 401: "signed_out", 404: "gone", 405: "absent", 409: "conflict", 429: "broken" };

function kindOf(status, code) {
  if (status === 403) return code === "not_allowed" ? "forbidden" : "absent";  // the gateway's own 403: no such route
  return KINDS[status] ?? (status >= 500 ? "broken" : "refused");
}

/** Call a route below `/v1`. Raises ApiError. */
export async function call(method, path, { query = {}, body, accept = "application/json", as = token() } = {}) {
  if (!as) throw new ApiError("signed_out", "Sign in first.");
  const url = new URL(path, BASE);
  for (const [name, value] of Object.entries(query)) if (value !== "" && value != null) url.searchParams.set(name, value);
  const headers = { Accept: accept };
  if (as) headers.Authorization = `Bearer ${as}`;
  if (body !== undefined) headers["Content-Type"] = "application/json";
  let answer, text;
  try {
    const signal = AbortSignal.timeout(PATIENCE_MS);
    answer = await fetch(url, { method, headers, body: body === undefined ? undefined : JSON.stringify(body), signal });
    text = await answer.text();
  } catch {
    throw new ApiError("offline", "edgeban was not reached. Look at your connection.");
  }
  if (answer.ok && accept !== "application/json") return { text, next: answer.headers.get("Edgeban-Next-Token") };
  let document_;
  try { document_ = JSON.parse(text); } catch { document_ = {}; }
  if (answer.ok) return document_;
  const { code = "", message = `The answer was ${answer.status}.`, request_id: requestId = "" } = document_.error ?? {};
  const kind = kindOf(answer.status, code);
  if (kind === "signed_out" && as === token()) signedOut();
  throw new ApiError(kind, message, { status: answer.status, code, requestId, retryAfter: Number(answer.headers.get("Retry-After")) || 0 });
}

const kept = new Map();  // the last good answer of each question, so that going back shows it at once
const asking = new Map();  // the same question at the same time is asked once
export const forget = () => { kept.clear(); asking.clear(); };

function ask(key, path, query) {
  if (!asking.has(key)) asking.set(key, call("GET", path, { query }).finally(() => asking.delete(key)));
  return asking.get(key);
}

/**
 * Ask for a route and go on asking: every 5 s while the page is seen, 30 s while it is hidden, ever slower after errors.
 * Returns the last good answer with its time, and the error of the last try. `path` null asks nothing.
 */
export function useApi(path, query = {}, { poll = true } = {}) {
  const key = path === null ? null : `${path}?${new URLSearchParams(query)}`;
  const [, redraw] = useState(0);
  const state = useRef({ key: null });
  if (state.current.key !== key) state.current = { key, error: null, ...(kept.get(key) ?? { data: null, at: 0 }) };
  const load = useCallback(async () => {
    if (key === null) return true;
    const mine = state.current;
    try {
      const data = await ask(key, path, query);
      const good = { data, at: Date.now() };
      kept.set(key, good);
      Object.assign(mine, good, { error: null });
    } catch (error) { mine.error = error instanceof ApiError ? error : new ApiError("broken", String(error)); }
    if (state.current === mine) redraw((n) => n + 1);
    return !mine.error;
  }, [key]);
  useEffect(() => {
    let timer = 0, ended = false, errors = 0;
    const turn = async () => {
      clearTimeout(timer);
      errors = (await load()) ? 0 : errors + 1;
      const between = document.hidden ? HIDDEN_MS : VISIBLE_MS;
      const over = state.current.error && !["offline", "broken"].includes(state.current.error.kind);
      if (!ended && poll && !over) timer = setTimeout(turn, Math.min(between * 2 ** errors, LONGEST_MS));
    };
    const seen = () => { if (!document.hidden && poll) turn(); };
    turn();
    document.addEventListener("visibilitychange", seen);
    addEventListener("online", seen);
    return () => { ended = true; clearTimeout(timer); document.removeEventListener("visibilitychange", seen); removeEventListener("online", seen); };
  }, [key, poll]);
  const { data = null, at = 0, error = null } = state.current;
  return { data, at, error, reload: load };
}

/** A list page by page: what `useApi` has, and `more` to add the next page. Further pages are not asked for again. */
export function usePages(path, query, name, { poll = true } = {}) {
  const first = useApi(path, query, { poll });
  const key = JSON.stringify([path, query]);
  const [further, setFurther] = useState({ key, items: [], next: undefined, error: null });
  const mine = further.key === key ? further : { key, items: [], next: undefined, error: null };
  const next = mine.next === undefined ? first.data?.next_token : mine.next;
  const more = async () => {
    try {
      const page = await call("GET", path, { query: { ...query, next_token: next } });
      setFurther({ key, items: [...mine.items, ...page[name]], next: page.next_token ?? null, error: null });
    } catch (error) { setFurther({ ...mine, error }); }
  };
  return { ...first, items: [...(first.data?.[name] ?? []), ...mine.items], more: next ? more : null, moreError: mine.error };
}

/** Give a list as a file to the browser: every page of it, as CSV. */
export async function saveCsv(path, query, file) {
  const pieces = [];
  let next = "";
  do {
    const page = await call("GET", path, { query: { ...query, limit: 1000, next_token: next }, accept: "text/csv" });
    pieces.push(pieces.length ? page.text.slice(page.text.indexOf("\n") + 1) : page.text);
    next = page.next;
  } while (next);
  const url = URL.createObjectURL(new Blob(pieces, { type: "text/csv" }));
  Object.assign(document.createElement("a"), { href: url, download: file }).click();
  setTimeout(() => URL.revokeObjectURL(url), 1000);
}
