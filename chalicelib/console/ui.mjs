/** The few parts of which every view is made. */
import { createContext, h } from "./preact.mjs";
import { useContext, useEffect, useRef, useState } from "./hooks.mjs";
import htm from "./htm.mjs";
import { ago, clock, count, defanged, full, moment, parts, visible } from "./text.mjs";

export const html = htm.bind(h);

/** Who is signed in, and what shows a toast. */
export const Session = createContext({});
export const useSession = () => useContext(Session);
const ROLES = ["reader", "operator", "approver"];
/** Whether the role suffices, as the server will say. An unknown role is let through: the server decides. */
export const may = (me, role) => ROLES.indexOf(me.role) < 0 || ROLES.indexOf(me.role) >= ROLES.indexOf(role);

/** An address inside the console. */
export const link = (view, query = {}) => {
  const filled = Object.entries(query).filter(([, value]) => value !== "" && value != null);
  return `#/${view}${filled.length ? `?${new URLSearchParams(filled)}` : ""}`;
};
export const go = (view, query) => { location.hash = link(view, query).slice(1); };

const SIGNS = {
  banned: "banned", pending: "working", processing: "working", held: "held", rejected: "failed", failed: "failed", suppressed: "none",
  unbanned: "none", expired: "none", running: "ok", paused: "held", blocked: "failed", submitting: "working", succeeded: "ok",
  archived: "ok", wanted: "none", creating: "working", polling: "working", downloading: "working", waiting: "working", delivered: "ok",
  none: "none", ban: "banned", hold: "held", duplicate: "none", approved: "ok", refused: "failed", done: "ok",
};
/** A state: a word with a sign and a colour. */
export const State = ({ of, children }) => html`<span class=${`state ${SIGNS[of] ?? "none"}`}>${children ?? visible(of)}</span>`;

const SHOWN = 180;
/** A URL as text: scheme faint, host strong, never a link out. `to` leads to what edgeban knows of it. */
export function Url({ url, to = true, scheme = false }) {
  const [whole, setWhole] = useState(false);
  const split = parts(visible(url));
  const rest = whole ? split.rest : split.rest.slice(0, SHOWN);
  const left = split.rest.length - rest.length;
  const text = html`<span class="url">${scheme || split.scheme !== "https://" ? html`<span>${split.scheme}</span>` : ""}<b>${split.host}</b>${rest}</span>`;
  const more = left > 0 && html` <button class="more" onClick=${() => setWhole(true)}>… ${count(left, "more character")}</button>`;
  return to ? html`<span><a class="quiet" href=${link("url", { url })} title="What edgeban knows of it">${text}</a>${more}</span>` : html`<span>${text}${more}</span>`;
}

export const When = ({ at, relative = false }) => html`<time datetime=${at ?? ""} title=${full(at)}>${relative ? ago(at) : moment(at)}</time>`;

export const Panel = ({ title, aside, kind = "", children }) => html`<section class=${`panel ${kind}`} aria-label=${title}>
  ${title && html`<div class="title"><h2>${title}</h2>${aside && html`<span class="aside">${aside}</span>`}</div>`}${children}</section>`;

/** A table. A column: [heading, cell, class]. */
export function Table({ caption, columns, rows, keyOf = (_, i) => i, mark = () => "" }) {
  return html`<div class="scroll" tabindex="0" role="region" aria-label=${caption}><table><caption class="unseen">${caption}</caption>
    <thead><tr>${columns.map(([heading, , kind = ""]) => html`<th scope="col" class=${kind}>${heading || html`<span class="unseen">Choice</span>`}</th>`)}</tr></thead>
    <tbody>${rows.map((row, i) => html`<tr key=${keyOf(row, i)} class=${mark(row)}>${columns.map(([, cell, kind = ""]) => html`<td class=${kind}>${cell(row)}</td>`)}</tr>`)}</tbody></table></div>`;
}

export const More = ({ list, shown }) => html`${list.more && html`<div class="foot"><button onClick=${list.more}>Show more</button> <span class="muted">${shown}</span></div>`}
  ${list.moreError && html`<${Problem} error=${list.moreError} retry=${list.more}/>`}`;

export const Empty = ({ title, children }) => html`<div class="empty"><b>${title}</b><p>${children}</p></div>`;

const HEADINGS = {
  offline: "edgeban is not reached", forbidden: "Your role does not allow this", absent: "This edgeban does not answer this yet",
  gone: "There is no such thing", broken: "edgeban could not answer", refused: "edgeban refused the question", conflict: "Somebody was quicker",
};
export function Problem({ error, retry }) {
  const advice = {
    absent: "The console asks a route that the deployed version does not have. Deploy the current version.",
    offline: "The last answers stay below. The console tries again by itself.",
  }[error.kind] ?? visible(error.message);
  return html`<div class=${`problem ${error.kind}`} role="alert"><b>${HEADINGS[error.kind] ?? "That did not work"}</b><p>${advice}</p>
    ${error.requestId && html`<p class="muted">request <code>${error.requestId}</code></p>`}
    ${retry && !["forbidden", "absent"].includes(error.kind) && html`<button onClick=${retry}>Try again</button>`}</div>`;
}

