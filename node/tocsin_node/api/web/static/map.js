// The incident map: who attacks and who reports, what is hit, and what of ours hangs on it.
// Four kinds in three columns, in the order in which they came: nothing moves when something is added.
import { s, shown } from "./dom.js";
import { brief, money } from "./words.js";

const MAX_OF_GROUP = 7;
const ROW = 46,
  TOP = 30,
  BOX = 34;
const NARROW = 150,
  MAX_BOX = 250,
  SHARE = 0.29;
export const HIT_ROLES = new Set(["victim", "at-risk"]);
const LEFT_ROLES = new Set(["attacker", "tool", "recipient"]);
const GROUPS = {
  attackers: { column: 0, title: "Accounts" },
  reporters: { column: 0, title: "Reported by" },
  hit: { column: 1, title: "Hit" },
  ours: { column: 2, title: "Ours, exposed" },
};

/** Nodes and edges of some signals over our own manifest. */
export function graphOf(signals, exposure) {
  const nodes = new Map(),
    edges = new Map();
  const node = (group, id, about) => {
    const key = `${group} ${id}`;
    if (!nodes.has(key)) nodes.set(key, { key, group, id, ...about });
    return key;
  };
  const edge = (from, to, kind) => edges.set(`${from} ${to}`, { from, to, kind });
  for (const row of [...signals].sort((a, b) => a.received_ms - b.received_ms)) {
    const told = row.signal;
    if (!told || told.drill || told.category.startsWith("meta.")) continue;
    const link = row.incident ? `#/incident/${row.incident}` : `#/signal/${row.digest}`;
    const who = node("reporters", row.member || row.publisher, {
      name: row.member || brief(row.publisher),
      note: row.path === "own" ? "our own" : "",
      link: "#/node",
    });
    const hits = told.subjects.filter((one) => HIT_ROLES.has(one.role)).map((one) => one.value);
    for (const value of hits) {
      const hit = node("hit", place(value), { name: nameOf(value, exposure), note: told.category, link, whole: value });
      edge(who, hit, "says");
      for (const one of told.subjects.filter((other) => LEFT_ROLES.has(other.role))) {
        edge(
          node("attackers", one.value, { name: brief(one.value), note: one.role, link, whole: one.value }),
          hit,
          one.role,
        );
      }
      for (const [holding, why] of exposedTo(value, exposure)) {
        const worth = holding.amount ? money(holding.amount.usd * 1e6) : "";
        edge(
          hit,
          node("ours", holding.name, {
            name: holding.name,
            note: worth,
            link,
            whole: `${holding.name} (${holding.kind})`,
          }),
          why,
        );
      }
    }
  }
  return { nodes: [...nodes.values()], edges: [...edges.values()] };
}

/** Our holdings that a subject touches, and by what. */
function exposedTo(value, exposure) {
  if (!exposure) return [];
  const found = exposure.holdings
    .filter((one) => one.subjects.some((own) => place(own) === place(value)))
    .map((one) => [one, "own"]);
  for (const link of exposure.dependencies.filter((one) => place(one.subject) === place(value))) {
    const holding = exposure.holdings.find((one) => one.name === link.holding);
    if (holding) found.push([holding, link.link]);
  }
  return found;
}

/** A contract is the same place as the token that it is. */
function place(subject) {
  return subject.replace(/\/[a-z0-9-]+:/, ":").toLowerCase();
}

/** What we call a subject: its protocol where our manifest names it. */
export function nameOf(value, exposure) {
  const own = exposure?.holdings.find((one) => one.subjects.some((subject) => place(subject) === place(value)));
  if (own) return `${exposure.protocol} (us)`;
  const link = exposure?.dependencies.find((one) => one.provider && place(one.subject) === place(value));
  return link ? link.provider : brief(value);
}

