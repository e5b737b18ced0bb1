/** The classes of a snapshot; a class opens into its objects, an object into what it refers to. */
import { useMemo } from "react";

import { type ClassRow, type Classes, type Info, address, get } from "../lib/api";
import { count, distance, place, size, visible } from "../lib/format";
import { type GroupRow, groupLoader, groupPage, nodeKey } from "../lib/lists";
import { adjust, step, useRoute } from "../lib/route";
import { useAnswer } from "../lib/use";
import { Inspector } from "../parts/Inspector";
import { FilterField, NOTHING_BELOW, useFilter, useTable } from "../parts/nodes";
import { Split } from "../parts/Split";
import { type Column, CopyButton, TreeTable } from "../parts/TreeTable";
import { Bytes, NodeLabel, Share, nodeText } from "../parts/Words";
import type { ViewProps } from "./list";

/** A line is a class or, below one, an object. */
type Row = GroupRow<ClassRow>;

const FILTERS = [
  ["", "All objects"],
  ["duplicated-strings", "Duplicated strings"],
  ["detached", "Held only by detached nodes"],
  ["contexts", "Held only by closures' variables"],
  ["console", "Held only by the DevTools console"],
  ["event-handlers", "Held only by event handlers"],
] as const;

export function Summary({ file }: ViewProps) {
  const route = useRoute();
  const filter = useFilter();
  const only = route["only"] ?? "";
  const list = useTable("retained");
  const { sorting } = list;
  const info = useAnswer<Info>(address(`files/${file.id}/info`));
  const whole = info.data?.total_size ?? 0;
  const classesAt = (offset: number, limit: number) =>
    address(`files/${file.id}/classes`, {
      filter: filter.wanted,
      only,
      sort: sorting.by,
      ascending: sorting.ascending,
      offset: offset || undefined,
      limit,
    });
  const totals = useAnswer<Classes>(classesAt(0, 1));
  const columns = useMemo(() => summaryColumns(whole), [whole]);

  // A count is of classes; the objects below one come largest first.
  const order = sorting.by === "count" || sorting.by === "name" ? undefined : sorting;
  const load = groupLoader<ClassRow>(file.id, classesAt, (group) => ({ of: "instances", class_id: group.class_id, only }), order);

  return (
    <Split
      top={
        <>
          <div className="toolbar">
            <FilterField label="Filter classes" filter={filter} />
            <select
              aria-label="Which objects count"
              value={only}
              onChange={(event) => step({ only: event.target.value, open: undefined, row: undefined })}
            >
              {FILTERS.map(([name, title]) => (
                <option key={name} value={name}>
                  {title}
                </option>
              ))}
            </select>
            <span className="dim" role="status">
              {totals.data &&
                `${count(totals.data.total)} classes · ${count(totals.data.count)} objects · ${size(totals.data.shallow_size)}`}
            </span>
            <span className="spring" />
            <CopyButton
              columns={columns}
              load={async (limit) => groupPage(await get<Classes>(classesAt(0, limit)))}
            />
          </div>
          <TreeTable<Row>
            takesFocus
            label="Classes"
            columns={columns}
            question={JSON.stringify([file.id, filter.wanted, only, sorting])}
            load={load}
            keyOf={(row) => (row.group ? String(row.group.class_id) : nodeKey(row.node))}
            canOpen={(row) => (row.group ? row.group.count > 0 : row.node.has_edges)}
            {...list}
            onSelect={(row, path) => adjust(row.node ? { row: path, id: String(row.node.id), ...NOTHING_BELOW } : { row: path })}
            empty={filter.wanted ? "No class has such a name." : "Nothing fits."}
          />
        </>
      }
      bottom={<Inspector file={file} whole={whole} />}
    />
  );
}

function summaryColumns(whole: number): Column<Row>[] {
  return [
    {
      key: "name",
      title: "Class",
      sort: "name",
      ascendingFirst: true,
      cell: (row) =>
        row.group ? (
          <span className="node">
            <span className="class">{visible(row.group.name) || "(no name)"}</span>
            <span className="times"> ×{count(row.group.count)}</span>
            {row.group.location && <span className="place"> {place(row.group.location)}</span>}
          </span>
        ) : (
          <NodeLabel node={row.node} />
        ),
      text: (row) => (row.group ? row.group.name : nodeText(row.node)),
    },
    {
      key: "count",
      title: "Count",
      width: "7em",
      sort: "count",
      cell: (row) => (row.group ? count(row.group.count) : ""),
      text: (row) => (row.group ? String(row.group.count) : ""),
    },
    {
      key: "distance",
      title: "Distance",
      hint: "Steps from the nearest root of the program; – for what only V8 reaches",
      width: "7em",
      sort: "distance",
      ascendingFirst: true,
      cell: (row) => distance((row.group ?? row.node).distance),
      text: (row) => distance((row.group ?? row.node).distance),
    },
    {
      key: "shallow",
      title: "Shallow size",
      hint: "The objects' own bytes, with the internals that only they use",
      width: "12em",
      sort: "shallow",
      cell: (row) =>
        row.group ? <Share bytes={row.group.shallow_size} whole={whole} /> : <Bytes bytes={row.node.shallow_size} />,
      text: (row) => String((row.group ?? row.node).shallow_size),
    },
    {
      key: "retained",
      title: "Retained size",
      hint: "What would be freed with them",
      width: "12em",
      sort: "retained",
      cell: (row) => <Share bytes={(row.group ?? row.node).retained_size} whole={whole} />,
      text: (row) => String((row.group ?? row.node).retained_size),
    },
  ];
}