/** Show one answer in each of its states: not there yet, failed, old, there. `children` draws the data. */
export function Answer({ of, children, lines = 6 }) {
  const [slow, setSlow] = useState(false);
  const waits = !of.data && !of.error;
  useEffect(() => {
    const timer = waits ? setTimeout(() => setSlow(true), 300) : 0;
    return () => { clearTimeout(timer); setSlow(false); };
  }, [waits]);
  if (waits) return html`<div class="skeleton" aria-busy="true" aria-live="polite">${slow && html`<span class="unseen">Loading</span>${Array.from({ length: lines }, () => html`<i></i>`)}`}</div>`;
  if (!of.data) return html`<${Problem} error=${of.error} retry=${of.reload}/>`;
  return html`${of.error && html`<${Problem} error=${of.error} retry=${of.reload}/>`}<div class=${of.error ? "old" : "fresh"}>
    ${of.error && html`<p class="muted age">As of ${clock(of.at)} UTC, ${ago(of.at)}.</p>`}${children(of.data)}</div>`;
}

/** The head of a view: its one h1, filters, and what may be done. */
export function Head({ title, chips, children, says }) {
  useEffect(() => { document.title = `${title} · edgeban`; }, [title]);
  return html`<div class="head"><h1 tabindex="-1">${title}</h1>${chips}<span class="actions">${children}</span></div>${says && html`<p class="says" aria-live="polite">${says}</p>`}`;
}

export const Chip = ({ on, href, children }) => html`<a class=${`chip ${on ? "on" : ""}`} aria-current=${on ? "true" : undefined} href=${href}>${children}</a>`;

/** A form of filters: text fields and choices, written into the address. */
export function Filters({ view, query, fields }) {
  const send = (event) => {
    event.preventDefault();
    go(view, Object.fromEntries(new FormData(event.currentTarget)));
  };
  return html`<form class="filters" role="search" onSubmit=${send} key=${JSON.stringify(query)}>
    ${fields.map(([name, label, kind = "text"]) => html`<label><span>${label}</span>${Array.isArray(kind)
      ? html`<select name=${name} onChange=${(e) => e.currentTarget.form.requestSubmit()}>${kind.map(([value, text]) => html`<option value=${value} selected=${value === (query[name] ?? "")}>${text}</option>`)}</select>`
      : html`<input name=${name} type=${kind} value=${kind === "date" ? (query[name] ?? "").slice(0, 10) : query[name] ?? ""} spellcheck=${false} autocomplete="off"/>`}</label>`)}
    <button>Show</button>${Object.values(query).some(Boolean) && html`<a class="clear" href=${link(view)}>Clear</a>`}</form>`;
}

/** A modal dialog of the browser: it keeps the focus and closes by Escape. */
export function Dialog({ title, close, children, wide = false }) {
  const box = useRef(null);
  useEffect(() => {
    const back = document.activeElement;
    box.current.showModal();
    return () => back?.focus?.();
  }, []);
  return html`<dialog ref=${box} class=${wide ? "wide" : ""} aria-label=${title} onClose=${close} onClick=${(e) => e.target === box.current && close()}>
    <div class="title"><h2>${title}</h2><button class="icon" aria-label="Close" onClick=${close}>✕</button></div>${children}</dialog>`;
}

const REASONS = "edgeban.reasons";
export const reasons = () => JSON.parse(sessionStorage.getItem(REASONS) ?? "[]");
export const keepReason = (reason) => sessionStorage.setItem(REASONS, JSON.stringify([reason, ...reasons().filter((each) => each !== reason)].slice(0, 6)));

/** The reason that is recorded with a decision; the last ones of this tab are offered. */
export const Reason = ({ value, set, id = "reason", placeholder = "Reason, for instance a ticket: it is recorded" }) => html`<input id=${id} class="reason" list=${`${id}-last`}
    aria-label="Reason" placeholder=${placeholder} maxlength="500" value=${value} onInput=${(e) => set(e.currentTarget.value)} autocomplete="off"/>
  <datalist id=${`${id}-last`}>${reasons().map((each) => html`<option value=${each}></option>`)}</datalist>`;

export function Copy({ url }) {
  const { toast } = useSession();
  const copy = async () => { await navigator.clipboard.writeText(defanged(url)); toast("Copied, with its link broken."); };
  return html`<button onClick=${copy}>Copy defanged</button>`;
}

export const Bar = ({ used, limit }) => {
  const share = limit ? Math.min(100, Math.round((100 * used) / limit)) : 0;
  return html`<span class="bar" aria-hidden="true"><i class=${share >= 90 ? "full" : ""} style=${{ width: `${share}%` }}></i></span>${share} %`;
};
