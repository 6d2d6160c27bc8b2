/** Overview: what waits, what is in force, how fast, what is wrong. */
import { useEffect, useState } from "./hooks.mjs";
import { call, useApi } from "./api.mjs";
import { Answer, Bar, Dialog, Empty, Head, html, link, may, Panel, Reason, State, Table, useSession, When } from "./ui.mjs";
import { ago, count, number, span, visible } from "./text.mjs";
import { Doing } from "./audit.mjs";

const sum = (list, of) => list.reduce((total, each) => total + (of(each) ?? 0), 0);
const HOUR = 3600;

function Tile({ kind = "", title, href, value, children }) {
  return html`<section class=${`panel tile ${kind}`}><h2>${title}</h2><strong><a class="quiet" href=${href}>${value}</a></strong><small>${children}</small></section>`;
}

function troubles(data) {
  const list = data.accounts.filter((each) => each.state !== "running").map((each) => ({
    href: link("tasks", {}), text: `${visible(each.account)}: ${each.state === "paused" ? `paused by ${visible(each.by)}` : visible(each.reason || "the vendor refuses")}, ${count(each.waiting.urls, "URL")} wait`,
  }));
  const dead = data.dead_letters ? (data.dead_letters.reports ?? 0) + (data.dead_letters.submit ?? 0) : 0;
  if (dead) list.push({ href: link("reports"), text: `${count(dead, "dead letter")}: run make redrive` });
  if (data.exports?.late) list.push({ href: link("exports"), text: `${count(data.exports.late, "export day")} late` });
  if (data.exports?.failed) list.push({ href: link("exports"), text: `${count(data.exports.failed, "export day")} failed` });
  return list;
}

function Tiles({ data }) {
  const holds = sum(data.accounts, (each) => each.holds.count), held = sum(data.accounts, (each) => each.holds.urls);
  const overdue = sum(data.accounts, (each) => each.holds.overdue);
  const oldest = Math.max(0, ...data.accounts.map((each) => each.holds.oldest_seconds ?? 0));
  const hour = data.last_hour ?? {}, bad = troubles(data);
  const tomorrow = new Date(Date.now() + 86400000).toISOString(), hourAgo = new Date(Date.now() - 3600000).toISOString();
  return html`<div class="tiles">
    <${Tile} kind=${holds ? "wait" : ""} title="Waits for a person" href=${link("queue")} value=${count(held, "URL")}>${holds ? html`in ${count(holds, "hold")}, oldest ${span(oldest)}${overdue ? `, ${number(overdue)} overdue` : ""}. <a href=${link("queue")}>Review</a>` : "Nothing waits for a person."}</${Tile}>
    <${Tile} title="In force" href=${link("bans")} value=${data.bans_in_force == null ? "–" : count(data.bans_in_force, "ban")}><a href=${link("bans", { ends_before: tomorrow.slice(0, 10), sort: "until" })}>Which end first</a>${data.unbans_under_way ? html`; <a href=${link("audit", { action: "unban" })}>${count(data.unbans_under_way, "unban")} under way</a>` : ""}</${Tile}>
    <${Tile} title="From report to ban, last hour" href=${link("reports")} value=${hour.p50 == null ? "–" : span(hour.p50)}>${hour.p50 == null ? "No ban in the last hour." : `median; 95 % in ${span(hour.p95)}.`} <a href=${link("sources")}>${number(hour.reported)} reported</a>, <a href=${link("bans", { since: hourAgo })}>${number(hour.banned)} banned</a></${Tile}>
    <${Tile} kind=${bad.length ? "bad" : ""} title="Trouble" href=${bad[0]?.href ?? link("overview")} value=${bad.length ? count(bad.length, "thing") : "none"}>${bad.length ? html`${bad.slice(0, 2).map((each, i) => html`${i ? html`<br/>` : ""}<a href=${each.href}>${each.text}</a>`)}${bad.length > 2 ? html`<br/>and ${bad.length - 2} more` : ""}` : "All accounts run, no export is late, no message has failed for good."}</${Tile}></div>`;
}

/** Pause or resume, with a reason. */
export function Switch({ account, paused, close }) {
  const { toast } = useSession();
  const [reason, set] = useState(""), [error, setError] = useState(null);
  const send = async (event) => {
    event.preventDefault();
    try {
      await call("POST", paused ? "resume" : "pause", { body: { reason, ...(account ? { account } : {}) } });
      toast(`${account ? visible(account) : "Every account"} ${paused ? "runs again" : "is paused"}.`);
      close();
    } catch (problem) { setError(problem); }
  };
  const what = `${paused ? "Resume" : "Pause"} ${account ? visible(account) : "every account"}`;
  return html`<${Dialog} title=${what} close=${close}><form class="body" onSubmit=${send}><p>${paused ? "What waits is sent." : "Nothing is lost: bans wait in the ledger. Unbans go on."}</p>
    <${Reason} value=${reason} set=${set} id="switch-reason"/>${error && html`<p class="wrong" role="alert">${visible(error.message)}</p>`}<div class="buttons"><button class=${paused ? "primary" : "danger"} disabled=${!reason.trim()}>${what}</button></div></form></${Dialog}>`;
}

