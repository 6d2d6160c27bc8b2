/** The frame of the console: who is signed in, which view is shown, what is looked for. */
import { render } from "./preact.mjs";
import { useCallback, useEffect, useRef, useState } from "./hooks.mjs";
import { call, forget, keepToken, onSignedOut, token, useApi } from "./api.mjs";
import { Dialog, go, html, link, Session, State } from "./ui.mjs";
import { clock, number, visible } from "./text.mjs";

const VIEWS = [
  ["overview", "Overview"], ["queue", "Queue"], ["bans", "Bans"], ["reports", "Reports"], ["tasks", "Tasks"],
  ["sources", "Sources"], ["exports", "Exports"], ["audit", "Audit"], ["policy", "Policy"],
];
const ALL = new Set([...VIEWS.map(([name]) => name), "url"]);
const IDLE_MS = 15 * 60 * 1000;
const JUMPS = Object.fromEntries(VIEWS.map(([name]) => [name === "audit" ? "d" : name[0], name]));

const KEYS = [
  ["/", "look up a URL, host, report or task"], ["g then o, q, b, r, t, s, e, d, p", "go to a view; d is Audit"], ["?", "these keys"],
  ["j, k", "next, previous URL of the queue"], ["n, p", "next, previous group of the queue"], ["x", "leave the URL out of the approval: it is refused"],
  ["i", "write the reason"], ["a", "approve"], ["r", "refuse all"], ["Esc", "leave a field or a dialog"],
];

