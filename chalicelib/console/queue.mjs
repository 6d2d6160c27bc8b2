/** Queue: what waits for a person, by rule and source, decided by keyboard. */
import { useEffect, useMemo, useRef, useState } from "./hooks.mjs";
import { call, useApi, usePages } from "./api.mjs";
import { Answer, Chip, Empty, Head, html, keepReason, link, may, Panel, Problem, Reason, reasons, State, Url, useSession, When } from "./ui.mjs";
import { age, capital, clock, count, names, number, rule, visible, why } from "./text.mjs";

const SHOWN = 12;
const READ = 900;  // URLs of a group that are read to be shown; a decision is about all of its URLs
const sourcesOf = (hold) => (hold.sources ?? []).map((each) => each.value).sort();
const keyOf = (hold) => JSON.stringify([hold.rule, sourcesOf(hold), hold.account]);

/** The sources that ask for URLs of a group by now, and for which none of them is held. */
export function alsoAsking(group) {
  const asking = group.holds.flatMap((hold) => (hold.asked_by ?? []).map((each) => each.value));
  return [...new Set(asking)].filter((source) => !group.sources.includes(source)).sort();
}

/** Put the holds of one rule, source and account together: they are decided together. */
export function grouped(holds) {
  const groups = new Map();
  for (const hold of holds) {
    const group = groups.get(keyOf(hold)) ?? { key: keyOf(hold), rule: hold.rule, sources: sourcesOf(hold), account: hold.account, holds: [], urls: 0, since: hold.since, overdue: false };
    group.holds.push(hold);
    group.urls += hold.urls;
    group.overdue ||= Boolean(hold.overdue);
    if (hold.since < group.since) group.since = hold.since;
    groups.set(group.key, group);
  }
  return [...groups.values()].sort((a, b) => a.since.localeCompare(b.since));
}

const needs = (group) => Math.max(...group.holds.map((hold) => hold.approvals_needed ?? 1));
const given = (group) => group.holds.flatMap((hold) => hold.approvals ?? []);

function Groups({ groups, chosen, choose }) {
  return html`<div class="panel groups" role="listbox" aria-label="Holds by rule and source" tabindex="0">${groups.map((group) => html`<div key=${group.key} class="group" role="option" aria-selected=${group.key === chosen.key} onClick=${() => choose(group.key)}>
    <b>${capital(rule(group.rule))}</b><small class=${group.overdue ? "late" : ""}>${group.overdue ? "overdue, " : ""}${age(group.since)}</small><small>${names(group.sources) || "edgeban itself"}${alsoAsking(group).length ? `, also ${names(alsoAsking(group))}` : ""}</small><small>${needs(group) > 1 ? (given(group).length ? `${Math.min(given(group).length, 1)} of 2 given` : "two needed") : ""}</small>
    <small>${count(group.urls, "URL")}${group.holds.length > 1 ? `, ${count(group.holds.length, "hold")}` : ""}</small><small>${visible(group.account)}</small></div>`)}</div>`;
}

/** The URLs of a group, hold by hold. `reading`: further ones come, so its last row is not the end of the group. */
function useUrls(group) {
  const [state, setState] = useState({ key: "", rows: [], error: null, shown: SHOWN, reading: true });
  const key = group.holds.map((hold) => hold.hold_id).join();
  useEffect(() => {
    let current = true;
    const read = async () => {
      const rows = [];
      for (const hold of group.holds) {
        try {
          let next = "";
          do {
            const body = await call("GET", `holds/${encodeURIComponent(hold.hold_id)}`, { query: { limit: 300, next_token: next } });
            rows.push(...body.urls.map((each) => ({ ...each, hold: hold.hold_id })));
            next = body.next_token;
          } while (next && rows.length < READ);
        } catch (error) { if (error.kind !== "gone") { if (current) setState({ key, rows, error, shown: SHOWN, reading: false }); return; } }
        if (current && rows.length) setState((old) => ({ key, rows: [...rows], error: null, shown: old.key === key ? old.shown : SHOWN, reading: true }));
        if (rows.length >= READ) break;
      }
      if (current) setState((old) => ({ ...old, reading: false }));
    };
    read();
    return () => { current = false; };
  }, [key]);
  const mine = state.key === key ? state : { rows: [], error: null, shown: SHOWN, reading: true };
  return { ...mine, all: () => setState((old) => ({ ...old, shown: Infinity })) };
}

const decisionsOf = (group, decision, excepted) => group.holds.slice(0, 100).map((hold) => {
  const except = excepted.filter((row) => row.hold === hold.hold_id).map((row) => row.url);
  return { hold_id: hold.hold_id, decision, ...(decision === "approve" && except.length ? { except } : {}) };
});

