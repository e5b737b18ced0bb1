/**
 * The table of all lists: rows that open, fetched as they come into view, with the keyboard of a tree.
 *
 * Up, Down, Page, Home, End move; Right opens or goes in, Left closes or goes out; Enter follows the row; Ctrl+C copies
 * it.
 */
import {
  type ReactNode,
  useCallback,
  useEffect,
  useId,
  useLayoutEffect,
  useMemo,
  useReducer,
  useRef,
  useState,
} from "react";

import { count } from "../lib/format";
import { type Load, type PageOf, Tree } from "../lib/tree";
import { useWindow } from "../lib/window";
import { Failed } from "./Words";

export interface Column<R> {
  key: string;
  title: string;
  /** What the heading says when the pointer rests on it. */
  hint?: string;
  /** CSS width; the first column takes what is left. */
  width?: string;
  /** Name of the order on the server, if there is one. */
  sort?: string;
  /** Texts begin with the smallest, numbers with the largest. */
  ascendingFirst?: boolean;
  cell: (row: R) => ReactNode;
  /** For copying. */
  text: (row: R) => string;
}

export interface Sorting {
  by: string;
  ascending: boolean;
}

interface Props<R> {
  label: string;
  columns: Column<R>[];
  load: Load<R>;
  /** Says that `load` asks something else: the table starts anew. */
  question: string;
  keyOf: (row: R) => string;
  canOpen?: ((row: R) => boolean) | undefined;
  /** Rows that open by themselves if they have no sibling: chains in which there is nothing to choose. */
  opensAlone?: boolean | undefined;
  /** Paths of the rows that are open, from the address. */
  opened?: string;
  onOpened?: (paths: string) => void;
  selected?: string | undefined;
  onSelect?: ((row: R, path: string) => void) | undefined;
  /** Enter and double click. */
  onFollow?: ((row: R) => void) | undefined;
  sorting?: Sorting | undefined;
  onSort?: ((sorting: Sorting) => void) | undefined;
  empty?: string;
  /** The table of the view: it has the focus when the view comes. */
  takesFocus?: boolean | undefined;
  /** Told how many rows the top level has. */
  onTotal?: ((total: number) => void) | undefined;
}

/** The headings, in pixels, as the style has them. */
const HEAD = 26;

/** Rows are a little taller where there is room for larger type. */
function rowHeight(): number {
  return window.matchMedia("(min-width: 2800px)").matches ? 32 : 24;
}

