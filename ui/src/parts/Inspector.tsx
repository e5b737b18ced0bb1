/** The lower pane: one object, who holds it, what it refers to, the shortest path to it. */
import { useState } from "react";

import { type FileState, type NodeRow, type ObjectDetail, address } from "../lib/api";
import { count, distance, many, nodeLabel, size, visible } from "../lib/format";
import { adjust, linkTo, step, useRoute, withParts } from "../lib/route";
import { useAnswer, useSettledAfterFirst } from "../lib/use";
import { NodeTree } from "./nodes";
import { Bytes, Failed, NodeLabel, Place } from "./Words";

const TABS = [
  ["retainers", "Retainers"],
  ["refers", "Refers to"],
  ["path", "Path from root"],
  ["text", "Object"],
] as const;

export function Inspector({ file, whole }: { file: FileState; whole: number }) {
  const route = useRoute();
  // A key that is held down goes through many objects.
  const id = useSettledAfterFirst(route["id"], 90);
  const tab = TABS.find(([name]) => name === route["pane"])?.[0] ?? "retainers";
  const detail = useAnswer<ObjectDetail>(id ? address(`files/${file.id}/object`, { id }) : null);
  if (!id) {
    return (
      <section className="pane" aria-label="Object">
        <p className="note">Choose an object above to see who holds it.</p>
      </section>
    );
  }
  const node = detail.data?.object;
  return (
    <section className="pane" aria-label="Object">
      <div className="tabs" role="tablist" aria-label="About the object">
        {TABS.map(([name, title]) => (
          <button
            key={name}
            type="button"
            role="tab"
            aria-selected={name === tab}
            onClick={() => adjust({ pane: name === "retainers" ? undefined : name })}
          >
            {title}
          </button>
        ))}
        <span className="subject" aria-live="polite">
          {node && (
            <>
              <NodeLabel node={node} />
              <span className="dim">
                {" "}
                · {size(node.shallow_size)} shallow · {size(node.retained_size)} retained
              </span>
            </>
          )}
        </span>
      </div>
      {detail.error ? (
        <Failed error={detail.error} />
      ) : tab === "retainers" ? (
        <NodeTree
          label="Retainers"
          title="Held as … by"
          joint="in"
          question={{ file: file.id, of: "retainers", id: Number(id) }}
          below="retainers"
          whole={whole}
          prefix="r"
          usual="distance"
          canCopy={false}
          empty={detail.data?.held_by_root ? "Only the root holds it." : "Nothing strong holds it."}
        />
      ) : tab === "refers" ? (
        <NodeTree
          label="What the object refers to"
          title="Property"
          question={{ file: file.id, of: "children", id: Number(id) }}
          below="children"
          whole={whole}
          prefix="c"
          canCopy={false}
          empty="It refers to nothing."
        />
      ) : tab === "path" ? (
        <PathList file={file} id={id} />
      ) : (
        detail.data && <Facts detail={detail.data} whole={whole} />
      )}
    </section>
  );
}

/** The shortest path, and ways around what was ignored. */
function PathList({ file, id }: { file: FileState; id: string }) {
  const route = useRoute();
  const ignored = (route["ignore"] ?? "").split(",").filter(Boolean);
  const path = useAnswer<{ steps: NodeRow[] }>(address(`files/${file.id}/path`, { id, ignore: ignored.join(",") }));
  if (path.error) return <Failed error={path.error} />;
  if (!path.data) return <p className="note busy">working…</p>;
  const { steps } = path.data;
  return (
    <div className="path">
      {ignored.length > 0 && (
        <p className="note">
          Around {ignored.map((one) => `@${one}`).join(", ")}.{" "}
          <button type="button" className="quiet" onClick={() => step({ ignore: undefined })}>
            Shortest again
          </button>
        </p>
      )}
      {steps.length === 0 && <p className="note">No strong path leads to it: only weak references hold it.</p>}
      <ol aria-label="Path from the root">
        {steps.map((node, at) => (
          <li key={node.id}>
            <a {...linkTo(withParts(route, { id: String(node.id), rrow: undefined, ropen: undefined }))}>
              <NodeLabel node={node} />
            </a>
            <span className="dim"> {size(node.retained_size)} retained</span>
            {at > 0 && at < steps.length - 1 && (
              <button
                type="button"
                className="quiet small"
                title="Finds a path that does not go through this object"
                onClick={() => step({ ignore: [...ignored, node.id].join(",") })}
              >
                go around
              </button>
            )}
          </li>
        ))}
      </ol>
    </div>
  );
}

function Facts({ detail, whole }: { detail: ObjectDetail; whole: number }) {
  const route = useRoute();
  const { object, dominator } = detail;
  const [told, setTold] = useState("");
  const isText = object.type.includes("string");
  const link = (view: string, parts: Record<string, string>) =>
    linkTo(withParts(route, { view, row: undefined, open: undefined, filter: undefined, sort: undefined, ...parts }));
  return (
    <div className="facts">
      <dl>
        <dt>Object</dt>
        <dd>
          {nodeLabel({ ...object, name: object.name.slice(0, 80) })} <span className="id">@{object.id}</span>
        </dd>
        <dt>Class</dt>
        <dd>
          <a {...link("summary", { class: String(object.class_id), filter: object.class, open: String(object.class_id) })}>
            {visible(object.class)}
          </a>{" "}
          · <a {...link("paths", { class: String(object.class_id) })}>how all of them are held</a>
        </dd>
        <dt>Type</dt>
        <dd>
          {object.type}
          {object.detached && ", detached"}
        </dd>
        {object.location && (
          <>
            <dt>{object.type === "closure" ? "Defined at" : "Constructor at"}</dt>
            <dd>
              <Place at={object.location} />
            </dd>
          </>
        )}
        <dt>Distance</dt>
        <dd>{distance(object.distance)}</dd>
        <dt>Shallow size</dt>
        <dd>
          <Bytes bytes={object.shallow_size} /> <span className="dim">({count(object.shallow_size)} bytes; {count(detail.self_size)} in the file)</span>
        </dd>
        <dt>Retained size</dt>
        <dd>
          <Bytes bytes={object.retained_size} />{" "}
          <span className="dim">
            ({count(object.retained_size)} bytes, {many(object.dominated_count + 1, "object")}
            {whole > 0 && `, ${((object.retained_size / whole) * 100).toFixed(2)} % of the heap`})
          </span>
        </dd>
        <dt>Dominated by</dt>
        <dd>
          <a {...linkTo(withParts(route, { id: String(dominator.id) }))}>
            <NodeLabel node={dominator} />
          </a>
        </dd>
        <dt>Refers to</dt>
        <dd>{count(detail.edge_count)} others</dd>
      </dl>
      {isText && (
        <div className="fulltext">
          <button
            type="button"
            className="quiet"
            onClick={() => {
              void navigator.clipboard.writeText(detail.text).then(() => setTold("copied"));
            }}
          >
            Copy the text
          </button>
          <span role="status" className="told">
            {told}
          </span>
          {detail.text_cut && <span className="dim"> the start of a longer one</span>}
          <pre tabIndex={0}>{detail.text}</pre>
        </div>
      )}
    </div>
  );
}