function Group({ group, next, reload, move }) {
  const { me, toast } = useSession();
  const urls = useUrls(group);
  const [excepted, setExcepted] = useState([]);
  const [cursor, setCursor] = useState(0);
  const [reason, setReason] = useState(reasons()[0] ?? "");
  const [busy, setBusy] = useState(false), [problem, setProblem] = useState(null);
  const rows = urls.rows.slice(0, urls.shown);
  const is = (row) => excepted.some((each) => each.hold === row.hold && each.url === row.url);
  const toggle = (row) => row && setExcepted(is(row) ? excepted.filter((each) => each.hold !== row.hold || each.url !== row.url) : [...excepted, row]);
  const approvers = given(group), mine = approvers.some((each) => each.by === me.name);
  const allowed = may(me, "approver");

  const decide = async (decision) => {
    if (!reason.trim()) { document.getElementById("reason").focus(); setProblem({ message: "Write the reason first: it is recorded with the decision." }); return; }
    setBusy(true);
    setProblem(null);
    try {
      const { results } = await call("POST", "holds/decisions", { body: { reason, decisions: decisionsOf(group, decision, excepted) } });
      keepReason(reason);
      const failed = results.filter((each) => each.status !== "done"), still = results.filter((each) => each.state === "held");
      const urlCount = decision === "approve" ? group.urls - excepted.length : group.urls;
      if (failed.length) {
        const message = `${count(failed.length, "hold")} not decided: ${visible(failed[0].error?.message ?? "no time was left, decide again")}`;
        setProblem({ message });
        toast(message);  // the group itself may be gone in a moment
      }
      else if (decision === "refuse") toast(`${count(urlCount, "URL")} refused.`);
      else if (still.length) toast(`Approved by you. A second approver must agree to ${count(urlCount, "URL")}.`);
      else toast(`${count(urlCount, "URL")} approved${excepted.length ? `, ${excepted.length} refused` : ""}.`, html`<a href=${link("bans", { source: group.sources[0] ?? "" })}>Undo by unban</a>`);
      reload();
      if (!failed.length) next();
    } catch (error) { setProblem(error); if (error.kind === "conflict") reload(); }
    setBusy(false);
  };

  const acts = useRef({});
  acts.current = {
    j: () => (cursor + 1 < rows.length ? setCursor(cursor + 1) : !urls.reading && move(1)), k: () => (cursor > 0 ? setCursor(cursor - 1) : move(-1)),
    n: () => move(1), p: () => move(-1), x: () => allowed && toggle(rows[cursor]), i: () => document.getElementById("reason")?.focus(),
    a: () => allowed && !busy && decide("approve"), r: () => allowed && !busy && decide("refuse"),
  };
  useEffect(() => {
    const pressed = (event) => {
      if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented) return;
      const field = event.target.closest("input:not([type=checkbox]), select, textarea, dialog");
      if (field?.id === "reason" && event.key === "Enter") { event.preventDefault(); field.blur(); return; }
      if (field || !acts.current[event.key]) return;
      event.preventDefault();
      acts.current[event.key]();
    };
    addEventListener("keydown", pressed);
    return () => removeEventListener("keydown", pressed);
  }, []);
  useEffect(() => { document.querySelector("tr.cursor")?.scrollIntoView({ block: "nearest" }); }, [cursor]);

  const hosts = group.holds.reduce((total, hold) => total + (hold.host_count ?? 0), 0);
  const known = (row) => (is(row) ? "left out: it is refused" : html`${row.note ? visible(row.note) : html`<a href=${link(`reports/${encodeURIComponent(row.report_id)}`)}>report</a>`}${row.reporter ? ` of ${visible(row.reporter)}` : ""}`);
  return html`<div class="panel" aria-label="The chosen group"><div class="why"><div><b>${count(group.urls, "URL")} of ${names(group.sources) || "edgeban itself"} ${group.urls === 1 ? "waits" : "wait"}: ${rule(group.rule)}.</b>${alsoAsking(group).length ? html` Also asked for by ${names(alsoAsking(group))}.` : ""}</div>
      <div class="muted">${why(group.rule)} ${hosts ? `${count(hosts, "host")}.` : ""} Banned for ${count(group.holds[0].ban_days, "day")} at ${visible(group.account)} if you approve.</div>
      ${needs(group) > 1 && html`<div><${State} of="held">${Math.min(approvers.length, 1)} of 2 approvals</${State}> <span class="muted">${approvers.slice(0, 1).map((each) => `${visible(each.by)} at ${clock(each.at).slice(0, 5)}: ${visible(each.reason)}. `)}${mine ? "It needs another person than you." : approvers.length ? "You are the second." : "Two people must agree."}</span></div>`}</div>
    ${urls.error ? html`<${Problem} error=${urls.error}/>` : !rows.length ? html`<div class="skeleton" aria-busy="true"><i></i><i></i><i></i></div>` : html`<div class="scroll" tabindex="0" role="region" aria-label="URLs of the group" aria-busy=${urls.reading ? "true" : "false"}><table><caption class="unseen">URLs of the group</caption><thead><tr><th scope="col"><span class="unseen">Ban</span></th><th scope="col">URL</th><th scope="col" class="hide">Reported as</th><th scope="col">What is known</th></tr></thead>
      <tbody>${rows.map((row, i) => html`<tr key=${row.hold + row.url} class=${`${is(row) ? "except" : ""} ${i === cursor ? "cursor" : ""}`} aria-current=${i === cursor ? "true" : undefined} onClick=${() => setCursor(i)}>
        <td class="choice"><input type="checkbox" aria-label=${`Ban ${visible(row.url)}`} checked=${!is(row)} disabled=${!allowed} onChange=${() => toggle(row)}/></td><td><${Url} url=${row.url}/></td><td class="hide">${visible(row.category) || html`<span class="muted">–</span>`}</td><td class="muted">${known(row)}</td></tr>`)}
      ${group.urls > rows.length && html`<tr><td></td><td class="muted" colspan="3">${count(group.urls - rows.length, "more URL")} ${urls.rows.length > rows.length && html`<button class="more" onClick=${urls.all}>show ${number(urls.rows.length - rows.length)}</button>`}</td></tr>`}</tbody></table></div>`}
    ${problem && html`<p class="wrong" role="alert">${problem.kind === "conflict" ? "Somebody was quicker: " : ""}${visible(problem.message)}</p>`}
    ${allowed ? html`<div class="decide"><${Reason} value=${reason} set=${setReason}/><button class="primary" disabled=${busy || mine} onClick=${() => decide("approve")}>${excepted.length ? `Approve ${number(group.urls - excepted.length)}, refuse ${excepted.length}` : `Approve ${number(group.urls)}`} <kbd>a</kbd></button><button class="danger" disabled=${busy} onClick=${() => decide("refuse")}>Refuse all <kbd>r</kbd></button></div>`
      : html`<div class="decide muted">To approve or refuse you need the role approver; yours is ${me.role}.</div>`}</div>`;
}

