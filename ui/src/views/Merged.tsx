/** How all objects of a class are held: their shortest paths, merged. */
import { useMemo, useState } from "react";

import { type ClassRow, type Classes, type MergedStep, address, get } from "../lib/api";
import { count, many, visible } from "../lib/format";
import { adjust, step, useRoute } from "../lib/route";
import type { PageOf } from "../lib/tree";
import { useAnswer } from "../lib/use";
import { useTable } from "../parts/nodes";
import { type Column, TreeTable } from "../parts/TreeTable";
import { Share, edgeText } from "../parts/Words";
import type { ViewProps } from "./list";

export function Merged({ file }: ViewProps) {
  const route = useRoute();
  const [typed, setTyped] = useState("");
  const chosen = route["class"];
  const { opened, onOpened, selected } = useTable("");
  const found = useAnswer<Classes>(address(`files/${file.id}/classes`, { filter: typed, limit: 12 }));
  const top = useAnswer<{ rows: MergedStep[] }>(
    chosen ? address(`files/${file.id}/merged`, { class_id: chosen, limit: 1000 }) : null,
  );
  const whole = top.data?.rows.reduce((sum, row) => sum + row.retained_size, 0) ?? 0;
  const all = top.data?.rows.reduce((sum, row) => sum + row.instances, 0) ?? 0;
  const columns = useMemo(() => mergedColumns(whole), [whole]);
  return (
    <div className="whole">
      <div className="toolbar">
        <input
          type="search"
          placeholder="Find a class"
          aria-label="Find a class"
          value={typed}
          spellCheck={false}
          onChange={(event) => setTyped(event.target.value)}
        />
        <span className="chips">
          {found.data?.rows.slice(0, 8).map((row: ClassRow) => (
            <button
              key={row.class_id}
              type="button"
              className={String(row.class_id) === chosen ? "chip current" : "chip"}
              onClick={() => step({ class: String(row.class_id), open: undefined, row: undefined })}
            >
              {visible(row.name).slice(0, 40)}
            </button>
          ))}
        </span>
      </div>
      {chosen ? (
        <>
          <p className="note" role="status">
            {top.data ? `${many(all, "object")} by their shortest paths from the roots` : "working…"}
          </p>
          <TreeTable<MergedStep>
            takesFocus
            opensAlone
            label="Merged paths"
            columns={columns}
            question={JSON.stringify([file.id, chosen])}
            load={(parent, offset, limit, signal) => {
              const url = address(`files/${file.id}/merged`, { class_id: chosen, step: parent?.step, offset, limit });
              return get<PageOf<MergedStep>>(url, signal);
            }}
            keyOf={(row) => String(row.step)}
            canOpen={(row) => row.has_children}
            {...{ opened, onOpened, selected }}
            onSelect={(_, path) => adjust({ row: path })}
            empty="No strong path leads to any of them."
          />
        </>
      ) : (
        <p className="note">Choose a class to see by which ways its objects are held.</p>
      )}
    </div>
  );
}

function edgeOf(row: MergedStep): string {
  if (row.edge_type === "root") return "";
  if (row.edge_type === "weak_map_entry") return "<WeakMap entry>";
  return edgeText({ type: row.edge_type, name: row.edge_name ?? "0 …" });
}

function mergedColumns(whole: number): Column<MergedStep>[] {
  return [
    {
      key: "step",
      title: "Held as … of",
      cell: (row) => (
        <span className="node">
          <span className="edge">{edgeOf(row)}</span>
          <span className="joint"> : </span>
          <span className="class">{visible(row.class)}</span>
          <span className="times"> ×{count(row.objects)}</span>
        </span>
      ),
      text: (row) => `${edgeOf(row)}: ${row.class}`,
    },
    {
      key: "instances",
      title: "Objects held",
      hint: "Objects of the class at or below this step",
      width: "9em",
      cell: (row) => count(row.instances),
      text: (row) => String(row.instances),
    },
    {
      key: "retained",
      title: "Retained size",
      hint: "What those objects retain",
      width: "12em",
      cell: (row) => <Share bytes={row.retained_size} whole={whole} />,
      text: (row) => String(row.retained_size),
    },
  ];
}
