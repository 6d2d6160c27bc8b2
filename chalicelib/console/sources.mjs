/** Sources: the reports of each, their results, and how to undo them. */
import { useEffect, useState } from "./hooks.mjs";
import { call, useApi, usePages } from "./api.mjs";
import { Answer, Empty, Head, html, link, may, More, Panel, State, Table, useSession, When } from "./ui.mjs";
import { count, number, visible } from "./text.mjs";
import { Unban } from "./unban.mjs";
import { byBucket } from "./overview.mjs";

const DAYS = 30;
const utc = (local) => new Date(`${local}:00Z`).toISOString();
const isoDay = (before = 0) => new Date(Date.now() - before * 86400000).toISOString().slice(0, 10);

/** Thirty days of one source as a line; the table beside it has the numbers of today. */
function Spark({ values }) {
  const top = Math.max(1, ...values), step = 96 / Math.max(1, values.length - 1);
  const points = values.map((value, i) => `${(i * step).toFixed(1)},${(19 - (18 * value) / top).toFixed(1)}`).join(" ");
  return html`<svg class="spark" viewBox="0 0 96 20" width="96" height="20" role="img" aria-label=${`${number(values.reduce((a, b) => a + b, 0))} URLs in ${values.length} days`}><polyline points=${points}/></svg>`;
}

const trust = (source) => [source.dry_run && "rehearsal", source.trust && source.trust !== "default" && visible(source.trust)].filter(Boolean).join(", ");

function List() {
  const sources = useApi("sources");
  const stats = useApi("stats", { from: isoDay(DAYS - 1), to: isoDay(), by: "source", bucket: "day" }, { poll: false });
  const spark = (name) => Array.from({ length: DAYS }, (_, i) => isoDay(DAYS - 1 - i)).map((day) => (stats.data?.series ?? []).filter((each) => each.value === name && each.bucket.slice(0, 10) === day).reduce((sum, each) => sum + (each.reported ?? 0), 0));
  const undone = ({ banned, undone, undone_share: share }) => (share === null ? number(undone) : `${number(undone)} of ${number(banned)} (${Math.round(1000 * share) / 10} %)`);
  const today = (name, to) => (s) => html`<a class="quiet" href=${to(s.name)}>${number(s.today?.[name])}</a>`;
  const reports = (source) => link("reports", { source, day: isoDay() });
  const columns = [
    ["Source", (s) => html`<a class="quiet" href=${link(`sources/${encodeURIComponent(s.name)}`)}><b>${visible(s.name)}</b></a><div class="small muted">${visible(s.auth)}, ${visible(s.format ?? "any format")}${trust(s) ? `, ${trust(s)}` : ""}</div>`],
    ["Messages", today("messages", reports), "num hide"], ["Today", today("reported", reports), "num"],
    ["to ban", today("ban", (source) => link("bans", { source, since: isoDay() })), "num"], ["held", today("hold", (source) => link("queue", { source })), "num"],
    ["repeats", today("duplicate", reports), "num hide"], ["rejected", today("rejected", reports), "num hide"],
    ["30 days", (s) => stats.data && html`<${Spark} values=${spark(s.name)}/>`, "hide"], ["Undone", (s) => s.last_30_days && html`<a class="quiet muted" href=${link("audit", { about: `source:${s.name}` })}>${undone(s.last_30_days)}</a>`, "num hide"],
  ];
  return html`<${Head} title="Sources" says=${sources.data ? `${count(sources.data.sources.length, "source")} ${sources.data.sources.length === 1 ? "is" : "are"} set up; ${number(sources.data.sources.reduce((sum, each) => sum + (each.today?.reported ?? 0), 0))} URLs reported today.` : ""}/>
    <${Panel}><${Answer} of=${sources}>${(data) => (data.sources.length ? html`<${Table} caption="Sources" columns=${columns} rows=${data.sources} keyOf=${(s) => s.name}/>` : html`<${Empty} title="No source is set up.">Make one with <code>edgeban source new NAME</code>: it prints the entry for the secret.</${Empty}>`)}</${Answer}></${Panel}>`;
}

