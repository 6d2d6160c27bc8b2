/** Audit: what people decided, newest first; and the unbans, of which some wait for a second person. */
import { useState } from "./hooks.mjs";
import { call, saveCsv, useApi, usePages } from "./api.mjs";
import { Answer, Dialog, Empty, Filters, Head, html, keepReason, link, may, More, Panel, Reason, reasons, State, Table, Url, useSession, When } from "./ui.mjs";
import { count, number, visible } from "./text.mjs";

const DONE = { approve: "approved", refuse: "refused", unban: "unbanned", ban: "banned", pause: "paused", resume: "resumed", export: "asked for exports of", release: "released", cancel: "cancelled", erase: "erased" };

/** What a decision was about, leading there. */
export function About({ about }) {
  const [kind, ...rest] = about.split(":");
  const name = rest.join(":");
  if (kind === "hold") return html`<a href=${link(`queue/${encodeURIComponent(name)}`)}>a hold</a>`;
  if (kind === "task") return html`<a href=${link(`tasks/${encodeURIComponent(name)}`)}>the task ${visible(name)}</a>`;
  if (kind === "report") return html`<a href=${link(`reports/${encodeURIComponent(name)}`)}>the report ${visible(name)}</a>`;
  if (kind === "unban") return html`the unban ${visible(name)}`;
  if (kind === "source") return html`<a href=${link(`sources/${encodeURIComponent(name)}`)}>all of ${visible(name)}</a>`;
  if (kind === "url") return html`<${Url} url=${name}/>`;
  if (kind === "urls") return /^\d+$/.test(name) ? count(Number(name), "URL") : visible(name);
  if (kind === "account") return name === "*" ? "every account" : html`<a href=${link("bans", { account: name })}>${visible(name)}</a>`;
  return visible(about);
}

/** One decision as a sentence. */
export const Doing = ({ decision }) => html`<b><a class="quiet" href=${link("audit", { actor: decision.actor })}>${visible(decision.actor)}</a></b> ${DONE[decision.action] ?? visible(decision.action)} <${About} about=${decision.about}/>${decision.target_count > 1 ? ` (${count(decision.target_count, "URL")})` : ""} <span class="muted">${visible(decision.reason)}</span>`;

/** Approve or cancel an unban that waits, with a reason. */
function Decide({ unban, approves, close, done }) {
  const { toast } = useSession();
  const [reason, set] = useState(reasons()[0] ?? ""), [error, setError] = useState(null), [busy, setBusy] = useState(false);
  const asked = useApi("audit", { action: "unban", day: unban.at.slice(0, 10), limit: 1000 }, { poll: false });
  const urls = asked.data?.decisions.find((each) => each.after === unban.unban_id)?.target_count;
  const send = async (event) => {
    event.preventDefault();
    setBusy(true);
    try {
      const answer = await call("POST", `unbans/${encodeURIComponent(unban.unban_id)}/${approves ? "approve" : "cancel"}`, { body: { reason } });
      keepReason(reason);
      toast(!approves ? "The unban is cancelled: the bans stay." : answer.complete ? `Approved: ${count(answer.urls, "URL")} unbanned.` : "Approved: the unban is under way and completes by itself.");
      done();
    } catch (problem) { setError(problem); setBusy(false); }
  };
  const what = approves ? "Approve the unban" : "Cancel the unban";
  return html`<${Dialog} title=${what} close=${close}><form class="body" onSubmit=${send}>
    <p><b>${visible(unban.by)}</b> asked <${When} at=${unban.at} relative/> to unban <${About} about=${unban.selection}/>: ${visible(unban.reason)}</p>
    <p>${approves ? `If you approve, ${urls ? `the bans of ${count(urls, "URL")} end` : "the bans end"}.` : `If you cancel, ${urls ? `${count(urls, "URL")} ${urls === 1 ? "stays" : "stay"} banned` : "the bans stay"}.`} Bans that were younger than a day at the request have ended already.</p>
    <${Reason} value=${reason} set=${set} id="decide-reason"/>${error && html`<p class="wrong" role="alert">${visible(error.message)}</p>`}
    <div class="buttons"><button type="button" onClick=${close}>Leave it waiting</button><button class=${approves ? "primary" : "danger"} disabled=${!reason.trim() || busy}>${what}</button></div></form></${Dialog}>`;
}

