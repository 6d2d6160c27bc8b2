/** URL: what is true of it, at each CDN, and how that came about. */
import { useState } from "./hooks.mjs";
import { useApi } from "./api.mjs";
import { Answer, Copy, Dialog, Empty, Head, html, link, may, Panel, Problem, State, Table, Url, useSession } from "./ui.mjs";
import { capital, clock, count, day, names, rule, span, utcDay, visible } from "./text.mjs";
import { Ban, Unban } from "./unban.mjs";
import { Tried } from "./policy.mjs";

const ends = (account) => account.cool_until ?? account.until;

/** What is true of the URL, in one sentence. */
export function verdict(accounts) {
  if (!accounts.length) return "Not banned: no report of it was accepted.";
  const at = Map.groupBy ? Map.groupBy(accounts, (each) => each.state) : accounts.reduce((map, each) => map.set(each.state, [...(map.get(each.state) ?? []), each]), new Map());
  const banned = at.get("banned") ?? [];
  const where = (list) => (list.length === accounts.length ? (list.length === 1 ? `at ${visible(list[0].account)}` : `at all ${list.length} CDNs`) : `at ${list.length} of ${accounts.length} CDNs`);
  if (banned.length) {
    const until = banned.map((each) => each.planned_until ?? each.until).sort().at(-1);
    return `Banned ${where(banned)} ${until ? `until ${day(until)}, in ${span((Date.parse(until) - Date.now()) / 1000)}` : "with no end"}${banned[0].category ? `, as ${visible(banned[0].category)}` : ""}.`;
  }
  const [state, list] = [...at][0];
  const said = { held: "Held for a person", pending: "On its way to a ban", processing: "The vendor works on its ban", rejected: "Not banned: rejected", suppressed: "Not banned: suppressed", failed: "Not banned: every try failed", unbanned: "Unbanned", expired: "No longer banned: the ban has ended" }[state] ?? capital(visible(state));
  return `${said} ${where(list)}${list[0].rule && list[0].rule !== "default" ? `: ${rule(list[0].rule)}` : ""}.`;
}

/** All that happened, oldest first; what happened at several accounts in the same second is one line. */
export function happened(accounts) {
  const lines = new Map();
  const add = (at, kind, text, note, account, to) => {
    if (!at) return;
    const key = `${at.slice(0, 19)}|${text}|${note}`;
    const line = lines.get(key) ?? { at, kind, text, note, to, accounts: [] };
    line.accounts.push(account);
    lines.set(key, line);
  };
  for (const { account, history, tasks } of accounts) {
    for (const past of history) {
      if (past.source || past.report_id) add(past.at, "", `${visible(past.source)} reported it${past.category ? ` as ${visible(past.category)}` : ""}`, past.reporter ? `reporter ${visible(past.reporter)}` : "", account, past.report_id && link(`reports/${encodeURIComponent(past.report_id)}`));
      if (past.rule && past.rule !== "default") add(past.at, "", `${past.action === "unban" ? "Unbanned" : "Rule"}: ${rule(past.rule)}`, visible(past.actor ? "" : past.reason ?? ""), account, link("policy"));
      if (past.actor && !(past.approvals ?? []).length) add(past.at, "person", `${visible(past.actor)} ${past.action === "unban" ? "unbanned it" : past.action === "refuse" ? "refused it" : "decided"}`, visible(past.reason ?? ""), account, link("audit", { actor: past.actor }));
      for (const each of past.approvals ?? []) add(each.at, "person", `${visible(each.actor)} ${each.decision === "refuse" ? "refused" : "approved"}`, visible(each.reason), account, link("audit", { actor: each.actor }));
    }
    for (const task of tasks) {
      const to = link(`tasks/${encodeURIComponent(task.task_id)}`), others = task.urls > 1 ? `with ${count(task.urls - 1, "other")}` : "";
      add(task.submitted_at, "", task.action === "ban" ? "Sent to be banned" : "Sent to be unbanned", others, account, to);
      if (task.finished_at) add(task.finished_at, task.state === "succeeded" ? "end" : "wrong", task.state === "succeeded" ? (task.action === "ban" ? "Banned" : "Unbanned") : "The task failed", visible(task.reason), account, to);
      if (task.verification) add(task.verification.verified_at, "end", task.verification.open ? `The edge still serves ${task.verification.open} of ${task.verification.sampled} sampled` : "The edge blocks it", "", account, to);
    }
  }
  return [...lines.values()].sort((a, b) => a.at.localeCompare(b.at));
}

function Timeline({ accounts }) {
  const lines = happened(accounts);
  return html`<ol class="timeline">${lines.map((line, i) => html`${(i === 0 || utcDay(line.at) !== utcDay(lines[i - 1].at)) && html`<li class="date">${day(line.at)}</li>`}<li class=${line.kind}><time datetime=${line.at}>${clock(line.at)}</time><i></i><span>${line.to ? html`<a class="quiet" href=${line.to}>${line.text}</a>` : line.text} <span class="muted">${line.note}${accounts.length > 1 && line.accounts.length < accounts.length ? ` at ${names(line.accounts)}` : ""}</span></span></li>`)}</ol>`;
}

const Cdns = ({ accounts }) => html`<${Table} caption="State at each CDN" rows=${accounts} keyOf=${(a) => a.account} columns=${[
  ["CDN account", (a) => html`<a class="quiet" href=${link("bans", { account: a.account })}><b>${visible(a.account)}</b></a>`],
  ["State", (a) => html`<${State} of=${a.state}/>${a.reason && a.state !== "banned" ? html`<div class="small muted">${visible(a.reason)}</div>` : ""}`],
  ["Ends", (a) => html`<span class="muted">${ends(a) ? day(ends(a)) : "–"}</span>`, "num"],
]}/>`;

