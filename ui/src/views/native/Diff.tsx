/** What changed between two recordings. */
import { useMemo } from "react";

import { count, seconds, signed, size, visible } from "../../lib/format";
import { type By, COSTS, type Cost, type Frame, byOf, costText, frameName, framePlace, nativeAddress } from "../../lib/native";
import { adjust, step, useRoute } from "../../lib/route";
import { useAnswer } from "../../lib/use";
import { type Column, TreeTable } from "../../parts/TreeTable";
import { Failed } from "../../parts/Words";
import type { ViewProps } from "../list";
import { NativeBar } from "./Bar";

interface Pair {
  a: number | null;
  b: number | null;
  delta: number | null;
}

interface DiffStack extends Cost {
  in_a: boolean;
  in_b: boolean;
  frames: Frame[];
}

interface NativeDiffAnswer {
  totals: Record<
    "runtime" | "allocations" | "allocated_bytes" | "temporary" | "peak_bytes" | "leaked_bytes" | "suppressed_bytes" | "peak_rss",
    Pair
  >;
  stack_count: number;
  stacks: DiffStack[];
}

interface Row {
  stack: DiffStack;
  at: number;
  /** A frame of the stack, below its first line. */
  frame?: Frame;
}

const TOTALS: [keyof NativeDiffAnswer["totals"], string, (value: number) => string][] = [
  ["peak_bytes", "Peak", size],
  ["leaked_bytes", "Leaked", size],
  ["allocations", "Allocations", count],
  ["allocated_bytes", "Allocated", size],
  ["temporary", "Temporary", count],
  ["peak_rss", "Peak RSS", size],
  ["runtime", "Recorded for", seconds],
];

export function NativeDiff({ file, files }: ViewProps) {
  const route = useRoute();
  const by = byOf(route);
  const others = files.filter((other) => other.id !== file.id && other.kind === "native-trace");
  const base =
    others.find((other) => String(other.id) === route["base"]) ?? others.findLast((other) => other.id < file.id) ?? others[0];
  const url = base ? nativeAddress(file.id, "diff", route, { base: String(base.id) }) : null;
  const { data, error } = useAnswer<NativeDiffAnswer>(url);
  const columns = useMemo(() => diffColumns(by), [by]);
  if (!base) {
    return (
      <div className="page narrow">
        <h1>Nothing to compare with</h1>
        <p>Open two recordings, the older one first: twinheap open before.heaptrace after.heaptrace</p>
      </div>
    );
  }
  return (
    <div className="whole">
      <NativeBar file={file} />
      <div className="toolbar">
        <label>
          Since{" "}
          <select value={base.id} onChange={(event) => step({ base: event.target.value, row: undefined, open: undefined })}>
            {others.map((other) => (
              <option key={other.id} value={other.id}>
                {other.name}
              </option>
            ))}
          </select>
        </label>
        <dl className="cards">
          {data &&
            TOTALS.map(([key, title, format]) => {
              const { a, b, delta } = data.totals[key];
              return a === null || b === null || delta === null ? null : (
                <div className="card" key={key} title={`${format(a)} → ${format(b)}`}>
                  <dt>{title}</dt>
                  <dd className={delta > 0 ? "up" : delta < 0 ? "down" : ""}>{delta < 0 ? `−${format(-delta)}` : signed(delta, format)}</dd>
                </div>
              );
            })}
        </dl>
      </div>
      {error ? (
        <Failed error={error} />
      ) : !data ? (
        <p className="note busy">working…</p>
      ) : (
        <TreeTable<Row>
          takesFocus
          label="Changed stacks"
          columns={columns}
          question={url!}
          load={async (parent, offset, limit) => {
            const all: Row[] = parent
              ? parent.stack.frames.slice(1).map((frame, at) => ({ stack: parent.stack, at, frame }))
              : data.stacks.map((stack, at) => ({ stack, at }));
            return { total: all.length, offset, rows: all.slice(offset, offset + limit) };
          }}
          keyOf={(row) => String(row.at)}
          canOpen={(row) => !row.frame && row.stack.frames.length > 1}
          opened={route["open"] ?? ""}
          onOpened={(paths) => adjust({ open: paths })}
          selected={route["row"]}
          onSelect={(_, path) => adjust({ row: path })}
          empty="Nothing changed."
        />
      )}
    </div>
  );
}

function diffColumns(by: By): Column<Row>[] {
  const shown = (row: Row) => row.frame ?? row.stack.frames[0];
  return [
    {
      key: "stack",
      title: "Stack",
      cell: (row) => {
        const frame = shown(row);
        return (
          <span className="node">
            <span className={`frame ${frame?.kind ?? "unknown"}`}>{frame ? visible(frameName(frame)) : "(unknown)"}</span>{" "}
            <span className="place">{frame && visible(framePlace(frame))}</span>
            {!row.frame && !row.stack.in_a && <span className="badge">new</span>}
            {!row.frame && !row.stack.in_b && <span className="badge">gone</span>}
          </span>
        );
      },
      text: (row) => {
        const frame = shown(row);
        return frame ? frameName(frame) : "(unknown)";
      },
    },
    ...COSTS.map(
      ([key, title]): Column<Row> => ({
        key,
        title,
        width: key === by ? "10em" : "8em",
        cell: (row) => {
          if (row.frame) return "";
          const value = row.stack[key];
          if (value === null) return "–";
          const text = value < 0 ? `−${costText(key, -value)}` : signed(value, (n) => costText(key, n));
          return <span className={value > 0 ? "up" : value < 0 ? "down" : "dim"}>{text}</span>;
        },
        text: (row) => (row.frame ? "" : String(row.stack[key])),
      }),
    ),
  ];
}
