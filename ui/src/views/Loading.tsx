/** A file on its way, or one that can't be read. */
import type { FileState } from "../lib/api";
import { seconds, size, visible } from "../lib/format";
import { Failed } from "../parts/Words";
import { ApiError } from "../lib/api";

/** Passes over a snapshot, the Summary's included; the bar needs an idea of the whole. */
const PASSES = 10;

export function Loading({ file }: { file: FileState }) {
  const { progress } = file;
  if (file.status === "failed") {
    const { error, hint } = file.problem ?? { error: "the file can't be read", hint: "" };
    return (
      <div className="loading">
        <h1>{visible(file.name)}</h1>
        <Failed error={new ApiError(error, hint || "Choose another file, or start twinheap again with one.")} />
      </div>
    );
  }
  const isReading = progress.passes_done === 0 && progress.passes.length === 0;
  const all = progress.total_bytes;
  // Reading and the passes after it take about the same time.
  const read = all ? Math.min(1, progress.bytes / all) : undefined;
  const done = isReading ? (read ?? 0) / 2 : 0.5 + Math.min(1, progress.passes_done / PASSES) / 2;
  const isKnown = !isReading || read !== undefined;
  return (
    <div className="loading">
      <h1>{visible(file.name)}</h1>
      <div
        className={isKnown ? "progress" : "progress unknown"}
        role="progressbar"
        aria-label="Reading the file"
        aria-valuemin={0}
        aria-valuemax={100}
        aria-valuenow={isKnown ? Math.round(done * 100) : undefined}
      >
        <div style={{ width: `${isKnown ? done * 100 : 30}%` }} />
      </div>
      {file.status === "waiting" ? (
        <p>It is read after the files before it.</p>
      ) : isReading ? (
        <p>
          read {size(progress.bytes)}
          {all ? ` of ${size(all)}` : ""}
          {progress.seconds_left !== null && ` · ${seconds(progress.seconds_left)} left to read`}
        </p>
      ) : (
        <p>
          {size(progress.bytes)} read · {progress.passes.join(", ") || "nearly done"}
        </p>
      )}
      <p className="dim">{seconds(progress.seconds)} so far</p>
    </div>
  );
}