/** The map as a drawing `width` wide; null where there is nothing to draw. */
export function drawMap({ nodes, edges }, width) {
  if (!nodes.length) return null;
  const column = Math.min(MAX_BOX, width * SHARE);
  const boxes = new Map(),
    titles = [],
    more = [],
    ends = [TOP, TOP, TOP];
  for (const [group, { column: at, title }] of Object.entries(GROUPS)) {
    const members = nodes.filter((one) => one.group === group);
    if (!members.length) continue;
    const x = (at * (width - column - 2)) / 2 + 1;
    titles.push(s("text", { x, y: ends[at] - 10, class: "map-title" }, title));
    members
      .slice(0, MAX_OF_GROUP)
      .forEach((one, row) => boxes.set(one.key, { one, x, y: ends[at] + row * ROW, width: column }));
    ends[at] += Math.min(members.length, MAX_OF_GROUP) * ROW + (members.length > MAX_OF_GROUP ? ROW : 24);
    if (members.length > MAX_OF_GROUP)
      more.push(
        s("text", { x, y: ends[at] - ROW + 12, class: "map-note" }, `and ${members.length - MAX_OF_GROUP} more`),
      );
  }
  center(boxes, ends);
  const height = Math.max(...[...boxes.values()].map((box) => box.y + BOX), ...(more.length ? ends : [])) + 4;
  const lines = edges.filter(({ from, to }) => boxes.has(from) && boxes.has(to)).map((edge) => drawEdge(edge, boxes));
  return s(
    "svg",
    {
      viewBox: `0 0 ${width} ${height}`,
      width,
      height,
      class: "map",
      role: "group",
      "aria-label": describe(nodes, edges),
    },
    lines,
    titles,
    more,
    [...boxes.values()].map(drawBox),
  );
}

/** Where a column has less than the left one, it stands at the height of the middle. */
function center(boxes, ends) {
  const tallest = Math.max(...ends);
  for (const box of boxes.values()) {
    const at = GROUPS[box.one.group].column;
    if (at) box.y += Math.max(0, Math.min(tallest - ends[at], 3 * ROW)) / 2;
  }
}

function drawEdge({ from, to, kind }, boxes) {
  const a = boxes.get(from),
    b = boxes.get(to);
  const [x1, y1, x2, y2] = [a.x + a.width, a.y + BOX / 2, b.x, b.y + BOX / 2];
  const middle = (x1 + x2) / 2;
  return s(
    "path",
    { d: `M${x1} ${y1}C${middle} ${y1} ${middle} ${y2} ${x2} ${y2}`, class: `edge edge-${kind}` },
    s("title", {}, kind),
  );
}

function drawBox({ one, x, y, width }) {
  const letters = Math.floor((width - 12) / (width < NARROW ? 7.2 : 8.3));
  const cut = (text) => ([...text].length > letters ? `${[...text].slice(0, letters - 1).join("")}…` : text);
  return s(
    "a",
    { href: one.link, class: `box box-${one.group}`, "data-key": one.key },
    s("rect", { x, y, width, height: BOX, rx: 3 }),
    // a drawing of its own: what is drawn wider or higher than letters are is cut off at the edge of the box
    s(
      "svg",
      { x: x + 1, y: y + 1, width: width - 2, height: BOX - 2 },
      s("text", { x: 7, y: 14, class: "map-name" }, cut(shown(one.name))),
      s("text", { x: 7, y: 27, class: "map-note" }, cut(shown(one.note))),
    ),
    s("title", {}, one.whole ?? one.name),
  );
}

/** What the drawing shows, for who cannot see it. */
function describe(nodes, edges) {
  const names = new Map(nodes.map((one) => [one.key, one.name]));
  const verbs = {
    says: "reports on",
    own: "is our",
    attacker: "attacks",
    recipient: "received from",
    tool: "was used on",
  };
  return edges
    .map(({ from, to, kind }) => `${names.get(from)} ${verbs[kind] ?? `reaches us (${kind}) in`} ${names.get(to)}`)
    .join("; ");
}
