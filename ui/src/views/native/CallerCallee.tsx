/** What each function costs by itself and with all it calls; who calls it, and whom it calls. */
import { useMemo } from "react";

import { visible } from "../../lib/format";
import { type By, type Callers, type FunctionCost, byOf, costText, frameName, framePlace, nativeAddress } from "../../lib/native";
import { adjust, step, useRoute } from "../../lib/route";
import { useAnswer } from "../../lib/use";
import { useTable } from "../../parts/nodes";
import { Split } from "../../parts/Split";
import { type Column, TreeTable } from "../../parts/TreeTable";
import { Failed } from "../../parts/Words";
import type { ViewProps } from "../list";
import { NativeBar } from "./Bar";

interface Row {
  cost: FunctionCost;
  at: number;
}

export function CallerCallee({ file }: ViewProps) {
  const route = useRoute();
  const by = byOf(route);
  const url = nativeAddress(file.id, "callers", route);
  const { data, error } = useAnswer<Callers>(url);
  const list = useTable("inclusive");
  const { sorting } = list;
  const filter = (route["filter"] ?? "").toLowerCase();
  const rows = useMemo(() => {
    const all = (data?.functions ?? []).map((cost, at) => ({ cost, at }));
    const kept = filter ? all.filter((row) => frameName(row.cost).toLowerCase().includes(filter)) : all;
    const sign = sorting.ascending ? 1 : -1;
    const key = sorting.by === "self" ? "self" : "inclusive";
    if (sorting.by === "name") kept.sort((a, b) => sign * (frameName(a.cost) < frameName(b.cost) ? -1 : 1));
    else kept.sort((a, b) => sign * ((a.cost[key][by] ?? 0) - (b.cost[key][by] ?? 0)) || a.at - b.at);
    return kept;
  }, [data, filter, sorting.by, sorting.ascending, by]);
  const columns = useMemo(() => functionColumns(by), [by]);
  const chosen = data?.functions[Number(route["function"] ?? rows[0]?.at ?? 0)];
  return (
    <div className="whole">
      <NativeBar file={file} />
      {error ? (
        <Failed error={error} />
      ) : !data ? (
        <p className="note busy">working…</p>
      ) : (
        <Split
          top={
            <TreeTable<Row>
              takesFocus
              label="Functions"
              columns={columns}
              question={JSON.stringify([url, sorting, filter])}
              load={async (_, offset, limit) => ({ total: rows.length, offset, rows: rows.slice(offset, offset + limit) })}
              keyOf={(row) => String(row.at)}
              {...list}
              onSelect={(row, path) => adjust({ row: path, function: String(row.at) })}
              empty="Nothing of this cost."
            />
          }
          bottom={
            chosen && (
              <div className="call-lists">
                <Calls title={`Callers of ${frameName(chosen)}`} calls={chosen.callers} all={data} by={by} />
                <Calls title={`Called by ${frameName(chosen)}`} calls={chosen.callees} all={data} by={by} />
              </div>
            )
          }
        />
      )}
    </div>
  );
}

function Calls({ title, calls, all, by }: { title: string; calls: FunctionCost["callers"]; all: Callers; by: By }) {
  return (
    <section aria-label={title}>
      <h2>{visible(title)}</h2>
      {calls.length === 0 && <p className="note">none</p>}
      <ul>
        {calls.slice(0, 200).map((call) => {
          const cost = all.functions[call.function];
          return (
            cost && (
              <li key={call.function}>
                <span className="stack-cost">{costText(by, call[by])}</span>
                <button type="button" className="link" onClick={() => step({ function: String(call.function), row: String(call.function) })}>
                  <span className={`frame ${cost.kind}`}>{visible(frameName(cost))}</span>
                </button>{" "}
                <span className="place">{visible(framePlace(cost))}</span>
              </li>
            )
          );
        })}
      </ul>
    </section>
  );
}

function functionColumns(by: By): Column<Row>[] {
  return [
    {
      key: "function",
      title: "Function",
      sort: "name",
      ascendingFirst: true,
      cell: ({ cost }) => (
        <span className="node" title={cost.function ?? undefined}>
          <span className={`frame ${cost.kind}`}>{visible(frameName(cost))}</span>{" "}
          <span className="place">{visible(framePlace(cost))}</span>
        </span>
      ),
      text: ({ cost }) => frameName(cost),
    },
    {
      key: "self",
      title: "Self",
      hint: "Stacks in which it calls the allocator",
      width: "9em",
      sort: "self",
      cell: ({ cost }) => costText(by, cost.self[by]),
      text: ({ cost }) => String(cost.self[by]),
    },
    {
      key: "inclusive",
      title: "Inclusive",
      hint: "Stacks in which it occurs, each counted once",
      width: "9em",
      sort: "inclusive",
      cell: ({ cost }) => costText(by, cost.inclusive[by]),
      text: ({ cost }) => String(cost.inclusive[by]),
    },
  ];
}