function place() {
  const [path, search = ""] = location.hash.replace(/^#\/?/, "").split("?");
  const [view, ...id] = path.split("/");
  return { view: ALL.has(view) ? view : "overview", id: decodeURIComponent(id.join("/")), query: Object.fromEntries(new URLSearchParams(search)) };
}

/** Where a text leads that somebody looks up. */
export function target(text) {
  const value = text.trim();
  if (/^r-[a-z0-9-]+$/i.test(value)) return ["reports/" + encodeURIComponent(value)];
  if (/^\d{8}T\d{6}[\dA-Za-z.:-]*/.test(value)) return ["tasks/" + encodeURIComponent(value)];
  if (/^[a-z]+:\/\//i.test(value) || /^hxxps?:/i.test(value)) return ["url", { url: value.replace(/^hxxp/i, "http").replaceAll("[.]", ".") }];
  if (/^\.?[a-z0-9-]+(\.[a-z0-9-]+)+$/i.test(value)) return ["bans", { host: value }];
  if (/^[a-z0-9-]+(\.[a-z0-9-]+)+\//i.test(value)) return ["url", { url: `https://${value}` }];
  return ["bans", { q: value }];
}

function SignIn({ note, enter }) {
  const [problem, setProblem] = useState("");
  const [busy, setBusy] = useState(false);
  const send = async (event) => {
    event.preventDefault();
    const given = new FormData(event.currentTarget).get("token").trim();
    setBusy(true);
    try { await enter(given); } catch (error) {
      setProblem(error.kind === "signed_out" ? "Nobody has this token. Ask for one with `edgeban operator new`." : error.message);
    }
    setBusy(false);
  };
  useEffect(() => { document.title = "Sign in · edgeban"; }, []);
  return html`<main class="signin"><div class="brand"><i></i>edgeban</div><h1>Sign in</h1>${note && html`<p role="status">${note}</p>`}
    <form onSubmit=${send}><label for="token">Your operator's token</label>
      <input id="token" name="token" type="password" required autofocus autocomplete="off" spellcheck=${false} aria-describedby="token-note"/>
      ${problem && html`<p class="wrong" role="alert">${problem}</p>`}<button class="primary" disabled=${busy}>${busy ? "Signing in" : "Sign in"}</button></form>
    <p id="token-note" class="muted">The token stays in this tab and is gone when you close it. After 15 minutes without a key or a click you sign in again.</p></main>`;
}

const running = (accounts) => {
  const bad = accounts.filter((each) => each.state !== "running");
  if (!bad.length) return html`<${State} of="running">running</${State}>`;
  const state = bad.some((each) => each.state === "blocked") ? "blocked" : "paused";
  return html`<a class="quiet" href="#/overview"><${State} of=${state}>${bad.length === 1 ? `${visible(bad[0].account)} ${bad[0].state}` : `${bad.length} accounts do not run`}</${State}></a>`;
};

function Frame({ me, leave }) {
  const [at, setAt] = useState(place);
  const [loaded, setLoaded] = useState({ View: null, name: "", problem: "" });
  const [help, setHelp] = useState(false);
  const [said, setSaid] = useState(null);
  const search = useRef(null), jump = useRef(-Infinity), timer = useRef(0);
  const holds = useApi("holds", { limit: 1 });
  const health = useApi("health");
  const toast = useCallback((text, after) => { clearTimeout(timer.current); setSaid({ text, after }); timer.current = setTimeout(() => setSaid(null), 12000); }, []);

  useEffect(() => {
    const moved = () => setAt(place());
    addEventListener("hashchange", moved);
    return () => removeEventListener("hashchange", moved);
  }, []);
  useEffect(() => {
    let current = true;
    import(`./${at.view}.mjs`).then(
      (module) => current && setLoaded({ View: module.default, name: at.view, problem: "" }),
      () => current && setLoaded({ View: null, name: at.view, problem: "This part of the console was not loaded. Load the page again: edgeban may have been updated." }),
    );
    return () => { current = false; };
  }, [at.view]);
  useEffect(() => { if (loaded.name) { scrollTo(0, 0); document.querySelector("nav a[aria-current]")?.scrollIntoView({ block: "nearest", inline: "center" }); } }, [loaded.name, at.id]);
  useEffect(() => {
    const pressed = (event) => {
      const field = event.target.closest("input, textarea, select, dialog");
      if (event.key === "Escape" && field && !field.closest("dialog")) field.blur();
      if (field || event.ctrlKey || event.metaKey || event.altKey) return;
      if (event.key === "/") { event.preventDefault(); search.current.focus(); }
      if (event.key === "?") setHelp(true);
      if (event.key === "g") { jump.current = event.timeStamp; return; }
      if (JUMPS[event.key] && event.timeStamp - jump.current < 3000) { event.stopImmediatePropagation(); go(JUMPS[event.key]); }
      jump.current = -Infinity;
    };
    addEventListener("keydown", pressed, true);
    return () => removeEventListener("keydown", pressed, true);
  }, []);
  const look = (event) => {
    event.preventDefault();
    if (search.current.value.trim()) { go(...target(search.current.value)); search.current.value = ""; search.current.blur(); }
  };
  const waiting = holds.data?.groups ? holds.data.groups.reduce((sum, each) => sum + each.holds, 0) : holds.data?.holds.length;
  const { View } = loaded;
  const mine = at.view === "url" ? "bans" : at.view;
  return html`<${Session.Provider} value=${{ me, toast }}><a class="skip" href="#main" onClick=${(e) => { e.preventDefault(); document.querySelector("main h1")?.focus(); }}>To the content</a>
    <div class="app"><nav aria-label="Views"><div class="brand"><i></i>edgeban</div>
      ${VIEWS.map(([name, title]) => html`<a href=${link(name)} aria-current=${name === mine ? "page" : undefined}>${title}${name === "queue" && waiting ? html`<span class="count">${number(waiting)}<span class="unseen"> holds</span></span>` : ""}</a>`)}
      <footer>${me.stage}<br/>${me.version}<br/><button class="plain" onClick=${() => setHelp(true)}>Keys <kbd>?</kbd></button></footer></nav>
    <div class="side"><header><form class="search" role="search" onSubmit=${look}><input ref=${search} aria-label="Look up a URL, host, report or task" placeholder="URL, host, report or task" spellcheck=${false} autocomplete="off"/><kbd aria-hidden="true">/</kbd></form>
      <div class="right">${health.error?.kind === "offline" ? html`<${State} of="failed">not reached</${State}>` : running(health.data?.accounts ?? [])}
        <span class="muted asof">${health.at ? `as of ${clock(health.at)} UTC` : ""}</span><span class="who">${visible(me.name)} <span class="muted">${me.role}</span></span><button class="plain" onClick=${leave}>Sign out</button></div></header>
    <main id="main">${View && loaded.name === at.view ? html`<${View} key=${`${at.view}/${at.id}`} id=${at.id} query=${at.query}/>` : loaded.problem && html`<div class="problem broken" role="alert"><p>${loaded.problem}</p><button onClick=${() => location.reload()}>Load again</button></div>`}</main></div></div>
    <div class="toasts" role="status" aria-live="polite">${said && html`<div class="toast">${said.text} ${said.after}</div>`}</div>
    ${help && html`<${Dialog} title="Keys" close=${() => setHelp(false)}><dl class="keylist">${KEYS.map(([key, what]) => html`<dt><kbd>${key}</kbd></dt><dd>${what}</dd>`)}</dl></${Dialog}>`}</${Session.Provider}>`;
}

function App() {
  const [me, setMe] = useState(null);
  const [note, setNote] = useState("");
  const [began, setBegan] = useState(!token());
  const leave = useCallback((why = "") => {
    keepToken("");
    sessionStorage.clear();
    forget();
    setMe(null);
    setNote(typeof why === "string" ? why : "");
  }, []);
  const enter = async (given) => {
    const known = await call("GET", "me", { as: given });
    keepToken(given);
    setMe(known);
  };
  useEffect(() => {
    onSignedOut(() => leave("Your token is no longer known. Sign in again."));
    if (token()) enter(token()).catch((error) => { if (error.kind !== "signed_out") setNote(error.message); }).finally(() => setBegan(true));
  }, []);
  useEffect(() => {
    if (!me) return undefined;
    let last = Date.now();
    const seen = () => { last = Date.now(); };
    const timer = setInterval(() => { if (Date.now() - last >= IDLE_MS) leave("Locked after 15 minutes without a key or a click."); }, 1000);
    for (const kind of ["keydown", "pointerdown"]) addEventListener(kind, seen, true);
    return () => { clearInterval(timer); for (const kind of ["keydown", "pointerdown"]) removeEventListener(kind, seen, true); };
  }, [me]);
  if (me) return html`<${Frame} me=${me} leave=${leave}/>`;
  return began && html`<${SignIn} note=${note} enter=${enter}/>`;
}

const root = document.getElementById("app");
root.replaceChildren();
render(html`<${App}/>`, root);