function Source({ name }) {
  const { me, toast } = useSession();
  const sources = useApi("sources");
  const stats = useApi("stats", { from: isoDay(DAYS - 1), to: isoDay(), by: "source", bucket: "day" }, { poll: false });
  const callbacks = usePages("callbacks", { source: name, limit: 50 }, "callbacks");
  const [undo, setUndo] = useState(null), [since, setSince] = useState(""), [until, setUntil] = useState(""), [host, setHost] = useState(""), [Chart, setChart] = useState(null);
  useEffect(() => { import("./chart.mjs").then((module) => setChart(() => module.Chart)); }, []);
  const start = (event) => { event.preventDefault(); setUndo({ source: name, ...(host.trim() ? { host: host.trim() } : {}), ...(since ? { since: utc(since) } : {}), ...(until ? { until_time: utc(until) } : {}) }); };
  const resend = (id) => call("POST", `callbacks/${encodeURIComponent(id)}/resend`, { body: {} }).then(() => { toast("The outcome is sent again."); callbacks.reload(); }, (error) => toast(visible(error.message)));
  const columns = [
    ["Report", (c) => html`<a href=${link(`reports/${encodeURIComponent(c.report_id)}`)}><code>${visible(c.report_id)}</code></a>`, "wide"], ["State", (c) => html`<${State} of=${c.state}/>`], ["Tries", (c) => number(c.attempts), "num hide"], ["Answered", (c) => c.last_status ?? "–", "num hide"],
    ["Received, UTC", (c) => html`<${When} at=${c.received_at}/>`, "hide"], ["Done or next", (c) => html`<${When} at=${c.finished_at ?? c.next_at}/>`, "hide"],
  ];
  if (may(me, "operator")) columns.push(["", (c) => html`<button class="plain" onClick=${() => resend(c.report_id)}>Send again</button>`, "num"]);
  return html`<${Head} title=${visible(name)}><a class="chip" href=${link("sources")}>all sources</a><a class="chip" href=${link("reports", { source: name })}>its reports</a><a class="chip" href=${link("bans", { source: name })}>its bans</a></${Head}>
    <${Answer} of=${sources}>${(data) => {
      const own = data.sources.find((each) => each.name === name);
      return own ? html`<dl class="panel facts"><div><dt>Signs with</dt><dd>${visible(own.auth)}</dd></div><div><dt>Format</dt><dd>${visible(own.format ?? "by Content-Type")}</dd></div><div><dt>Trust</dt><dd>${trust(own) || "as all"}</dd></div><div><dt>Category</dt><dd>${visible(own.category ?? "as reported")}</dd></div><div><dt>Cap an hour</dt><dd>${own.cap?.limit ? `${number(own.cap.used)} of ${number(own.cap.limit)}` : "none"}</dd></div><div><dt>Hosts</dt><dd>${own.hosts ? visible(own.hosts.join(", ")) : "all managed"}</dd></div><div><dt>Last report</dt><dd>${own.last_report_at ? html`<${When} at=${own.last_report_at} relative/>` : "none in 40 days"}</dd></div><div><dt>Refused today</dt><dd>${own.refused_today ? `${count(own.refused_today.reports, "report")}, ${count(own.refused_today.urls, "URL")} of others` : "–"}</dd></div><div><dt>Undone, 30 days</dt><dd>${own.last_30_days ? `${number(own.last_30_days.undone)} of ${number(own.last_30_days.banned)} bans` : "–"}</dd></div><div><dt>Outcomes go to</dt><dd>${visible(own.callback_host ?? "nobody")}</dd></div></dl>` : html`<${Panel}><${Empty} title="There is no such source.">It may have been removed; its reports stay on record.</${Empty}></${Panel}>`;
    }}</${Answer}>
    <${Panel}><${Answer} of=${stats}>${(data) => {
      const { times, columns: values } = byBucket(data.series.filter((each) => each.value === name), ["reported", "banned", "undone"]);
      return times.length ? Chart && html`<${Chart} caption="Thirty days" times=${times} label=${(at) => new Date(at * 1000).toISOString().slice(5, 10)} series=${[{ name: "reported", colour: "--muted", values: values[0] }, { name: "banned", colour: "--accent", fill: "--accent-soft", values: values[1] }, { name: "undone", colour: "--bad", values: values[2] }]}/>` : html`<${Empty} title="It reported nothing in thirty days.">Its first report is drawn here.</${Empty}>`;
    }}</${Answer}></${Panel}>
    ${may(me, "operator") && html`<${Panel} title="Undo its bans"><form class="filters" onSubmit=${start}><label><span>Since, UTC (empty: all)</span><input type="datetime-local" value=${since} onInput=${(e) => setSince(e.currentTarget.value)}/></label><label><span>Until, UTC (empty: now)</span><input type="datetime-local" value=${until} onInput=${(e) => setUntil(e.currentTarget.value)}/></label><label><span>Host, or .host and all below</span><input value=${host} onInput=${(e) => setHost(e.currentTarget.value)}/></label><button class="danger">Preview the unban</button></form></${Panel}>`}
    <${Panel} title="Outcomes sent to it"><${Answer} of=${callbacks}>${() => (callbacks.items.length ? html`<${Table} caption="Deliveries" columns=${columns} rows=${callbacks.items} keyOf=${(c) => c.report_id}/><${More} list=${callbacks} shown=""/>` : html`<${Empty} title="No outcome was sent.">A source with a callback is told the outcome of each of its reports.</${Empty}>`)}</${Answer}></${Panel}>
    ${undo && html`<${Unban} title=${`Undo ${visible(name)}`} selection=${undo} close=${() => setUndo(null)}/>`}`;
}

export default ({ id }) => (id ? html`<${Source} name=${id}/>` : html`<${List}/>`);
