/** Exports: a vendor's export of illegal URLs, day by day, as archived. */
import { useState } from "./hooks.mjs";
import { call, useApi, usePages } from "./api.mjs";
import { Answer, Chip, Dialog, Empty, Head, html, link, may, Panel, Reason, State, useSession } from "./ui.mjs";
import { count, day, number, visible } from "./text.mjs";

function Again({ account, date, close, done }) {
  const { toast } = useSession();
  const [reason, set] = useState(""), [error, setError] = useState(null);
  const send = async (event) => {
    event.preventDefault();
    try {
      await call("POST", "exports", { body: { account, from: date, to: date, reason } });
      toast(`${day(date)} is asked for again.`);
      done();
      close();
    } catch (problem) { setError(problem); }
  };
  return html`<${Dialog} title=${`Ask again for ${day(date)}`} close=${close}><form class="body" onSubmit=${send}><p>The archive keeps what it has: a new export is stored beside it.</p><${Reason} value=${reason} set=${set} id="export-reason"/>${error && html`<p class="wrong" role="alert">${visible(error.message)}</p>`}<div class="buttons"><button class="primary" disabled=${!reason.trim()}>Ask again</button></div></form></${Dialog}>`;
}

function Day({ data, account, done }) {
  const { me } = useSession();
  const [again, setAgain] = useState(false);
  return html`<${Panel} title=${day(data.day)} aside=${html`<${State} of=${data.state}/>`}><dl class="facts"><div><dt>Rows</dt><dd>${data.rows == null ? "–" : number(data.rows)}</dd></div><div><dt>Rows that could not be read</dt><dd>${number(data.rejected)}</dd></div><div><dt>Tries</dt><dd>${number(data.attempt)}</dd></div>${data.requested_by ? html`<div><dt>Asked for by</dt><dd>${visible(data.requested_by)}</dd></div>` : ""}</dl>
    ${data.reason && html`<p class="body wrong">${visible(data.reason)}</p>`}${data.manifest && html`<p class="body">Manifest: <code>${visible(data.manifest)}</code></p>`}
    ${may(me, "operator") && html`<div class="foot"><button onClick=${() => setAgain(true)}>Ask again</button></div>`}${again && html`<${Again} account=${account} date=${data.day} close=${() => setAgain(false)} done=${done}/>`}</${Panel}>`;
}

function Calendar({ list, query }) {
  const days = list.items.slice(0, 31), failed = days.filter((each) => each.state === "failed"), done = days.filter((each) => each.state === "archived");
  const chosen = list.items.find((each) => each.day === query.day) ?? failed[0] ?? days[0];
  if (!days.length) return html`<${Panel}><${Empty} title="No day is known yet.">The archive asks for each finished day within the vendor's window; the first appears within a day.</${Empty}></${Panel}>`;
  return html`<p class="says" aria-live="polite">${number(done.length)} of ${count(days.length, "day")} archived${failed.length ? `, ${number(failed.length)} failed` : ""}; ${number(days.reduce((sum, each) => sum + (each.rows ?? 0), 0))} rows.</p>
    <div class="two"><${Panel} title="Days, newest first (UTC+8)"><div class="calendar">${days.map((each) => html`<a key=${each.day} class=${`day ${each.state}`} href=${link("exports", { ...query, day: each.day })} aria-current=${each === chosen ? "true" : undefined}><b>${day(each.day)}</b><${State} of=${each.state}/><small>${each.rows == null ? "" : `${number(each.rows)} rows`}</small></a>`)}</div></${Panel}>
    <${Day} key=${chosen.day} data=${chosen} account=${list.data.account} done=${list.reload}/></div>`;
}

export default function Exports({ query }) {
  const health = useApi("health");
  const names = health.data?.accounts?.map((each) => each.account) ?? [];
  const list = usePages("exports", { account: query.account ?? "", limit: 31 }, "days");
  const chips = names.length > 1 ? names.map((name) => html`<${Chip} on=${list.data?.account === name} href=${link("exports", { account: name })}>${visible(name)}</${Chip}>`) : "";
  const none = list.error && ["refused", "gone"].includes(list.error.kind) && !list.data;
  return html`<${Head} title="Exports" chips=${chips}/>${none ? html`<${Panel}><${Empty} title="There is nothing to show of this account.">${visible(list.error.message)}</${Empty}></${Panel}>` : html`<${Answer} of=${list}>${() => html`<${Calendar} list=${list} query=${query}/>`}</${Answer}>`}`;
}