const stateOf = (unban, me) => (unban.complete ? "done" : !unban.waits ? "under way" : unban.by === me.name ? "waits for another person than you" : "waits for a second person");

/** The unbans, newest first: how far each is, and for one that waits the decision about it. `reload` reads all pages anew. */
function Unbans({ reload }) {
  const { me } = useSession();
  const list = usePages("unbans", { limit: 5 }, "unbans");
  const [decided, decide] = useState(null);
  const failed = (u) => (u.failed ? `, ${number(u.failed)} failed` : "");
  const buttons = (u) => html`<div class="choices">${u.by !== me.name && html`<button onClick=${() => decide({ unban: u, approves: true })}>Approve</button>`}<button onClick=${() => decide({ unban: u, approves: false })}>Cancel</button></div>`;
  const columns = [
    ["When, UTC", (u) => html`<${When} at=${u.at}/>`, "hide"], ["Who", (u) => html`<b>${visible(u.by)}</b>`], ["Of", (u) => html`<${About} about=${u.selection}/><div class="phone small muted"><${When} at=${u.at}/>${failed(u)}</div>`, "wide"],
    ["URLs", (u) => (u.urls === null ? "–" : number(u.urls)), "num hide"], ["Failed", (u) => (u.failed ? html`<a href=${link("tasks", { day: u.at.slice(0, 10) })}>${number(u.failed)}</a>` : "–"), "num hide"],
    ["State", (u) => html`<${State} of=${u.complete ? "done" : u.waits ? "held" : "processing"}>${stateOf(u, me)}</${State}>${u.waits && may(me, "operator") ? buttons(u) : ""}`, "wraps"],
  ];
  return html`<${Panel} title="Unbans"><${Answer} of=${list} lines=${2}>${() => (list.items.length ? html`<${Table} caption="How far unbans are" columns=${columns} rows=${list.items} keyOf=${(u) => u.unban_id}/><${More} list=${list} shown=${`${list.items.length} shown`}/>` : html`<${Empty} title="Nobody has asked for an unban.">Each is shown here, with how far it is.</${Empty}>`)}</${Answer}></${Panel}>
    ${decided && html`<${Decide} ...${decided} close=${() => decide(null)} done=${reload}/>`}`;
}

export default function Audit({ query }) {
  const { toast } = useSession();
  const [turn, setTurn] = useState(0);
  const list = usePages("audit", { ...query, limit: 100 }, "decisions");
  const columns = [
    ["When, UTC", (d) => html`<${When} at=${d.at}/>`], ["Who", (d) => html`<b>${visible(d.actor)}</b>`], ["Did", (d) => DONE[d.action] ?? visible(d.action)], ["About", (d) => html`<${About} about=${d.about}/><div class="phone small muted">${visible(d.reason)}</div>`],
    ["After", (d) => html`<span class="muted">${visible(d.after)}</span>`, "hide"], ["Reason", (d) => visible(d.reason), "wide hide"],
  ];
  const save = () => saveCsv("audit", query, "edgeban-audit.csv").catch((error) => toast(error.message));
  return html`<${Head} title="Audit"><button onClick=${save}>Save as CSV</button></${Head}>
    <${Unbans} key=${turn} reload=${() => { setTurn(turn + 1); list.reload(); }}/>
    <${Filters} view="audit" query=${query} fields=${[["actor", "Who"], ["action", "Did", [["", "anything"], ...Object.entries(DONE)]], ["about", "About"], ["day", "Day, UTC", "date"]]}/>
    <${Panel}><${Answer} of=${list}>${() => (list.items.length
      ? html`<${Table} caption="Decisions" columns=${columns} rows=${list.items}/><${More} list=${list} shown=${`${list.items.length} shown`}/>`
      : html`<${Empty} title="Nobody decided anything that matches.">Every approval, refusal, unban, ban by hand, pause and resume is kept here with its reason.</${Empty}>`)}</${Answer}></${Panel}>`;
}