export function TreeTable<R>(props: Props<R>) {
  const { columns, load, question, keyOf, canOpen, onOpened, onSelect, onFollow, sorting, onSort, onTotal } = props;
  const [, redraw] = useReducer((n: number) => n + 1, 0);
  const id = useId();
  const scroller = useRef<HTMLDivElement>(null);
  const [focus, setFocus] = useState(0);
  const [isFocused, setIsFocused] = useState(false);
  const height = rowHeight();

  // The rows that are shown, and what was asked for them: they stay until those of another question are here.
  const [shown, setShown] = useState<{ tree: Tree<R>; question: string } | null>(null);
  const tree = shown?.tree ?? null;
  const isBusy = shown?.question !== question;
  const latest = useRef({ load, keyOf, canOpen, opened: props.opened });
  latest.current = { load, keyOf, canOpen, opened: props.opened };
  const { opensAlone } = props;
  useEffect(() => {
    // A tree goes on with the question that it began with, whatever is asked meanwhile.
    const { load: loadRows, keyOf: keyOfRow, canOpen: canOpenRow, opened } = latest.current;
    const next: Tree<R> = new Tree<R>(
      loadRows,
      keyOfRow,
      () => {
        if (next.isReady) setShown((before) => (before?.tree === next ? before : { tree: next, question }));
        redraw();
      },
      opened ? opened.split(" ").filter(Boolean) : [],
      opensAlone ? (row) => canOpenRow?.(row) ?? false : undefined,
    );
    return () => next.stop();
  }, [question, opensAlone]);
  const size = tree?.size ?? 0;

  useEffect(() => {
    if (tree && onTotal) onTotal(tree.total);
  }, [tree, tree?.version, onTotal]);

  const { first, last, height: bodyHeight, shift, goTo, reveal } = useWindow(scroller, size, height, HEAD);
  useEffect(() => {
    tree?.show(first, last);
  }, [tree, tree?.version, first, last]);

  /** A line that is to be selected as soon as its row is here. */
  const awaited = useRef<number | null>(null);
  const placed = useRef<Tree<R> | null>(null);
  // Another question begins at its top, where the first row has the focus.
  useLayoutEffect(() => {
    if (!tree || placed.current === tree) return;
    const isFirst = placed.current === null;
    placed.current = tree;
    awaited.current = null;
    const selected = props.selected === undefined ? -1 : tree.find(props.selected);
    setFocus(Math.max(0, selected));
    if (!isFirst && selected < 0) goTo(0);
    if (selected > 0) reveal(selected, true);
  }, [tree, props.selected, goTo, reveal]);

  // The keyboard works as soon as there is a table, if nobody is busy elsewhere.
  useEffect(() => {
    if (tree && props.takesFocus && document.activeElement === document.body) scroller.current?.focus({ preventScroll: true });
  }, [tree, props.takesFocus]);

  const openedNow = tree?.opened.join(" ") ?? "";
  const toggle = useCallback(
    (at: number, wanted?: boolean) => {
      tree?.toggle(at, wanted);
      if (tree && onOpened) onOpened(tree.opened.join(" "));
    },
    [tree, onOpened],
  );

  const select = useCallback(
    (at: number) => {
      const line = tree?.line(at);
      setFocus(at);
      awaited.current = line?.row === undefined ? at : null;
      if (line?.row !== undefined && line.path !== undefined) onSelect?.(line.row, line.path);
    },
    [tree, onSelect],
  );
  useEffect(() => {
    if (awaited.current !== null && tree?.line(awaited.current)?.row !== undefined) select(awaited.current);
  }, [tree, tree?.version, select]);

  const move = (to: number) => {
    const at = Math.max(0, Math.min(size - 1, to));
    reveal(at);
    select(at);
  };

  const copied = useMemo(
    () => (row: R) => columns.map((column) => column.text(row).replace(/[\t\n\r]/g, " ")).join("\t"),
    [columns],
  );

  const onKeyDown = (event: React.KeyboardEvent) => {
    if (!tree || event.altKey) return;
    const line = tree.line(focus);
    const isCommand = event.ctrlKey || event.metaKey;
    const page = Math.max(1, Math.floor((scroller.current?.clientHeight ?? 0) / height) - 2);
    if (isCommand && event.key === "c") {
      if (line?.row !== undefined && !window.getSelection()?.toString()) {
        void navigator.clipboard.writeText(copied(line.row));
        event.preventDefault();
      }
      return;
    }
    if (isCommand) return;
    const opens = line?.row !== undefined && (canOpen?.(line.row) ?? false);
    switch (event.key) {
      case "ArrowDown":
        move(focus + 1);
        break;
      case "ArrowUp":
        move(focus - 1);
        break;
      case "PageDown":
        move(focus + page);
        break;
      case "PageUp":
        move(focus - page);
        break;
      case "Home":
        move(0);
        break;
      case "End":
        move(size - 1);
        break;
      case "ArrowRight":
        if (line?.isOpen) move(focus + 1);
        else if (opens) toggle(focus, true);
        break;
      case "ArrowLeft":
        if (line?.isOpen) toggle(focus, false);
        else if (tree.parentOf(focus) >= 0) move(tree.parentOf(focus));
        break;
      case "Enter":
        if (line?.row === undefined) return;
        if (onFollow) onFollow(line.row);
        else if (opens) toggle(focus);
        break;
      case " ":
        if (opens) toggle(focus);
        break;
      default:
        return;
    }
    event.preventDefault();
    event.stopPropagation();
  };

  const grid = { gridTemplateColumns: columns.map((column) => column.width ?? "minmax(12rem, 1fr)").join(" ") };
  const heading = (column: Column<R>) => {
    const isSorted = column.sort !== undefined && sorting?.by === column.sort;
    const order = isSorted ? (sorting.ascending ? "ascending" : "descending") : "none";
    return (
      <div
        key={column.key}
        role="columnheader"
        className={column.width ? "th number" : "th"}
        aria-sort={column.sort === undefined ? undefined : order}
        title={column.hint}
      >
        {column.sort === undefined || !onSort ? (
          column.title
        ) : (
          <button
            type="button"
            onClick={() =>
              onSort({
                by: column.sort!,
                ascending: isSorted ? !sorting.ascending : (column.ascendingFirst ?? false),
              })
            }
          >
            {column.title}
            <span className="arrow" aria-hidden="true">
              {isSorted ? (sorting.ascending ? "▲" : "▼") : ""}
            </span>
          </button>
        )}
      </div>
    );
  };

  const body = () => {
    if (!tree) return <p className="note busy">working…</p>;
    if (tree.error) return <Failed error={tree.error} />;
    if (size === 0) return <p className="note">{props.empty ?? "nothing"}</p>;
    return Array.from({ length: last - first }, (_, number) => {
      const index = first + number;
      const line = tree.line(index);
      const row = line?.row;
      const isFocus = index === focus;
      const isSelected = line?.path !== undefined && line.path === props.selected;
      const opens = row !== undefined && (canOpen?.(row) ?? false);
      return (
        <div
          key={index}
          id={`${id}-${index}`}
          role="row"
          aria-level={(line?.depth ?? 0) + 1}
          aria-posinset={(line?.index ?? 0) + 1}
          aria-setsize={line?.siblings ?? 1}
          aria-rowindex={index + 2}
          aria-expanded={opens ? line!.isOpen : undefined}
          aria-selected={isSelected}
          className={`tr${isFocus && isFocused ? " focus" : ""}${isSelected ? " selected" : ""}${index % 2 ? " odd" : ""}`}
          style={{ ...grid, height, transform: `translateY(${index * height + shift}px)` }}
          onClick={() => select(index)}
          onDoubleClick={() => {
            if (row === undefined) return;
            if (onFollow) onFollow(row);
            else if (opens) toggle(index);
          }}
        >
          {line?.error && row === undefined ? (
            <div role="gridcell" className="td problem">
              {line.error.message}
            </div>
          ) : row === undefined ? (
            <div role="gridcell" className="td waiting" style={{ paddingLeft: `${(line?.depth ?? 0) + 1.4}em` }}>
              …
            </div>
          ) : (
            columns.map((column, at) => (
              <div
                key={column.key}
                role="gridcell"
                className={column.width ? "td number" : "td"}
                style={at === 0 ? { paddingLeft: `${line!.depth * 1.1 + 0.4}em` } : undefined}
              >
                {at === 0 && canOpen && (
                  <span
                    className={opens ? "twisty" : "twisty none"}
                    aria-hidden="true"
                    onClick={(event) => {
                      event.stopPropagation();
                      setFocus(index);
                      if (opens) toggle(index);
                    }}
                    onDoubleClick={(event) => event.stopPropagation()}
                  >
                    {opens ? (line!.isOpen ? "▾" : "▸") : ""}
                  </span>
                )}
                {column.cell(row)}
              </div>
            ))
          )}
        </div>
      );
    });
  };

  return (
    <div className="table" data-opened={openedNow || undefined}>
      <div
        ref={scroller}
        className="scroller"
        role="treegrid"
        aria-label={props.label}
        aria-rowcount={size + 1}
        aria-colcount={columns.length}
        aria-busy={isBusy}
        aria-activedescendant={size > 0 ? `${id}-${focus}` : undefined}
        tabIndex={0}
        onKeyDown={onKeyDown}
        onFocus={() => setIsFocused(true)}
        onBlur={() => setIsFocused(false)}
      >
        <div className="thead" role="row" aria-rowindex={1} style={grid}>
          {columns.map(heading)}
        </div>
        <div
          className="tbody"
          role="rowgroup"
          style={{ height: bodyHeight || undefined }}
        >
          {body()}
        </div>
      </div>
    </div>
  );
}

/** Copies the first rows of a list, with headings, for a spreadsheet or an issue. */
export function CopyButton<R>(props: {
  columns: Column<R>[];
  load: (limit: number) => Promise<PageOf<R>>;
  most?: number;
}) {
  const [told, setTold] = useState("");
  const most = props.most ?? 1000;
  const copy = async () => {
    try {
      const page = await props.load(most);
      const clean = (text: string) => text.replace(/[\t\n\r]/g, " ");
      const lines = [
        props.columns.map((column) => column.title).join("\t"),
        ...page.rows.map((row) => props.columns.map((column) => clean(column.text(row))).join("\t")),
      ];
      await navigator.clipboard.writeText(`${lines.join("\n")}\n`);
      setTold(`${count(page.rows.length)} rows copied`);
    } catch {
      setTold("could not be copied");
    }
    setTimeout(() => setTold(""), 2500);
  };
  return (
    <>
      <button type="button" className="quiet" onClick={() => void copy()} title={`Copies up to ${count(most)} rows as a table`}>
        Copy
      </button>
      <span role="status" className="told">
        {told}
      </span>
    </>
  );
}
