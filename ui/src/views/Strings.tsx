/** Texts that are there more than once, and their copies. */
import { type Info, type StringGroup, type Strings as Groups, address, get } from "../lib/api";
import { count, distance, size, visible } from "../lib/format";
import { type GroupRow, groupLoader, groupPage, nodeKey } from "../lib/lists";
import { adjust } from "../lib/route";
import { useAnswer } from "../lib/use";
import { Inspector } from "../parts/Inspector";
import { FilterField, NOTHING_BELOW, useFilter, useTable } from "../parts/nodes";
import { Split } from "../parts/Split";
import { type Column, CopyButton, TreeTable } from "../parts/TreeTable";
import { Bytes, NodeLabel, nodeText } from "../parts/Words";
import type { ViewProps } from "./list";

type Row = GroupRow<StringGroup>;

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
  const filter = useFilter();
  const list = useTable("shallow");
  const info = useAnswer<Info>(address(`files/${file.id}/info`));
  const at = (offset: number, limit: number) =>
    address(`files/${file.id}/strings`, {
      filter: filter.wanted,
      sort: list.sorting.by,
      ascending: list.sorting.ascending,
      offset: offset || undefined,
      limit,
    });
  const totals = useAnswer<Groups>(at(0, 1));
  const load = groupLoader<StringGroup>(file.id, at, (group) => ({ of: "copies", class_id: group.group_id }));
  return (
    <Split
      top={
        <>
          <div className="toolbar">
            <FilterField label="Filter texts" filter={filter} />
            <span className="dim" role="status">
              {totals.data && `${count(totals.data.total)} texts · ${size(totals.data.wasted)} in copies`}
            </span>
            <span className="spring" />
            <CopyButton columns={COLUMNS} load={async (limit) => groupPage(await get<Groups>(at(0, limit)))} />
          </div>
          <TreeTable<Row>
            takesFocus
            label="Duplicate strings"
            columns={COLUMNS}
            question={JSON.stringify([file.id, filter.wanted, list.sorting])}
            load={load}
            keyOf={(row) => (row.group ? `g${row.group.group_id}` : nodeKey(row.node))}
            canOpen={(row) => (row.group ? true : row.node.has_edges)}
            {...list}
            onSelect={(row, path) =>
              adjust({ row: path, id: String(row.node?.id ?? row.group?.example_id ?? ""), ...NOTHING_BELOW })
            }
            empty="No text is there twice."
          />
        </>
      }
      bottom={<Inspector file={file} whole={info.data?.total_size ?? 0} />}
    />
  );
}
