/**
 * A table of rows that open into more rows, of which only a few are ever here.
 *
 * Every level is a list on the server: its length is known, and pages of it are fetched as they come into view. The
 * visible lines are counted without being built, so a level of a million rows costs as much as one of ten.
 */

export interface PageOf<R> {
  total: number;
  offset: number;
  rows: R[];
}

/** Fetches a part of the rows below a row, or of the top level. */
export type Load<R> = (parent: R | null, offset: number, limit: number, signal: AbortSignal) => Promise<PageOf<R>>;

/** Rows that are fetched at once. */
export const PAGE = 100;

/** A chain of rows without siblings opens by itself so far. */
const MOST_ALONE = 12;

interface Level<R> {
  /** The row that these are below of; `null` at the top. */
  parent: R | null;
  above: Level<R> | null;
  /** Position of the parent in the level above. */
  index: number;
  depth: number;
  path: string;
  /** `null` until the first page is here. */
  total: number | null;
  pages: Map<number, R[]>;
  asked: Set<number>;
  error: Error | null;
  /** By position, in order. */
  open: Map<number, Level<R>>;
}

/** A line of the table. */
export interface Line<R> {
  /** Not there while its page is on the way. */
  row: R | undefined;
  depth: number;
  /** Position among its siblings, and their number. */
  index: number;
  siblings: number;
  path: string | undefined;
  isOpen: boolean;
  /** Why what should be here can't be. */
  error: Error | null;
}

export class Tree<R> {
  readonly #load: Load<R>;
  readonly #keyOf: (row: R) => string;
  readonly #changed: () => void;
  readonly #opened: Set<string>;
  readonly #opensAlone: ((row: R) => boolean) | undefined;
  readonly #abort = new AbortController();
  #top: Level<R>;
  version = 0;

  /**
   * `opened` are the paths of rows that are open as soon as they are here; `opensAlone` says which rows open by
   * themselves if they have no sibling.
   */
  constructor(
    load: Load<R>,
    keyOf: (row: R) => string,
    changed: () => void,
    opened: Iterable<string> = [],
    opensAlone?: (row: R) => boolean,
  ) {
    this.#opensAlone = opensAlone;
    this.#load = load;
    this.#keyOf = keyOf;
    this.#changed = changed;
    this.#opened = new Set(opened);
    this.#top = level<R>(null, null, 0, "");
    this.#fetch(this.#top, 0);
  }

  /** Nobody wants what is still on the way. */
  stop() {
    this.#abort.abort();
  }

  /** Whether the first page is here. */
  get isReady(): boolean {
    return this.#top.total !== null || this.#top.error !== null;
  }

  get error(): Error | null {
    return this.#top.error;
  }

  /** Rows of the top level. */
  get total(): number {
    return this.#top.total ?? 0;
  }