function Accounts({ data }) {
  const counts = useApi("bans/counts", { by: "account" });
  const inForce = (name) => counts.data && (counts.data.counts.find((each) => each.value === name)?.bans ?? 0);
  const { me } = useSession();
  const [switched, setSwitched] = useState(null);
  const cap = (each) => each.caps?.find((one) => one.limit) ?? null;
  const columns = [
    ["Account", (a) => html`<a class="quiet" href=${link("bans", { account: a.account })}><b>${visible(a.account)}</b></a>`],
    ["State", (a) => html`<${State} of=${a.state}>${a.state}</${State}>${a.state !== "running" ? html`<div class="small muted">${a.by ? `by ${visible(a.by)}, ${ago(a.since)}: ` : ""}${visible(a.reason)}${a.until ? html`, tried again ${ago(a.until)}` : ""}</div>` : ""}`],
    ["Waiting", (a) => html`<a class="quiet" href=${link("tasks", { account: a.account })}>${number(a.waiting.urls)}</a>${a.waiting.oldest_seconds ? html`<div class="small muted">${span(a.waiting.oldest_seconds)}</div>` : ""}`, "num"],
    ["Under way", (a) => html`<a class="quiet" href=${link("tasks", { account: a.account })}>${number(a.tasks_under_way)}</a>`, "num hide"],
    ["Held", (a) => html`<a class="quiet" href=${link("queue", { account: a.account })}>${number(a.holds.urls)}</a>`, "num hide"],
    ["In force", (a) => html`<a class="quiet" href=${link("bans", { account: a.account })}>${inForce(a.account) == null ? "–" : number(inForce(a.account))}</a>`, "num hide"],
    ["Cap used", (a) => (cap(a) ? html`<span title=${`${visible(cap(a).cap)}: ${number(cap(a).used)} of ${number(cap(a).limit)}`}><${Bar} ...${cap(a)}/></span>` : html`<span class="muted">no cap</span>`), "hide"],
  ];
  if (may(me, "operator")) columns.push(["", (a) => html`<button class="plain" onClick=${() => setSwitched(a)}>${a.state === "running" ? "Pause" : "Resume"}</button>`, "num"]);
  return html`<${Table} caption="Vendor accounts" columns=${columns} rows=${data.accounts} keyOf=${(a) => a.account}/>
    ${switched && html`<${Switch} account=${switched.account} paused=${switched.state !== "running"} close=${() => setSwitched(null)}/>`}`;
}

/** Sum the series of an answer by its buckets. */
export function byBucket(series, names) {
  const buckets = new Map();
  for (const each of series) {
    const at = Date.parse(each.bucket.length === 10 ? `${each.bucket}T00:00:00Z` : each.bucket) / 1000;
    const sums = buckets.get(at) ?? names.map(() => 0);
    buckets.set(at, names.map((name, i) => sums[i] + (each[name] ?? 0)));
  }
  const times = [...buckets.keys()].sort((a, b) => a - b);
  return { times, columns: names.map((_, i) => times.map((at) => buckets.get(at)[i])) };
}

function Flow() {
  const [Chart, setChart] = useState(null);
  const today = new Date().toISOString().slice(0, 10), yesterday = new Date(Date.now() - 86400000).toISOString().slice(0, 10);
  const stats = useApi("stats", { from: yesterday, to: today, by: "source", bucket: "hour" });
  useEffect(() => { import("./chart.mjs").then((module) => setChart(() => module.Chart)); }, []);
  return html`<${Answer} of=${stats} lines=${5}>${(data) => {
    const { times, columns } = byBucket(data.series, ["reported", "banned", "hold"]);
    if (!times.length) return html`<div class="title"><h2>Reports become bans</h2></div><${Empty} title="Nothing was reported yesterday or today.">Once a source reports, its hours are drawn here.</${Empty}>`;
    const whole = [];
    for (let at = times[0]; at <= Date.now() / 1000; at += HOUR) whole.push(at);
    const spread = columns.map((values) => whole.map((at) => values[times.indexOf(at)] ?? 0));
    return Chart && html`<${Chart} caption="Reports become bans, an hour" times=${whole} label=${(at) => new Date(at * 1000).toISOString().slice(11, 16)} series=${[
      { name: "reported", colour: "--muted", values: spread[0] }, { name: "banned", colour: "--accent", fill: "--accent-soft", values: spread[1] }, { name: "held", colour: "--wait", values: spread[2] },
    ]}/>`;
  }}</${Answer}>`;
}

export default function Overview() {
  const { me } = useSession();
  const overview = useApi("overview"), audit = useApi("audit", { limit: 8 });
  const [all, setAll] = useState(false);
  return html`<${Head} title="Overview">${may(me, "operator") && html`<button class="danger" onClick=${() => setAll(true)}>Pause every account</button>`}</${Head}>
    <${Answer} of=${overview}>${(data) => html`<${Tiles} data=${data}/>`}</${Answer}>
    <${Panel}><${Flow}/></${Panel}>
    <${Panel} title="Accounts"><${Answer} of=${overview}>${(data) => html`<${Accounts} data=${data}/>`}</${Answer}></${Panel}>
    <${Panel} title="Last decisions" aside=${html`<a href=${link("audit")}>Audit</a>`}><${Answer} of=${audit}>${(data) => (data.decisions.length
      ? html`<ol class="timeline">${data.decisions.map((each) => html`<li class="person"><${When} at=${each.at}/><i></i><span><${Doing} decision=${each}/></span></li>`)}</ol>`
      : html`<${Empty} title="Nobody has decided anything yet.">Approvals, unbans and pauses appear here with their reasons.</${Empty}>`)}</${Answer}></${Panel}>
    ${all && html`<${Switch} account="" paused=${false} close=${() => setAll(false)}/>`}`;
}
