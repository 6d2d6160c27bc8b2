/** Bans: all that is in force, searched, counted, saved, undone. */
import { useState } from "./hooks.mjs";
import { saveCsv, useApi, usePages } from "./api.mjs";
import { Answer, Empty, Filters, Head, html, link, may, More, Panel, Table, Url, useSession, When } from "./ui.mjs";
import { clock, count, day, number, rule, visible } from "./text.mjs";
import { Ban, Unban } from "./unban.mjs";

const FACETS = [["source", "Source"], ["category", "Category"], ["account", "CDN account"], ["rule", "Rule"]];

function Facet({ by, title, query }) {
  const { [by]: chosen, sort, ...rest } = query;
  const counts = useApi("bans/counts", { ...rest, by }, { poll: false });
  return html`<div class="facet"><h2>${title}</h2><${Answer} of=${counts} lines=${3}>${(data) => html`<ul>${data.counts.slice(0, 8).map((each) => html`<li><a class=${chosen === each.value ? "on" : ""} aria-current=${chosen === each.value ? "true" : undefined} href=${link("bans", { ...rest, sort, [by]: chosen === each.value ? "" : each.value })}><span>${by === "rule" ? rule(each.value) : visible(each.value) || "none"}</span><span>${number(each.bans)}</span></a></li>`)}</ul>`}</${Answer}></div>`;
}

/** What of a search can be undone as a whole: with a host, source or category, and nothing that an unban cannot say. */
export function undoable({ host, source, category, since, q, account, rule, ends_before: ends }) {
  if (!(host || source || category) || q || account || rule || ends) return null;
  return Object.fromEntries(Object.entries({ host, source, category, since }).filter(([, value]) => value));
}

/** The same URL at several CDNs is one row, with its accounts side by side. */
export function sideBySide(bans) {
  const rows = new Map();
  for (const ban of bans) {
    const row = rows.get(ban.url);
    if (row) row.bans.push(ban); else rows.set(ban.url, { ...ban, bans: [ban] });
  }
  return [...rows.values()];
}

const accounts = (row) => html`<span class="cdns">${row.bans.map((each) => html`<span>${visible(each.account)}</span>`)}</span>`;

export default function Bans({ query }) {
  const { me, toast } = useSession();
  const list = usePages("bans", { ...query, limit: 100 }, "bans");
  const [chosen, setChosen] = useState([]), [dialog, setDialog] = useState("");
  const rows = sideBySide(list.items);
  const toggle = (url) => setChosen(chosen.includes(url) ? chosen.filter((each) => each !== url) : [...chosen, url]);
  const save = () => saveCsv("bans", query, "edgeban-bans.csv").catch((error) => toast(error.message));
  const columns = [
    ["URL", (b) => html`<${Url} url=${b.url}/><div class="phone small muted">${accounts(b)}</div>`, "wide"],
    ["At", accounts, "hide"],
    ["Source", (b) => html`<a class="quiet name" href=${link(`sources/${encodeURIComponent(b.source)}`)}>${visible(b.source)}</a>`, "hide"], ["As", (b) => visible(b.category), "hide"],
    ["Banned", (b) => html`<${When} at=${b.banned_at} relative/>`, "hide"], ["Ends", (b) => html`<time title=${b.planned_until ?? ""}>${day(b.planned_until)}</time>`, "num"],
  ];
  if (may(me, "operator")) columns.unshift(["", (b) => html`<input type="checkbox" aria-label=${`Choose ${visible(b.url)}`} checked=${chosen.includes(b.url)} onChange=${() => toggle(b.url)}/>`, "choice"]);
  const all = chosen.length ? null : undoable(query);
  const selection = all ?? { urls: chosen };
  const says = list.data ? `${count(list.data.total, "ban")} in force${Object.values(query).some(Boolean) ? " that match" : ""}, as of ${clock(list.data.as_of)} UTC.` : "";
  return html`<${Head} title="Bans" says=${says}><button onClick=${save}>Save as CSV</button>${may(me, "operator") && html`<button onClick=${() => setDialog("ban")}>Ban by hand</button><button class="danger" disabled=${!chosen.length && !(all && list.data?.total)} onClick=${() => setDialog("unban")}>${chosen.length ? `Unban ${chosen.length}` : all ? "Unban all that match" : "Unban"}</button>`}</${Head}>
    <${Filters} view="bans" query=${query} fields=${[["q", "Part of the URL"], ["host", "Host, or .host and all below"], ["since", "Banned since", "date"], ["ends_before", "Ends before", "date"], ["sort", "Order", [["", "newest first"], ["until", "what ends first"], ["url", "by URL"]]]]}/>
    <div class="facets"><aside aria-label="Counts">${FACETS.map(([by, title]) => html`<${Facet} key=${by} by=${by} title=${title} query=${query}/>`)}</aside>
    <${Panel}><${Answer} of=${list}>${() => (rows.length
      ? html`<${Table} caption="Bans in force" columns=${columns} rows=${rows} keyOf=${(b) => b.url} mark=${(b) => (chosen.includes(b.url) ? "chosen" : "")}/><${More} list=${list} shown=${`${number(list.items.length)} of ${number(list.data.total)}`}/>`
      : html`<${Empty} title="No ban in force matches.">${query.q || query.host ? html`Look the URL up to see what the policy would do: <a href=${link("policy", { urls: query.q || query.host })}>try the policy</a>.` : "Bans appear here seconds after a vendor confirms them."}</${Empty}>`)}</${Answer}></${Panel}></div>
    ${dialog === "ban" && html`<${Ban} close=${() => setDialog("")} done=${list.reload}/>`}
    ${dialog === "unban" && html`<${Unban} title=${all ? "Unban all that match" : `Unban ${count(chosen.length, "URL")}`} selection=${selection} close=${() => setDialog("")} done=${() => { setChosen([]); list.reload(); }}/>`}`;
}
