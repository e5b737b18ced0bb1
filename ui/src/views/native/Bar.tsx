/** Above all native views: the cost that counts, the stretch of time, the function. */
import { useEffect, useRef, useState } from "react";

import type { FileState } from "../../lib/api";
import { baseName, seconds, visible } from "../../lib/format";
import { COSTS, type Timeline, byOf, nativeAddress, shortName, siteOf } from "../../lib/native";
import { step, useRoute } from "../../lib/route";
import { useAnswer, useSettled } from "../../lib/use";
import { Chart } from "./Chart";

export function NativeBar({ file, tall }: { file: FileState; tall?: boolean }) {
  const route = useRoute();
  const by = byOf(route);
  const [typed, setTyped] = useState(route["fn"] ?? "");
  const [shown, setShown] = useState(typed);
  // Back and forward change the address without anybody typing.
  if ((route["fn"] ?? "") !== shown) {
    setShown(route["fn"] ?? "");
    setTyped(route["fn"] ?? "");
  }
  const latest = useRef(shown);
  latest.current = shown;
  const settled = useSettled(typed, 250);
  useEffect(() => {
    // Only what is typed leads anywhere: the address has its own ways to change.
    if (settled !== latest.current) step({ fn: settled || undefined });
  }, [settled]);
  // The whole recording, however much of it the views below show.
  const { from: _from, to: _to, site: _site, ...always } = route;
  const timeline = useAnswer<Timeline>(nativeAddress(file.id, "timeline", always));
  const site = siteOf(route);
  const range =
    route["from"] || route["to"]
      ? ([Number(route["from"] ?? 0), Number(route["to"] ?? timeline.data?.end ?? 0)] as const)
      : undefined;
  return (
    <div className="native-bar">
      <div className="toolbar">
        <div className="segments" role="group" aria-label="Cost">
          {COSTS.map(([name, title, hint]) => (
            <button key={name} type="button" title={hint} aria-pressed={by === name} onClick={() => step({ by: name === "peak" ? undefined : name })}>
              {title}
            </button>
          ))}
        </div>
        <input
          type="search"
          placeholder="Through a function"
          aria-label="Only stacks through a function"
          value={typed}
          spellCheck={false}
          onChange={(event) => setTyped(event.target.value)}
        />
        <label title="Leaks that are known and harmless are suppressed: the Summary lists the rules">
          <input
            type="checkbox"
            checked={Boolean(route["known"])}
            onChange={(event) => step({ known: event.target.checked ? "1" : undefined })}
          />{" "}
          with known leaks
        </label>
        {site && (
          <span className="chip">
            only {visible(shortName(site[0]) || baseName(site[1]) || "what has no name")} {site[2] && visible(`${baseName(site[2])}:${site[3]}`)}{" "}
            <button type="button" className="quiet" onClick={() => step({ site: undefined, row: undefined, open: undefined })}>
              All call sites
            </button>
          </span>
        )}
        <span className="dim" role="status">
          {range ? (
            <>
              {seconds(range[0])} to {seconds(range[1])}{" "}
              <button type="button" className="quiet" onClick={() => step({ from: undefined, to: undefined })}>
                Whole recording
              </button>
            </>
          ) : (
            "drag over the chart to choose a stretch of time"
          )}
        </span>
      </div>
      {timeline.data && (
        <Chart
          timeline={timeline.data}
          range={range}
          tall={tall ?? false}
          onRange={(from, to) => step({ from: from.toFixed(3), to: to.toFixed(3) })}
        />
      )}
    </div>
  );
}
