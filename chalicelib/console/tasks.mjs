/** Tasks: under way, or by day; one task with its parts and the vendor's words. */
import { useState } from "./hooks.mjs";
import { usePages } from "./api.mjs";
import { Answer, Chip, Empty, Filters, Head, html, link, may, More, Panel, State, Table, Url, useSession, When } from "./ui.mjs";
import { count, number, span, visible } from "./text.mjs";
import { Unban } from "./unban.mjs";

const took = (task) => (task.submitted_at && task.finished_at ? span((Date.parse(task.finished_at) - Date.parse(task.submitted_at)) / 1000) : "–");

const COLUMNS = [
  ["Made, UTC", (t) => html`<${When} at=${t.created_at}/>`], ["Task", (t) => html`<a href=${link(`tasks/${encodeURIComponent(t.task_id)}`)}><code>${visible(t.task_id)}</code></a>`, "wide hide"],
  ["At", (t) => visible(t.account)], ["Asks for", (t) => html`<a class="quiet" href=${link(`tasks/${encodeURIComponent(t.task_id)}`)}>${t.action} of ${count(t.urls, "URL")}</a>`], ["State", (t) => html`<${State} of=${t.state}/>${t.reason ? html`<div class="small muted">${visible(t.reason)}</div>` : ""}`], ["Took", (t) => took(t), "num hide"],
];

function Task({ id }) {
  const { me } = useSession();
  const task = usePages(`tasks/${encodeURIComponent(id)}`, {}, "urls_carried");
  const [undo, setUndo] = useState(false), [shown, setShown] = useState(200);
  return html`<${Head} title="Task"><a class="chip" href=${link("tasks")}>all tasks</a>${may(me, "operator") && task.data?.action === "ban" && html`<button class="danger" onClick=${() => setUndo(true)}>Undo the task</button>`}</${Head}>
    <${Answer} of=${task}>${(data) => html`<div class="panel verdict"><code>${visible(data.task_id)}</code><div class="says"><${State} of=${data.state}/> ${data.action === "ban" ? "Ban" : "Unban"} of ${count(data.urls, "URL")} at ${visible(data.account)}${data.ban_days ? ` for ${count(data.ban_days, "day")}` : ""}.</div>
        <div class="muted">${data.vendor_task_id ? html`The vendor calls it <code>${visible(data.vendor_task_id)}</code>. ` : "The vendor has given it no id. "}${data.reason ? `It says: ${visible(data.reason)}. ` : ""}${data.withheld ? `Never sent: ${visible(data.withheld)}. ` : ""}Took ${took(data)}.</div>
        ${data.verification && html`<div class="muted">The edge blocked ${number(data.verification.blocked)} of ${count(data.verification.sampled, "sampled URL")}.</div>`}</div>
      ${(data.parent || data.children.length > 0) && html`<${Panel} title="Parts"><ul class="list tree">${data.parent && html`<li>split from <a href=${link(`tasks/${encodeURIComponent(data.parent)}`)}><code>${visible(data.parent)}</code></a></li>`}${data.children.map((child) => html`<li>carried on by <a href=${link(`tasks/${encodeURIComponent(child)}`)}><code>${visible(child)}</code></a></li>`)}</ul></${Panel}>`}
      <${Panel} title="URLs"><ul class="list">${task.items.slice(0, shown).map((url) => html`<li><${Url} url=${url}/></li>`)}</ul>${task.items.length > shown ? html`<div class="foot"><button onClick=${() => setShown(Infinity)}>Show all ${number(task.items.length)}</button></div>` : html`<${More} list=${task} shown=${`${number(task.items.length)} of ${number(data.urls)}`}/>`}</${Panel}>`}</${Answer}>
    ${undo && html`<${Unban} title="Undo the task" selection=${{ task_id: id }} close=${() => setUndo(false)} done=${task.reload}/>`}`;
}

function Tasks({ query }) {
  const { account = "", ...asked } = query;
  const list = usePages("tasks", { ...asked, limit: 200 }, "tasks");
  const rows = list.items.filter((task) => !account || task.account === account).reverse();
  const today = new Date().toISOString().slice(0, 10);
  const chips = html`<${Chip} on=${!query.day} href=${link("tasks", { account })}>under way</${Chip}><${Chip} on=${query.day === today} href=${link("tasks", { day: today, account })}>ended today</${Chip}>${account && html`<${Chip} on href=${link("tasks", asked)}>${visible(account)}</${Chip}>`}`;
  return html`<${Head} title="Tasks" chips=${chips} says=${list.data ? `${count(rows.length, "task")} ${query.day ? `ended on ${query.day}` : "under way"}${list.more ? " at the least" : ""}.` : ""}/>
    <${Filters} view="tasks" query=${query} fields=${[["day", "Ended on, UTC", "date"], ["account", "CDN account"]]}/>
    <${Panel}><${Answer} of=${list}>${() => (rows.length ? html`<${Table} caption="Tasks" columns=${COLUMNS} rows=${rows} keyOf=${(t) => t.task_id}/><${More} list=${list} shown=${`${list.items.length} read`}/>`
      : html`<${Empty} title=${query.day ? "No task ended on this day." : "No task is under way."}>${query.day ? "" : html`The vendors have answered everything. <a href=${link("tasks", { day: today })}>What ended today</a>.`}</${Empty}>`)}</${Answer}></${Panel}>`;
}

export default ({ id, query }) => (id ? html`<${Task} id=${id}/>` : html`<${Tasks} query=${query}/>`);