/** One hold by its id: also one that is decided already. */
function Decided({ id }) {
  const hold = useApi(`holds/${encodeURIComponent(id)}`);
  return html`<${Head} title="Hold"><a class="chip" href=${link("queue")}>to the queue</a></${Head}><${Answer} of=${hold}>${(data) => html`<${Panel} title=${capital(rule(data.rule))} aside=${html`<${State} of=${data.state ?? "held"}/>`}>
    <ol class="timeline">${(data.decisions ?? []).map((each) => html`<li class="person"><${When} at=${each.at}/><i></i><span><b>${visible(each.actor)}</b> ${each.action === "refuse" ? "refused" : "approved"} <span class="muted">${visible(each.reason)}</span></span></li>`)}</ol>
    <ul class="list">${data.urls.map((each) => html`<li><${Url} url=${each.url}/> <span class="muted">${visible(each.source)} ${visible(each.category)}</span></li>`)}</ul></${Panel}>`}</${Answer}>`;
}

export default function Queue({ id, query }) {
  if (id) return html`<${Decided} id=${id}/>`;
  return html`<${Waiting} query=${query}/>`;
}

function Waiting({ query }) {
  const list = usePages("holds", { ...query, limit: 1000 }, "holds");
  const [chosen, choose] = useState("");
  const groups = useMemo(() => grouped(list.items), [list.at, list.items.length]);
  const place = Math.max(0, groups.findIndex((group) => group.key === chosen)), group = groups[place];
  useEffect(() => { if (group && group.key !== chosen) choose(group.key); }, [group?.key]);
  const move = (by) => groups.length && choose(groups[Math.min(groups.length - 1, Math.max(0, place + by))].key);
  const after = () => choose((groups[place + 1] ?? groups[place - 1] ?? { key: "" }).key);
  const total = list.items.reduce((sum, hold) => sum + hold.urls, 0);
  const sources = [...new Set(list.items.flatMap(sourcesOf))].slice(0, 6);
  const chips = html`<${Chip} on=${!query.source && !query.rule && !query.account} href=${link("queue")}>all</${Chip}>${[...new Set([...sources, query.source].filter(Boolean))].map((name) => html`<${Chip} on=${query.source === name} href=${link("queue", { ...query, source: query.source === name ? "" : name })}>${visible(name)}</${Chip}>`)}${query.rule && html`<${Chip} on href=${link("queue", { ...query, rule: "" })}>${rule(query.rule)}</${Chip}>`}${query.account && html`<${Chip} on href=${link("queue", { ...query, account: "" })}>${visible(query.account)}</${Chip}>`}`;
  return html`<${Head} title="Queue" chips=${chips} says=${list.data && groups.length ? `${count(total, "URL")} in ${count(list.items.length, "hold")} ${total === 1 ? "waits" : "wait"} for a person.` : ""}><span class="keys muted"><kbd>j</kbd> <kbd>k</kbd> move, <kbd>x</kbd> except, <kbd>a</kbd> approve, <kbd>r</kbd> refuse, <kbd>?</kbd> all keys</span></${Head}>
    <${Answer} of=${list}>${() => (group ? html`<div class="queue"><${Groups} groups=${groups} chosen=${group} choose=${choose}/><${Group} key=${group.key} group=${group} next=${after} move=${move} reload=${list.reload}/></div>`
      : html`<${Panel}><${Empty} title="Nothing waits for a person.">URLs come here when a rule of the policy asks for a person: roots of hosts, sources under review, caps. <a href=${link("audit", { action: "approve" })}>The last approvals</a>.</${Empty}></${Panel}>`)}</${Answer}>`;
}
