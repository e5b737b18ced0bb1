/**
 * Which rows of a long list are in view, and where they are drawn.
 *
 * A browser gives an element at most some ten million pixels, and moves it by whole ones. Longer lists are scrolled in
 * proportion; a row that was asked for is where it was asked to be, however many rows a pixel stands for.
 */
import { type RefObject, useCallback, useLayoutEffect, useRef, useState } from "react";
import { flushSync } from "react-dom";

/** Below this height all browsers scroll as far as we say. */
export const MOST_PIXELS = 12_000_000;

/** Rows above and below what can be seen, so that a small step shows them at once. */
const OVERSCAN = 8;

/** A list and the element that it is scrolled in; all in pixels but the rows. */
export interface Extent {
  rows: number;
  rowHeight: number;
  /** The element, headings included. */
  viewHeight: number;
  /** Headings that stay. */
  headHeight: number;
}

/** The height that the rows take in the page. */
export function bodyHeight({ rows, rowHeight }: Extent): number {
  return Math.min(rows * rowHeight, MOST_PIXELS);
}

/** The last offset of the list: what is behind it fills the element. */
function mostOffset({ rows, rowHeight, viewHeight, headHeight }: Extent): number {
  return Math.max(0, rows * rowHeight + headHeight - viewHeight);
}

/** Pixels of the list for one of the page. */
function scale(extent: Extent): number {
  const most = mostOffset(extent);
  return most === 0 ? 1 : most / Math.max(1, bodyHeight(extent) + extent.headHeight - extent.viewHeight);
}

/** Pixels of the list above the view, when the page is scrolled so far. */
export function offsetAt(scrollTop: number, extent: Extent): number {
  return Math.min(mostOffset(extent), Math.max(0, scrollTop * scale(extent)));
}

/** How far the page is scrolled for that. */
export function scrollTopFor(offset: number, extent: Extent): number {
  return offset / scale(extent);
}

/** The rows to draw: from the first to before the last. */
export function rowsInView(offset: number, { rows, rowHeight, viewHeight }: Extent): [number, number] {
  const first = Math.max(0, Math.floor(offset / rowHeight) - OVERSCAN);
  return [Math.min(first, rows), Math.min(rows, Math.ceil((offset + viewHeight) / rowHeight) + OVERSCAN)];
}

/** The nearest offset at which a row can be seen whole. */
export function offsetToReveal(row: number, offset: number, extent: Extent, isCentred = false): number {
  const { rowHeight, viewHeight, headHeight } = extent;
  const start = row * rowHeight;
  const room = viewHeight - headHeight;
  let wanted = offset;
  if (isCentred) wanted = start - (room - rowHeight) / 2;
  else if (start < offset) wanted = start;
  else if (start + rowHeight > offset + room) wanted = start + rowHeight - room;
  return Math.min(mostOffset(extent), Math.max(0, wanted));
}

/** The part of a list that is seen in a scrolled element. */
export function useWindow(scroller: RefObject<HTMLElement | null>, rows: number, rowHeight: number, headHeight: number) {
  const [seen, setSeen] = useState({ offset: 0, scrollTop: 0, viewHeight: 0 });
  const extent: Extent = { rows, rowHeight, headHeight, viewHeight: seen.viewHeight };
  const latest = useRef({ extent, offset: 0 });
  latest.current = { extent, offset: seen.offset };
  /** The offset that was asked for, while the page stands where that brought it. */
  const asked = useRef<{ scrollTop: number; offset: number } | null>(null);

  useLayoutEffect(() => {
    const element = scroller.current;
    if (!element) return;
    const look = () => {
      const { scrollTop, clientHeight: viewHeight } = element;
      const now = { ...latest.current.extent, viewHeight };
      const offset = asked.current?.scrollTop === scrollTop ? asked.current.offset : offsetAt(scrollTop, now);
      setSeen((before) =>
        before.offset === offset && before.scrollTop === scrollTop && before.viewHeight === viewHeight
          ? before
          : { offset, scrollTop, viewHeight },
      );
    };
    const onScroll = () => flushSync(look);
    const observer = new ResizeObserver(look);
    observer.observe(element);
    element.addEventListener("scroll", onScroll, { passive: true });
    look();
    return () => {
      observer.disconnect();
      element.removeEventListener("scroll", onScroll);
    };
  }, [scroller]);

  const goTo = useCallback(
    (offset: number) => {
      const element = scroller.current;
      if (!element) return;
      element.scrollTop = scrollTopFor(offset, latest.current.extent);
      // Whole pixels only.
      const { scrollTop } = element;
      asked.current = { scrollTop, offset };
      setSeen((before) => ({ ...before, offset, scrollTop }));
    },
    [scroller],
  );

  // A row that opens makes the list longer, and its pixels stand for more: what is seen stays.
  useLayoutEffect(() => {
    const { extent: now, offset } = latest.current;
    if (bodyHeight(now) === MOST_PIXELS) goTo(Math.min(offset, mostOffset(now)));
  }, [rows, goTo]);

  const reveal = useCallback(
    (row: number, isCentred = false) => {
      const { extent: now, offset } = latest.current;
      const wanted = offsetToReveal(row, offset, now, isCentred);
      if (wanted !== offset) goTo(wanted);
    },
    [goTo],
  );

  const [first, last] = rowsInView(seen.offset, extent);
  return { first, last, height: bodyHeight(extent), shift: seen.scrollTop - seen.offset, goTo, reveal };
}
