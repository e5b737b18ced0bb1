/** The frame around all views: files, navigation, search, theme; and what is shown until a file is read. */
import { useEffect, useRef, useState } from "react";

import { type AppState, type FileState, address, get } from "./lib/api";
import { size } from "./lib/format";
import { go, linkTo, step, useRoute } from "./lib/route";
import { Failed } from "./parts/Words";
import { Loading } from "./views/Loading";
import { GROUPS, type Group, type View, viewOf } from "./views/list";

/** How often the state of files on their way is asked for. */
const POLL = 300;
/** The same while there is no answer. */
const POLL_FAILED = 3000;

export function App() {
  const route = useRoute();
  const { state, error } = useFiles();
  const search = useRef<HTMLInputElement>(null);

  useEffect(() => {
    const onKey = (event: KeyboardEvent) => {
      const typing = event.target instanceof HTMLInputElement || event.target instanceof HTMLSelectElement;
      if (event.key === "/" && !typing && !event.ctrlKey && !event.metaKey) {
        event.preventDefault();
        search.current?.focus();
        search.current?.select();
      }
    };
    window.addEventListener("keydown", onKey);
    return () => window.removeEventListener("keydown", onKey);
  }, []);

  if (!state) {
    return <main className="alone">{error ? <Failed error={error} /> : <p className="note busy">connecting…</p>}</main>;
  }
  const number = Number(route["file"] ?? firstReady(state));
  const file = state.files[number] ?? state.files[0];
  if (!file) return <main className="alone">no files</main>;
  const kind = file.kind ?? "js-snapshot";
  const view = viewOf(route["view"], kind);
  document.title = `${file.name} · ${view.title} · twinheap`;

  return (
    <div className="app">
      <header className="top">
        <a className="brand" {...linkTo({ file: String(file.id) })}>
          <img src="./icon.svg" alt="" width="20" height="20" />
          twinheap
        </a>
        <FileSwitch files={state.files} current={file} />
        {kind === "js-snapshot" && (
          <form
            role="search"
            onSubmit={(event) => {
              event.preventDefault();
              const text = search.current?.value.trim() ?? "";
              if (text) go({ file: String(file.id), view: "search", q: text });
            }}
          >
            <input
              ref={search}
              key={route["q"] ?? ""}
              defaultValue={route["view"] === "search" ? route["q"] : ""}
              type="search"
              placeholder="Search text, class or @id   ( / )"
              aria-label="Search text, class or @id"
              autoComplete="off"
              spellCheck={false}
              disabled={file.status !== "ready"}
            />
          </form>
        )}
        <span className="spring" />
        <ThemeButton />
      </header>
      <nav className="side" aria-label="Views">
        {GROUPS.map((group) => {
          const shown = group.kind === kind ? file : state.files.findLast((other) => other.kind === group.kind);
          return shown && <Views key={group.title} group={group} file={shown} current={group.kind === kind ? view : undefined} />;
        })}
      </nav>
      <main className="view" key={`${file.id} ${view.name}`}>
        {file.status === "ready" ? <Ready view={view} file={file} files={state.files} /> : <Loading file={file} />}
      </main>
    </div>
  );
}

/** The views of a group, on the file that is shown, or on the newest one of its kind. */
function Views({ group, file, current }: { group: Group; file: FileState; current: View | undefined }) {
  return (
    <section>
      <h2>{group.title}</h2>
      {group.views
        .filter((entry) => !entry.isHidden)
        .map((entry) => (
          <a
            key={entry.name}
            {...linkTo({ file: String(file.id), view: entry.name })}
            aria-current={entry.name === current?.name ? "page" : undefined}
            className={entry.name === current?.name ? "current" : ""}
          >
            {entry.title}
          </a>
        ))}
    </section>
  );
}

function Ready({ view, file, files }: { view: View; file: FileState; files: FileState[] }) {
  const { Body } = view;
  return (
    <>
      {file.warnings.map((warning) => (
        <p className="warning" role="note" key={warning}>
          {warning}
        </p>
      ))}
      <Body file={file} files={files} />
    </>
  );
}

function firstReady(state: AppState): number {
  return Math.max(0, state.files.findIndex((file) => file.status === "ready"));
}

function FileSwitch({ files, current }: { files: FileState[]; current: FileState }) {
  const label = (file: FileState) => {
    switch (file.status) {
      case "ready":
        return file.name;
      case "failed":
        return `${file.name} (can't be read)`;
      case "loading":
        return `${file.name} (${size(file.progress.bytes)} read)`;
      case "waiting":
        return `${file.name} (waits)`;
    }
  };
  if (files.length === 1) {
    return (
      <span className="file" title={current.path}>
        {current.name}
      </span>
    );
  }
  return (
    <select
      className="file"
      aria-label="File"
      value={current.id}
      title={current.path}
      onChange={(event) => step({ file: event.target.value, id: undefined, row: undefined, open: undefined, class: undefined })}
    >
      {files.map((file) => (
        <option key={file.id} value={file.id}>
          {label(file)}
        </option>
      ))}
    </select>
  );
}

type Theme = "auto" | "dark" | "light";

/** Follows the system, or what was chosen here. */
function ThemeButton() {
  const [theme, setTheme] = useState<Theme>(() => {
    const kept = localStorage.getItem("theme");
    return kept === "dark" || kept === "light" ? kept : "auto";
  });
  useEffect(() => {
    if (theme === "auto") delete document.documentElement.dataset["theme"];
    else document.documentElement.dataset["theme"] = theme;
    localStorage.setItem("theme", theme);
  }, [theme]);
  const next: Record<Theme, Theme> = { auto: "dark", dark: "light", light: "auto" };
  return (
    <button type="button" className="quiet" onClick={() => setTheme(next[theme])} title="Changes between the system's theme, dark and light">
      Theme: {theme}
    </button>
  );
}

/** The state of all files, asked for until nothing changes any more. */
function useFiles(): { state: AppState | undefined; error: Error | undefined } {
  const [state, setState] = useState<AppState>();
  const [error, setError] = useState<Error>();
  useEffect(() => {
    let timer: ReturnType<typeof setTimeout> | undefined;
    let isOver = false;
    let failures = 0;
    const ask = async () => {
      try {
        const answer = await get<AppState>(address("state"));
        if (isOver) return;
        setState(answer);
        setError(undefined);
        failures = 0;
        if (answer.files.every((file) => file.status === "ready" || file.status === "failed")) return;
      } catch (failure) {
        if (isOver) return;
        failures += 1;
        setError(failure instanceof Error ? failure : new Error(String(failure)));
      }
      timer = setTimeout(() => void ask(), failures > 0 ? POLL_FAILED : POLL);
    };
    void ask();
    return () => {
      isOver = true;
      clearTimeout(timer);
    };
  }, []);
  return { state, error };
}
