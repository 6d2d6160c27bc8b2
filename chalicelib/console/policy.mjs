/** Policy: the document in force, URLs tried on it, and what a draft would change. */
import { useEffect, useState } from "./hooks.mjs";
import { call, useApi } from "./api.mjs";
import { Answer, Head, html, link, Panel, Problem, State, Table, Url } from "./ui.mjs";
import { clock, count, day, number, rule, visible } from "./text.mjs";

const TRIED = 100, DRAFT_URLS = 200;
const VERDICTS = { ban: "it would be banned", hold: "it would wait for a person", duplicate: "it would be a repeat: it is banned already, or about to be", rejected: "it would be rejected", suppressed: "it would be suppressed" };

/** Said of one verdict in a sentence. */
const sentence = (each) => html`${each.account ? html`At <b>${visible(each.account)}</b> ` : ""}${VERDICTS[each.verdict] ?? visible(each.verdict)}${each.rule && !["default", "live"].includes(each.rule) ? `: ${rule(each.rule)}` : ""}${each.verdict === "ban" && each.until ? ` until ${day(each.until)}` : ""}.${each.protected_by ? ` Protected by ${visible(each.protected_by)}.` : ""}`;

/** What the policy says of some URLs now; nothing is written by it. */
export function Tried({ urls, source = "", category = "" }) {
  const [answer, setAnswer] = useState({ data: null, error: null });
  const load = () => call("POST", "policy/test", { body: { urls, ...(source ? { source } : {}), ...(category ? { category } : {}) } }).then((data) => setAnswer({ data, error: null }), (error) => setAnswer({ data: null, error }));
  useEffect(() => { setAnswer({ data: null, error: null }); load(); }, [urls.join(), source, category]);
  return html`<${Answer} of=${{ ...answer, reload: load, at: Date.now() }} lines=${2}>${(data) => (urls.length === 1 ? html`<p class="muted">Reported now:</p><ul class="list">${data.verdicts.map((each) => html`<li>${sentence(each)}</li>`)}</ul>`
    : html`<p>${Object.entries(data.counts).filter(([, n]) => n).map(([verdict, n]) => html`<span class="gap"><${State} of=${verdict}>${number(n)} ${verdict}</${State}></span>`)}</p><${Table} caption="Verdicts" rows=${data.verdicts} columns=${[["URL", (v) => html`<${Url} url=${v.url}/>`, "wide"], ["At", (v) => visible(v.account ?? "–"), "hide"], ["Verdict", (v) => html`<${State} of=${v.verdict}/>`], ["Because", (v) => html`<span class="muted">${visible(v.reason) || rule(v.rule)}</span>`]]}/>`)}</${Answer}>`;
}

function TestBox({ query }) {
  const [asked, setAsked] = useState(query.urls ? { urls: query.urls.split(/\s+/).filter(Boolean), source: "", category: "" } : null);
  const send = (event) => {
    event.preventDefault();
    const form = Object.fromEntries(new FormData(event.currentTarget));
    const urls = form.urls.split(/\s+/).filter(Boolean).slice(0, TRIED);
    if (urls.length) setAsked({ ...form, urls });
  };
  return html`<${Panel} title="Try URLs on it"><form class="body" onSubmit=${send}><label class="field"><span>URLs, one a line, at most ${TRIED}</span><textarea name="urls" rows="4" spellcheck=${false}>${query.urls ?? ""}</textarea></label>
    <div class="fields"><label class="field"><span>Reported by source</span><input name="source" autocomplete="off"/></label><label class="field"><span>As category</span><input name="category" autocomplete="off"/></label></div><div class="buttons"><button class="primary">Try</button><span class="muted">Nothing is written.</span></div></form>
    ${asked && html`<div class="body"><${Tried} ...${asked}/></div>`}</${Panel}>`;
}

/** The verdicts that a draft changes, over the newest bans in force. */
function DraftBox({ policy }) {
  const [text, setText] = useState(""), [changes, setChanges] = useState(null), [error, setError] = useState(null), [busy, setBusy] = useState(false);
  const compare = async (event) => {
    event.preventDefault();
    setChanges(null);
    setError(null);
    let draft;
    try { draft = JSON.parse(text); } catch (problem) { setError({ kind: "refused", message: `The draft is not JSON: ${problem.message}` }); return; }
    setBusy(true);
    try {
      const { bans } = await call("GET", "bans", { query: { limit: DRAFT_URLS } });
      const urls = [...new Set(bans.map((each) => each.url))], changed = [];
      for (let at = 0; at < urls.length; at += TRIED) {
        const some = urls.slice(at, at + TRIED);
        const [now, then] = await Promise.all([call("POST", "policy/test", { body: { urls: some } }), call("POST", "policy/test", { body: { urls: some, policy: draft } })]);
        const before = new Map(now.verdicts.map((each) => [`${each.url} ${each.account}`, each]));
        changed.push(...then.verdicts.map((each) => ({ ...each, was: before.get(`${each.url} ${each.account}`) })).filter((each) => each.was?.verdict !== each.verdict || each.was?.rule !== each.rule));
      }
      setChanges({ tried: urls.length, changed });
    } catch (problem) { setError(problem); }
    setBusy(false);
  };
  return html`<${Panel} title="Try a draft"><form class="body" onSubmit=${compare}><p class="muted">A draft is compared with the policy in force, over the last ${DRAFT_URLS} URLs of Bans. Nothing is written.</p><label class="field"><span>Draft, JSON</span><textarea rows="8" class="mono" spellcheck=${false} value=${text} onInput=${(e) => setText(e.currentTarget.value)}></textarea></label>
      <div class="buttons"><button class="primary" disabled=${busy || !text.trim()}>${busy ? "Comparing" : "Compare"}</button><button type="button" onClick=${() => setText(JSON.stringify(policy, null, 2))}>Begin with the one in force</button></div></form>
    ${error && html`<${Problem} error=${error}/>`}${changes && html`<div class="body" aria-live="polite"><p><b>${count(changes.changed.length, "verdict")} of ${count(changes.tried, "URL")} would change.</b></p>${changes.changed.length > 0 && html`<${Table} caption="Changed verdicts" rows=${changes.changed} columns=${[["URL", (v) => html`<${Url} url=${v.url}/>`, "wide"], ["Now", (v) => html`<${State} of=${v.was?.verdict}/>`], ["By the draft", (v) => html`<${State} of=${v.verdict}/> <span class="muted">${rule(v.rule)}</span>`]]}/>`}</div>`}</${Panel}>`;
}

export default function Policy({ query }) {
  const policy = useApi("policy");
  return html`<${Head} title="Policy" says=${policy.data ? `In force as read at ${clock(policy.data.read_at)} UTC${policy.data.changed_at ? `, unchanged since ${day(policy.data.changed_at)}` : ""}.` : ""}><a class="chip" href=${link("audit")}>who decided what</a></${Head}>
    <${Answer} of=${policy}>${(data) => html`${data.refused && html`<div class="problem refused" role="alert"><b>A newer document was refused ${day(data.refused.at)}, ${clock(data.refused.at)} UTC.</b><p>${visible(data.refused.problem)}</p></div>`}
      <div class="two"><div class="stack"><${TestBox} query=${query}/><${DraftBox} policy=${data.policy}/></div><${Panel} title="The document in force"><pre tabindex="0">${JSON.stringify(data.policy, null, 2)}</pre></${Panel}></div>`}</${Answer}>
    ${!policy.data && policy.error?.kind === "absent" && html`<${TestBox} query=${query}/>`}`;
}
