/** The classes of a snapshot; a class opens into its objects, an object into what it refers to. */
import { useMemo, useState } from "react";

import { type ClassRow, type Classes, type Info, type NodeRow, address, get } from "../lib/api";
import { count, distance, place, size, visible } from "../lib/format";
import { listAddress, nodeKey } from "../lib/lists";
import { adjust, step, useRoute } from "../lib/route";
import type { PageOf } from "../lib/tree";
import { useAnswer, useSettled } from "../lib/use";
import { Inspector } from "../parts/Inspector";
import { formatSorting, parseSorting } from "../parts/nodes";
import { Split } from "../parts/Split";
import { type Column, CopyButton, TreeTable } from "../parts/TreeTable";
import { Bytes, NodeLabel, Share, nodeText } from "../parts/Words";
import type { ViewProps } from "./list";

/** A line is a class or, below one, an object. */
type Row = { class: ClassRow; node?: undefined } | { node: NodeRow; class?: undefined };

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
  const [filter, setFilter] = useState(route["filter"] ?? "");
  const [shownFilter, setShownFilter] = useState(route["filter"] ?? "");
  // Back and forward change the address without anybody typing.
  if ((route["filter"] ?? "") !== shownFilter) {
    setShownFilter(route["filter"] ?? "");
    setFilter(route["filter"] ?? "");
  }
  const wanted = useSettled(filter, 80);
  const only = route["only"] ?? "";
  const sorting = parseSorting(route["sort"], "retained");
  const info = useAnswer<Info>(address(`files/${file.id}/info`));
  const whole = info.data?.total_size ?? 0;
  const classesAt = (offset: number, limit: number) =>
    address(`files/${file.id}/classes`, {
      filter: wanted,
      only,
      sort: sorting.by,
      ascending: sorting.ascending,
      offset: offset || undefined,
      limit,
    });
  const totals = useAnswer<Classes>(classesAt(0, 1));
  const columns = useMemo(() => summaryColumns(whole), [whole]);

  const load = async (parent: Row | null, offset: number, limit: number, signal: AbortSignal): Promise<PageOf<Row>> => {
    if (!parent) {
      const page = await get<Classes>(classesAt(offset, limit), signal);
      return { ...page, rows: page.rows.map((row) => ({ class: row })) };
    }
    // A count is of classes; the objects below one come largest first.
    const order = sorting.by === "count" || sorting.by === "name" ? undefined : sorting;
    const question = parent.class
      ? { file: file.id, of: "instances" as const, class_id: parent.class.class_id, only }
      : { file: file.id, of: "children" as const, id: parent.node.id };
    const page = await get<PageOf<NodeRow>>(listAddress(question, offset, limit, order), signal);
    return { ...page, rows: page.rows.map((node) => ({ node })) };
  };

  return (
    <Split
      top={
        <>
          <div className="toolbar">
            <input
              type="search"
              placeholder="Filter classes"
              aria-label="Filter classes"
              value={filter}
              spellCheck={false}
              onChange={(event) => {
                setFilter(event.target.value);
                setShownFilter(event.target.value);
                adjust({ filter: event.target.value, open: undefined, row: undefined });
              }}
            />
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
              load={async (limit) => {
                const page = await get<Classes>(classesAt(0, limit));
                return { ...page, rows: page.rows.map((row): Row => ({ class: row })) };
              }}
            />
          </div>
          <TreeTable<Row>
            takesFocus
            label="Classes"
            columns={columns}
            question={JSON.stringify([file.id, wanted, only, sorting])}
            load={load}
            keyOf={(row) => (row.class ? String(row.class.class_id) : nodeKey(row.node))}
            canOpen={(row) => (row.class ? row.class.count > 0 : row.node.has_edges)}
            opened={route["open"] ?? ""}
            onOpened={(paths) => adjust({ open: paths })}
            selected={route["row"]}
            onSelect={(row, path) =>
              adjust(
                row.class
                  ? { row: path }
                  : { row: path, id: String(row.node.id), rrow: undefined, ropen: undefined, ignore: undefined },
              )
            }
            sorting={sorting}
            onSort={(next) => step({ sort: formatSorting(next), row: undefined })}
            empty={wanted ? "No class has such a name." : "Nothing fits."}
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
        row.class ? (
          <span className="node">
            <span className="class">{visible(row.class.name) || "(no name)"}</span>
            <span className="times"> ×{count(row.class.count)}</span>
            {row.class.location && <span className="place"> {place(row.class.location)}</span>}
          </span>
        ) : (
          <NodeLabel node={row.node} />
        ),
      text: (row) => (row.class ? row.class.name : nodeText(row.node)),
    },
    {
      key: "count",
      title: "Count",
      width: "7em",
      sort: "count",
      cell: (row) => (row.class ? count(row.class.count) : ""),
      text: (row) => (row.class ? String(row.class.count) : ""),
    },
    {
      key: "distance",
      title: "Distance",
      hint: "Steps from the nearest root of the program; – for what only V8 reaches",
      width: "7em",
      sort: "distance",
      ascendingFirst: true,
      cell: (row) => distance((row.class ?? row.node).distance),
      text: (row) => distance((row.class ?? row.node).distance),
    },
    {
      key: "shallow",
      title: "Shallow size",
      hint: "The objects' own bytes, with the internals that only they use",
      width: "12em",
      sort: "shallow",
      cell: (row) =>
        row.class ? <Share bytes={row.class.shallow_size} whole={whole} /> : <Bytes bytes={row.node.shallow_size} />,
      text: (row) => String((row.class ?? row.node).shallow_size),
    },
    {
      key: "retained",
      title: "Retained size",
      hint: "What would be freed with them",
      width: "12em",
      sort: "retained",
      cell: (row) => <Share bytes={(row.class ?? row.node).retained_size} whole={whole} />,
      text: (row) => String((row.class ?? row.node).retained_size),
    },
  ];
}
