/** What came and went between two of the loaded snapshots. */
import { type Diff, type DiffRow, address, get } from "../lib/api";
import { count, signed, size, visible } from "../lib/format";
import { adjust, step, useRoute } from "../lib/route";
import { useAnswer } from "../lib/use";
import { FilterField, useFilter, useTable } from "../parts/nodes";
import { type Column, CopyButton, TreeTable } from "../parts/TreeTable";
import { Failed } from "../parts/Words";
import type { ViewProps } from "./list";

const tone = (value: number) => (value > 0 ? "up" : value < 0 ? "down" : "dim");

const COLUMNS: Column<DiffRow>[] = [
  {
    key: "name",
    title: "Class",
    sort: "name",
    ascendingFirst: true,
    cell: (row) => <span className="class">{visible(row.name) || "(no name)"}</span>,
    text: (row) => row.name,
  },
  {
    key: "added",
    title: "Added",
    hint: "Objects that only the newer snapshot has",
    width: "7em",
    sort: "added",
    cell: (row) => count(row.added),
    text: (row) => String(row.added),
  },
  {
    key: "removed",
    title: "Removed",
    hint: "Objects that only the older snapshot has",
    width: "7em",
    sort: "removed",
    cell: (row) => count(row.removed),
    text: (row) => String(row.removed),
  },
  {
    key: "delta",
    title: "Delta",
    width: "7em",
    sort: "delta",
    cell: (row) => <span className={tone(row.delta)}>{signed(row.delta)}</span>,
    text: (row) => String(row.delta),
  },
  {
    key: "allocated",
    title: "Allocated",
    hint: "Shallow bytes of what was added",
    width: "8em",
    sort: "allocated",
    cell: (row) => size(row.allocated_size),
    text: (row) => String(row.allocated_size),
  },
  {
    key: "freed",
    title: "Freed",
    hint: "Shallow bytes of what was removed",
    width: "8em",
    sort: "freed",
    cell: (row) => size(row.freed_size),
    text: (row) => String(row.freed_size),
  },
  {
    key: "size_delta",
    title: "Size delta",
    width: "9em",
    sort: "size_delta",
    cell: (row) => <span className={tone(row.size_delta)}>{signed(row.size_delta, size)}</span>,
    text: (row) => String(row.size_delta),
  },
];

export function Comparison({ file, files }: ViewProps) {
  const route = useRoute();
  const filter = useFilter();
  const others = files.filter((other) => other.id !== file.id && other.kind === "js-snapshot");
  const given = others.find((other) => String(other.id) === route["base"]);
  // What was taken before is what one compares with.
  const base = given ?? others.findLast((other) => other.id < file.id) ?? others[0];
  const list = useTable("size_delta");
  const at = (offset: number, limit: number) =>
    address("diff", {
      base: base?.id,
      new: file.id,
      filter: filter.wanted,
      sort: list.sorting.by,
      ascending: list.sorting.ascending,
      offset: offset || undefined,
      limit,
    });
  const totals = useAnswer<Diff>(base ? at(0, 1) : null);
  if (!base) {
    const isComing = files.some((other) => other.status === "loading" || other.status === "waiting");
    return (
      <div className="page narrow">
        <h1>Nothing to compare with</h1>
        <p>
          {isComing
            ? "Another file is still being read."
            : "Open two snapshots of one process, the older one first: twinheap open before.heapsnapshot after.heapsnapshot"}
        </p>
      </div>
    );
  }
  return (
    <div className="whole">
      <div className="toolbar">
        <label>
          Since{" "}
          <select value={base.id} onChange={(event) => step({ base: event.target.value, row: undefined })}>
            {others.map((other) => (
              <option key={other.id} value={other.id}>
                {other.name}
              </option>
            ))}
          </select>
        </label>
        <FilterField label="Filter classes" filter={filter} />
        <span className="dim" role="status">
          {totals.data &&
            `${count(totals.data.total)} classes · ${count(totals.data.added)} added · ${count(totals.data.removed)} removed · ${signed(totals.data.size_delta, size)}`}
        </span>
        <span className="spring" />
        <CopyButton columns={COLUMNS} load={(limit) => get<Diff>(at(0, limit))} />
      </div>
      {totals.error && <Failed error={totals.error} />}
      {totals.data && !totals.data.comparable_ids && (
        <p className="warning" role="note">
          The object ids of these two can&apos;t be compared: they are of different processes or inspector sessions. Rows
          show differences of counts and sizes instead of added and removed objects.
        </p>
      )}
      <TreeTable<DiffRow>
        takesFocus
        label="Comparison"
        columns={COLUMNS}
        question={JSON.stringify([base.id, file.id, filter.wanted, list.sorting])}
        load={(_, offset, limit, signal) => get<Diff>(at(offset, limit), signal)}
        keyOf={(row) => row.key.replace(/[\s/]/g, "_")}
        {...list}
        onSelect={(_, path) => adjust({ row: path })}
        onFollow={(row) => {
          if (row.class_id !== null) {
            step({ view: "summary", filter: row.name.slice(0, 120), open: String(row.class_id), row: undefined, sort: undefined });
          }
        }}
        empty="Nothing changed."
      />
    </div>
  );
}
