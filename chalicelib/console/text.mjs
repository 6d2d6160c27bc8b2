/** Words, numbers and times as people read them. Nothing here touches the page. */

const HIDDEN = /[\u0000-\u001f\u007f-\u009f\u00ad\u061c\u180e\u200b-\u200f\u2028-\u202f\u2060-\u206f\ufeff\ufff9-\ufffb]|[\u{e0000}-\u{e007f}]/gu;

/** Show characters that hide or turn text as escapes, so that hostile text reads as it is. */
export const visible = (text) =>
  String(text ?? "").replace(HIDDEN, (c) => `\\u{${c.codePointAt(0).toString(16)}}`);

/** Split a URL into scheme, host and the rest, by text alone: the parts together are the whole text. */
export function parts(url) {
  const found = /^([a-z][a-z0-9+.-]*:\/\/)([^/?#]*)(.*)$/is.exec(url);
  return found ? { scheme: found[1], host: found[2], rest: found[3] } : { scheme: "", host: "", rest: url };
}

/** A URL that no program turns into a link: hxxps, and the dots of its host in brackets. */
export function defanged(url) {
  const { scheme, host, rest } = parts(url);
  return scheme.replace(/^http/i, "hxxp") + host.replaceAll(".", "[.]") + rest;
}

export const number = (value) => (value ?? 0).toLocaleString("en-GB");

/** `1 ban`, `2 bans`; a unit with a plural of its own is named in full. */
export const count = (value, one, many = `${one}s`) => `${number(value)} ${value === 1 ? one : many}`;

/** A span in its largest unit: `8 s`, `6 min`, `3 h`, `2 days`. */
export function span(seconds) {
  if (seconds == null || Number.isNaN(seconds)) return "–";
  const value = Math.max(0, seconds);
  if (value < 10) return `${Math.round(value * 10) / 10} s`;
  if (value < 100) return `${Math.round(value)} s`;
  if (value < 5400) return `${Math.round(value / 60)} min`;
  if (value < 172800) return `${Math.round(value / 3600)} h`;
  return `${number(Math.round(value / 86400))} days`;
}

const since = (iso) => (Date.now() - Date.parse(iso)) / 1000;

/** `6 min ago`, or `in 3 days`. */
export function ago(iso) {
  if (!iso) return "–";
  const seconds = since(iso);
  return seconds >= 0 ? `${span(seconds)} ago` : `in ${span(-seconds)}`;
}

export const age = (iso) => (iso ? span(since(iso)) : "–");

/** `14:02:31`, in UTC. */
export const clock = (iso) => new Date(iso).toISOString().slice(11, 19);

export const utcDay = (iso) => new Date(iso).toISOString().slice(0, 10);

const MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/** `26 Dec`, with the year where it is another. */
export function day(iso) {
  if (!iso) return "no end";
  const date = new Date(iso);
  const year = date.getUTCFullYear() === new Date().getUTCFullYear() ? "" : ` ${date.getUTCFullYear()}`;
  return `${date.getUTCDate()} ${MONTHS[date.getUTCMonth()]}${year}`;
}

/** Time today, else the day and the time. */
export const moment = (iso) =>
  !iso ? "–" : utcDay(iso) === utcDay(Date.now()) ? clock(iso) : `${day(iso)}, ${clock(iso).slice(0, 5)}`;

export const full = (iso) => (iso ? `${new Date(iso).toISOString().replace("T", " ").slice(0, 19)} UTC` : "");

/** The rules by which URLs are decided, in words for people. */
const RULES = {
  default: "nothing speaks against it", unusable_url: "not a usable URL", not_managed: "not our host",
  protected: "protected", bare_host: "root of a host", cool_down: "unbanned a short while ago",
  refused: "refused by a person", live: "banned already", dry_run: "rehearsal", corroboration: "needs another reporter",
  review: "source under review", source_cap: "above the source's cap", host_cap: "above the host's cap",
  account_cap: "above the account's cap", share_cap: "too large a share of live bans", contention: "caps could not be counted",
  test: "test report", renewal: "renewed", released: "taken out of its hold", drift: "missing at the vendor", unban: "unbanned by a person",
};
export const rule = (name) => (name ? RULES[name] ?? visible(name).replaceAll("_", " ") : "");
export const capital = (text) => text.charAt(0).toUpperCase() + text.slice(1);

/** Why a hold waits, as a sentence. */
const WHY = {
  bare_host: "Each is the root of its host: a ban takes a whole front page down.",
  source_cap: "The source reported more in this hour than its cap lets through by itself.",
  host_cap: "More URLs of one host were reported in this hour than its cap lets through.",
  account_cap: "More bans fell due in this hour than the account's cap lets through.",
  share_cap: "They would be too large a share of the account's live bans.",
  review: "A person decides about all that this source reports.",
  corroboration: "Their category needs more than one independent reporter.",
  drift: "The vendor's list has lost these bans.",
};
export const why = (name) => WHY[name] ?? `The rule ${visible(name)} asks for a person.`;

/** Join names as a sentence does. */
export const names = (list) =>
  list.length < 2 ? list.map(visible).join("") : `${list.slice(0, -1).map(visible).join(", ")} and ${visible(list.at(-1))}`;
