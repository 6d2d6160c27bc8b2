/** Reports: by source and day, and the state of each URL of one. */
import { useState } from "./hooks.mjs";
import { call, useApi, usePages } from "./api.mjs";
import { Answer, Chip, Empty, Filters, Head, html, link, may, More, Panel, State, Table, Url, useSession, When } from "./ui.mjs";
import { capital, count, day, number, rule, visible } from "./text.mjs";
import { Unban } from "./unban.mjs";

const ORDER = ["banned", "held", "pending", "processing", "suppressed", "unbanned", "expired", "rejected", "failed"];

/** States as one bar, each part named below it. */
function States({ counts }) {
  const total = Object.values(counts).reduce((a, b) => a + b, 0) || 1;
  const there = ORDER.filter((state) => counts[state]);
  return html`<div class="statebar" aria-hidden="true">${there.map((state) => html`<i class=${state} style=${{ flexGrow: counts[state] / total }}></i>`)}</div><div class="legend">${there.map((state) => html`<span><${State} of=${state}>${number(counts[state])} ${state}</${State}></span>`)}</div>`;
}

function Report({ id }) {
  const { me, toast } = useSession();
  const list = usePages(`reports/${encodeURIComponent(id)}`, { limit: 200 }, "urls");
  const [undo, setUndo] = useState(false);
  const resend = () => call("POST", `callbacks/${encodeURIComponent(id)}/resend`, { body: {} }).then(() => toast("The outcome is sent to the source again."), (error) => toast(visible(error.message)));
  const columns = [
    ["URL", (u) => html`<${Url} url=${u.url}/>`, "wide"], ["At", (u) => visible(u.account), "hide"], ["State", (u) => html`<${State} of=${u.state}/>`],
    ["Why", (u) => html`<span class="muted">${u.rule && u.rule !== "default" ? capital(rule(u.rule)) : ""} ${visible(u.reason ?? "")}</span>`], ["Until", (u) => html`<span class="muted">${u.until ? day(u.until) : "–"}</span>`, "num hide"],
  ];
  return html`<${Head} title="Report">${may(me, "operator") && html`<button onClick=${resend}>Send outcome again</button><button class="danger" onClick=${() => setUndo(true)}>Undo the report</button>`}</${Head}>
    <${Answer} of=${list}>${(data) => html`<div class="panel verdict"><code>${visible(data.report_id)}</code><div class="says">${visible(data.source)} reported ${count(data.accepted, "URL")} ${html`<${When} at=${data.received_at} relative/>`}; ${data.complete ? "each has its outcome" : "some have no outcome yet"}.</div>
      ${(data.correlation_id || data.test) && html`<div class="muted">${data.correlation_id ? `Case ${visible(data.correlation_id)}. ` : ""}${data.test ? "A rehearsal: nothing was sent." : ""}</div>`}<${States} counts=${data.counts ?? {}}/></div>
      <${Panel} title="URLs"><${Table} caption="URLs of the report" columns=${columns} rows=${list.items}/><${More} list=${list} shown=${`${list.items.length} shown`}/></${Panel}>`}</${Answer}>
    ${undo && html`<${Unban} title="Undo the report" selection=${{ report_id: id }} close=${() => setUndo(false)} done=${list.reload}/>`}`;
}

function Found({ query }) {
  const sources = useApi("sources", {}, { poll: false });
  const known = sources.data?.sources.map((each) => each.name) ?? [];
  const today = new Date().toISOString().slice(0, 10);
  const asked = query.correlation_id ? { correlation_id: query.correlation_id } : { source: query.source || known[0] || "", day: query.day || today };
  const ready = query.correlation_id || asked.source;
  const { source: of, ...rest } = asked;
  const list = usePages(ready ? "reports" : null, { ...rest, ...(of ? { of } : {}), limit: 100 }, "reports");
  const columns = [
    ["Received, UTC", (r) => html`<${When} at=${r.received_at}/>`], ["Report", (r) => html`<a href=${link(`reports/${encodeURIComponent(r.report_id)}`)}><code>${visible(r.report_id)}</code></a>`, "wide"],
    ["Source", (r) => visible(r.source), "hide"], ["Case", (r) => visible(r.correlation_id ?? ""), "hide"], ["URLs", (r) => number(r.accepted), "num"], ["", (r) => (r.test ? html`<span class="muted">rehearsal</span>` : "")],
  ];
  const chips = known.slice(0, 8).map((name) => html`<${Chip} on=${asked.source === name} href=${link("reports", { source: name, day: query.day })}>${visible(name)}</${Chip}>`);
  return html`<${Head} title="Reports" chips=${chips}/>
    <${Filters} view="reports" query=${query} fields=${[["source", "Source"], ["day", "Day, UTC", "date"], ["correlation_id", "Case"]]}/>
    <${Panel}>${!ready ? html`<${Answer} of=${sources}>${() => html`<${Empty} title="No source is set up.">Add one with <code>edgeban source new</code>.</${Empty}>`}</${Answer}>` : html`<${Answer} of=${list}>${() => (list.items.length
      ? html`<${Table} caption="Reports" columns=${columns} rows=${list.items} keyOf=${(r) => r.report_id}/><${More} list=${list} shown=${`${list.items.length} shown`}/>`
      : html`<${Empty} title=${asked.source ? `${visible(asked.source)} sent no webhook on ${asked.day}.` : "No report has this case."}>Reports that came by the queue are counted on <a href=${link("sources")}>Sources</a>.</${Empty}>`)}</${Answer}>`}</${Panel}>`;
}

export default ({ id, query }) => (id ? html`<${Report} id=${id}/>` : html`<${Found} query=${query}/>`);
