/** The dialogs that undo and do by hand: always with a preview, always with a reason. */
import { useEffect, useState } from "./hooks.mjs";
import { call } from "./api.mjs";
import { Dialog, html, keepReason, link, Problem, Reason, reasons, State, Url, useSession } from "./ui.mjs";
import { count, day, number, rule, visible } from "./text.mjs";

/** Undo a selection, in the words of `POST /v1/unbans`: `{urls}`, `{host, source, category, since, until_time}`, `{report_id}` … */
export function Unban({ selection, title, close, done = () => {} }) {
  const { toast } = useSession();
  const [preview, setPreview] = useState(null), [error, setError] = useState(null);
  const [reason, set] = useState(reasons()[0] ?? ""), [typed, setTyped] = useState(""), [busy, setBusy] = useState(false);
  useEffect(() => { call("POST", "unbans", { body: { ...selection, preview: true } }).then(setPreview, setError); }, []);
  const large = (preview?.urls ?? 0) > 100;
  const ready = preview && reason.trim() && (!large || typed === String(preview.urls)) && !busy;
  const send = async (event) => {
    event.preventDefault();
    setBusy(true);
    try {
      const answer = await call("POST", "unbans", { body: { ...selection, reason, ...(preview.counted_all && !selection.urls ? { expect: preview.urls } : {}) } });
      keepReason(reason);
      if (answer.approvals_needed === 2) toast("The unban waits until another person approves it.", html`<a href=${link("audit")}>To the unbans</a>`);
      else toast(answer.complete ? `${count(answer.urls ?? preview.urls, "URL")} unbanned: unbans are sent to the vendors before bans.` : "The unban is under way and completes by itself.");
      done();
      close();
    } catch (problem) { setError(problem); setBusy(false); }
  };
  return html`<${Dialog} title=${title} close=${close} wide><form class="body" onSubmit=${send}>${error && html`<${Problem} error=${error}/>`}
    ${!preview && !error && html`<p class="muted" aria-busy="true">Looking up what this undoes.</p>`}
    ${preview && html`<p aria-live="polite"><b>${`${preview.counted_all ? "" : "at least "}${count(preview.urls, "ban")}`}</b> ${preview.urls === 1 ? "ends" : "end"}. ${preview.not_found?.length ? `No ban is on record for ${count(preview.not_found.length, "URL")}; the unban is sent if the host is managed. ` : ""}${preview.stay ? `${count(preview.stay, "URL")} ${preview.stay === 1 ? "stays" : "stay"} banned, because other sources asked for the ban too.` : preview.stay === undefined ? "Bans that other sources asked for end too." : ""}${preview.approvals_needed === 2 ? " A second person must approve it; bans younger than a day end at once." : ""}${preview.note ? ` ${preview.note}` : ""}</p>
      <ul class="list">${preview.first.slice(0, 10).map((each) => html`<li><${Url} url=${each.url} to=${false}/> <span class="muted">${visible(each.account)}</span></li>`)}${preview.urls > 10 && html`<li class="muted">and ${number(preview.urls - 10)} more</li>`}</ul>
      <${Reason} value=${reason} set=${set} id="unban-reason"/>
      ${large && html`<label class="field"><span>Type ${preview.urls} to go on</span><input value=${typed} onInput=${(e) => setTyped(e.currentTarget.value)} inputmode="numeric"/></label>`}
      <div class="buttons"><button type="button" onClick=${close}>Leave as it is</button><button class="danger" disabled=${!ready}>Unban ${preview.urls ? number(preview.urls) : ""}</button></div>`}</form></${Dialog}>`;
}

/** Ban URLs by hand. */
export function Ban({ urls = [], close, done = () => {} }) {
  const { toast } = useSession();
  const [text, setText] = useState(urls.join("\n")), [category, setCategory] = useState("phishing"), [days, setDays] = useState("30");
  const [reason, set] = useState(reasons()[0] ?? ""), [preview, setPreview] = useState(null), [error, setError] = useState(null);
  const body = { urls: text.split(/\s+/).filter(Boolean), category, ban_for_days: Number(days), reason };
  const send = async (event) => {
    event.preventDefault();
    setError(null);
    try {
      const answer = await call("POST", "bans", { body: preview ? body : { ...body, preview: true } });
      if (!preview) { setPreview(answer); return; }
      keepReason(reason);
      toast(answer.holds.length ? "A second approver must agree: the URLs wait in the queue." : `${count(answer.urls, "URL")} on the way to a ban.`);
      done();
      close();
    } catch (problem) { setError(problem); }
  };
  const changed = (act) => (event) => { act(event.currentTarget.value); setPreview(null); };
  return html`<${Dialog} title="Ban by hand" close=${close} wide><form class="body" onSubmit=${send}>
    <label class="field"><span>URLs, one a line</span><textarea rows="4" required spellcheck=${false} value=${text} onInput=${changed(setText)}></textarea></label>
    <div class="fields"><label class="field"><span>Category</span><input value=${category} required onInput=${changed(setCategory)}/></label><label class="field"><span>Days</span><input type="number" min="1" max="3650" required value=${days} onInput=${changed(setDays)}/></label></div>
    <${Reason} value=${reason} set=${(value) => { set(value); setPreview(null); }} id="ban-reason"/>${error && html`<${Problem} error=${error}/>`}
    ${preview && html`<p aria-live="polite"><b>${count(preview.urls, "URL")}</b> until ${day(preview.until)}${preview.approvals_needed > 1 ? "; a second approver must agree" : ""}.</p><ul class="list">${preview.first.slice(0, 10).map((each) => html`<li><${Url} url=${each.url} to=${false}/> <span class="muted">${visible(each.account)}: ${visible(each.effect)}</span></li>`)}
      ${preview.rejected.slice(0, 10).map((each) => html`<li><${State} of="rejected">not banned</${State}> <${Url} url=${each.url} to=${false}/> <span class="muted">${rule(each.rule)}: ${visible(each.reason)}</span></li>`)}</ul>`}
    <div class="buttons"><button type="button" onClick=${close}>Leave it</button><button class=${preview ? "danger" : "primary"} disabled=${!body.urls.length || !reason.trim() || preview?.urls === 0}>${preview ? `Ban ${count(preview.urls, "URL")}` : "Preview"}</button></div></form></${Dialog}>`;
}
