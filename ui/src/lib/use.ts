/** Hooks that several views need. */
import { useCallback, useEffect, useRef, useState } from "react";

import { ApiError, get } from "./api";

export interface Answer<T> {
  data: T | undefined;
  error: ApiError | undefined;
  /** True while another answer is on the way; `data` is then the one before. */
  isLoading: boolean;
}

/** Answers that were given: the way back costs nothing. */
const given = new Map<string, unknown>();
const MOST_GIVEN = 200;

/** The answer to a request; `null` asks nothing. */
export function useAnswer<T>(url: string | null): Answer<T> {
  const [answer, setAnswer] = useState<Answer<T> & { url: string | null }>({
    data: url === null ? undefined : (given.get(url) as T | undefined),
    error: undefined,
    isLoading: url !== null,
    url,
  });
  useEffect(() => {
    if (url === null) {
      setAnswer({ data: undefined, error: undefined, isLoading: false, url });
      return;
    }
    const known = given.get(url) as T | undefined;
    if (known !== undefined) {
      setAnswer({ data: known, error: undefined, isLoading: false, url });
      return;
    }
    const abort = new AbortController();
    setAnswer((before) => ({ ...before, error: undefined, isLoading: true, url }));
    get<T>(url, abort.signal).then(
      (data) => {
        if (given.size > MOST_GIVEN) given.clear();
        given.set(url, data);
        if (abort.signal.aborted) return;
        setAnswer({ data, error: undefined, isLoading: false, url });
      },
      (error: unknown) => {
        if (abort.signal.aborted) return;
        const told = error instanceof ApiError ? error : new ApiError(String(error), "Reload the page.");
        setAnswer({ data: undefined, error: told, isLoading: false, url });
      },
    );
    return () => abort.abort();
  }, [url]);
  return answer;
}

/** A value that changes a little after it stopped changing: what is typed. */
export function useSettled<T>(value: T, milliseconds: number): T {
  const [settled, setSettled] = useState(value);
  useEffect(() => {
    const timer = setTimeout(() => setSettled(value), milliseconds);
    return () => clearTimeout(timer);
  }, [value, milliseconds]);
  return settled;
}

/** As `useSettled`, but what changes after it stood still for so long is there at once: only a burst has to end. */
export function useSettledAfterFirst<T>(value: T, milliseconds: number): T {
  const [settled, setSettled] = useState(value);
  const changed = useRef(-Infinity);
  useEffect(() => {
    const since = performance.now() - changed.current;
    changed.current = performance.now();
    if (since >= milliseconds) {
      setSettled(value);
      return;
    }
    const timer = setTimeout(() => setSettled(value), milliseconds);
    return () => clearTimeout(timer);
  }, [value, milliseconds]);
  return settled;
}

/** The size of an element. */
export function useSize(): [(element: HTMLElement | null) => void, { width: number; height: number }] {
  const [measured, setMeasured] = useState({ width: 0, height: 0 });
  const observer = useRef<ResizeObserver | null>(null);
  const ref = useCallback((element: HTMLElement | null) => {
    observer.current?.disconnect();
    if (!element) return;
    observer.current = new ResizeObserver(([entry]) => {
      if (entry) setMeasured({ width: entry.contentRect.width, height: entry.contentRect.height });
    });
    observer.current.observe(element);
  }, []);
  return [ref, measured];
}
