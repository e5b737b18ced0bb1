/** Texts that are there more than once, and their copies. */
import { useMemo, useState } from "react";

import { type Info, type NodeRow, type StringGroup, type Strings as Groups, address, get } from "../lib/api";
import { count, distance, size, visible } from "../lib/format";
import { listAddress, nodeKey } from "../lib/lists";
import { adjust, step, useRoute } from "../lib/route";
import type { PageOf } from "../lib/tree";
import { useAnswer, useSettled } from "../lib/use";
import { Inspector } from "../parts/Inspector";
import { formatSorting, parseSorting } from "../parts/nodes";
import { Split } from "../parts/Split";
import { type Column, CopyButton, TreeTable } from "../parts/TreeTable";
import { Bytes, NodeLabel, nodeText } from "../parts/Words";
import type { ViewProps } from "./list";

type Row = { group: StringGroup; node?: undefined } | { node: NodeRow; group?: undefined };

const COLUMNS: Column<Row>[] = [
  {
    key: "name",
    title: "Text",
    sort: "name",
    ascendingFirst: true,
    cell: (row) =>
      row.group ? (
        <span className="node">
          <span className="label string">
            &quot;{visible(row.group.text)}
            {row.group.cut && "…"}&quot;
          </span>
          {row.group.may_differ && (
            <span className="badge" title="The file holds only the start of these texts: they may differ behind it">
              may differ
            </span>
          )}
        </span>
      ) : (
        <NodeLabel node={row.node} />
      ),
    text: (row) => (row.group ? row.group.text : nodeText(row.node)),
  },
  {
    key: "count",
    title: "Copies",
    width: "7em",
    sort: "count",
    cell: (row) => (row.group ? count(row.group.count) : ""),
    text: (row) => (row.group ? String(row.group.count) : ""),
  },
  {
    key: "distance",
    title: "Distance",
    width: "7em",
    cell: (row) => (row.node ? distance(row.node.distance) : ""),
    text: (row) => (row.node ? distance(row.node.distance) : ""),
  },
  {
    key: "shallow",
    title: "Size",
    hint: "Bytes of all copies",
    width: "9em",
    sort: "shallow",
    cell: (row) => <Bytes bytes={(row.group ?? row.node).shallow_size} />,
    text: (row) => String((row.group ?? row.node).shallow_size),
  },
  {
    key: "wasted",
    title: "Wasted",
    hint: "Bytes of all copies but one",
    width: "9em",
    sort: "wasted",
    cell: (row) => (row.group ? <Bytes bytes={row.group.wasted} /> : ""),
    text: (row) => (row.group ? String(row.group.wasted) : ""),
  },
];

export function Strings({ file }: ViewProps) {
  const route = useRoute();
  const [filter, setFilter] = useState(route["filter"] ?? "");
  const wanted = useSettled(filter, 80);
  const sorting = parseSorting(route["sort"], "shallow");
  const info = useAnswer<Info>(address(`files/${file.id}/info`));
  const at = (offset: number, limit: number) =>
    address(`files/${file.id}/strings`, {
      filter: wanted,
      sort: sorting.by,
      ascending: sorting.ascending,
      offset: offset || undefined,
      limit,
    });
  const totals = useAnswer<Groups>(at(0, 1));
  const columns = useMemo(() => COLUMNS, []);
  const load = async (parent: Row | null, offset: number, limit: number, signal: AbortSignal): Promise<PageOf<Row>> => {
    if (!parent) {
      const page = await get<Groups>(at(offset, limit), signal);
      return { ...page, rows: page.rows.map((group) => ({ group })) };
    }
    const question = parent.group
      ? { file: file.id, of: "copies" as const, class_id: parent.group.group_id }
      : { file: file.id, of: "children" as const, id: parent.node.id };
    const page = await get<PageOf<NodeRow>>(listAddress(question, offset, limit), signal);
    return { ...page, rows: page.rows.map((node) => ({ node })) };
  };
  return (
    <Split
      top={
        <>
          <div className="toolbar">
            <input
              type="search"
              placeholder="Filter texts"
              aria-label="Filter texts"
              value={filter}
              spellCheck={false}
              onChange={(event) => {
                setFilter(event.target.value);
                adjust({ filter: event.target.value, open: undefined, row: undefined });
              }}
            />
            <span className="dim" role="status">
              {totals.data && `${count(totals.data.total)} texts · ${size(totals.data.wasted)} in copies`}
            </span>
            <span className="spring" />
            <CopyButton
              columns={columns}
              load={async (limit) => {
                const page = await get<Groups>(at(0, limit));
                return { ...page, rows: page.rows.map((group): Row => ({ group })) };
              }}
            />
          </div>
          <TreeTable<Row>
            takesFocus
            label="Duplicate strings"
            columns={columns}
            question={JSON.stringify([file.id, wanted, sorting])}
            load={load}
            keyOf={(row) => (row.group ? `g${row.group.group_id}` : nodeKey(row.node))}
            canOpen={(row) => (row.group ? true : row.node.has_edges)}
            opened={route["open"] ?? ""}
            onOpened={(paths) => adjust({ open: paths })}
            selected={route["row"]}
            onSelect={(row, path) =>
              adjust({
                row: path,
                id: String(row.group ? (row.group.example_id ?? "") : row.node.id),
                rrow: undefined,
                ropen: undefined,
              })
            }
            sorting={sorting}
            onSort={(next) => step({ sort: formatSorting(next), row: undefined })}
            empty="No text is there twice."
          />
        </>
      }
      bottom={<Inspector file={file} whole={info.data?.total_size ?? 0} />}
    />
  );
}
