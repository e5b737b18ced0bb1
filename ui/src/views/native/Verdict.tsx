/** The verdict of `leaks` on native traces: which call sites grow, over recordings of one program or moments of one. */
import type { FileState } from "../../lib/api";
import { count, size, visible } from "../../lib/format";
import { type NativeSuspect, type NativeVerdict as Answer, frameName, framePlace, nativeAddress } from "../../lib/native";
import { linkTo, step, useRoute, withParts } from "../../lib/route";
import { useAnswer } from "../../lib/use";
import { Failed } from "../../parts/Words";
import type { ViewProps } from "../list";
import { NativeBar } from "./Bar";

/** Lines of a stack, as the command line has them. */
const LINES = 12;

export function NativeVerdictView({ file, files }: ViewProps) {
  return (
    <div className="whole">
      <NativeBar file={file} />
      <div className="page">
        <h1>Which call sites grow</h1>
        <NativeVerdict file={file} files={files} />
      </div>
    </div>
  );
}

/** The verdict with its worst suspects, or with all that the command line has. */
export function NativeVerdict({ file, files, most }: { file: FileState; files: FileState[]; most?: number }) {
  const route = useRoute();
  // Recordings before this one may make it a ladder; while one of them is on its way the verdict waits.
  const before = files.filter((other) => other.id < file.id);
  const isWaiting = before.some((other) => other.status === "loading" || other.status === "waiting");
  const asked = nativeAddress(file.id, "leaks", route, { by: undefined, site: undefined, ladder: route["ladder"] });
  const { data, error } = useAnswer<Answer>(isWaiting ? null : asked);
  if (error) return <Failed error={error} />;
  if (!data) {
    return (
      <section className="verdict" aria-label="Verdict">
        <p className="dim busy">{isWaiting ? "The verdict waits for the files before this one." : "looking for what grows…"}</p>
      </section>
    );
  }
  const hasOthers = before.some((other) => other.kind === "native-trace");
  const choice = hasOthers && (
    <div className="segments" role="group" aria-label="Verdict by">
      {(["recordings", "moments"] as const).map((ladder) => (
        <button key={ladder} type="button" aria-pressed={data.ladder === ladder} onClick={() => step({ ladder })}>
          {ladder === "recordings" ? "by recordings" : "by moments of this one"}
        </button>
      ))}
    </div>
  );
  if (data.problem) {
    return (
      <section className="verdict unknown" aria-label="Verdict">
        <header>
          <strong>No verdict: {visible(data.problem.error)}</strong>
          {choice}
        </header>
        <p className="dim">{visible(data.problem.hint)}</p>
      </section>
    );
  }
  const { leaks } = data;
  const shown = leaks.suspects.slice(0, most);
  return (
    <section className={`verdict ${leaks.verdict}`} aria-label="Verdict">
      <header>
        <strong>{visible(data.headline)}</strong>
        {choice}
      </header>
      <p className="dim">
        alive, all together: <span className="series">{leaks.steps.map((one) => size(one.live_bytes)).join(" → ")}</span> ({stepWords(data)})
      </p>
      <ul>
        {shown.map((suspect, at) => (
          <li key={at}>
            <Suspect suspect={suspect} name={data.names[at] ?? ""} answer={data} at={at} isWhole={most === undefined} />
          </li>
        ))}
      </ul>
      {shown.length < leaks.suspect_count && (
        <p className="dim">
          {count(leaks.suspect_count - shown.length)} more call sites grow:{" "}
          {shown.length < leaks.suspects.length ? (
            <a {...linkTo(withParts(route, { view: "native-verdict" }))}>the Verdict</a>
          ) : (
            "twinheap leaks --limit N shows all"
          )}
        </p>
      )}
      {leaks.warnings.map((warning) => (
        <p className="dim" key={warning}>
          {visible(warning)}
        </p>
      ))}
    </section>
  );
}

/** What the steps are, in the words of the command line. */
function stepWords({ ladder, leaks }: Answer): string {
  const [first, last] = [leaks.steps[0], leaks.steps.at(-1)];
  if (ladder === "moments" && first && last) {
    const at = (time: number | null) => `${(time ?? 0).toFixed(1)} s`;
    return `${leaks.steps.length} moments from ${at(first.time)} to ${at(last.time)}`;
  }
  return `${leaks.steps.length} recordings`;
}

function Suspect(props: { suspect: NativeSuspect; name: string; answer: Answer; at: number; isWhole: boolean }) {
  const { suspect, name, answer, at, isWhole } = props;
  const route = useRoute();
  const site = answer.sites[at];
  const end = answer.leaks.steps.at(-1)?.time;
  // What was alive at the last step: after it a program may have freed everything.
  const time = answer.ladder === "moments" && end ? { from: "0", to: end.toFixed(3) } : {};
  const link = (view: string) =>
    linkTo(
      withParts(route, {
        file: String(answer.newest[at] ?? answer.files.at(-1)),
        view,
        by: "leaked",
        site: site ? JSON.stringify(site) : undefined,
        row: undefined,
        open: undefined,
        ...time,
      }),
    );
  return (
    <>
      <span className="suspect">
        <a {...link("bottom-up")}>{visible(name)}</a>
        <span className="series">
          {suspect.verdict === "leak" ? "leaks" : "is a suspect"}: {suspect.bytes.map(size).join(" → ")} in {suspect.blocks.map(count).join(" → ")} blocks
        </span>
        <a className="quiet" {...link("flame")}>
          flame graph
        </a>
      </span>
      {isWhole && (
        <details open={at === 0}>
          <summary>
            {suspect.stacks === 1 ? "allocated by one stack" : `allocated by ${count(suspect.stacks)} stacks, most by`}
            <span className="dim">
              {" "}
              · {size(Math.max(0, Math.round(suspect.growth_per_step)))} more with each step
              {suspect.pattern && `, ${suspect.pattern}`} · {suspect.confidence} confidence
            </span>
          </summary>
          <ol className="trace">
            {suspect.frames.slice(0, LINES).map((frame, depth) => (
              <li key={depth}>
                <span className={`frame ${frame.kind}`}>{visible(frameName(frame))}</span> <span className="place">{visible(framePlace(frame))}</span>
              </li>
            ))}
            {suspect.frames.length > LINES && <li className="dim">… {count(suspect.frames.length - LINES)} more</li>}
          </ol>
        </details>
      )}
      <span className="dim advice">{visible(suspect.advice)}</span>
    </>
  );
}
