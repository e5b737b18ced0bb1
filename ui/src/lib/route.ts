/**
 * The state of the page is its address: which file, which view, what is filtered, sorted, opened and selected.
 *
 * A click that leads elsewhere makes an entry in the browser's history; typing in a filter replaces the current one.
 */
import { useSyncExternalStore } from "react";

export type Route = Readonly<Record<string, string>>;

export function parseRoute(search: string): Route {
  return Object.fromEntries(new URLSearchParams(search));
}

/** The address of a route; what is empty is left out, and the order is always the same. */
export function formatRoute(route: Route): string {
  const query = new URLSearchParams();
  for (const name of Object.keys(route).sort()) {
    if (route[name]) query.set(name, route[name]);
  }
  const text = query.toString();
  return text ? `?${text}` : "";
}

/** A route with some parts changed; `undefined` and empty texts take a part away. */
export function withParts(route: Route, parts: Record<string, string | undefined>): Route {
  const next: Record<string, string> = { ...route };
  for (const [name, value] of Object.entries(parts)) {
    if (value) next[name] = value;
    else delete next[name];
  }
  return next;
}

let current: Route | undefined;
const listeners = new Set<() => void>();

function route(): Route {
  current ??= parseRoute(window.location.search);
  return current;
}

function changed() {
  current = undefined;
  for (const listener of listeners) listener();
}

function subscribe(listener: () => void) {
  if (listeners.size === 0) window.addEventListener("popstate", changed);
  listeners.add(listener);
  return () => {
    listeners.delete(listener);
    if (listeners.size === 0) window.removeEventListener("popstate", changed);
  };
}

export function useRoute(): Route {
  return useSyncExternalStore(subscribe, route);
}

/** Goes to another place; back leads here again. */
export function go(to: Route) {
  const text = formatRoute(to);
  if (text === formatRoute(route())) return;
  window.history.pushState(null, "", text || window.location.pathname);
  changed();
}

/** Changes some parts of the address in place. */
export function adjust(parts: Record<string, string | undefined>) {
  window.history.replaceState(null, "", formatRoute(withParts(route(), parts)) || window.location.pathname);
  changed();
}

/** Changes some parts of the address as a step that can be taken back. */
export function step(parts: Record<string, string | undefined>) {
  go(withParts(route(), parts));
}

/** What a link to a route needs: a real address for a new tab, and no reload for a plain click. */
export function linkTo(to: Route): { href: string; onClick: (event: React.MouseEvent) => void } {
  return {
    href: formatRoute(to) || "?",
    onClick: (event) => {
      if (event.metaKey || event.ctrlKey || event.shiftKey || event.button !== 0) return;
      event.preventDefault();
      event.stopPropagation();
      go(to);
    },
  };
}
