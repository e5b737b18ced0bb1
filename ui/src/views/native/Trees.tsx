/** Stacks merged from their leaves or from their roots. */
import { useMemo } from "react";

import { count, percent, visible } from "../../lib/format";
import { type By, COSTS, type NativeTree, type TreeNode, byOf, costText, frameName, framePlace, nativeAddress } from "../../lib/native";
import { adjust, useRoute } from "../../lib/route";
import { useAnswer } from "../../lib/use";
import { type Column, TreeTable } from "../../parts/TreeTable";
import { Failed } from "../../parts/Words";
import type { ViewProps } from "../list";
import { NativeBar } from "./Bar";

export function BottomUp(props: ViewProps) {
  return <CostTree {...props} direction="up" />;
}

export function TopDown(props: ViewProps) {
  return <CostTree {...props} direction="down" />;
}

interface Row {
  node: TreeNode;
  at: number;
}

function CostTree({ file, direction }: ViewProps & { direction: "up" | "down" }) {
  const route = useRoute();
  const by = byOf(route);
  const url = nativeAddress(file.id, "tree", route, { direction });
  const { data, error } = useAnswer<NativeTree>(url);
  const below = useMemo(() => childrenOf(data), [data]);
  const columns = useMemo(() => costColumns(by, data), [by, data]);
  return (
    <div className="whole">
      <NativeBar file={file} />
      {error ? (
        <Failed error={error} />
      ) : !data ? (
        <p className="note busy">working…</p>
      ) : (
        <>
          <TreeTable<Row>
            takesFocus
            label={direction === "up" ? "Bottom-up" : "Top-down"}
            columns={columns}
            question={url}
            load={async (parent, offset, limit) => {
              const all = below.get(parent?.at ?? -1) ?? [];
              const rows = all.slice(offset, offset + limit).map((at) => ({ node: data.nodes[at]!, at }));
              return { total: all.length, offset, rows };
            }}
            keyOf={(row) => String(row.at)}
            canOpen={(row) => below.has(row.at)}
            opened={route["open"] ?? ""}
            onOpened={(paths) => adjust({ open: paths })}
            selected={route["row"]}
            onSelect={(_, path) => adjust({ row: path })}
            empty="Nothing of this cost."
          />
          <p className="note">
            {data.hidden.nodes > 0 &&
              `${count(data.hidden.nodes)} more with less than 0.1 % each, ${costText(by, data.hidden[by])} together`}
          </p>
        </>
      )}
    </div>
  );
}

/** Positions of the nodes below each node; those below none are under -1. */
function childrenOf(tree: NativeTree | undefined): Map<number, number[]> {
  const below = new Map<number, number[]>();
  for (const [at, node] of (tree?.nodes ?? []).entries()) {
    const parent = node.parent ?? -1;
    const list = below.get(parent);
    if (list) list.push(at);
    else below.set(parent, [at]);
  }
  return below;
}

function costColumns(by: By, tree: NativeTree | undefined): Column<Row>[] {
  const cost = ([key, title, hint]: [By, string, string]): Column<Row> => ({
    key,
    title,
    hint,
    width: key === by ? "13em" : "8em",
    cell: ({ node }) =>
      key === by ? (
        <span className="share">
          <span
            className="bar"
            style={{ width: `${tree ? Math.min(100, Math.max(0, ((node[by] ?? 0) / (tree.total[by] ?? 1)) * 100)) : 0}%` }}
            aria-hidden="true"
          />
          <span className="value">{costText(key, node[key])}</span>
          <span className="percent">{percent(node[by] ?? 0, tree?.total[by] ?? 0)}</span>
        </span>
      ) : (
        costText(key, node[key])
      ),
    text: ({ node }) => String(node[key]),
  });
  return [
    {
      key: "function",
      title: "Function",
      cell: ({ node }) => (
        <span className="node" title={node.function ?? undefined}>
          <span className={`frame ${node.kind}`}>{visible(frameName(node))}</span>{" "}
          <span className="place">{visible(framePlace(node))}</span>
          {node.hidden.nodes > 0 && <span className="dim"> +{count(node.hidden.nodes)} small</span>}
        </span>
      ),
      text: ({ node }) => `${"  ".repeat(node.depth)}${frameName(node)} ${framePlace(node)}`,
    },
    ...COSTS.map(cost),
  ];
}