  /** Visible lines. */
  get size(): number {
    return lines(this.#top);
  }

  /** Paths of all open rows. */
  get opened(): string[] {
    return [...this.#opened];
  }

  line(at: number): Line<R> | undefined {
    const found = locate(this.#top, at);
    if (!found) return undefined;
    const { in: within, index } = found;
    const row = within.pages.get(Math.floor(index / PAGE))?.[index % PAGE];
    return {
      row,
      depth: within.depth,
      index,
      siblings: within.total ?? 1,
      path: row && pathOf(within, this.#keyOf(row)),
      isOpen: within.open.has(index),
      error: within.error,
    };
  }

  /** Fetches what is missing of these lines. */
  show(from: number, to: number) {
    for (let at = from; at < to; at += 1) {
      const found = locate(this.#top, at);
      if (!found) break;
      const page = Math.floor(found.index / PAGE);
      if (!found.in.pages.has(page)) this.#fetch(found.in, page);
    }
  }

  /** Opens or closes the row of a line. */
  toggle(at: number, wanted?: boolean) {
    const found = locate(this.#top, at);
    if (!found) return;
    const { in: within, index } = found;
    const row = within.pages.get(Math.floor(index / PAGE))?.[index % PAGE];
    if (!row) return;
    const isOpen = within.open.has(index);
    if (wanted === isOpen) return;
    const path = pathOf(within, this.#keyOf(row));
    if (isOpen) {
      within.open.delete(index);
      this.#opened.delete(path);
    } else {
      this.#opened.add(path);
      this.#open(within, index, row);
    }
    this.#notify();
  }

  /** The line above which the row of a line was opened; -1 at the top. */
  parentOf(at: number): number {
    const found = locate(this.#top, at);
    if (!found?.in.above) return -1;
    return lineOf(found.in.above, found.in.index);
  }

  /** The line of a row by its path, if it is here. */
  find(path: string): number {
    const search = (within: Level<R>): number => {
      for (const [page, rows] of within.pages) {
        for (const [i, row] of rows.entries()) {
          const here = pathOf(within, this.#keyOf(row));
          if (here === path) return lineOf(within, page * PAGE + i);
        }
      }
      for (const below of within.open.values()) {
        if (path.startsWith(below.path)) {
          const found = search(below);
          if (found >= 0) return found;
        }
      }
      return -1;
    };
    return search(this.#top);
  }

  #open(within: Level<R>, index: number, row: R) {
    const below = level(row, within, index, pathOf(within, this.#keyOf(row)));
    within.open.set(index, below);
    within.open = new Map([...within.open].sort(([a], [b]) => a - b));
    this.#fetch(below, 0);
  }

  #fetch(within: Level<R>, page: number) {
    if (within.asked.has(page)) return;
    within.asked.add(page);
    this.#load(within.parent, page * PAGE, PAGE, this.#abort.signal).then(
      (answer) => {
        within.total = answer.total;
        within.pages.set(page, answer.rows);
        for (const [i, row] of answer.rows.entries()) {
          const isAlone = answer.total === 1 && within.depth < MOST_ALONE && this.#opensAlone?.(row);
          if (isAlone || this.#opened.has(pathOf(within, this.#keyOf(row)))) this.#open(within, page * PAGE + i, row);
        }
        this.#notify();
      },
      (error: unknown) => {
        if (this.#abort.signal.aborted) return;
        within.error = error instanceof Error ? error : new Error(String(error));
        within.total ??= within.above ? 1 : 0;
        this.#notify();
      },
    );
  }

  #notify() {
    this.version += 1;
    if (!this.#abort.signal.aborted) this.#changed();
  }
}

function level<R>(parent: R | null, above: Level<R> | null, index: number, path: string): Level<R> {
  return {
    parent,
    above,
    index,
    depth: above ? above.depth + 1 : 0,
    path,
    total: null,
    pages: new Map(),
    asked: new Set(),
    error: null,
    open: new Map(),
  };
}

function pathOf<R>(within: Level<R>, key: string): string {
  return within.path ? `${within.path}/${key}` : key;
}

/** Lines of a level with all that is open in it. A level on its way has one, which says so. */
function lines<R>(within: Level<R>): number {
  let sum = within.total ?? (within.above ? 1 : 0);
  for (const below of within.open.values()) sum += lines(below);
  return sum;
}

function locate<R>(top: Level<R>, at: number): { in: Level<R>; index: number } | undefined {
  let within = top;
  let left = at;
  if (left < 0) return undefined;
  descend: for (;;) {
    // `left` counts lines from the start of the level; open rows in front take more than one.
    let extra = 0;
    for (const [index, below] of within.open) {
      const start = index + 1 + extra;
      if (left < start) break;
      const size = lines(below);
      if (left < start + size) {
        within = below;
        left -= start;
        continue descend;
      }
      extra += size;
    }
    const index = left - extra;
    const total = within.total ?? (within.above ? 1 : 0);
    return index < total ? { in: within, index } : undefined;
  }
}

function lineOf<R>(within: Level<R>, index: number): number {
  let line = index;
  for (const [at, below] of within.open) {
    if (at >= index) break;
    line += lines(below);
  }
  return within.above ? lineOf(within.above, within.index) + 1 + line : line;
}
