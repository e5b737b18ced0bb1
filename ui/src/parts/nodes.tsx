/** The columns that lists of nodes have, and a table of them whose state is the address. */
import { useMemo, useState } from "react";

import { type NodeRow, get } from "../lib/api";
import { distance } from "../lib/format";
import { type Question, listAddress, nodeKey, nodeLoader } from "../lib/lists";
import { adjust, step, useRoute } from "../lib/route";
import type { PageOf } from "../lib/tree";
import { useSettled } from "../lib/use";
import { type Column, CopyButton, type Sorting, TreeTable } from "./TreeTable";
import { Bytes, NodeLabel, Share, nodeText } from "./Words";

export function nodeColumns(whole: number, title = "Object", joint = ":"): Column<NodeRow>[] {
  return [
    {
      key: "name",
      title,
      sort: "name",
      ascendingFirst: true,
      cell: (row) => <NodeLabel node={row} joint={joint} />,
      text: (row) => nodeText(row, joint),
    },
    {
      key: "distance",
      title: "Distance",
      hint: "Steps from the nearest root of the program; – for what only V8 reaches",
      width: "7em",
      sort: "distance",
      ascendingFirst: true,
      cell: (row) => distance(row.distance),
      text: (row) => distance(row.distance),
    },
    {
      key: "shallow",
      title: "Shallow size",
      hint: "The object's own bytes, with the internals that only it uses",
      width: "8.5em",
      sort: "shallow",
      cell: (row) => <Bytes bytes={row.shallow_size} />,
      text: (row) => String(row.shallow_size),
    },
    {
      key: "retained",
      title: "Retained size",
      hint: "What would be freed with the object",
      width: "12em",
      sort: "retained",
      cell: (row) => <Share bytes={row.retained_size} whole={whole} />,
      text: (row) => String(row.retained_size),
    },
  ];
}

/** Shows an object in the lower pane. */
export function choose(node: { id: number }) {
  adjust({ id: String(node.id), ...NOTHING_BELOW });
}

/** What the lower pane's tables had open belongs to the object before. */
export const NOTHING_BELOW = { rrow: undefined, ropen: undefined, ignore: undefined };

/** The parts of a table that are in the address: its order, what is open, what is selected. */
export function useTable(usual: string, prefix = "") {
  const route = useRoute();
  const part = (name: string) => `${prefix}${name}`;
  return {
    opened: route[part("open")] ?? "",
    onOpened: (paths: string) => adjust({ [part("open")]: paths }),
    selected: route[part("row")],
    sorting: parseSorting(route[part("sort")], usual),
    onSort: (next: Sorting) => step({ [part("sort")]: formatSorting(next), [part("row")]: undefined }),
  };
}

/** A text that rows have to contain. It is in the address, and asked for a little after it was typed. */
export function useFilter() {
  const route = useRoute();
  const inAddress = route["filter"] ?? "";
  const [typed, setTyped] = useState(inAddress);
  const [shown, setShown] = useState(inAddress);
  // Back and forward change the address without anybody typing.
  if (inAddress !== shown) {
    setShown(inAddress);
    setTyped(inAddress);
  }
  const set = (text: string) => {
    setTyped(text);
    setShown(text);
    adjust({ filter: text, open: undefined, row: undefined });
  };
  return { typed, set, wanted: useSettled(typed, 80) };
}

export function FilterField({ label, filter }: { label: string; filter: ReturnType<typeof useFilter> }) {
  return (
    <input
      type="search"
      placeholder={label}
      aria-label={label}
      value={filter.typed}
      spellCheck={false}
      onChange={(event) => filter.set(event.target.value)}
    />
  );
}

/** An order as it stands in an address: `count`, or `count.up`. */
export function parseSorting(text: string | undefined, usual: string): Sorting {
  const [by, up] = (text ?? usual).split(".");
  return { by: by || usual, ascending: up === "up" };
}

export function formatSorting(sorting: Sorting): string {
  return sorting.ascending ? `${sorting.by}.up` : sorting.by;
}

/**
 * A tree of nodes. Its order, what is open and what is selected are parts of the address, under names that begin with
 * `prefix`: there may be two tables at once.
 */
export function NodeTree(props: {
  label: string;
  question: Question;
  below: "children" | "retainers" | "dominated";
  whole: number;
  title?: string;
  joint?: string;
  prefix?: string;
  usual?: string;
  empty?: string;
  onSelect?: ((node: NodeRow) => void) | undefined;
  onTotal?: (total: number) => void;
  canCopy?: boolean;
}) {
  const { question, below, whole, prefix = "", usual = "retained" } = props;
  const table = useTable(usual, prefix);
  // The usual order is the server's own, and not asked for.
  const sorting = useRoute()[`${prefix}sort`] ? table.sorting : undefined;
  const asked = JSON.stringify([question, below, sorting]);
  const columns = useMemo(() => nodeColumns(whole, props.title, props.joint), [whole, props.title, props.joint]);
  return (
    <>
      {props.canCopy !== false && (
        <div className="corner">
          <CopyButton
            columns={columns}
            load={(limit) => get<PageOf<NodeRow>>(listAddress(question, 0, limit, sorting))}
          />
        </div>
      )}
      <TreeTable<NodeRow>
        takesFocus={prefix === ""}
        opensAlone={below === "retainers"}
        label={props.label}
        columns={columns}
        question={asked}
        load={nodeLoader(question, below, sorting)}
        keyOf={nodeKey}
        canOpen={(row) => (below === "dominated" ? row.dominated_count > 0 : below === "retainers" || row.has_edges)}
        {...table}
        onSelect={(row, path) => {
          adjust({ [`${prefix}row`]: path });
          props.onSelect?.(row);
        }}
        onFollow={(row) => step({ view: "summary", id: String(row.id), class: undefined, row: undefined, open: undefined })}
        sorting={sorting ?? { by: usual, ascending: usual === "distance" }}
        empty={props.empty ?? "nothing"}
        onTotal={props.onTotal}
      />
    </>
  );
}
