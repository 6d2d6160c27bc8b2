/** Audit: what people decided, newest first. */
import { saveCsv, useApi, usePages } from "./api.mjs";
import { Answer, Empty, State, Filters, Head, html, link, More, Panel, Table, Url, useSession, When } from "./ui.mjs";
import { count, number, visible } from "./text.mjs";

const DONE = { approve: "approved", refuse: "refused", unban: "unbanned", ban: "banned", pause: "paused", resume: "resumed", export: "asked for exports of", release: "released", erase: "erased" };

/** What a decision was about, leading there. */
export function About({ about }) {
  const [kind, ...rest] = about.split(":");
  const name = rest.join(":");
  if (kind === "hold") return html`<a href=${link(`queue/${encodeURIComponent(name)}`)}>a hold</a>`;
  if (kind === "task") return html`<a href=${link(`tasks/${encodeURIComponent(name)}`)}>the task ${visible(name)}</a>`;
  if (kind === "report") return html`<a href=${link(`reports/${encodeURIComponent(name)}`)}>the report ${visible(name)}</a>`;
  if (kind === "source") return html`<a href=${link(`sources/${encodeURIComponent(name)}`)}>all of ${visible(name)}</a>`;
  if (kind === "url") return html`<${Url} url=${name}/>`;
  if (kind === "urls") return /^\d+$/.test(name) ? count(Number(name), "URL") : visible(name);
  if (kind === "account") return name === "*" ? "every account" : html`<a href=${link("bans", { account: name })}>${visible(name)}</a>`;
  return visible(about);
}

/** One decision as a sentence. */
export const Doing = ({ decision }) => html`<b><a class="quiet" href=${link("audit", { actor: decision.actor })}>${visible(decision.actor)}</a></b> ${DONE[decision.action] ?? visible(decision.action)} <${About} about=${decision.about}/>${decision.target_count > 1 ? ` (${count(decision.target_count, "URL")})` : ""} <span class="muted">${visible(decision.reason)}</span>`;

/** How far the unbans are: of those that are under way, and the last that are done. */
function Unbans() {
  const unbans = useApi("unbans", { limit: 10 });
  const columns = [
    ["When, UTC", (u) => html`<${When} at=${u.at}/>`], ["Who", (u) => html`<b>${visible(u.by)}</b>`], ["Of", (u) => (typeof u.selection === "string" ? html`<${About} about=${u.selection}/>` : html`<span class="muted">${visible(JSON.stringify(u.selection))}</span>`), "wide"],
    ["URLs", (u) => number(u.urls), "num hide"], ["Failed", (u) => (u.failed ? html`<a href=${link("tasks", { day: u.at.slice(0, 10) })}>${number(u.failed)}</a>` : "–"), "num"], ["State", (u) => html`<${State} of=${u.complete ? "done" : "processing"}>${u.complete ? "done" : u.waits ? "waits for a second person" : "under way"}</${State}>`],
  ];
  return html`<${Panel} title="Unbans"><${Answer} of=${unbans} lines=${2}>${(data) => (data.unbans.length ? html`<${Table} caption="How far unbans are" columns=${columns} rows=${data.unbans} keyOf=${(u) => u.unban_id}/>` : html`<${Empty} title="No unban is under way.">One that takes longer than a request is followed here to its end.</${Empty}>`)}</${Answer}></${Panel}>`;
}

export default function Audit({ query }) {
  const { toast } = useSession();
  const list = usePages("audit", { ...query, limit: 100 }, "decisions");
  const columns = [
    ["When, UTC", (d) => html`<${When} at=${d.at}/>`], ["Who", (d) => html`<b>${visible(d.actor)}</b>`], ["Did", (d) => DONE[d.action] ?? visible(d.action)], ["About", (d) => html`<${About} about=${d.about}/><div class="phone small muted">${visible(d.reason)}</div>`],
    ["After", (d) => html`<span class="muted">${visible(d.after)}</span>`, "hide"], ["Reason", (d) => visible(d.reason), "wide hide"],
  ];
  const save = () => saveCsv("audit", query, "edgeban-audit.csv").catch((error) => toast(error.message));
  return html`<${Head} title="Audit"><button onClick=${save}>Save as CSV</button></${Head}>
    <${Filters} view="audit" query=${query} fields=${[["actor", "Who"], ["action", "Did", [["", "anything"], ...Object.entries(DONE)]], ["about", "About"], ["day", "Day, UTC", "date"]]}/>
    <${Panel}><${Answer} of=${list}>${() => (list.items.length
      ? html`<${Table} caption="Decisions" columns=${columns} rows=${list.items}/><${More} list=${list} shown=${`${list.items.length} shown`}/>`
      : html`<${Empty} title="Nobody decided anything that matches.">Every approval, refusal, unban, ban by hand, pause and resume is kept here with its reason.</${Empty}>`)}</${Answer}></${Panel}>
    <${Unbans}/>`;
}