const GROUNDS = { illegal_content: "held to be illegal", incompatible_content: "against the terms" };
const NOTICES = { article_16: "a notice under Article 16", trusted_flagger: "a trusted flagger", other_notification: "another notification", voluntary: "the provider's own search" };

/** What Article 17 of the Digital Services Act asks to be told of the newest ban. What the policy does not say is named. */
function Reasons({ url }) {
  const answer = useApi("statements", { url }, { poll: false });
  const told = (label, text) => text != null && text !== "" && html`<div><dt>${label}</dt><dd>${text}</dd></div>`;
  return html`<${Panel} title="Statement of reasons"><${Answer} of=${answer} lines=${3}>${({ statements }) => {
    const newest = [...statements].sort((a, b) => b.applied_at.localeCompare(a.applied_at))[0];
    if (!newest) return html`<${Empty} title="There is nothing to state.">No ban of this URL began here.</${Empty}>`;
    return html`<dl class="facts"><div class="whole"><dt>Facts</dt><dd>${visible(newest.facts)}</dd></div>
      ${told("Banned", `${day(newest.applied_at)} ${newest.until ? `to ${day(newest.until)}` : "with no end"}`)}${told("Ground", newest.ground && GROUNDS[newest.ground])}${told("Basis", newest.basis && visible(newest.basis))}
      ${told("Decided", newest.automated_decision ? "automatically" : "by a person")}${told("Led to by", newest.notice && NOTICES[newest.notice])}${told("Found", newest.automated_detection == null ? null : newest.automated_detection ? "automatically" : "by people")}${told("Holds in", newest.territorial_scope && newest.territorial_scope.map(visible).join(" "))}
      ${newest.explanation && html`<div class="whole"><dt>Why</dt><dd>${visible(newest.explanation)}</dd></div>`}${newest.redress && html`<div class="whole"><dt>Redress</dt><dd>${visible(newest.redress)}</dd></div>`}
      ${newest.words_since > newest.decided_at && html`<div class="whole"><dt>Words of the policy</dt><dd>${`known since ${day(newest.words_since)}, after the decision`}</dd></div>`}
      ${newest.missing.length > 0 && html`<div class="whole"><dt>The policy does not say</dt><dd><a href=${link("policy")}>${newest.missing.map(visible).join(", ")}</a></dd></div>`}</dl>`;
  }}</${Answer}></${Panel}>`;
}

function Known({ url, data, act }) {
  const sources = [...new Set(data.accounts.flatMap((each) => [each.source, ...each.history.map((past) => past.source)]).filter(Boolean))];
  return html`<div class="panel verdict"><div class="address"><${Url} url=${data.url} to=${false} scheme/></div><div class="says">${verdict(data.accounts)}</div>
      <div class="muted">${sources.length ? `Reported by ${names(sources)}. ` : ""}${data.protected ? html`Protected by <a href=${link("policy")}>the entry ${visible(data.protected.entry)}</a>. ` : ""}</div></div>
    ${data.accounts.length > 0 && html`<div class="two"><div class="stack"><${Panel} title="What happened"><${Timeline} accounts=${data.accounts}/></${Panel}><${Reasons} url=${url}/></div>
      <div class="stack"><${Panel} title="At each CDN"><${Cdns} accounts=${data.accounts}/></${Panel}><${Panel} title="What the policy says now"><div class="body"><${Tried} urls=${[url]}/></div></${Panel}></div></div>`}
    ${!data.accounts.length && html`<${Panel} title="What the policy would do"><div class="body"><${Tried} urls=${[url]}/></div></${Panel}>`}${act}`;
}

export default function UrlView({ query }) {
  const { me } = useSession();
  const url = query.url ?? "";
  const answer = useApi("urls", { url });
  const [dialog, setDialog] = useState("");
  const unknown = answer.error?.kind === "gone", operator = may(me, "operator");
  const close = () => setDialog("");
  return html`<${Head} title="URL"><${Copy} url=${url}/><button onClick=${() => setDialog("protect")}>Protect</button>${operator && html`<button onClick=${() => setDialog("ban")}>Ban</button><button class="danger" onClick=${() => setDialog("unban")}>Unban</button>`}</${Head}>
    ${unknown ? html`<${Known} url=${url} data=${{ url, accounts: [], protected: null }}/>` : !url ? html`<${Problem} error=${{ kind: "refused", message: "Name a URL: press / and paste it." }}/>` : html`<${Answer} of=${answer}>${(data) => html`<${Known} url=${url} data=${data}/>`}</${Answer}>`}
    ${dialog === "protect" && html`<${Dialog} title="Protect this URL" close=${close}><div class="body"><p>Add this entry to <code>protected</code> in the policy. No report can ban the page then, however the URL is spelled.</p><pre tabindex="0">${JSON.stringify({ url: visible(url), comment: "why, and who asked" }, null, 2)}</pre></div></${Dialog}>`}
    ${dialog === "ban" && html`<${Ban} urls=${[url]} close=${close} done=${answer.reload}/>`}${dialog === "unban" && html`<${Unban} title="Unban this URL" selection=${{ urls: [url] }} close=${close} done=${answer.reload}/>`}`;
}
